"""What a Prefect server needs once, before ``prefect deploy --all``: the work pools, what to do after crashes, the GPUs.

Run by ``make up``, and by hand against a server of one's own: ``python -m flows.server_setup [--machine NAME[=GPUS]]...``; may be
repeated.
"""

from __future__ import annotations

import os
from typing import Annotated

import typer
from prefect import get_client
from prefect.client.schemas.actions import GlobalConcurrencyLimitCreate, GlobalConcurrencyLimitUpdate, WorkPoolCreate
from prefect.exceptions import ObjectNotFound
from prefect.workers.process import ProcessWorker

from flows.command_output import run_module
from flows.crash_policy import set_automations
from flows.gpu_slots import limit_name
from flows.run_watch import HEARTBEAT_SECONDS, SECONDS_ALONE, ZOMBIE_SECONDS
from talkhead_core.errors import InputError

__all__ = ["set_up_server"]

POOLS = {
    "control": "Runs that start others and compute nothing heavy",
    "machines": "Runs that work on one speaker: one at a time on a machine",
}

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def set_up_server(
    machine: Annotated[list[str] | None, typer.Option(help="a machine's name, with =N for N GPUs; this one by default")] = None,
    zombie_seconds: Annotated[float, typer.Option(help="a run not heard of for so long has crashed")] = ZOMBIE_SECONDS,
) -> None:
    """Create or update pools, automations and GPU limits on the server that PREFECT_API_URL names."""
    if not os.environ.get("PREFECT_API_URL"):
        raise InputError("PREFECT_API_URL is not set; set it to the server's address, such as http://SERVER:4200/api")
    if zombie_seconds <= SECONDS_ALONE + HEARTBEAT_SECONDS:
        raise InputError(
            f"--zombie-seconds {zombie_seconds:g}: give more than {SECONDS_ALONE + HEARTBEAT_SECONDS:g}, "
            "or another machine begins before one that was cut off has stopped"
        )
    with get_client(sync_client=True) as client:
        for name, description in POOLS.items():
            template = ProcessWorker.get_default_base_job_template()
            pool = WorkPoolCreate(name=name, type="process", description=description, base_job_template=template)
            client.create_work_pool(work_pool=pool, overwrite=True)
        for entry in machine or [limit_name().removeprefix("talkhead-gpu-")]:
            name, _, gpus = entry.partition("=")
            _set_limit(client, f"talkhead-gpu-{name}", _count(gpus))
    set_automations(zombie_seconds)


def _set_limit(client: object, name: str, slots: int) -> None:
    try:
        client.read_global_concurrency_limit_by_name(name)  # type: ignore[attr-defined]
    except ObjectNotFound:
        client.create_global_concurrency_limit(GlobalConcurrencyLimitCreate(name=name, limit=slots, active=True))  # type: ignore[attr-defined]
        return
    client.update_global_concurrency_limit(name, GlobalConcurrencyLimitUpdate(limit=slots))  # type: ignore[attr-defined]


def _count(gpus: str) -> int:
    if gpus and not (gpus.isdigit() and 1 <= int(gpus) <= 64):
        raise InputError(f"--machine NAME={gpus}: give the number of its GPUs, 1 to 64")
    return int(gpus or 1)


if __name__ == "__main__":
    run_module(app)
