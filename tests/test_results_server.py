"""Reports and dubs are served, nothing else of a workspace is; links lead there while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from starlette.testclient import TestClient

from flows.results_server import VARIABLE, link_to, results_app
from flows.workspace import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Files that may be seen, and others."""
    for name in ("data/ada/report/report.html", "data/ada/raw/consent.json", "out/ada/a dub.mp4", "out/ada/notes.txt", "params.yaml"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    (tmp_path / "out/ada/way.mp4").symlink_to(tmp_path / "data/ada/raw/consent.json")
    return Workspace(tmp_path.resolve())


@pytest.mark.parametrize("name", ["data/ada/report/report.html", "out/ada/a dub.mp4"])
def test_what_links_lead_to_is_served(workspace: Workspace, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:4201")
    link = link_to(workspace, workspace.root / name)
    assert link.startswith("http://127.0.0.1:4201/") and " " not in link
    browser = TestClient(results_app(workspace), base_url="http://127.0.0.1:4201")
    assert browser.get(link).text == name
    assert browser.get(link, headers={"Range": "bytes=0-3"}).status_code == 206, "videos are sought in"


@pytest.mark.parametrize(
    "name",
    ["data/ada/raw/consent.json", "out/ada/notes.txt", "params.yaml", "out/ada/way.mp4", "out/%2e%2e/params.yaml", "out/none.mp4", ""],
)
def test_nothing_else_is_served(workspace: Workspace, name: str) -> None:
    assert TestClient(results_app(workspace), base_url="http://127.0.0.1:4201").get(f"/{name}").status_code == 404


def test_pages_of_others_get_nothing(workspace: Workspace) -> None:
    browser = TestClient(results_app(workspace), base_url="http://elsewhere.example")
    assert browser.get("/data/ada/report/report.html").status_code == 400


def test_links_without_a_server_name_the_file(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert link_to(workspace, workspace.root / "out/ada/a dub.mp4").startswith("file:///")
    monkeypatch.setenv(VARIABLE, "http://127.0.0.1:4201")
    assert link_to(workspace, Path("/somewhere/else.mp4")) == "file:///somewhere/else.mp4"
