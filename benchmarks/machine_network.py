"""Several machines on one host: network namespaces with an address each, on a bridge where the servers listen. Needs root."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

__all__ = ["MachineNetwork", "cannot_make_networks", "machine_network"]


@dataclass(frozen=True, kw_only=True)
class MachineNetwork:
    """The namespaces of one benchmark.

    Args:
        host: the address of the host on the bridge.
        namespaces: one for each machine.
    """

    host: str
    namespaces: tuple[str, ...]

    def inside(self, namespace: str, command: list[str]) -> list[str]:
        """``command`` as it runs in ``namespace``."""
        return ["ip", "netns", "exec", namespace, *command]

    def cut(self, namespace: str) -> None:
        """Take the network from a machine, at once and without a goodbye."""
        _ip("link", "set", _link(namespace), "down")

    def processes(self, namespace: str) -> list[psutil.Process]:
        """What runs on a machine."""
        listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=True).stdout.split()
        return [psutil.Process(int(pid)) for pid in listed if psutil.pid_exists(int(pid))]


def cannot_make_networks() -> str | None:
    """Why namespaces cannot be made here; None when they can."""
    if os.getuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the program ip (Debian's iproute2)"
    probe = f"th{os.getpid()}p"
    if subprocess.run(["ip", "netns", "add", probe], capture_output=True, check=False).returncode:
        return "this host permits no network namespaces"
    _ip("netns", "delete", probe)
    return None


@contextmanager
def machine_network(machines: int, subnet: str = "10.77.3") -> Iterator[MachineNetwork]:
    """A bridge and ``machines`` namespaces on it; all of it goes when the block ends."""
    number = os.getpid() % 10_000
    bridge, names = f"th{number}br", tuple(f"th{number}m{i + 1}" for i in range(machines))
    _ip("link", "add", bridge, "type", "bridge")
    try:
        _ip("addr", "add", f"{subnet}.1/24", "dev", bridge)
        _ip("link", "set", bridge, "up")
        for index, name in enumerate(names):
            _ip("netns", "add", name)
            _ip("link", "add", _link(name), "type", "veth", "peer", "name", "eth0", "netns", name)
            _ip("link", "set", _link(name), "master", bridge, "up")
            _ip("-n", name, "addr", "add", f"{subnet}.{11 + index}/24", "dev", "eth0")
            _ip("-n", name, "link", "set", "eth0", "up")
            _ip("-n", name, "link", "set", "lo", "up")
        yield MachineNetwork(host=f"{subnet}.1", namespaces=names)
    finally:
        for name in names:
            if (Path("/run/netns") / name).exists():
                _ip("netns", "delete", name)
        _ip("link", "delete", bridge)


def _link(namespace: str) -> str:
    return f"{namespace}v"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
