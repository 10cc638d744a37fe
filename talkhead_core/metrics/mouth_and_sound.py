"""Whether lips go with the sound where there is no recording to compare them with, against lips and sounds that cannot belong together.

The correlation of two slow rhythms is far from nought by chance in a short video. What it is worth shows beside its controls: the same
lips against other parts of the sound, and a mouth that does not move, which leaves what the head's own motion is worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from talkhead_core.metrics.bootstrap import BlockBootstrap, BootstrapConfig
from talkhead_core.metrics.lip_sync import correlation
from talkhead_core.types import FloatArray

__all__ = ["LEAST_SOUND_S", "MouthSoundScores", "Scored", "mouth_sound_scores", "still_mouth_opening"]

LEAST_SOUND_S = 4.0
"""Shorter sounds hold too few syllables, and no part of them is far enough from another to be a wrong sound."""

_INNER_LIPS, _UPPER_FACE = (13, 14), (10, 6)  # of the face mesh; from the hairline to the bridge of the nose
_WRONG_SOUNDS = 8
_NEAREST, _FARTHEST = 0.25, 0.75  # how far away wrong sounds lie, in parts of the length, around which they are rolled
_LEAST_RHYTHM = 1e-6  # of the face's height, and in powers of ten of energy; less is the dust of rounding
_RATE_HZ = 25  # three times the fastest syllable rhythm


@dataclass(frozen=True, kw_only=True)
class Scored:
    """A figure with its 95 % interval; None where it has none."""

    value: float
    interval: tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class MouthSoundScores:
    """Pearson's r of the rhythm of lips and sound, in step.

    Args:
        own: of the lips and their sound.
        wrong_sound: of the lips and other parts of the sound, mean of eight.
        static_mouth: of lips that keep their shape and the sound; None where nothing moves at all.
        over_wrong_sound: ``own - wrong_sound``, from the same resamples.
        over_static_mouth: ``own - static_mouth``; None as above.
        highest_wrong_sound: the best agreement with any of the eight other parts.
    """

    own: Scored
    wrong_sound: Scored
    static_mouth: Scored | None
    over_wrong_sound: Scored
    over_static_mouth: Scored | None
    highest_wrong_sound: float

    @property
    def certain(self) -> bool:
        """Whether the lips go with this sound and no other: beyond both intervals, and better than with each of the wrong sounds.

        The latter because intervals of a few seconds are too narrow.
        """
        gains = [gain for gain in (self.over_wrong_sound, self.over_static_mouth) if gain is not None]
        beyond = all(gain.interval is not None and gain.interval[0] > 0 for gain in gains)
        return beyond and self.own.value > self.highest_wrong_sound


def still_mouth_opening(points_px: FloatArray) -> FloatArray:
    """The opening of a mouth that stands still in this head, ``[frames]``: mean distance of the inner lips over the upper face's height.

    The height of the whole face will not do: the chin sinks in speech, which would make a mouth that never moves close with every vowel.

    Args:
        points_px: face mesh of each frame ``[frames, 468 or more, 2 or more]``, NaN rows without a face.
    """
    lips, upper_face = (np.linalg.norm(points_px[:, a, :2] - points_px[:, b, :2], axis=-1) for a, b in (_INNER_LIPS, _UPPER_FACE))
    return np.asarray(np.nanmean(lips) / upper_face if np.isfinite(lips).any() else lips)


def mouth_sound_scores(
    lips: FloatArray, still_lips: FloatArray, sound: FloatArray, rate_hz: int, config: BootstrapConfig | None = None
) -> MouthSoundScores | None:
    """How well lips and sound agree, beside the controls.

    Args:
        lips: ``[samples]``, syllable rhythm of the lips, shifted by the lead that they naturally have.
        still_lips: the same of lips that keep their shape.
        sound: ``[samples]``, that of the sound.
        rate_hz: samples a second of all three, a multiple of 25.
        config: how intervals are drawn.

    Returns:
        The scores; None where the sound is shorter than :data:`LEAST_SOUND_S`, or lips or sound have no rhythm.
    """
    lips, still_lips, sound = (signal[:: rate_hz // _RATE_HZ] for signal in (lips, still_lips, sound))
    if len(sound) < LEAST_SOUND_S * _RATE_HZ or lips.std() < _LEAST_RHYTHM or sound.std() < _LEAST_RHYTHM:
        return None
    away = np.linspace(_NEAREST, _FARTHEST, _WRONG_SOUNDS) * len(sound)
    wrong_sounds = [np.roll(sound, round(shift)) for shift in away]
    bootstrap = BlockBootstrap(len(sound), _RATE_HZ, config)

    def own(at: np.ndarray) -> FloatArray:
        return correlation(lips[at], sound[at])

    def wrong(at: np.ndarray) -> FloatArray:
        return np.asarray(np.mean([correlation(lips[at], other[at]) for other in wrong_sounds], axis=0))

    def still(at: np.ndarray) -> FloatArray:
        return correlation(still_lips[at], sound[at])

    def scored(statistic: Callable[[np.ndarray], FloatArray]) -> Scored | None:
        value = float(statistic(np.arange(len(sound))[None])[0])
        return Scored(value=value, interval=bootstrap.interval(statistic)) if np.isfinite(value) else None

    moves = still_lips.std() >= _LEAST_RHYTHM
    found = [scored(statistic) for statistic in (own, wrong, lambda at: own(at) - wrong(at))]
    assert all(found), "lips and sound have a rhythm"
    return MouthSoundScores(
        own=found[0],  # type: ignore[arg-type]
        wrong_sound=found[1],  # type: ignore[arg-type]
        static_mouth=scored(still) if moves else None,
        over_wrong_sound=found[2],  # type: ignore[arg-type]
        over_static_mouth=scored(lambda at: own(at) - still(at)) if moves else None,
        highest_wrong_sound=max(float(correlation(lips, other)) for other in wrong_sounds),
    )
