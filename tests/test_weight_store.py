"""The weight store against a real HTTP server: whole files or none, the official file or none."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import yaml

from talkhead_core.errors import InputError, NotAvailableError, ParameterError
from talkhead_core.weights.catalogue import _SETS, CATALOGUE, WeightFile, WeightSet
from talkhead_core.weights.store import StoredFile, pull, stored_files, verify, weight_set

CONTENT = bytes(range(256)) * 9000  # more than one block
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class _Handler(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: object) -> None:
        pass

    def do_GET(self) -> None:
        if self.path == "/cut.bin":
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT) + 1))
            self.end_headers()
            self.wfile.write(CONTENT)
            return
        super().do_GET()


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    published = tmp_path / "published"
    published.mkdir()
    (published / "a.bin").write_bytes(CONTENT)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(published)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def _set(address: str, name: str = "a.bin", sha256: str = "") -> WeightSet:
    file = WeightFile(file=f"sub/{name}", source=f"{address}/{name}", sha256=sha256)
    return WeightSet(name="test", files=(file,), licence="none", use="")


def _stored(folder: Path, wanted: WeightSet) -> StoredFile:
    path = folder / wanted.files[0].file
    return StoredFile(weight_set=wanted, file=wanted.files[0], path=path, size_bytes=path.stat().st_size if path.is_file() else None)


def test_pull_fetches_once_and_tells_how_far_it_is(address: str, tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    folder, wanted = tmp_path / "weights", _set(address, sha256=DIGEST[:10])
    (path,) = pull(folder, wanted, lambda done, total, note="": seen.append((done, total)))
    assert path.read_bytes() == CONTENT and seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert pull(folder, wanted, lambda *_: pytest.fail("fetched again")) == [path]
    assert verify(folder, _stored(folder, wanted)) == DIGEST


@pytest.mark.parametrize(
    ("name", "sha256", "message"),
    [("a.bin", "00", "is not the official file"), ("none.bin", "", "cannot be fetched"), ("cut.bin", "", "ended after|cannot be fetched")],
)
def test_what_is_not_the_whole_official_file_leaves_nothing(address: str, tmp_path: Path, name: str, sha256: str, message: str) -> None:
    folder = tmp_path / "weights"
    with pytest.raises(NotAvailableError, match=message):
        pull(folder, _set(address, name, sha256))
    assert [path for path in folder.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("sha256", ["", DIGEST])
def test_a_file_that_changed_is_noticed(address: str, tmp_path: Path, sha256: str) -> None:
    folder, wanted = tmp_path / "weights", _set(address, sha256=sha256)
    (path,) = pull(folder, wanted)
    path.write_bytes(CONTENT + b"x")
    with pytest.raises(InputError, match="models pull test"):
        verify(folder, _stored(folder, wanted))
    path.unlink()
    with pytest.raises(NotAvailableError, match="is not here; run 'talkhead models pull test'"):
        verify(folder, _stored(folder, wanted))


def test_catalogue_is_whole(tmp_path: Path) -> None:
    files = stored_files(tmp_path)
    assert {stored.weight_set.name for stored in files} == set(CATALOGUE) and len(CATALOGUE) == len(_SETS)
    assert all(stored.size_bytes is None and stored.file.source.startswith("https://") for stored in files)
    assert len({stored.path for stored in files}) == len(files)
    with pytest.raises(ParameterError, match="did you mean 'lama'"):
        weight_set("lamma")


def test_every_pull_and_every_file_that_the_core_names_exists() -> None:
    core = Path(__file__).resolve().parents[1] / "talkhead_core"
    text = "\n".join(path.read_text() for path in core.rglob("*.py") if "weights/" not in str(path) and path.name != "not_available.py")
    advised = set(re.findall(r"talkhead models pull ([\w-]+)", text)) - {"NAME"}
    assert advised <= set(CATALOGUE) and {"lama", "fan"} <= advised
    named = set(re.findall(r'"([\w.-]+\.(?:pth\.tar|pth|pt|task|bin))"', text))
    assert named <= {Path(file.file).name for each in CATALOGUE.values() for file in each.files}


def test_what_to_set_is_what_params_hold() -> None:
    params = yaml.safe_load((Path(__file__).resolve().parents[1] / "params.yaml").read_text())
    for each in CATALOGUE.values():
        if not each.use.startswith("nothing"):
            ((section, values),) = yaml.safe_load(each.use).items()
            assert set(values) - {"weights"} <= set(params[section]), each.name
