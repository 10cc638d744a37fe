"""One GPU stage at a time on a GPU: a global concurrency limit of Prefect for each machine, taken only by stages that will run.

A slot belongs to the machine, so that a machine which dies takes its own slot with it and stops no other.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.concurrency.sync import concurrency

__all__ = ["gpu_slot", "limit_name"]

_LEASE_S = 120.0
"""A run whose process died keeps its slot for so long, and the next run on that machine waits; Prefect's own 300 s cost it five minutes.
Not less: the lease is renewed every 90 s, and a server that is away for half a minute should not lose it."""

_MACHINE_VARIABLE = "TALKHEAD_MACHINE"


def limit_name() -> str:
    """The limit of this machine: ``talkhead-gpu-<TALKHEAD_MACHINE, or else the host's name>``."""
    return f"talkhead-gpu-{os.environ.get(_MACHINE_VARIABLE) or socket.gethostname()}"


@contextmanager
def gpu_slot(*, needed: bool) -> Iterator[None]:
    """Hold a slot while the block runs; without such a limit on the server, nothing is limited."""
    if not needed:
        yield
        return
    with concurrency(limit_name(), occupy=1, lease_duration=_LEASE_S, strict=False):
        yield
