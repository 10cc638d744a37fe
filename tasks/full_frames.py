"""The whole frames of the source around a dub, its hands where they belong."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from types import TracebackType

import numpy as np

from talkhead_core.artifacts import read_json
from talkhead_core.compositing.hand_visits import HandVisits, OpenSides, RemovedRegion, around_head
from talkhead_core.compositing.paste_back import PasteBack, PasteBackConfig
from talkhead_core.inpaint.hand_removal import InpaintConfig
from talkhead_core.inpaint.removal_mask import removal_mask
from talkhead_core.media.frame_access import FrameAccess
from talkhead_core.media.frame_rate import kept_frames_per_clip_frame
from talkhead_core.media.frame_selection import read_selected_frames
from talkhead_core.media.probe import VideoProbe, probe_video
from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.media.transcode import write_full_frame
from talkhead_core.types import FloatArray, Image
from tasks.stage import Stage

__all__ = ["FullFrames", "Recording", "hand_visits"]

_KEPT_FRAMES = 32


@dataclass(frozen=True, kw_only=True)
class Recording:
    """What a speaker's dub in whole frames plays.

    Args:
        stage: whose recording.
        crop: the square of the source that became the clip.
        fps: the clip's rate.
        clean_clip: the clip without hands.
        first_frame_s: time in the source of the clip's first frame.
    """

    stage: Stage
    crop: SquareCrop
    fps: Fraction
    clean_clip: Path
    first_frame_s: float = 0.0

    @cached_property
    def source(self) -> VideoProbe:
        """The video that the clip was cut from."""
        return probe_video(self.stage.source_video)

    @property
    def frames_per_clip_frame(self) -> int:
        """How many frames of the source there are for each of the clip's; 1 where they do not divide."""
        return kept_frames_per_clip_frame(self.source.fps, self.source.constant_rate, self.fps)


def hand_visits(recording: Recording, shot: tuple[int, int], *, head_only: bool) -> HandVisits:
    """The hands that ``inpaint`` removed from the half-open range ``shot`` of the clip.

    Args:
        recording: the speaker's.
        shot: without a cut.
        head_only: whether the head alone is rendered, or the whole square.
    """
    stage, config = recording.stage, recording.stage.section(InpaintConfig, "inpaint")
    removed = np.asarray(read_json(stage.inputs("inpaint") / "coverage.json")["removed"])
    wanted = [frame_id for frame_id in range(*shot) if removed[frame_id] > 0]
    masks = zip(
        wanted,
        read_selected_frames(stage.inputs("segment") / "labels.mkv", wanted, "gray"),
        read_selected_frames(stage.inputs("flow_masks") / "transient.mkv", wanted, "gray"),
        strict=True,
    )
    regions = (
        RemovedRegion(
            frame_id=frame_id,
            hole=removal_mask(labels, transient, config.margin, config.transient_threshold),
            rendered=around_head(labels) if head_only else np.ones(labels.shape, bool),
        )
        for frame_id, labels, transient in masks
    )
    return HandVisits.of(regions, OpenSides.of(recording.crop, recording.source.width, recording.source.height))


class FullFrames:
    """The source's frames, upright, at the clip's times or between them, too; closes its videos when it is left.

    Args:
        recording: the speaker's.
        path: where the frames are put while they are needed, ``.mkv``.
        visits: of hands.
        steps: 1, or the recording's frames per clip frame.
    """

    def __init__(self, recording: Recording, path: Path, visits: HandVisits, steps: int = 1) -> None:
        write_full_frame(recording.source, path, fps=steps * recording.fps)
        self._steps = steps
        self._first = round(recording.first_frame_s * float(recording.source.fps)) if steps > 1 else 0
        self._visits, self._stack = visits, ExitStack()
        self._recorded = self._stack.enter_context(FrameAccess(path, kept_frames=_KEPT_FRAMES))
        self._clean = self._stack.enter_context(FrameAccess(recording.clean_clip))
        self.height, self.width = self._recorded[0].shape[:2]
        self._paste = PasteBack(recording.crop, width=self.width, height=self.height)
        # Nothing to match: outside the holes the clean clip is the recording, and inside it was matched when it was filled.
        self._paste_clean = PasteBack(recording.crop, width=self.width, height=self.height, config=PasteBackConfig(match_colours=False))

    def pasted(
        self, rendered: Iterator[tuple[Image, FloatArray]], positions: FloatArray, *, head_only: bool
    ) -> Iterator[tuple[Image, FloatArray]]:
        """Rendered squares, each with its head's mask, in the source's frames at ``positions`` of the clip: by the mask, or whole."""
        for (image, region), position in zip(rendered, positions.tolist(), strict=True):
            mask = region if head_only else np.ones_like(region)
            frame, in_front = self._recorded.at(self._first + self._steps * position), None
            hands = self._visits.at(position)
            if hands is not None:
                gone, in_front = hands
                if gone.any():
                    frame = self._paste_clean.paste(frame, self._clean.at(position), gone)
            yield self._paste.paste(frame, image, mask, in_front), mask

    def __enter__(self) -> FullFrames:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stack.close()
