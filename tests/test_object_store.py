"""Files and records to and from real S3 servers: refused keys, parts, broken transfers, encryption, lifecycle."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flows.object_store import LifecycleConfig, ObjectStore, ObjectStoreConfig, ObjectUri
from flows.object_transfer import download, upload
from talkhead_core.errors import InputError, NotAvailableError, ParameterError, TalkheadError
from tests.s3_servers import ACCESS_KEY, SECRET_KEY, SERVERS, installed, s3_server

PART_MIB = 5
BUCKET = "talkhead-tests"


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Kind and endpoint of a server with an empty bucket."""
    kind = request.param
    if reason := installed(kind):
        pytest.skip(f"{kind} {reason}")
    with s3_server(kind, tmp_path_factory.mktemp(kind)) as endpoint, pytest.MonkeyPatch.context() as patch:
        _credentials(patch)
        _store(endpoint).client.create_bucket(Bucket=BUCKET)
        yield kind, endpoint


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    _credentials(monkeypatch)


def _credentials(patch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        patch.delenv(name)
    patch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    patch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_CONFIG_FILE", "/dev/null")
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")


def _store(endpoint: str, **options: object) -> ObjectStore:
    return ObjectStore(ObjectStoreConfig(endpoint_url=endpoint, region="us-east-1", part_mib=PART_MIB, attempts=1, **options))  # type: ignore[arg-type]


def _file(folder: Path, megabytes: float, seed: bytes = b"x") -> Path:
    path = folder / f"video-{seed.hex()}.mp4"
    path.write_bytes(os.urandom(int(megabytes * 1_000_000)))
    return path


@pytest.mark.parametrize("megabytes", [0.01, 12.5], ids=["whole", "parts"])
def test_there_and_back(server: tuple[str, str], keys: None, tmp_path: Path, megabytes: float) -> None:
    store, path = _store(server[1]), _file(tmp_path, megabytes)
    uri = ObjectUri.parse(f"s3://{BUCKET}/there and back/{megabytes}/übung.mp4")
    steps: list[tuple[int, int]] = []
    assert upload(store, path, uri, metadata={"made-by": "talkhead"}, progress=lambda done, total, note="": steps.append((done, total)))
    parts = max(1, -(-path.stat().st_size // (PART_MIB * 2**20)))
    assert steps[-1] == (parts, parts)
    assert not upload(store, path, uri, metadata={"made-by": "talkhead"}), "the same content is not sent again"
    info = download(store, uri, tmp_path / "back.mp4")
    assert (tmp_path / "back.mp4").read_bytes() == path.read_bytes() and info.metadata["made-by"] == "talkhead"
    assert [found.uri for found in store.list(ObjectUri.parse(f"s3://{BUCKET}/there and back/{megabytes}"))] == [uri]
    assert list(tmp_path.glob(".*")) == [], "nothing half is left"


def test_broken_upload_is_taken_up(server: tuple[str, str], keys: None, tmp_path: Path) -> None:
    """The third part fails; the second attempt sends only what is missing."""
    store, path = _store(server[1], parallel_parts=1), _file(tmp_path, 18)
    uri = ObjectUri.parse(f"s3://{BUCKET}/broken/video.mp4")
    sent: list[int] = []
    broken = True

    def count(params: dict[str, object], **_: object) -> None:
        if broken and params["PartNumber"] == 3:
            raise ConnectionError("the network went away")
        sent.append(int(str(params["PartNumber"])))

    store.client.meta.events.register("provide-client-params.s3.UploadPart", count)
    with pytest.raises(ConnectionError):
        upload(store, path, uri)
    assert store.head(uri) is None, "half an upload is no object"
    broken = False
    assert upload(store, path, uri)
    assert sorted(sent) == [1, 2, 3, 4], "each part was sent once"
    download(store, uri, tmp_path / "back.mp4")
    assert (tmp_path / "back.mp4").read_bytes() == path.read_bytes()


def test_upload_begun_for_another_file_is_not_taken_up(server: tuple[str, str], keys: None, tmp_path: Path) -> None:
    store, path = _store(server[1], parallel_parts=1), _file(tmp_path, 12)
    uri = ObjectUri.parse(f"s3://{BUCKET}/another/video.mp4")
    begun = store.client.create_multipart_upload(Bucket=BUCKET, Key=uri.key, Metadata={"talkhead-sha256": "0"})["UploadId"]
    same_start = path.read_bytes()[: PART_MIB * 2**20]
    store.client.upload_part(Bucket=BUCKET, Key=uri.key, UploadId=begun, PartNumber=1, Body=same_start)
    upload(store, path, uri)
    download(store, uri, tmp_path / "back.mp4")
    assert (tmp_path / "back.mp4").read_bytes() == path.read_bytes()


def test_broken_download_is_taken_up(server: tuple[str, str], keys: None, tmp_path: Path) -> None:
    store, path, target = _store(server[1]), _file(tmp_path, 3), tmp_path / "back" / "video.mp4"
    uri = ObjectUri.parse(f"s3://{BUCKET}/download/video.mp4")
    upload(store, path, uri)

    def breaks(done: int, total: int, note: str = "") -> None:
        if done > total // 2:
            raise ConnectionError("the network went away")

    with pytest.raises(ConnectionError):
        download(store, uri, target, progress=breaks)
    assert not target.exists()
    (partial,) = target.parent.glob(".*.part")
    have = partial.stat().st_size
    assert 0 < have < path.stat().st_size
    first: list[int] = []
    download(store, uri, target, progress=lambda done, total, note="": first.append(done))
    assert first[0] > have and target.read_bytes() == path.read_bytes()


def test_spoiled_partial_download_is_refused_and_begun_anew(server: tuple[str, str], keys: None, tmp_path: Path) -> None:
    store, path, target = _store(server[1]), _file(tmp_path, 1), tmp_path / "back" / "video.mp4"
    uri = ObjectUri.parse(f"s3://{BUCKET}/spoiled/video.mp4")
    upload(store, path, uri)
    with pytest.raises(ConnectionError):
        download(store, uri, target, progress=_raise)
    (partial,) = target.parent.glob(".*.part")
    partial.write_bytes(b"y" * path.stat().st_size)
    with pytest.raises(TalkheadError, match="not what was uploaded"):
        download(store, uri, target)
    download(store, uri, target)
    assert target.read_bytes() == path.read_bytes()


def _raise(done: int, total: int, note: str = "") -> None:
    raise ConnectionError("the network went away")


def test_records(server: tuple[str, str], keys: None) -> None:
    store, uri = _store(server[1]), ObjectUri.parse(f"s3://{BUCKET}/records/one.json")
    assert store.read(uri) is None and store.head(uri) is None
    store.write(uri, b'{"a": 1}')
    assert store.read(uri) == b'{"a": 1}'
    store.remove(uri)
    store.remove(uri)
    assert store.read(uri) is None
    with pytest.raises(InputError, match="no such object"):
        download(store, uri, Path("never.json"))


def test_wrong_secret_is_refused_and_not_told(
    server: tuple[str, str], keys: None, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    kind, endpoint = server
    if kind == "moto":
        pytest.skip("moto accepts any key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret-wrong-secret")
    with caplog.at_level(logging.DEBUG, logger="flows"), pytest.raises(TalkheadError) as error:
        _store(endpoint).write(ObjectUri.parse(f"s3://{BUCKET}/x"), b"{}")
    assert "refused" in str(error.value) and "\n" not in str(error.value)
    assert "wrong-secret" not in str(error.value) + caplog.text


def test_no_credentials_say_what_to_set(server: tuple[str, str], keys: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    with pytest.raises(NotAvailableError, match="AWS_ACCESS_KEY_ID"):
        _store(server[1]).write(ObjectUri.parse(f"s3://{BUCKET}/x"), b"{}")


def test_missing_bucket_and_dead_endpoint(server: tuple[str, str], keys: None) -> None:
    with pytest.raises(TalkheadError, match="(NoSuchBucket|404|AccessDenied)"):
        list(_store(server[1]).list(ObjectUri.parse("s3://no-such-bucket-here/x")))
    with pytest.raises(TalkheadError, match="does not answer"):
        _store("http://127.0.0.1:9").write(ObjectUri.parse(f"s3://{BUCKET}/x"), b"{}")


def test_encryption_and_storage_class_reach_the_store(server: tuple[str, str], keys: None, tmp_path: Path) -> None:
    kind, endpoint = server
    if kind != "moto":
        pytest.skip("only moto keeps these")
    for megabytes, sse, key_id in ((0.1, "AES256", None), (11, "aws:kms", "arn:aws:kms:us-east-1:123456789012:key/one")):
        store = _store(endpoint, server_side_encryption=sse, kms_key_id=key_id, storage_class="STANDARD_IA")
        uri = ObjectUri.parse(f"s3://{BUCKET}/encrypted/{sse.replace(':', '-')}.mp4")
        upload(store, _file(tmp_path, megabytes), uri)
        stored = store.client.head_object(Bucket=BUCKET, Key=uri.key)
        assert stored["ServerSideEncryption"] == sse and stored["StorageClass"] == "STANDARD_IA" and stored.get("SSEKMSKeyId") == key_id


def test_lifecycle_keeps_the_rules_of_others(server: tuple[str, str], keys: None) -> None:
    kind, endpoint = server
    store, prefix = _store(endpoint), ObjectUri.parse(f"s3://{BUCKET}/talkhead")
    lifecycle = LifecycleConfig(expire_days=30, noncurrent_expire_days=5, abort_multipart_days=2)
    if kind != "moto":
        with pytest.raises(NotAvailableError, match="lifecycle rules|cannot do that"):
            store.set_lifecycle(prefix, lifecycle)
        return
    other = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "theirs/"}, "Expiration": {"Days": 3}}
    store.client.put_bucket_lifecycle_configuration(Bucket=BUCKET, LifecycleConfiguration={"Rules": [other]})
    for days in (9, 30):
        store.set_lifecycle(prefix, LifecycleConfig(expire_days=days, noncurrent_expire_days=5, abort_multipart_days=2))
    rules = {rule["ID"]: rule for rule in store.client.get_bucket_lifecycle_configuration(Bucket=BUCKET)["Rules"]}
    assert set(rules) == {"theirs", "talkhead-talkhead"}
    assert rules["talkhead-talkhead"]["Expiration"] == {"Days": 30} and rules["theirs"]["Expiration"] == {"Days": 3}
    assert rules["talkhead-talkhead"]["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 2}


@pytest.mark.parametrize(
    "options",
    [
        {"endpoint_url": "ftp://x"},
        {"server_side_encryption": "rot13"},
        {"kms_key_id": "k"},
        {"part_mib": 4},
        {"parallel_parts": 0},
        {"attempts": 0},
    ],
)
def test_impossible_settings_are_refused(options: dict[str, object]) -> None:
    with pytest.raises(ParameterError):
        ObjectStoreConfig(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize("address", ["bucket/key", "s3:/x", "s3://UPPER/x", "s3://ab", "https://host/x"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(InputError, match="s3://bucket/prefix"):
        ObjectUri.parse(address)
