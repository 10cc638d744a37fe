"""What the recording lends to every frame of a dub: pose, eyes and brows, and which picture plays around the head."""

from __future__ import annotations

from dataclasses import dataclass

from talkhead_core.rendering.blink_source import BlinkConfig, RecordedBlinks, add_blinks, blink_starts
from talkhead_core.rendering.pose_replay import PoseReplayConfig, finer_positions, poses_at, replay_positions, rows_at
from talkhead_core.types import FloatArray

__all__ = ["RecordedHead", "RecordingReplay", "replay_recording"]


@dataclass(frozen=True, kw_only=True)
class RecordedHead:
    """The head in the recording; row ``i`` is frame id ``i``.

    Args:
        rotation: ``[N, 3, 3]``.
        translation_cm: ``[N, 3]``.
        expression: ``[N, E]`` of eyes and brows.
        eye_opening: ``[N, 2]`` aspect ratios.
        shot: the half-open range of frames that is replayed.
        fps: frames a second.
    """

    rotation: FloatArray
    translation_cm: FloatArray
    expression: FloatArray
    eye_opening: FloatArray
    shot: tuple[int, int]
    fps: float


@dataclass(frozen=True, kw_only=True)
class RecordingReplay:
    """The recording replayed; a row a frame of the dub.

    Args:
        positions: ``[M]``, frame ids, in turns between two of them.
        rotation: ``[M, 3, 3]``.
        translation_cm: ``[M, 3]``.
        expression: ``[M, E]``.
    """

    positions: FloatArray
    rotation: FloatArray
    translation_cm: FloatArray
    expression: FloatArray

    def refined(self, steps: int) -> RecordingReplay:
        """The same replay in ``steps`` times as many frames, each of which stands for an equal part of one of these."""
        if steps == 1:
            return self
        finer = finer_positions(len(self.positions), steps)
        rotation, translation_cm = poses_at(self.rotation, self.translation_cm, finer)
        return RecordingReplay(
            positions=rows_at(self.positions, finer),
            rotation=rotation,
            translation_cm=translation_cm,
            expression=rows_at(self.expression, finer),
        )


def replay_recording(head: RecordedHead, frames: int, replay: PoseReplayConfig, blinks: BlinkConfig) -> RecordingReplay:
    """Replay for ``frames`` frames.

    Raises:
        InputError: blinks are to be synthesised, and the recording has none to learn from.
    """
    positions = replay_positions(*head.shot, frames, replay)
    rotation, translation_cm = poses_at(head.rotation, head.translation_cm, positions, replay.smoothing_frames)
    if blinks.source == "recorded":
        expression = rows_at(head.expression, positions)
    else:
        shot = slice(*head.shot)
        found = RecordedBlinks.of(head.expression[shot], head.eye_opening[shot], head.fps)
        starts = blink_starts(frames, head.fps, blinks.per_minute or found.per_minute, blinks)
        expression = add_blinks(rows_at(found.open_eyed, positions - shot.start), found.course, starts)
    return RecordingReplay(positions=positions, rotation=rotation, translation_cm=translation_cm, expression=expression)
