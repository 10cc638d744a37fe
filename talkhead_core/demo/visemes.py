"""From phonemes to the shape of the mouth over time.

Every phoneme belongs to a viseme, every viseme has a target shape, and the mouth moves smoothly from one target to
the next (co-articulation). Sounds made with closed lips (m, b, p) close them whatever their neighbours are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from talkhead_core.demo.espeak import Phoneme
from talkhead_core.types import FloatArray

__all__ = ["VISEMES", "MouthShape", "MouthTrack", "mouth_track", "viseme_of"]


@dataclass(frozen=True, kw_only=True)
class MouthShape:
    """Amounts of the ways in which a mouth moves; 0 is at rest.

    Args:
        jaw: how far the jaw is open, 1 the most that speech needs.
        wide: corners apart (1) or together (-1).
        rounded: lips pursed and pushed forward.
        upper_raised: upper lip lifted off the upper teeth.
        lower_dropped: lower lip lowered off the lower teeth.
        tucked: lower lip under the upper teeth, as for f.
        tongue: tip of the tongue raised to the upper teeth, as for l and th.
        closed: lips pressed together, overriding everything above.
    """

    jaw: float = 0.0
    wide: float = 0.0
    rounded: float = 0.0
    upper_raised: float = 0.0
    lower_dropped: float = 0.0
    tucked: float = 0.0
    tongue: float = 0.0
    closed: float = 0.0


VISEMES: dict[str, MouthShape] = {
    "rest": MouthShape(),
    "p": MouthShape(jaw=0.12, closed=1.0),
    "f": MouthShape(jaw=0.10, upper_raised=0.35, tucked=1.0),
    "th": MouthShape(jaw=0.24, tongue=1.0, lower_dropped=0.1),
    "t": MouthShape(jaw=0.22, tongue=0.8, wide=0.15, lower_dropped=0.15),
    "k": MouthShape(jaw=0.30, wide=0.05),
    "ch": MouthShape(jaw=0.18, rounded=0.5, upper_raised=0.25, lower_dropped=0.35),
    "s": MouthShape(jaw=0.12, wide=0.4, upper_raised=0.15, lower_dropped=0.45),
    "r": MouthShape(jaw=0.26, rounded=0.5),
    "a": MouthShape(jaw=0.95, wide=0.05),
    "ae": MouthShape(jaw=0.80, wide=0.35, upper_raised=0.2),
    "e": MouthShape(jaw=0.52, wide=0.45, upper_raised=0.1, lower_dropped=0.1),
    "i": MouthShape(jaw=0.26, wide=0.8, upper_raised=0.15, lower_dropped=0.25),
    "o": MouthShape(jaw=0.62, rounded=0.7, wide=-0.2),
    "u": MouthShape(jaw=0.30, rounded=1.0, wide=-0.3),
    "uh": MouthShape(jaw=0.38),
}
"""Viseme -> target shape, in the order of the numbers that the ground truth uses."""

_OF_SOUND: dict[str, tuple[str, ...]] = {
    **dict.fromkeys("mbp", ("p",)),
    **dict.fromkeys("fv", ("f",)),
    **dict.fromkeys("θð", ("th",)),
    **dict.fromkeys("tdnlɾɬ", ("t",)),
    **dict.fromkeys("kɡghŋxʔ", ("k",)),
    **dict.fromkeys(("ʃ", "ʒ", "tʃ", "dʒ"), ("ch",)),
    **dict.fromkeys("sz", ("s",)),
    **dict.fromkeys(("ɹ", "r", "ɜ", "ɚ", "ɝ"), ("r",)),
    **dict.fromkeys("ɑaʌɐ", ("a",)),
    **dict.fromkeys("æ", ("ae",)),
    **dict.fromkeys("ɛe", ("e",)),
    **dict.fromkeys(("i", "ɪ", "j", "y"), ("i",)),
    **dict.fromkeys("ɔoɒ", ("o",)),
    **dict.fromkeys(("u", "ʊ", "w"), ("u",)),
    **dict.fromkeys(("ə", "ᵻ"), ("uh",)),
    "eɪ": ("e", "i"),
    "aɪ": ("a", "i"),
    "aʊ": ("a", "u"),
    "oʊ": ("o", "u"),
    "ɔɪ": ("o", "i"),
    "əl": ("uh", "t"),
}
_STRESS = "ˈˌ"
_STEPS_PER_SECOND = 400
_LIPS_SMOOTHING_S = 0.034
_CLOSING_S = 0.045
# Lips meet a little before the sound and part a little after it.
_CLOSURE_MARGIN_S = 0.022


def viseme_of(symbol: str) -> tuple[str, ...]:
    """The viseme, or the two of a diphthong, that an IPA symbol is seen as; ``("rest",)`` for a pause."""
    bare = "".join(character for character in symbol if character not in _STRESS + "ː.ʲ̩")
    if not bare:
        return ("rest",)
    for length in (len(bare), 2, 1):
        found = _OF_SOUND.get(bare[:length])
        if found:
            return found
    return ("uh",)


@dataclass(frozen=True, kw_only=True)
class MouthTrack:
    """The mouth at each frame.

    Args:
        shapes: one per frame.
        viseme: ``[N]`` int64, index into ``VISEMES`` of what is being said in the middle of the frame.
    """

    shapes: tuple[MouthShape, ...]
    viseme: np.ndarray


def mouth_track(phonemes: Sequence[Phoneme], frames: int, fps: float) -> MouthTrack:
    """The mouth's shape in the middle of every frame.

    Args:
        phonemes: of the whole sound track, in order.
        frames: how many.
        fps: frames a second.
    """
    steps = int(np.ceil((frames / fps + 1.0) * _STEPS_PER_SECOND))
    times_s = (np.arange(steps) + 0.5) / _STEPS_PER_SECOND
    names = list(VISEMES)
    targets = np.zeros((steps, len(fields(MouthShape))))
    resting = np.ones(steps, bool)
    middles_s = (np.arange(frames) + 0.5) / fps
    viseme = np.zeros(frames, np.int64)
    closed = np.zeros(steps)
    for phoneme in phonemes:
        for name, start_s, end_s in _parts(phoneme):
            inside = (times_s >= start_s) & (times_s < end_s)
            targets[inside] = astuple(_stressed(VISEMES[name], phoneme.symbol))
            resting[inside] = name == "rest"
            viseme[(middles_s >= start_s) & (middles_s < end_s)] = names.index(name)
            if VISEMES[name].closed:
                beside_s = np.maximum(start_s - times_s, times_s - end_s) - _CLOSURE_MARGIN_S
                closed = np.maximum(closed, _smooth_step(1.0 - beside_s / _CLOSING_S))
    smooth = gaussian_filter1d(targets, _LIPS_SMOOTHING_S * _STEPS_PER_SECOND, axis=0)
    closed = np.maximum(closed, _rest_closure(smooth, resting))
    smooth[:, -1] = closed
    rows = smooth[(middles_s * _STEPS_PER_SECOND).astype(int)]
    return MouthTrack(shapes=tuple(MouthShape(**_named(row)) for row in rows), viseme=viseme)


def _parts(phoneme: Phoneme) -> list[tuple[str, float, float]]:
    visemes = viseme_of(phoneme.symbol)
    if len(visemes) == 1:
        return [(visemes[0], phoneme.start_s, phoneme.end_s)]
    # A diphthong dwells on its first vowel.
    middle_s = phoneme.start_s + 0.55 * (phoneme.end_s - phoneme.start_s)
    return [(visemes[0], phoneme.start_s, middle_s), (visemes[1], middle_s, phoneme.end_s)]


def _stressed(shape: MouthShape, symbol: str) -> MouthShape:
    gain = 1.12 if "ˈ" in symbol else 1.0 if "ˌ" in symbol else 0.86
    return replace(shape, jaw=shape.jaw * gain)


def _rest_closure(smooth: FloatArray, resting: np.ndarray) -> FloatArray:
    """Lips that have come nearly together in a pause close altogether, as the tails of the smoothing never would."""
    return np.where(resting, _smooth_step((0.12 - smooth[:, 0]) / 0.1), 0.0)


def _smooth_step(x: FloatArray) -> FloatArray:
    x = np.clip(x, 0.0, 1.0)
    return x * x * (3.0 - 2.0 * x)


def _named(row: FloatArray) -> dict[str, float]:
    return {field.name: float(value) for field, value in zip(fields(MouthShape), row, strict=True)}
