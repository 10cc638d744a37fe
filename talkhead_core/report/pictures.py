"""Still pictures of the report as data URIs: worst frames, masks, what was removed."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import pandas as pd

from talkhead_core.artifacts import read_arrays
from talkhead_core.media.frame_selection import read_selected_frames
from talkhead_core.metrics.regions import FACE_OVAL
from talkhead_core.provenance.still_mark import marked_still
from talkhead_core.report.speaker_artifacts import SpeakerArtifacts
from talkhead_core.types import Image, Label

__all__ = [
    "LABEL_COLOURS",
    "Picture",
    "cut_square",
    "difference",
    "face_squares",
    "frame_picture",
    "jpeg_uri",
    "mask_pictures",
    "picture_strip",
    "poster_uri",
    "worst_frame_ids",
    "worst_frames",
]

_JPEG_QUALITY = 82
_DIFFERENCE_GAIN = 4.0
_PICTURE_PX = 256
_FACE_AIR = 1.35

LABEL_COLOURS = {
    Label.TORSO: (66, 133, 244),
    Label.NECK: (52, 168, 83),
    Label.HEAD: (251, 188, 5),
    Label.HANDS: (234, 67, 53),
}
"""How the label overlay paints each label, RGB."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One picture.

    Args:
        uri: ``data:image/jpeg;base64,...``.
        alt: what it shows.
        caption: the text under it.
        width: px.
        height: px.
        position: index of its frame among the held-out ones, where it has one.
    """

    uri: str
    alt: str
    caption: str
    width: int
    height: int
    position: int | None = None


def jpeg_uri(image: Image) -> str:
    """An RGB image ``[H, W, 3]`` uint8 as a data URI."""
    done, encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    assert done
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode("ascii")


def difference(reference: Image, rendered: Image) -> Image:
    """Absolute difference times 4, ``[H, W, 3]`` uint8: black where the two agree."""
    return np.asarray(np.clip(_DIFFERENCE_GAIN * np.abs(reference.astype(np.int16) - rendered), 0, 255), dtype=np.uint8)


def worst_frame_ids(table: pd.DataFrame, protocol: str, count: int, apart_frames: int) -> dict[int, str]:
    """The frames most worth a look, and why: the least face PSNR and the largest lip distance in turn.

    Args:
        table: ``per_frame.parquet``.
        protocol: whose rows to go by.
        count: how many at most.
        apart_frames: neighbours show one moment, so that they lie this far apart; less far where the clip is too short for that.
    """
    rows = table[table["protocol"] == protocol]
    kinds = [("worst face", rows.sort_values("psnr_face", kind="stable").dropna(subset="psnr_face"))]
    if "lmd_px512" in rows:
        kinds.append(("worst lips", rows.sort_values("lmd_px512", ascending=False, kind="stable").dropna(subset="lmd_px512")))
    chosen: dict[int, str] = {}
    for apart in (apart_frames, max(1, apart_frames // 2), 1):
        waiting = {why: iter(ranked["frame_id"].astype(int)) for why, ranked in kinds}
        while waiting and len(chosen) < count:
            for why, ids in list(waiting.items()):
                found = next((frame_id for frame_id in ids if all(abs(frame_id - other) >= apart for other in chosen)), None)
                if found is None:
                    del waiting[why]
                elif len(chosen) < count:
                    chosen[found] = why
    return chosen


def worst_frames(
    artifacts: SpeakerArtifacts, protocol: str, file: str, fps: float, count: int = 5, key: str | None = None
) -> list[Picture]:
    """The face in recording, render and difference, in the frames that :func:`worst_frame_ids` names.

    Args:
        artifacts: with render and per-frame figures.
        protocol: whose figures to go by.
        file: that protocol's video.
        fps: frames a second.
        count: how many.
        key: whose invisible mark the pictures get; None for none.
    """
    clip, video = artifacts.file("ingest", "clip.mkv"), artifacts.file("render", file)
    if artifacts.per_frame is None or artifacts.render is None or clip is None or video is None:
        return []
    held_out = [int(frame_id) for frame_id in artifacts.render["frame_ids"]]
    worst = worst_frame_ids(artifacts.per_frame, protocol, count, max(1, round(0.4 * fps)))
    if not worst:
        return []
    ordered = sorted(worst)
    positions = {frame_id: held_out.index(frame_id) for frame_id in ordered}
    references = dict(zip(ordered, read_selected_frames(clip, ordered), strict=True))
    renders = dict(zip(ordered, read_selected_frames(video, [positions[frame_id] for frame_id in ordered]), strict=True))
    rows = artifacts.per_frame[artifacts.per_frame["protocol"] == protocol].set_index("frame_id")
    faces = face_squares(artifacts, ordered, int(references[ordered[0]].shape[0]))
    pictures = []
    for frame_id, why in worst.items():
        rendered = renders[frame_id]
        reference = _resized(references[frame_id], rendered.shape[0])
        figures = rows.loc[frame_id]
        caption = (
            f"Frame {frame_id} ({frame_id / fps:.2f} s), {why}: face {figures['psnr_face']:.1f} dB, mouth {figures['psnr_mouth']:.1f} dB"
        )
        if np.isfinite(figures.get("lmd_px512", np.nan)):
            caption += f", lips off by {figures['lmd_px512']:.1f} px"
        alt = f"The face in frame {frame_id}, from left to right: recording, render, difference times {_DIFFERENCE_GAIN:.0f}"
        images = [cut_square(image, faces[frame_id]) for image in (reference, rendered, difference(reference, rendered))]
        pictures.append(picture_strip(images, alt=alt, caption=caption, position=positions[frame_id], key=key))
    return pictures


def face_squares(artifacts: SpeakerArtifacts, frame_ids: Sequence[int], clip_px: int) -> dict[int, tuple[float, float, float]]:
    """Frame id -> (left, top, side) of the face with some air around it, in parts of the frame's side; the whole frame without a face."""
    file = artifacts.file("landmarks", "landmarks.safetensors")
    found = read_arrays(file) if file is not None else {"frame_id": np.zeros(0), "points": np.zeros((0, 468, 3))}
    row_of = {int(frame_id): row for row, frame_id in enumerate(found["frame_id"])}
    squares = {}
    for frame_id in frame_ids:
        squares[frame_id] = (0.0, 0.0, 1.0)
        if frame_id in row_of and np.isfinite(oval := found["points"][row_of[frame_id]][list(FACE_OVAL), :2] / clip_px).all():
            low, high = oval.min(axis=0), oval.max(axis=0)
            side = min(1.0, _FACE_AIR * float((high - low).max()))
            left, top = np.clip((low + high) / 2 - side / 2, 0.0, 1.0 - side)
            squares[frame_id] = (float(left), float(top), side)
    return squares


def cut_square(image: Image, square: tuple[float, float, float]) -> Image:
    """A square cut-out of a frame, as :func:`face_squares` gives it."""
    left, top, side = (round(part * image.shape[0]) for part in square)
    return image[top : top + max(side, 1), left : left + max(side, 1)]


def picture_strip(images: Sequence[Image], *, alt: str, caption: str, position: int | None = None, key: str | None = None) -> Picture:
    """Images in a row, each at the same height, the whole row with the mark of ``key``."""
    return _picture(np.hstack([_resized(image, _PICTURE_PX) for image in images]), alt, caption, position, key)


def mask_pictures(artifacts: SpeakerArtifacts) -> list[Picture]:
    """Labels, transient mask and removal on the frame where most is going on, and the labels of the first frame."""
    clip = artifacts.file("ingest", "clip.mkv")
    if clip is None or artifacts.ingest is None:
        return []
    busiest = _busiest_frame(artifacts)
    chosen = sorted({0, busiest})
    frames = dict(zip(chosen, (_resized(frame, 2 * _PICTURE_PX) for frame in read_selected_frames(clip, chosen)), strict=True))
    pictures = []
    labels_file, transient_file = artifacts.file("segment", "labels.mkv"), artifacts.file("flow_masks", "transient.mkv")
    clean_file = artifacts.file("inpaint", "clean.mkv")
    if labels_file:
        for frame_id, labels in zip(chosen, read_selected_frames(labels_file, chosen, "gray"), strict=True):
            names = ", ".join(f"{label.name.lower()} {_colour_name(label)}" for label in LABEL_COLOURS if (labels == label).any())
            painted = _painted(frames[frame_id], _nearest(labels, frames[frame_id]))
            pictures.append(_picture(painted, f"Frame {frame_id} with its labels: {names}", f"Labels of frame {frame_id}: {names}"))
    if transient_file and _transient_mean(artifacts) > 0:
        mask = _nearest(next(iter(read_selected_frames(transient_file, [busiest], "gray"))), frames[busiest]) >= 128
        share = 100 * mask.mean()
        caption = f"Transient mask of frame {busiest}: {share:.1f} % of it is left out of training"
        pictures.append(_picture(_tinted(frames[busiest], mask), f"Frame {busiest} with the transient mask in red", caption))
    if clean_file and _transient_mean(artifacts) > 0:
        clean = _resized(next(iter(read_selected_frames(clean_file, [busiest]))), frames[busiest].shape[0])
        caption = f"Frame {busiest} after the removal of hands and transient objects"
        pictures.append(_picture(clean, f"Frame {busiest} with hands and transient objects removed", caption))
    return pictures


def frame_picture(image: Image, frame: int, fps: float, why: str, key: str | None = None) -> Picture:
    """One frame of a video with the reason to look at it, and with the mark of ``key``; ``position`` is the frame."""
    caption = f"Frame {frame} ({frame / fps:.2f} s): {why}"
    return _picture(_resized(image, min(image.shape[0], _PICTURE_PX)), f"Frame {frame} of the dub", caption, frame, key)


def poster_uri(image: Image, key: str | None = None) -> str:
    """What a player shows before it plays: a frame at 512 px height or less, with the mark of ``key``."""
    small = _resized(image, min(image.shape[0], 2 * _PICTURE_PX))
    return jpeg_uri(small if key is None else marked_still(small, key))


def _busiest_frame(artifacts: SpeakerArtifacts) -> int:
    shares = (artifacts.inpaint or {}).get("removed") or (artifacts.transient or {}).get("transient")
    if isinstance(shares, list) and shares:
        return int(np.argmax(shares))
    assert artifacts.ingest is not None
    return int(artifacts.ingest["clip"]["frames"]) // 2


def _transient_mean(artifacts: SpeakerArtifacts) -> float:
    removed = (artifacts.inpaint or {}).get("removed_percent", 0.0)
    return max(float((artifacts.transient or {}).get("transient_mean", 1.0)), float(removed))


def _painted(frame: Image, labels: np.ndarray) -> Image:
    overlay = frame.astype(np.float32)
    for label, colour in LABEL_COLOURS.items():
        overlay[labels == label] = 0.55 * overlay[labels == label] + 0.45 * np.asarray(colour, np.float32)
    return np.asarray(overlay, dtype=np.uint8)


def _tinted(frame: Image, mask: np.ndarray) -> Image:
    tinted = frame.copy()
    tinted[mask] = (0.4 * frame[mask] + 0.6 * np.asarray(LABEL_COLOURS[Label.HANDS])).astype(np.uint8)
    return tinted


def _colour_name(label: Label) -> str:
    return {Label.TORSO: "blue", Label.NECK: "green", Label.HEAD: "yellow", Label.HANDS: "red"}[label]


def _nearest(mask: np.ndarray, like: Image) -> np.ndarray:
    return np.asarray(cv2.resize(mask, (like.shape[1], like.shape[0]), interpolation=cv2.INTER_NEAREST))


def _resized(image: Image, height: int) -> Image:
    if image.shape[0] == height:
        return image
    width = round(image.shape[1] * height / image.shape[0])
    how = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (width, height), interpolation=how), dtype=np.uint8)


def _picture(image: Image, alt: str, caption: str, position: int | None = None, key: str | None = None) -> Picture:
    image = image if key is None else marked_still(image, key)
    height, width = image.shape[:2]
    return Picture(uri=jpeg_uri(image), alt=alt, caption=caption, width=width, height=height, position=position)
