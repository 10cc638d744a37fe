"""Known holes in our packages: named where there are any, and no failure where nobody can be asked."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from tests.toy_workspace import REPOSITORY

HOLE = {
    "id": "PYSEC-2099-1",
    "affected": [
        {
            "package": {"name": "left-open", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "1.3"}]}],
        }
    ],
}


class _List(BaseHTTPRequestHandler):
    """A list of vulnerabilities in OSV's form that knows of one."""

    def do_POST(self) -> None:  # noqa: N802
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        answer = json.dumps({"vulns": [HOLE]} if asked["package"]["name"] == "left-open" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _List) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def audited(requirements: Path, address: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(REPOSITORY / ".ci" / "known_holes.py"), str(requirements), "-s", "osv", "--osv-url", address]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


def test_a_hole_is_named_and_fails(address: str, tmp_path: Path) -> None:
    (tmp_path / "packages.txt").write_text("left-open==1.2\nsound==2.0\n")
    done = audited(tmp_path / "packages.txt", address)
    assert done.returncode == 1, done.stderr
    assert done.stdout.splitlines() == ["left-open 1.2: PYSEC-2099-1, mended in 1.3", "known holes: 1 in 2 packages"]


def test_what_we_pin_is_what_is_asked_for(address: str) -> None:
    done = audited(REPOSITORY / "constraints.txt", address)
    pinned = [line for line in (REPOSITORY / "constraints.txt").read_text().splitlines() if "==" in line]
    assert (done.returncode, done.stdout.strip()) == (0, f"known holes: 0 in {len(pinned)} packages"), done.stderr


def test_without_a_network_one_line_says_so_and_nothing_fails(tmp_path: Path) -> None:
    (tmp_path / "packages.txt").write_text("left-open==1.2\n")
    done = audited(tmp_path / "packages.txt", "http://127.0.0.1:9/")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "known holes were not looked for: the list of vulnerabilities cannot be reached\n"


def test_what_is_no_list_of_packages_is_not_taken_for_a_missing_network(tmp_path: Path) -> None:
    (tmp_path / "packages.txt").write_text("left-open>=1\n")
    done = audited(tmp_path / "packages.txt", "http://127.0.0.1:9/")
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "packages.txt" in done.stderr
