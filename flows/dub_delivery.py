"""One dub of a batch from wherever its speech lies to wherever its video goes, made only when it is missing."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from flows.dub_batch import BatchRow, is_remote
from flows.dub_destinations import SIGNATURE_KEY, page_of, record_destination
from flows.dub_process import DubProcess
from flows.dubbing import dub, dub_if_changed, dub_signature
from flows.object_store import ObjectStore, ObjectUri
from flows.object_transfer import download, download_if_changed, upload
from flows.stage_runs import Outcome, StageEvent
from flows.workspace import Workspace

__all__ = ["deliver_dub", "fetch_delivery"]


def deliver_dub(
    workspace: Workspace,
    store: ObjectStore,
    row: BatchRow,
    show: Callable[[StageEvent], None],
    *,
    timeout_s: float | None = None,
    process: DubProcess | None = None,
) -> None:
    """Make the dub of ``row``, in ``process`` where one is given, and put it in its place; tells ``Unchanged`` when one made from the
    same is there.

    Raises:
        TalkheadError: the speech cannot be read, the speaker is not trained or has not agreed, or the dub failed.
    """
    audio = _speech(workspace, store, row)
    if not is_remote(row.out):
        dub_if_changed(workspace, row.speaker, audio, Path(row.out), show, timeout_s=timeout_s, process=process)
        return
    uri = ObjectUri.parse(row.out)
    signature = dub_signature(workspace, row.speaker, audio) if audio.is_file() else ""
    there = store.head(uri)
    if there is not None and there.metadata.get(SIGNATURE_KEY) == signature:
        show(StageEvent(stage="dub", outcome=Outcome.UNCHANGED))
        return
    video = workspace.private / "deliveries" / f"{hashlib.sha256(row.out.encode()).hexdigest()[:24]}.mp4"
    page = video.with_suffix(".html")
    video.parent.mkdir(parents=True, exist_ok=True)
    try:
        dub(workspace, row.speaker, audio, video, show, timeout_s=timeout_s, process=process)
        record_destination(workspace, row.speaker, uri, signature)
        if page.is_file():
            upload(store, page, page_of(uri), metadata={SIGNATURE_KEY: signature})
        upload(store, video, uri, metadata={SIGNATURE_KEY: signature})
    finally:
        video.unlink(missing_ok=True)
        page.unlink(missing_ok=True)


def fetch_delivery(store: ObjectStore, uri: ObjectUri, path: Path) -> None:
    """Bring a delivered dub, and its page where there is one, from the store to ``path`` and beside it.

    Raises:
        TalkheadError: it is not there, or is not what was uploaded.
    """
    if store.head(page_of(uri)) is not None:
        download_if_changed(store, page_of(uri), path.with_suffix(".html"))
    download_if_changed(store, uri, path)


def _speech(workspace: Workspace, store: ObjectStore, row: BatchRow) -> Path:
    """The speech as a local file; what was downloaded for an object that has not changed is used again."""
    if not is_remote(row.audio):
        return Path(row.audio)
    uri = ObjectUri.parse(row.audio)
    info = store.head(uri)
    name = hashlib.sha256(f"{row.audio} {info.etag if info else ''}".encode()).hexdigest()[:24]
    path = workspace.private / "speech" / f"{name}{Path(uri.name).suffix}"
    if not path.is_file():
        download(store, uri, path)
    return path
