"""Which object store a workspace shares with others, set up once for DVC and for talkhead by one command.

Under the address given lie ``dvc/`` (DVC's remote, with its run cache), ``runs/`` (which entries of the run cache are whose) and
``speakers/`` (registered speakers). The choice is kept in ``.talkhead/store.json`` and ``.dvc/config.local``, outside git, without
credentials.
"""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, replace
from typing import Any

from flows.child_process import child_environment
from flows.object_store import ObjectStore, ObjectStoreConfig, ObjectUri
from flows.workspace import Workspace
from talkhead_core.artifacts import read_json, write_json
from talkhead_core.errors import TalkheadError
from talkhead_core.parameters import from_mapping
from talkhead_core.speakers import read_yaml

__all__ = ["SharedStore", "object_store", "shared_store", "use_store"]

REMOTE = "store"


@dataclass(frozen=True)
class SharedStore:
    """The store that this workspace shares.

    Args:
        store: how to speak to it.
        address: under which everything of talkhead's lies.
        machine: this clone only works for another, the control workspace, where speakers are registered.
    """

    store: ObjectStore
    address: ObjectUri
    machine: bool = False

    @property
    def dvc(self) -> ObjectUri:
        """DVC's remote."""
        return self.address / "dvc"

    @property
    def runs(self) -> ObjectUri:
        """Which entries of the run cache belong to which speaker."""
        return self.address / "runs"

    @property
    def speakers(self) -> ObjectUri:
        """Registered speakers: recording, consent, versions."""
        return self.address / "speakers"


def object_store(workspace: Workspace) -> ObjectStore:
    """The store as ``infra/object_store.yaml`` describes it, and as this workspace was told to reach it."""
    path, record = workspace.root / "infra" / "object_store.yaml", workspace.private / "store.json"
    config = from_mapping(ObjectStoreConfig, read_yaml(path) if path.is_file() else {}, where="infra/object_store.yaml")
    if record.is_file():
        chosen = {key: value for key, value in _record(workspace).items() if key in ("endpoint_url", "region") and value}
        config = replace(config, **chosen)
    return ObjectStore(config)


def shared_store(workspace: Workspace) -> SharedStore | None:
    """The store that this workspace shares with others, or None when it is alone."""
    record = _record(workspace)
    if not record:
        return None
    return SharedStore(object_store(workspace), ObjectUri.parse(record["address"]), bool(record.get("machine")))


def use_store(
    workspace: Workspace, address: str, endpoint_url: str | None = None, region: str | None = None, *, machine: bool = False
) -> SharedStore:
    """Check the store by writing, reading and removing a record, and make it this workspace's and DVC's.

    Args:
        workspace: which.
        address: ``s3://bucket/prefix``.
        endpoint_url: a store other than AWS.
        region: where the configuration does not say.
        machine: this clone takes its speakers from the control workspace.

    Raises:
        InputError: no such address.
        TalkheadError: the store refuses; nothing is changed.
    """
    uri = ObjectUri.parse(address)
    config = object_store(workspace).config
    chosen = replace(config, endpoint_url=endpoint_url or config.endpoint_url, region=region or config.region)
    store = ObjectStore(chosen)
    probe = uri / f".probe-{os.getpid()}"
    store.write(probe, b"{}")
    answer = store.read(probe)
    store.remove(probe)
    if answer != b"{}":
        raise TalkheadError(f"{uri}: the store does not give back what was written; choose another")
    shared = SharedStore(store, uri, machine)
    _set_dvc_remote(workspace, shared)
    record = {"address": str(uri), "endpoint_url": chosen.endpoint_url, "region": chosen.region, "machine": machine}
    write_json(workspace.private / "store.json", record)
    return shared


def _record(workspace: Workspace) -> dict[str, Any]:
    path = workspace.private / "store.json"
    return dict(read_json(path)) if path.is_file() else {}


def _set_dvc_remote(workspace: Workspace, shared: SharedStore) -> None:
    config = shared.store.config
    options = {"endpointurl": config.endpoint_url, "region": config.region, "sse": config.server_side_encryption}
    options["sse_kms_key_id"] = config.kms_key_id
    commands = [["remote", "add", "--local", "--default", "--force", REMOTE, str(shared.dvc)]]
    commands += [["remote", "modify", "--local", REMOTE, name, value] for name, value in options.items() if value]
    for command in commands:
        result = subprocess.run(  # noqa: S603
            ["dvc", *command], cwd=workspace.root, env=child_environment(), capture_output=True, text=True, check=False
        )
        if result.returncode != 0:
            raise TalkheadError(f"dvc {' '.join(command[:2])} failed: {' '.join(result.stderr.split())}")
