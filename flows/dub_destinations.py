"""Where dubs were delivered to in object stores: written down before each goes there, so that ``talkhead forget`` can take it back.

Each machine keeps its record in ``.talkhead/delivered/<speaker>/``; with a shared store a copy lies there, for the control workspace.
What is taken back is what talkhead put there: an object that has been replaced by something else since stays, and is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from flows.object_store import ObjectStore, ObjectUri
from flows.store_settings import object_store, shared_store
from flows.workspace import Workspace
from talkhead_core.artifacts import write_json

__all__ = ["SIGNATURE_KEY", "Deliveries", "find_deliveries", "page_of", "record_destination", "remove_deliveries", "still_there"]

SIGNATURE_KEY = "talkhead-signature"
_FOLDER = "delivered"


@dataclass(frozen=True, kw_only=True)
class Deliveries:
    """What was delivered of one speaker.

    Args:
        objects: dubs and their pages that are still what was delivered.
        changed: addresses where something else lies now.
    """

    objects: list[ObjectUri] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)


def record_destination(workspace: Workspace, speaker: str, uri: ObjectUri, signature: str) -> None:
    """Write down that a dub with this signature is about to go to ``uri``.

    Raises:
        TalkheadError: the shared store refuses; nothing may be delivered then.
    """
    name = f"{hashlib.sha256(f'{uri} {signature}'.encode()).hexdigest()[:24]}.json"
    record = {"uri": str(uri), "signature": signature}
    write_json(workspace.private / _FOLDER / speaker / name, record)
    shared = shared_store(workspace)
    if shared is not None:
        shared.store.write(shared.address / _FOLDER / speaker / name, json.dumps(record).encode())


def find_deliveries(workspace: Workspace, speaker: str) -> Deliveries:
    """What lies in object stores of the speaker's dubs, and the records of them in the shared store.

    Raises:
        TalkheadError: a store does not answer.
    """
    found, changed = [], []
    signatures: dict[str, set[str]] = {}
    for record in _records(workspace, speaker):
        signatures.setdefault(str(record["uri"]), set()).add(str(record["signature"]))
    for address, known in sorted(signatures.items()):
        uri = ObjectUri.parse(address)
        own = [one for one in (uri, page_of(uri)) if _signature(object_store(workspace), one) in known]
        found += own
        if uri not in own and object_store(workspace).head(uri) is not None:
            changed.append(address)
    shared = shared_store(workspace)
    if shared is not None:
        found += [info.uri for info in shared.store.list(shared.address / _FOLDER / speaker)]
    return Deliveries(objects=found, changed=changed)


def remove_deliveries(workspace: Workspace, deliveries: Deliveries) -> list[str]:
    """Remove all of that, the records in the shared store last; gives the addresses.

    Raises:
        TalkheadError: a store refuses.
    """
    for uri in deliveries.objects:
        object_store(workspace).remove(uri)
    return [str(uri) for uri in deliveries.objects]


def still_there(workspace: Workspace, deliveries: Deliveries) -> list[str]:
    """Which of that can still be read, whatever the records say."""
    return [str(uri) for uri in deliveries.objects if object_store(workspace).head(uri) is not None]


def page_of(uri: ObjectUri) -> ObjectUri:
    """Where the page beside a dub lies."""
    return ObjectUri(uri.bucket, f"{uri.key.removesuffix('.mp4')}.html")


def _records(workspace: Workspace, speaker: str) -> Iterator[dict[str, Any]]:
    folder, shared = workspace.private / _FOLDER / speaker, shared_store(workspace)
    contents: list[bytes | None] = [path.read_bytes() for path in sorted(folder.glob("*.json"))] if folder.is_dir() else []
    if shared is not None:
        contents += [shared.store.read(info.uri) for info in shared.store.list(shared.address / _FOLDER / speaker)]
    for content in contents:
        try:
            record = json.loads(content or b"")
        except ValueError:
            continue  # cut short by a full disk, before anything was delivered
        if isinstance(record, dict) and {"uri", "signature"} <= record.keys():
            yield record


def _signature(store: ObjectStore, uri: ObjectUri) -> str | None:
    there = store.head(uri)
    return there.metadata.get(SIGNATURE_KEY) if there is not None else None
