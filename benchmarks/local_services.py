"""Real servers on this host for tests and benchmarks: an OpenStack Swift that speaks S3, and a PostgreSQL.

Both come from Debian's packages (``apt-get install swift-proxy swift-account swift-container swift-object memcached postgresql``);
where they are not installed, :func:`missing_programs` says which.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["free_port", "missing_programs", "postgres_server", "process", "swift_server", "wait_until_answers"]

SWIFT_PROGRAMS = ("swift-proxy-server", "swift-account-server", "swift-container-server", "swift-object-server", "memcached")
ACCESS_KEY, SECRET_KEY = "talkhead:machines", "a-secret-for-tests"
_POSTGRES = Path("/usr/lib/postgresql/15/bin")
_STORAGE = """
[DEFAULT]
devices = {devices}
mount_check = false
bind_ip = {address}
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
log_level = WARNING
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
[{kind}-replicator]
[{kind}-updater]
[{kind}-auditor]
"""
_PROXY = """
[DEFAULT]
bind_ip = {address}
bind_port = {port}
workers = {workers}
user = {user}
swift_dir = {folder}
log_level = WARNING
[pipeline:main]
pipeline = catch_errors gatekeeper healthcheck proxy-logging cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes
    symlink proxy-logging proxy-server
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:proxy-logging]
use = egg:swift#proxy_logging
[filter:gatekeeper]
use = egg:swift#gatekeeper
[filter:healthcheck]
use = egg:swift#healthcheck
[filter:cache]
use = egg:swift#memcache
memcache_servers = {address}:{memcached}
[filter:listing_formats]
use = egg:swift#listing_formats
[filter:bulk]
use = egg:swift#bulk
[filter:s3api]
use = egg:swift#s3api
s3_acl = false
location = us-east-1
[filter:tempauth]
use = egg:swift#tempauth
user_talkhead_machines = {secret} .admin
[filter:copy]
use = egg:swift#copy
[filter:slo]
use = egg:swift#slo
[filter:dlo]
use = egg:swift#dlo
[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true
[filter:symlink]
use = egg:swift#symlink
"""


def missing_programs(names: Sequence[str] = SWIFT_PROGRAMS) -> list[str]:
    """Which of these programs are not installed."""
    return [name for name in names if shutil.which(name) is None]


def free_port(address: str = "127.0.0.1") -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((address, 0))
        return int(probe.getsockname()[1])


@contextmanager
def process(command: Sequence[str], log: Path, environment: dict[str, str] | None = None, cwd: Path | None = None) -> Iterator[int]:
    """``command`` at work while the block runs, in a process group of its own; its output goes to ``log``."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        started = subprocess.Popen(
            command, cwd=cwd, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
        )
    try:
        yield started.pid
    finally:
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(started.pid, number)
                started.wait(10)
                break
            except ProcessLookupError:
                break
            except subprocess.TimeoutExpired:
                continue


def wait_until_answers(url: str, seconds: float = 60.0) -> None:
    """Wait for an HTTP server; any answer will do."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError:
            return
        except OSError as error:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} does not answer after {seconds:.0f} s: {error}") from error
            time.sleep(0.2)


@contextmanager
def swift_server(folder: Path, address: str = "127.0.0.1", port: int | None = None, workers: int = 0) -> Iterator[str]:
    """A Swift with s3api and tempauth; gives its S3 endpoint. Keys: ``ACCESS_KEY`` and ``SECRET_KEY``; others are refused."""
    ports = {kind: free_port(address) for kind in ("object", "container", "account", "memcached")}
    port = port or free_port(address)
    devices = folder / "devices"
    (devices / "d1").mkdir(parents=True)
    for kind in ("object", "container", "account"):
        builder = folder / f"{kind}.builder"
        for words in (["create", "4", "1", "1"], ["add", f"r1z1-{address}:{ports[kind]}/d1", "1"], ["rebalance"]):
            subprocess.run(["swift-ring-builder", str(builder), *words], check=True, capture_output=True)
    with ExitStack() as stack:
        user = "root" if os.getuid() == 0 else os.environ.get("USER", "swift")
        memory = ["memcached", "-l", address, "-p", str(ports["memcached"]), "-m", "32", *(["-u", "root"] if user == "root" else [])]
        stack.enter_context(process(memory, folder / "memcached.log"))
        for kind in ("object", "container", "account"):
            text = _STORAGE.format(devices=devices, address=address, port=ports[kind], user=user, folder=folder, kind=kind)
            _start_swift(stack, folder, kind, text)
        proxy = _PROXY.format(
            address=address, port=port, user=user, folder=folder, memcached=ports["memcached"], secret=SECRET_KEY, workers=workers
        )
        _start_swift(stack, folder, "proxy", proxy)
        wait_until_answers(f"http://{address}:{port}/healthcheck")
        yield f"http://{address}:{port}"


@contextmanager
def postgres_server(folder: Path, address: str = "127.0.0.1") -> Iterator[str]:
    """A PostgreSQL with the database ``prefect``; gives the address that Prefect takes."""
    port, data, password = free_port(address), folder / "data", "a-password-for-tests"
    folder.mkdir(parents=True, exist_ok=True)
    become = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
    if become:
        shutil.chown(folder, "postgres", "postgres")
    secret = folder / "password"
    secret.write_text(password)
    if become:
        shutil.chown(secret, "postgres", "postgres")
    init = [str(_POSTGRES / "initdb"), "-D", str(data), "-U", "prefect", "--auth=scram-sha-256", f"--pwfile={secret}", "-E", "UTF8"]
    subprocess.run([*become, *init], check=True, capture_output=True, cwd=folder)
    with (data / "pg_hba.conf").open("a") as rules:
        rules.write("host all all 10.0.0.0/8 scram-sha-256\n")
    serve = [str(_POSTGRES / "postgres"), "-D", str(data), "-h", address, "-p", str(port), "-k", str(folder), "-c", "fsync=off"]
    with process([*become, *serve], folder / "postgres.log", cwd=folder):
        environment = {**os.environ, "PGPASSWORD": password}
        psql = [str(_POSTGRES / "psql"), "-h", address, "-p", str(port), "-U", "prefect", "-v", "ON_ERROR_STOP=1"]
        deadline = time.monotonic() + 60
        while subprocess.run([*psql, "-d", "postgres", "-c", "select 1"], env=environment, capture_output=True, check=False).returncode:
            if time.monotonic() > deadline:
                raise TimeoutError(f"PostgreSQL did not start; see {folder}/postgres.log")
            time.sleep(0.3)
        subprocess.run([*psql, "-d", "postgres", "-c", "create database prefect"], env=environment, check=True, capture_output=True)
        subprocess.run([*psql, "-d", "prefect", "-c", "create extension pg_trgm"], env=environment, check=True, capture_output=True)
        yield f"postgresql+asyncpg://prefect:{password}@{address}:{port}/prefect"


def _start_swift(stack: ExitStack, folder: Path, kind: str, text: str) -> None:
    path = folder / f"{kind}-server.conf"
    path.write_text(text)
    path.chmod(0o600)
    environment = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "VIRTUAL_ENV")}
    stack.enter_context(process([f"swift-{kind}-server", str(path)], folder / f"{kind}.log", environment))
