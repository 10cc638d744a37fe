"""An object store that speaks S3: what lies in it, small records, and its rules. Files go through ``object_transfer``.

Credentials come from boto3's own chain (environment, ``~/.aws``, instance or pod role), never from talkhead's files, and are
never logged. Only what every store understands is used; checksums that only AWS knows are left off.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

from talkhead_core.errors import InputError, NotAvailableError, TalkheadError, without_password
from talkhead_core.parameters import require

__all__ = ["LifecycleConfig", "ObjectInfo", "ObjectStore", "ObjectStoreConfig", "ObjectUri", "store_errors"]

SHA256_KEY = "talkhead-sha256"
_URI = re.compile(r"s3://(?P<bucket>[a-z0-9][a-z0-9.-]{1,61}[a-z0-9])(?:/(?P<key>.*))?")
_ADVICE = {
    "NoSuchBucket": "create the bucket, or check its name",
    "AccessDenied": "its credentials may not do that; check the bucket's policy",
    "403": "its credentials may not do that; check the key and the bucket's policy",
    "InvalidAccessKeyId": "the store does not know this access key; check AWS_ACCESS_KEY_ID or the profile",
    "SignatureDoesNotMatch": "the secret key is wrong; check AWS_SECRET_ACCESS_KEY or the profile",
    "404": "check the bucket's name and the key",
}
_TAKEN_FOR_A_NEW_BUCKET = ("MalformedXML", "BucketAlreadyExists", "BucketAlreadyOwnedByYou")  # by stores that know no lifecycle
_UNKNOWN_CALLS = ("NotImplemented", "MethodNotAllowed", "501", "405")


@dataclass(frozen=True, kw_only=True)
class LifecycleConfig:
    """What the store itself removes.

    Args:
        expire_days: objects under the prefix go after so many days; None: never.
        noncurrent_expire_days: overwritten versions go after so many days, in a versioned bucket; None: never.
        abort_multipart_days: uploads that were never finished go after so many days.
    """

    expire_days: int | None = None
    noncurrent_expire_days: int | None = None
    abort_multipart_days: int = 7

    def __post_init__(self) -> None:
        for name in ("expire_days", "noncurrent_expire_days", "abort_multipart_days"):
            value = getattr(self, name)
            require(value is None or value >= 1, f"{name} must be at least 1, not {value}")


@dataclass(frozen=True, kw_only=True)
class ObjectStoreConfig:
    """How to speak to the store; the file ``infra/object_store.yaml``.

    Args:
        endpoint_url: a store other than AWS; None: what the AWS configuration says (``AWS_ENDPOINT_URL``).
        region: None: what the AWS configuration says.
        server_side_encryption: ``AES256``, ``aws:kms`` or None for the bucket's default.
        kms_key_id: the key for ``aws:kms``; None: the account's.
        storage_class: such as ``STANDARD_IA``; None: the bucket's default.
        part_mib: files larger than this go in parts of this size.
        parallel_parts: parts on their way at once.
        attempts: how often a request is tried.
        lifecycle: what the store removes by itself, once it is told.
    """

    endpoint_url: str | None = None
    region: str | None = None
    server_side_encryption: Literal["AES256", "aws:kms"] | None = None
    kms_key_id: str | None = None
    storage_class: str | None = None
    part_mib: int = 16
    parallel_parts: int = 4
    attempts: int = 5
    lifecycle: LifecycleConfig = field(default_factory=LifecycleConfig)

    def __post_init__(self) -> None:
        address = self.endpoint_url or "http://"
        require(address.startswith(("http://", "https://")), "endpoint_url must be an http(s) address")
        require("@" not in address, "endpoint_url must hold no user and no password; credentials come from the usual AWS chain")
        require(self.server_side_encryption in (None, "AES256", "aws:kms"), "server_side_encryption must be AES256, aws:kms or null")
        require(self.kms_key_id is None or self.server_side_encryption == "aws:kms", "kms_key_id needs server_side_encryption aws:kms")
        require(5 <= self.part_mib <= 5000, f"part_mib must be 5 to 5000, not {self.part_mib}")
        require(1 <= self.parallel_parts <= 64, f"parallel_parts must be 1 to 64, not {self.parallel_parts}")
        require(1 <= self.attempts <= 20, f"attempts must be 1 to 20, not {self.attempts}")

    @property
    def put_arguments(self) -> dict[str, str]:
        """What every new object is stored with."""
        chosen = {
            "ServerSideEncryption": self.server_side_encryption,
            "SSEKMSKeyId": self.kms_key_id,
            "StorageClass": self.storage_class,
        }
        return {name: value for name, value in chosen.items() if value is not None}


@dataclass(frozen=True)
class ObjectUri:
    """``s3://bucket/key``; as a prefix, the key may be empty."""

    bucket: str
    key: str

    @classmethod
    def parse(cls, uri: str) -> ObjectUri:
        """Read an address.

        Raises:
            InputError: it is none.
        """
        found = _URI.fullmatch(uri)
        if not found:
            raise InputError(f"{without_password(uri)!r} is no address in an object store; write s3://bucket/prefix")
        if ".." in (found["key"] or "").split("/"):
            raise InputError(f"{uri!r} leaves its folder; write the address without '..'")
        return cls(found["bucket"], (found["key"] or "").strip("/"))

    def __truediv__(self, name: str) -> ObjectUri:
        return ObjectUri(self.bucket, f"{self.key}/{name}" if self.key else name)

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rsplit("/", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class ObjectInfo:
    """One object: where, how large, and what the store and the uploader say of its content."""

    uri: ObjectUri
    size: int
    etag: str
    metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def sha256(self) -> str | None:
        """The hash of the content that the uploader left with it."""
        return self.metadata.get(SHA256_KEY)


class ObjectStore:
    """A store as ``config`` describes it.

    Args:
        config: endpoint, encryption, sizes; no credentials.
    """

    def __init__(self, config: ObjectStoreConfig | None = None) -> None:
        self.config = config or ObjectStoreConfig()

    @cached_property
    def client(self) -> Any:
        """boto3's client, which many threads may use."""
        import boto3
        from botocore.config import Config

        return boto3.session.Session().client(
            "s3",
            endpoint_url=self.config.endpoint_url,
            region_name=self.config.region,
            config=Config(
                retries={"max_attempts": self.config.attempts, "mode": "standard"},
                request_checksum_calculation="when_required",
                response_checksum_validation="when_required",
                connect_timeout=10,
                read_timeout=60,
                max_pool_connections=32,
            ),
        )

    def list(self, prefix: ObjectUri) -> Iterator[ObjectInfo]:
        """Every object under ``prefix/``, by key."""
        inside = f"{prefix.key}/" if prefix.key else ""
        with store_errors(prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=inside):
                for entry in page.get("Contents", []):
                    uri = ObjectUri(prefix.bucket, entry["Key"])
                    yield ObjectInfo(uri=uri, size=int(entry["Size"]), etag=str(entry["ETag"]).strip('"'))

    def head(self, uri: ObjectUri) -> ObjectInfo | None:
        """The object, or None when there is none."""
        from botocore.exceptions import ClientError

        with store_errors(uri):
            try:
                answer = self.client.head_object(Bucket=uri.bucket, Key=uri.key)
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                    return None
                raise
        metadata = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
        return ObjectInfo(uri=uri, size=int(answer["ContentLength"]), etag=str(answer["ETag"]).strip('"'), metadata=metadata)

    def write(self, uri: ObjectUri, content: bytes, content_type: str = "application/json") -> None:
        """Store a small record."""
        digest = base64.b64encode(hashlib.md5(content, usedforsecurity=False).digest()).decode()
        metadata = {SHA256_KEY: hashlib.sha256(content).hexdigest()}
        with store_errors(uri):
            self.client.put_object(
                Bucket=uri.bucket,
                Key=uri.key,
                Body=content,
                ContentMD5=digest,
                ContentType=content_type,
                Metadata=metadata,
                **self.config.put_arguments,
            )

    def read(self, uri: ObjectUri) -> bytes | None:
        """A small record, or None when there is none."""
        from botocore.exceptions import ClientError

        with store_errors(uri):
            try:
                return bytes(self.client.get_object(Bucket=uri.bucket, Key=uri.key)["Body"].read())
            except ClientError as error:
                if error.response["Error"]["Code"] in ("404", "NoSuchKey"):
                    return None
                raise

    def remove(self, uri: ObjectUri) -> None:
        """Remove an object, if it is there."""
        with store_errors(uri):
            self.client.delete_object(Bucket=uri.bucket, Key=uri.key)

    def set_lifecycle(self, prefix: ObjectUri, lifecycle: LifecycleConfig) -> None:
        """Tell the bucket what to remove by itself under ``prefix``; other rules of the bucket stay.

        Raises:
            NotAvailableError: the store has no such rules.
        """
        from botocore.exceptions import ClientError

        rule: dict[str, Any] = {
            "ID": f"talkhead-{prefix.key or 'all'}",
            "Status": "Enabled",
            "Filter": {"Prefix": f"{prefix.key}/" if prefix.key else ""},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": lifecycle.abort_multipart_days},
        }
        if lifecycle.expire_days is not None:
            rule["Expiration"] = {"Days": lifecycle.expire_days}
        if lifecycle.noncurrent_expire_days is not None:
            rule["NoncurrentVersionExpiration"] = {"NoncurrentDays": lifecycle.noncurrent_expire_days}
        with store_errors(prefix):
            try:
                old = self.client.get_bucket_lifecycle_configuration(Bucket=prefix.bucket).get("Rules", [])
            except ClientError as error:
                if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
                    raise
                old = []
            rules = [*(one for one in old if one.get("ID") != rule["ID"]), rule]
            try:
                self.client.put_bucket_lifecycle_configuration(Bucket=prefix.bucket, LifecycleConfiguration={"Rules": rules})
            except ClientError as error:
                if error.response["Error"]["Code"] in _TAKEN_FOR_A_NEW_BUCKET:
                    raise NotAvailableError(f"{prefix}: this store has no lifecycle rules; set them in the store's own tools") from error
                raise


@contextmanager
def store_errors(uri: ObjectUri) -> Iterator[None]:
    """Turn what boto3 raises into one line for a person, without anything of the credentials."""
    from botocore.exceptions import BotoCoreError, ClientError, EndpointConnectionError, NoCredentialsError

    try:
        yield
    except NoCredentialsError as error:
        raise NotAvailableError(f"{uri}: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE") from error
    except EndpointConnectionError as error:
        raise TalkheadError(f"{uri}: the store does not answer ({error}); check the endpoint and the network") from error
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in _UNKNOWN_CALLS:
            raise NotAvailableError(
                f"{uri}: this store cannot do that ({error.operation_name}); set it in the store's own tools"
            ) from error
        advice = _ADVICE.get(code, "try again, or look at the store's log")
        raise TalkheadError(f"{uri}: the store refused {error.operation_name} ({code}); {advice}") from error
    except BotoCoreError as error:
        raise TalkheadError(f"{uri}: {' '.join(str(error).split())}; check the AWS configuration") from error
