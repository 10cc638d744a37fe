"""Content credentials (C2PA): what a video says about its own making, signed.

Specification: https://spec.c2pa.org, 2.x. The manifest lies inside the MP4; any C2PA reader shows it.
"""

from __future__ import annotations

import io
import json
import mmap
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import c2pa

from talkhead_core.artifacts import whole_file
from talkhead_core.errors import TalkheadError
from talkhead_core.provenance.signer import Signer
from talkhead_core.provenance.software import software_facts, software_version

__all__ = ["MP4", "Credentials", "Origin", "read_credentials", "sign_file", "signed"]

MP4 = "video/mp4"
_OWN = "org.talkhead.origin"
_SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
_GENERATED = ("trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia")
_UNTRUSTED = "signingCredential.untrusted"
_BOX = bytes.fromhex("d8fec3d61b0e483c92975828877ec481")  # the UUID of the MP4 box that credentials lie in


@dataclass(frozen=True, kw_only=True)
class Origin:
    """What a video's credentials say.

    Args:
        title: of the video.
        kind: ``dub``, ``render`` (of the held-out frames), ``report``, ``comparison`` (of two runs) or ``index`` (of all speakers).
        model: name of the model: the speaker it was trained on.
        model_sha256: of its weights; None where they are not at hand.
        data_sha256: what else it was made from: name -> SHA-256.
        composite: recorded pictures are part of it.
        synthetic_speaker: the speaker is no real person.
        consent_sha256: of the statement that the speaker consented to.
        watermark: whether the pictures hold the invisible mark.
        remarks: anything else, such as what was switched off and how.
    """

    title: str
    kind: str
    model: str
    model_sha256: str | None
    data_sha256: Mapping[str, str]
    composite: bool
    synthetic_speaker: bool
    consent_sha256: str | None
    watermark: bool
    remarks: Mapping[str, str] = field(default_factory=dict)

    def facts(self) -> dict[str, Any]:
        """Everything above in plain values, with the software: talkhead's own part of a manifest, and what a page says."""
        return {
            "ai_generated": True,
            "kind": self.kind,
            "model": self.model,
            "model_sha256": self.model_sha256,
            "data_sha256": dict(self.data_sha256),
            "software": software_facts(),
            "synthetic_speaker": self.synthetic_speaker,
            "consent_sha256": self.consent_sha256,
            "watermark": self.watermark,
            "remarks": dict(self.remarks),
        }

    def manifest(self) -> dict[str, Any]:
        """The C2PA manifest's definition."""
        agent = {"name": "talkhead", "version": software_version()}
        source = _SOURCE_TYPES + _GENERATED[int(self.composite)]
        says = f"A talking head made by a neural network trained on speaker {self.model!r}: no recording of anybody saying this."
        actions: list[dict[str, Any]] = [
            {"action": "c2pa.created", "digitalSourceType": source, "softwareAgent": agent, "description": says}
        ]
        if self.watermark:
            actions.append({"action": "c2pa.watermarked.unbound", "softwareAgent": agent, "description": "talkhead's invisible mark"})
        return {
            "claim_generator_info": [agent],
            "title": self.title,
            "format": MP4,
            "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": actions}}, {"label": _OWN, "data": self.facts()}],
        }


@dataclass(frozen=True, kw_only=True)
class Credentials:
    """What was read from a file.

    Args:
        state: ``trusted`` (whole, signed by somebody trusted), ``valid`` (whole, signed by somebody unknown) or ``invalid`` (changed
            after signing, or badly signed).
        ai_generated: they say that a trained model made it.
        signed_by: organisation and name on the certificate.
        origin: talkhead's own part; None for another maker's credentials.
        problems: C2PA's codes of what is wrong.
    """

    state: str
    ai_generated: bool
    signed_by: str
    origin: Mapping[str, Any] | None
    problems: tuple[str, ...]


def signed(video: bytes, origin: Origin, signer: Signer) -> bytes:
    """An MP4 in memory with its credentials."""
    target = io.BytesIO()
    _sign(io.BytesIO(video), target, origin, signer)
    return target.getvalue()


def sign_file(video: Path, out: Path, origin: Origin, signer: Signer) -> None:
    """Write the MP4 ``video`` with its credentials to ``out``, whole.

    Raises:
        TalkheadError: it could not be signed.
    """
    with whole_file(out) as temporary, video.open("rb") as source, temporary.open("w+b") as target:
        _sign(source, target, origin, signer)


def read_credentials(video: Path, roots: bytes | None = None) -> Credentials | None:
    """The credentials in an MP4; None when it has none. What is there and cannot be read is ``invalid``: something was changed.

    Args:
        video: the file.
        roots: PEM of the root certificates to trust.
    """
    settings: dict[str, Any] = {"verify": {"remote_manifest_fetch": False, "ocsp_fetch": False, "verify_trust": True}}
    if roots:
        settings["trust"] = {"user_anchors": roots.decode()}
    context = c2pa.Context(c2pa.Settings.from_dict(settings))
    try:
        with video.open("rb") as stream:
            reader = c2pa.Reader(MP4, stream, context=context)
            return _credentials(json.loads(reader.json()), reader.get_validation_state() or "Invalid")
    except c2pa.C2paError.ManifestNotFound:
        return None
    except (c2pa.C2paError, LookupError, TypeError, AttributeError, ValueError) as error:
        # What is damaged may also name a manifest that it does not hold, or hold another thing in its place.
        if not _holds_credentials(video):
            return None
        problem = f"cannot be read: {' '.join(str(error).split())}"
        return Credentials(state="invalid", ai_generated=False, signed_by="", origin=None, problems=(problem,))


def _holds_credentials(video: Path) -> bool:
    with video.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(_BOX) >= 0


def _sign(source: Any, target: Any, origin: Origin, signer: Signer) -> None:
    try:
        information = c2pa.C2paSignerInfo(signer.algorithm, signer.certificates, signer.private_key, None)
        with c2pa.Signer.from_info(information) as key, c2pa.Builder(json.dumps(origin.manifest())) as builder:
            builder.sign(key, MP4, source, target)
    except c2pa.C2paError as error:
        raise TalkheadError(f"{origin.title}: cannot be signed ({error}); check the signer's certificates") from error


def _credentials(store: Mapping[str, Any], state: str) -> Credentials:
    manifest = store["manifests"][store["active_manifest"]]
    assertions = {assertion["label"]: assertion["data"] for assertion in manifest.get("assertions", [])}
    actions = [action for label, data in assertions.items() if label.startswith("c2pa.actions") for action in data.get("actions", [])]
    kinds = {str(action.get("digitalSourceType", "")).rpartition("/")[2] for action in actions}
    signature = manifest.get("signature_info") or {}
    return Credentials(
        state=state.lower(),
        ai_generated=bool(kinds & set(_GENERATED)),
        signed_by=" / ".join(filter(None, (signature.get("issuer"), signature.get("common_name")))),
        origin=assertions.get(_OWN),
        problems=tuple(status["code"] for status in store.get("validation_status", []) if status["code"] != _UNTRUSTED),
    )
