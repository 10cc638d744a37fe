"""How the tests share a machine: in which order files begin, and how many threads each process takes.

``make test`` runs them in several processes, whole files at a time. Threads of one process would only take the cores of the others.
"""

from __future__ import annotations

import os
import signal

import pytest

# Files that take longest begin first, so that no process is left alone with one of them at the end; the first of all mostly waits.
# The trainings' compile the kernels, which workspaces of the real stages then copy.
_FIRST = (
    "test_flow_deployment.py",
    "test_training.py",
    "test_end_to_end.py",
    "test_faults.py",
    "test_shared_store.py",
    "test_readme.py",
    "test_flows.py",
    "test_command_line.py",
    "test_object_store.py",
)

if "PYTEST_XDIST_WORKER" in os.environ:  # before numpy, torch and numba are loaded; stages that tests start inherit it
    for _variable, _value in {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}.items():
        os.environ.setdefault(_variable, _value)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of a shell's background job: tests that interrupt a run would wait in vain
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort files as above; the order within a file stays."""
    rank = {name: number for number, name in enumerate(_FIRST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))
