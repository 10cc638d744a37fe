"""Files to and from an object store: in parts, checked, and taken up again where they broke off.

Every part goes with its MD5, which the store compares, and every object with the SHA-256 of the whole file as metadata, which is
compared when it comes back. A broken upload stays in the store as parts (a lifecycle rule removes what nobody takes up); a broken
download stays beside its target.
"""

from __future__ import annotations

import base64
import hashlib
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.object_store import SHA256_KEY, ObjectInfo, ObjectStore, ObjectUri, store_errors
from talkhead_core.errors import InputError, TalkheadError
from talkhead_core.progress import Progress, silent

__all__ = ["download", "download_if_changed", "upload"]

_CANNOT_LIST = ("NoSuchUpload", "NotImplemented", "MethodNotAllowed")  # what simpler stores answer: every upload starts anew
_MOST_PARTS = 10_000
_CHUNK_BYTES = 1 << 20
_TYPES = {".mp4": "video/mp4", ".html": "text/html", ".json": "application/json", ".wav": "audio/wav", ".csv": "text/csv"}


@dataclass(frozen=True)
class _Part:
    number: int
    start: int
    size: int


def upload(store: ObjectStore, path: Path, uri: ObjectUri, *, metadata: dict[str, str] | None = None, progress: Progress = silent) -> bool:
    """Bring ``path`` to ``uri``, unless the same content with the same metadata is there.

    Args:
        store: where to.
        path: the file.
        uri: the object.
        metadata: kept with the object, beside the file's SHA-256; keys in lower case.
        progress: told the parts done.

    Returns:
        Whether anything was sent.

    Raises:
        InputError: there is no such file.
        TalkheadError: the store refused, or took something else than was sent.
    """
    if not path.is_file():
        raise InputError(f"{path}: {'is not a file' if path.exists() else 'does not exist'}; nothing to upload")
    kept = {**(metadata or {}), SHA256_KEY: _sha256(path)}
    there = store.head(uri)
    if there is not None and there.size == path.stat().st_size and all(there.metadata.get(key) == value for key, value in kept.items()):
        return False
    arguments = {"Metadata": kept, "ContentType": _TYPES.get(path.suffix, "application/octet-stream"), **store.config.put_arguments}
    size, part_bytes = path.stat().st_size, store.config.part_mib * 2**20
    with store_errors(uri):
        if size <= part_bytes:
            with path.open("rb") as file:
                store.client.put_object(Bucket=uri.bucket, Key=uri.key, Body=file, ContentMD5=_md5(path, _Part(1, 0, size))[1], **arguments)
            progress(1, 1)
        else:
            parts = _parts(size, max(part_bytes, math.ceil(size / _MOST_PARTS)))
            resumed = _upload_parts(store, path, uri, parts, arguments, progress)
            if resumed and not _is_stored(store, uri, size, kept[SHA256_KEY]):  # begun for a file that only starts like this one
                _upload_parts(store, path, uri, parts, arguments, progress)
    if not _is_stored(store, uri, size, kept[SHA256_KEY]):
        raise TalkheadError(f"{uri}: the store does not hold what was sent; try again")
    return True


def download(store: ObjectStore, uri: ObjectUri, path: Path, *, progress: Progress = silent) -> ObjectInfo:
    """Bring ``uri`` to ``path``, whole, continuing a download that broke off.

    Raises:
        InputError: there is no such object.
        TalkheadError: what came is not what was uploaded.
    """
    info = store.head(uri)
    if info is None:
        raise InputError(f"{uri}: there is no such object; check the address")
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{hashlib.sha256(info.etag.encode()).hexdigest()[:12]}.part")
    have = partial.stat().st_size if partial.is_file() else 0
    if have > info.size:
        partial.unlink()
        have = 0
    if have < info.size or info.size == 0:
        _receive(store, info, partial, have, progress)
    found = _sha256(partial)
    expected = info.sha256 or _md5_of_etag(info, partial)
    if partial.stat().st_size != info.size or expected not in (None, found):
        partial.unlink()
        raise TalkheadError(f"{uri}: what arrived is not what was uploaded; try again")
    partial.replace(path)
    return info


def download_if_changed(store: ObjectStore, uri: ObjectUri, path: Path) -> bool:
    """As :func:`download`, unless ``path`` holds the same content; returns whether anything came."""
    there = store.head(uri)
    if there is not None and path.is_file() and path.stat().st_size == there.size and there.sha256 == _sha256(path):
        return False
    download(store, uri, path)
    return True


def _parts(size: int, part_bytes: int) -> list[_Part]:
    return [_Part(i + 1, start, min(part_bytes, size - start)) for i, start in enumerate(range(0, size, part_bytes))]


def _upload_parts(
    store: ObjectStore, path: Path, uri: ObjectUri, parts: list[_Part], arguments: dict[str, Any], progress: Progress
) -> bool:
    """Send what the store does not have; returns whether an earlier upload was taken up."""
    digests = {part.number: _md5(path, part) for part in parts}
    upload_id, stored = _unfinished(store, uri)
    if upload_id is not None and any(stored[number] != digests.get(number, ("", ""))[0] for number in stored):
        store.client.abort_multipart_upload(Bucket=uri.bucket, Key=uri.key, UploadId=upload_id)
        upload_id, stored = None, {}
    resumed = upload_id is not None
    if upload_id is None:
        upload_id = str(store.client.create_multipart_upload(Bucket=uri.bucket, Key=uri.key, **arguments)["UploadId"])
    done = dict(stored)

    def send(part: _Part) -> tuple[int, str]:
        with path.open("rb") as file:
            file.seek(part.start)
            content = file.read(part.size)
        answer = store.client.upload_part(
            Bucket=uri.bucket,
            Key=uri.key,
            UploadId=upload_id,
            PartNumber=part.number,
            Body=content,
            ContentMD5=digests[part.number][1],
        )
        return part.number, str(answer["ETag"]).strip('"')

    with ThreadPoolExecutor(store.config.parallel_parts) as pool:
        for number, etag in pool.map(send, [part for part in parts if part.number not in stored]):
            done[number] = etag
            progress(len(done), len(parts), uri.name)
    listed = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(done.items())]
    store.client.complete_multipart_upload(Bucket=uri.bucket, Key=uri.key, UploadId=upload_id, MultipartUpload={"Parts": listed})
    return resumed


def _unfinished(store: ObjectStore, uri: ObjectUri) -> tuple[str | None, dict[int, str]]:
    """The newest upload of this object that was begun and not finished, with the parts that it has: number -> MD5."""
    from botocore.exceptions import ClientError

    try:
        uploads = store.client.list_multipart_uploads(Bucket=uri.bucket, Prefix=uri.key).get("Uploads", [])
    except ClientError as error:
        if error.response["Error"]["Code"] not in _CANNOT_LIST:
            raise
        return None, {}
    mine = sorted((one for one in uploads if one["Key"] == uri.key), key=lambda one: str(one.get("Initiated", "")))
    if not mine:
        return None, {}
    upload_id = str(mine[-1]["UploadId"])
    pages = store.client.get_paginator("list_parts").paginate(Bucket=uri.bucket, Key=uri.key, UploadId=upload_id)
    parts = [part for page in pages for part in page.get("Parts", [])]
    return upload_id, {int(part["PartNumber"]): str(part["ETag"]).strip('"') for part in parts}


def _is_stored(store: ObjectStore, uri: ObjectUri, size: int, sha256: str) -> bool:
    there = store.head(uri)
    return there is not None and there.size == size and there.sha256 == sha256


def _receive(store: ObjectStore, info: ObjectInfo, partial: Path, have: int, progress: Progress) -> None:
    wanted = {"Range": f"bytes={have}-"} if have else {}
    with store_errors(info.uri), partial.open("ab") as file:
        answer = store.client.get_object(Bucket=info.uri.bucket, Key=info.uri.key, IfMatch=f'"{info.etag}"', **wanted)
        for chunk in answer["Body"].iter_chunks(_CHUNK_BYTES):
            file.write(chunk)
            have += len(chunk)
            progress(have, max(info.size, 1), info.uri.name)


def _md5_of_etag(info: ObjectInfo, path: Path) -> str | None:
    """For an object that somebody else uploaded: its ETag is the MD5 unless it came in parts or is encrypted by a key service.

    Returns the file's SHA-256 when the MD5 agrees or says nothing.
    """
    if "-" in info.etag or len(info.etag) != 32:
        return None
    with path.open("rb") as file:
        same = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest() == info.etag
    return None if same else "differs"


def _chunks(path: Path, part: _Part) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(part.start)
        left = part.size
        while left > 0 and (chunk := file.read(min(left, _CHUNK_BYTES))):
            left -= len(chunk)
            yield chunk


def _md5(path: Path, part: _Part) -> tuple[str, str]:
    digest = hashlib.md5(usedforsecurity=False)
    for chunk in _chunks(path, part):
        digest.update(chunk)
    return digest.hexdigest(), base64.b64encode(digest.digest()).decode()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
