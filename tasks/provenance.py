"""What a stage says about its videos: the signer and the key that are set, and where the video comes from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from talkhead_core.artifacts import read_json
from talkhead_core.consent import Consent, read_consent
from talkhead_core.errors import ConsentError
from talkhead_core.parameters import from_mapping, require
from talkhead_core.provenance.credentials import Origin
from talkhead_core.provenance.signer import Signer, local_signer, read_signer
from talkhead_core.provenance.software import file_sha256
from talkhead_core.provenance.watermark import DEFAULT_KEY
from talkhead_core.speakers import read_yaml
from tasks.stage import Stage

__all__ = ["LOCAL_SIGNER", "ProvenanceConfig", "origin_of", "provenance_config", "record_video", "stage_signer", "workspace_origin"]

LOCAL_SIGNER = Path(".talkhead") / "signer.pem"
_RECORD = Path(".talkhead") / "provenance.jsonl"


@dataclass(frozen=True, kw_only=True)
class ProvenanceConfig:
    """The section ``provenance``.

    Args:
        signer: PEM file with private key and certificates, absolute or in the workspace; None makes and keeps a self-signed one.
        watermark_key: whose invisible mark the pictures get.
    """

    signer: str | None = None
    watermark_key: str = DEFAULT_KEY

    def __post_init__(self) -> None:
        require(bool(self.watermark_key), "watermark_key must not be empty")


def provenance_config(root: Path) -> ProvenanceConfig:
    """What the workspace sets for everybody; the defaults where it has no ``params.yaml``."""
    file = root / "params.yaml"
    return from_mapping(ProvenanceConfig, (read_yaml(file) if file.is_file() else {}).get("provenance") or {}, where="provenance")


def stage_signer(root: Path, config: ProvenanceConfig) -> Signer:
    """The signer that is set, or the workspace's own.

    Raises:
        InputError: the file that is set is no signer.
    """
    return read_signer(root / config.signer) if config.signer is not None else local_signer(root / LOCAL_SIGNER)


def origin_of(stage: Stage, kind: str, title: str, data_sha256: Mapping[str, str], consent: Consent | None, **given: object) -> Origin:
    """Where a video of ``stage`` comes from; ``given`` are the remaining fields of :class:`Origin`."""
    weights = stage.inputs("train_torso") / "model.safetensors"
    ingest = stage.inputs("ingest") / "ingest.json"
    recording = {"training_video": read_json(ingest)["source"]["sha256"]} if ingest.is_file() else {}
    return Origin(
        title=title,
        kind=kind,
        model=stage.speaker,
        model_sha256=file_sha256(weights) if weights.is_file() else None,
        data_sha256={**recording, **data_sha256},
        synthetic_speaker=consent.synthetic if consent else False,
        consent_sha256=consent.statement_sha256 if consent else None,
        **given,  # type: ignore[arg-type]
    )


def workspace_origin(root: Path, speaker: str, kind: str, title: str) -> Origin:
    """Where pictures come from that were made of a speaker's model, as far as the workspace knows."""
    stage = Stage(name=kind, speaker=speaker, root=root)
    try:
        consent = read_consent(root / "data" / speaker / "raw" / "consent.json", speaker)
    except ConsentError:  # what is shown was made already, and says where it comes from with or without a record
        consent = None
    return origin_of(stage, kind, title, {}, consent, composite=True, watermark=True)


def record_video(stage: Stage, out: Path, switched_off: list[str]) -> None:
    """Keep a line about a video that was made, and about the labels it was asked not to have."""
    line = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "speaker": stage.speaker,
        "video": str(out.resolve()),
        "sha256": file_sha256(out),
        "switched_off": switched_off,
    }
    path = stage.root / _RECORD
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")
