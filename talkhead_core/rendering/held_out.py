"""Rendering of the held-out frames with their controls, for evaluation."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from talkhead_core.progress import Progress, silent
from talkhead_core.rendering.portrait_renderer import PortraitRenderer
from talkhead_core.types import FloatArray, Image

__all__ = ["HeldOutFrame", "nearest_pose", "render_held_out", "wrong_audio_ids"]


@dataclass(frozen=True, kw_only=True)
class HeldOutFrame:
    """One held-out frame under every protocol, ``[size, size, 3]`` uint8 but for ``region`` ``[size, size]``."""

    frame_id: int
    head: Image
    wrong_audio: Image
    static_mouth: Image
    retrieval: Image
    portrait: Image
    full: Image
    region: np.ndarray


def wrong_audio_ids(held_out: np.ndarray, train: np.ndarray) -> np.ndarray:
    """For each held-out frame a training frame whose speech drives the control: a stretch as long from the clip's first half."""
    start = len(train) // 4
    return train[(start + np.arange(len(held_out))) % len(train)]


def nearest_pose(rotation: FloatArray, translation_cm: FloatArray, frame: int, candidates: np.ndarray) -> int:
    """The candidate whose pose is nearest: degrees of rotation and millimetres of translation across the view count alike."""
    relative = np.einsum("ij,nkj->nik", rotation[frame], rotation[candidates])
    angle_deg = np.degrees(np.arccos(np.clip((np.trace(relative, axis1=1, axis2=2) - 1) / 2, -1, 1)))
    shift_mm = 10 * np.linalg.norm((translation_cm[candidates] - translation_cm[frame])[:, :2], axis=1)
    return int(candidates[np.argmin(angle_deg + shift_mm)])


def render_held_out(
    renderer: PortraitRenderer,
    *,
    frames: np.ndarray,
    labels: np.ndarray,
    plate: Image,
    rotation: FloatArray,
    translation_cm: FloatArray,
    expression: FloatArray,
    lip_codes: FloatArray,
    held_out: np.ndarray,
    train: np.ndarray,
    progress: Progress = silent,
) -> Iterator[HeldOutFrame]:
    """Render one frame at a time.

    Args:
        renderer: of the trained speaker, at the frames' size.
        frames: ``[N, size, size, 3]`` uint8, the clip; outside the head region of protocol ``head``, and where it shows clothes that the
            driven face does not reach, it is what is seen.
        labels: ``[N, size, size]`` uint8, its labels.
        plate: ``[size, size, 3]`` uint8, the clean background.
        rotation: ``[N, 3, 3]`` from tracking.
        translation_cm: ``[N, 3]``.
        expression: ``[N, E]`` eyes and brows from tracking.
        lip_codes: ``[N, L]`` predicted from the audio.
        held_out: frame ids to render.
        train: frame ids the controls may use.
        progress: listener.
    """
    behind = plate.astype(np.float32) / 255
    wrong = wrong_audio_ids(held_out, train)
    still = lip_codes[train].mean(axis=0)
    for count, frame in enumerate(held_out):
        pose = rotation[frame], translation_cm[frame]
        around = frames[frame].astype(np.float32) / 255
        speech = (lip_codes[frame], lip_codes[wrong[count]], still)
        whole = [renderer.head(*pose, codes, expression[frame]) for codes in speech]
        right, other, unmoved = (
            layer.without(renderer.clothes(*pose, codes, expression[frame], labels[frame]))
            for layer, codes in zip(whole, speech, strict=True)
        )
        face = renderer.face(*pose, lip_codes[frame], expression[frame])
        nearest = frames[nearest_pose(rotation, translation_cm, int(frame), train)].astype(np.float32) / 255
        retrieval = right.region * nearest + (1 - right.region) * around
        yield HeldOutFrame(
            frame_id=int(frame),
            head=right.over(behind, around),
            wrong_audio=other.over(behind, around),
            static_mouth=unmoved.over(behind, around),
            retrieval=np.clip(retrieval * 255 + 0.5, 0, 255).astype(np.uint8),
            portrait=whole[0].within(face).over(behind, around),
            full=whole[0].over(renderer.torso(*pose, behind)),
            region=np.rint(right.region[..., 0] * 255).astype(np.uint8),
        )
        progress(count + 1, len(held_out), "held-out frames")
