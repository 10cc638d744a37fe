"""``talkhead store``: the object store that machines share, for DVC and for talkhead by one command."""

from __future__ import annotations

from typing import Annotated

import typer

from flows.command_output import JsonOption, tell
from flows.store_settings import object_store, shared_store, use_store
from flows.workspace import Workspace
from talkhead_core.errors import InputError

__all__ = ["store"]

store = typer.Typer(help="The object store that machines share: set it, look at it, say what it removes.", rich_markup_mode=None)


@store.command()
def use(
    address: Annotated[str, typer.Argument(help="s3://bucket/prefix")],
    endpoint_url: Annotated[str | None, typer.Option(help="a store other than AWS, such as https://minio.example.org")] = None,
    region: Annotated[str | None, typer.Option(help="where the AWS configuration does not say")] = None,
    machine: Annotated[bool, typer.Option("--machine", help="this clone works for another: it takes speakers from there")] = False,
    as_json: JsonOption = False,
) -> None:
    """Share results through this store: checks it, and sets DVC's remote; credentials come from the usual AWS chain."""
    workspace = Workspace.here()
    shared = use_store(workspace, address, endpoint_url, region, machine=machine)
    role = "machine" if machine else "control"
    result = {"address": str(shared.address), "dvc_remote": str(shared.dvc), "endpoint_url": shared.store.config.endpoint_url, "role": role}
    tell(result, [f"{shared.address} is shared ({role}); DVC's remote is {shared.dvc}"], as_json=as_json)


@store.command()
def status(as_json: JsonOption = False) -> None:
    """Say which store is shared, whether it answers, and how much talkhead keeps there."""
    shared = shared_store(Workspace.here())
    if shared is None:
        raise InputError("no store is shared; 'talkhead store use s3://bucket/prefix' sets one")
    counts = {"objects": 0, "bytes": 0}
    for info in shared.store.list(shared.address):
        counts["objects"] += 1
        counts["bytes"] += info.size
    result = {"address": str(shared.address), "role": "machine" if shared.machine else "control", **counts}
    tell(result, [f"{shared.address}: {counts['objects']} objects, {counts['bytes'] / 1e9:.3f} GB"], as_json=as_json)


@store.command()
def lifecycle(as_json: JsonOption = False) -> None:
    """Tell the store what to remove by itself, as the lifecycle section of infra/object_store.yaml says."""
    workspace = Workspace.here()
    shared = shared_store(workspace)
    if shared is None:
        raise InputError("no store is shared; 'talkhead store use s3://bucket/prefix' sets one")
    config = object_store(workspace).config.lifecycle
    shared.store.set_lifecycle(shared.address, config)
    result = {"abort_multipart_days": config.abort_multipart_days, "expire_days": config.expire_days}
    tell(result, [f"{shared.address}: unfinished uploads go after {config.abort_multipart_days} days"], as_json=as_json)
