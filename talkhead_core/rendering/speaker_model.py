"""The trained model of one speaker on disk: weights as safetensors, what they mean as JSON."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from talkhead_core.artifacts import read_arrays, read_json, write_arrays, write_json
from talkhead_core.encoders.audio_encoder import predict_audio_codes
from talkhead_core.encoders.lip_encoder import LipEncoder, LipEncoderConfig
from talkhead_core.errors import InputError
from talkhead_core.face.lip_codes import LipCodes
from talkhead_core.face.upper_face_codes import UpperFaceCodes
from talkhead_core.fields.head_field import HeadFieldConfig
from talkhead_core.fields.torso_field import TorsoField, TorsoFieldConfig
from talkhead_core.parameters import from_mapping
from talkhead_core.rendering.head_shell import HeadShell, HeadShellConfig
from talkhead_core.rendering.region_aware_head import RegionAwareHead, RegionAwareHeadConfig
from talkhead_core.rendering.talking_head import TalkingHead
from talkhead_core.types import FloatArray

__all__ = ["SpeakerModel"]

_FORMAT = 5


@dataclass
class SpeakerModel:
    """All that rendering one speaker needs beside the track.

    Args:
        head: the talking head: driven by lip codes, or one that listens itself (the papers' configurations).
        lip_encoder: speech features to lip codes; None for a head that listens itself, whose own audio codes drive it.
        lip_codes: the meaning of the lip codes.
        upper_face_codes: the meaning of the codes of eyes and brows.
        expression_mean: ``[E]``, removed from a frame's expression.
        expression_std: ``[E]``.
        appearance: ``[A]`` the appearance code for new frames: the mean over the training frames.
        size_px: the image size it was trained at.
        torso: once trained.
        record: what the stages noted: steps, data hashes, parameters.
    """

    head: TalkingHead | RegionAwareHead
    lip_encoder: LipEncoder | None
    lip_codes: LipCodes
    upper_face_codes: UpperFaceCodes
    expression_mean: FloatArray
    expression_std: FloatArray
    appearance: FloatArray
    size_px: int
    torso: TorsoField | None = None
    record: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to(self, device: torch.device) -> SpeakerModel:
        """Move head and torso there, in place; the lip encoder, which runs once an audio, stays."""
        self.head.to(device)
        if self.torso is not None:
            self.torso.to(device)
        return self

    def expression(self, mesh_cm: FloatArray, shape_cm: FloatArray, measured: FloatArray) -> FloatArray:
        """A frame's expression ``[frames, E]``: what tracking measured of eyes and brows, then the upper-face codes.

        Args:
            mesh_cm: ``[frames, 468, 3]``.
            shape_cm: ``[468, 3]``.
            measured: ``[frames, M]``, the track's expression.
        """
        return np.concatenate([measured, self.upper_face_codes.encode(mesh_cm, shape_cm, self.lip_codes)], axis=1).astype(np.float32)

    def standardised(self, expression: FloatArray) -> FloatArray:
        """Expression ``[frames, E]`` with the training frames' mean and spread removed."""
        return np.clip((expression - self.expression_mean) / self.expression_std, -8.0, 8.0).astype(np.float32)

    def shell_codes(self, lip_codes: FloatArray, expression: FloatArray) -> FloatArray:
        """The codes that move the shell ``[frames, L + U]``: lips, then upper face.

        The shell of a head that listens itself stays at rest: it is only the region that is the head's, and audio codes move no mesh.
        """
        if isinstance(self.head, RegionAwareHead):
            return np.zeros((len(lip_codes), len(self.head.shell.displacement_basis_cm)), np.float32)
        upper = expression[:, expression.shape[1] - len(self.upper_face_codes.components) :]
        return np.concatenate([lip_codes, upper], axis=1).astype(np.float32)

    def conditions(self, lip_codes: FloatArray, expression: FloatArray, directions: FloatArray) -> torch.Tensor:
        """The field's condition for frames without an appearance code of their own, ``[frames, channels]``.

        Args:
            lip_codes: ``[frames, L]``, or audio codes for a head that listens itself.
            expression: ``[frames, E]``.
            directions: ``[frames, 3]``, head to camera.
        """
        parts = (
            lip_codes,
            self.standardised(expression),
            directions,
            np.broadcast_to(self.appearance, (len(lip_codes), len(self.appearance))),
        )
        tensors = [torch.from_numpy(np.array(part, dtype=np.float32)).to(self.head.device) for part in parts]
        return self.head.condition(*tensors)

    def audio_codes(self, features: FloatArray) -> FloatArray:
        """What a head that listens itself hears in consecutive frames' speech features ``[frames, window, channels]``.

        Returns:
            ``[frames, channels]``, which drive the renderer in place of lip codes.
        """
        assert isinstance(self.head, RegionAwareHead), "the head is driven by lip codes"
        return predict_audio_codes(self.head.audio, features)

    def save(self, folder: Path) -> None:
        """Write ``model.safetensors`` and ``model.json``, each whole."""
        arrays = _weights("head", self.head)
        if self.lip_encoder is not None:
            arrays |= _weights("lip_encoder", self.lip_encoder)
        arrays |= self.head.shell.to_arrays() | self.lip_codes.to_arrays() | self.upper_face_codes.to_arrays()
        arrays |= {name: getattr(self, name).astype(np.float32) for name in ("expression_mean", "expression_std", "appearance")}
        if self.torso is not None:
            arrays |= _weights("torso", self.torso)
        write_arrays(folder / "model.safetensors", arrays)
        architecture = {
            "head_shell": dataclasses.asdict(self.head.shell.config),
            "torso_field": dataclasses.asdict(self.torso.config) if self.torso is not None else None,
        }
        if isinstance(self.head, RegionAwareHead):
            architecture["region_aware_head"] = dataclasses.asdict(self.head.config)
        else:
            architecture["head_field"] = dataclasses.asdict(self.head.config)
        if self.lip_encoder is not None:
            architecture["lip_encoder"] = dataclasses.asdict(self.lip_encoder.config)
        record = {"format": _FORMAT, "size_px": self.size_px, "architecture": architecture, "record": self.record}
        write_json(folder / "model.json", record)

    @classmethod
    def load(cls, folder: Path) -> SpeakerModel:
        """Read a model.

        Raises:
            InputError: written by another version of talkhead.
        """
        description, arrays = read_json(folder / "model.json"), read_arrays(folder / "model.safetensors")
        if description.get("format") != _FORMAT:
            raise InputError(f"{folder / 'model.json'}: format {description.get('format')}, this talkhead reads {_FORMAT}; train again")
        parts = description["architecture"]
        shell = HeadShell.from_arrays(arrays, from_mapping(HeadShellConfig, parts["head_shell"], where="head_shell"))
        head, encoder = _head(parts, shell, arrays), None
        if "lip_encoder" in parts:
            encoder = LipEncoder(from_mapping(LipEncoderConfig, parts["lip_encoder"], where="lip_encoder")).eval()
            _load(encoder, "lip_encoder", arrays)
        torso = None
        if parts["torso_field"]:
            torso = TorsoField(from_mapping(TorsoFieldConfig, parts["torso_field"], where="torso_field"))
            _load(torso, "torso", arrays)
        _load(head, "head", arrays)
        return cls(
            head=head.eval(),
            lip_encoder=encoder,
            lip_codes=LipCodes.from_arrays(arrays),
            upper_face_codes=UpperFaceCodes.from_arrays(arrays),
            expression_mean=arrays["expression_mean"],
            expression_std=arrays["expression_std"],
            appearance=arrays["appearance"],
            size_px=int(description["size_px"]),
            torso=torso,
            record=description["record"],
        )


def _head(parts: dict[str, Any], shell: HeadShell, arrays: dict[str, np.ndarray]) -> TalkingHead | RegionAwareHead:
    """The head that a model's architecture describes, its weights still to be loaded."""
    frames = len(arrays["head.appearance"])
    if "region_aware_head" not in parts:
        return TalkingHead(shell, from_mapping(HeadFieldConfig, parts["head_field"], where="head_field"), frames)
    config = from_mapping(RegionAwareHeadConfig, parts["region_aware_head"], where="region_aware_head")
    lip_codes = len(arrays["head.lip_readout.weight"]) if config.lip_code_supervision else 0
    return RegionAwareHead(shell, config, frames, lip_codes=lip_codes)


def _weights(prefix: str, module: nn.Module) -> dict[str, np.ndarray]:
    return {f"{prefix}.{name}": value.detach().cpu().numpy() for name, value in module.state_dict().items()}


def _load(module: nn.Module, prefix: str, arrays: dict[str, np.ndarray]) -> None:
    start = f"{prefix}."
    state = {name[len(start) :]: torch.from_numpy(array) for name, array in arrays.items() if name.startswith(start)}
    module.load_state_dict(state)
