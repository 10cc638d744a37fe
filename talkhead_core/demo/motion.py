"""How the demo speaker moves: head, blinks, brows, gaze, breath; smooth, seeded, in step with the speech."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from talkhead_core.demo.espeak import Phoneme
from talkhead_core.types import FloatArray

__all__ = ["BodyMotion", "body_motion"]

_YAW_DEG, _PITCH_DEG, _ROLL_DEG = 15.0, 4.2, 4.0
_NOD_DEG, _NOD_S = 1.7, 0.16
_BLINK_CLOSING_S, _BLINK_CLOSED_S, _BLINK_OPENING_S = 0.09, 0.05, 0.17
_BLINK_EVERY_S = (2.9, 5.2)
_BREATH_S = 3.9


@dataclass(frozen=True, kw_only=True)
class BodyMotion:
    """What moves in each frame; rows are frame ids.

    Args:
        yaw_pitch_roll_deg: ``[N, 3]`` relative to the photograph; positive turns to the image's right, down, and
            clockwise as seen.
        sway_cm: ``[N, 3]`` of the head, camera frame.
        torso_sway_cm: ``[N, 3]`` of the torso, breath included.
        torso_roll_deg: ``[N]``.
        blink: ``[N]`` 0 open to 1 closed.
        brow: ``[N]`` 0 to 1.
        gaze_deg: ``[N, 2]`` of the eyes in the head, right and down.
    """

    yaw_pitch_roll_deg: FloatArray
    sway_cm: FloatArray
    torso_sway_cm: FloatArray
    torso_roll_deg: FloatArray
    blink: FloatArray
    brow: FloatArray
    gaze_deg: FloatArray


def body_motion(phonemes: Sequence[Phoneme], frames: int, fps: float, seed: int) -> BodyMotion:
    """Motion for a sound track.

    Args:
        phonemes: of the whole track, for nods and brows on stressed syllables.
        frames: how many.
        fps: frames a second.
        seed: the same seed moves the same way.
    """
    rng = np.random.default_rng([seed, 7])
    times_s = (np.arange(frames) + 0.5) / fps
    yaw = _YAW_DEG * _wander(times_s, rng, (0.071, 0.153, 0.29))
    pitch = _PITCH_DEG * _wander(times_s, rng, (0.09, 0.21, 0.38))
    roll = 0.75 * _ROLL_DEG * _wander(times_s, rng, (0.06, 0.17, 0.33)) + 0.25 * _ROLL_DEG * yaw / _YAW_DEG
    stressed_s = [(p.start_s + p.end_s) / 2 for p in phonemes if "ˈ" in p.symbol]
    strength = rng.uniform(0.2, 1.0, len(stressed_s))
    pitch = pitch + _NOD_DEG * _bumps(times_s, stressed_s, strength, _NOD_S)
    brow = np.clip(_bumps(times_s, stressed_s, np.where(strength > 0.72, strength, 0.0), 0.22), 0, 1)
    sway = np.stack([amount * _wander(times_s, rng, (0.08, 0.19, 0.31)) for amount in (0.7, 0.25, 0.8)], axis=1)
    breath = np.sin(2 * np.pi * (times_s / _BREATH_S + rng.uniform()))
    torso = 0.4 * sway * (1, 0.3, 0)
    torso[:, 1] += 0.11 * breath
    sway[:, 1] += 0.05 * breath
    # Eyes stay on the camera while the head turns, but for small wanderings.
    gaze = -0.8 * np.stack([yaw, pitch], axis=1) + 2.0 * _saccades(times_s, rng)
    return BodyMotion(
        yaw_pitch_roll_deg=np.stack([yaw, pitch, roll], axis=1),
        sway_cm=sway,
        torso_sway_cm=torso,
        torso_roll_deg=0.15 * roll,
        blink=_blinks(times_s, rng),
        brow=brow,
        gaze_deg=gaze,
    )


def _wander(times_s: FloatArray, rng: np.random.Generator, rates_hz: tuple[float, ...]) -> FloatArray:
    """A sum of sinusoids, weaker the faster, that reaches from -1 to 1 within twenty seconds."""
    long_s = np.arange(0, 20.0, 0.05)
    phases, total, reach = rng.uniform(0, 2 * np.pi, len(rates_hz)), np.zeros_like(times_s), np.zeros_like(long_s)
    for rate, phase in zip(rates_hz, phases, strict=True):
        weight = rates_hz[0] / rate
        total += weight * np.sin(2 * np.pi * rate * times_s + phase)
        reach += weight * np.sin(2 * np.pi * rate * long_s + phase)
    middle = (reach.max() + reach.min()) / 2
    return np.clip((total - middle) / ((reach.max() - reach.min()) / 2), -1.05, 1.05)


def _bumps(times_s: FloatArray, at_s: Sequence[float], strength: FloatArray, width_s: float) -> FloatArray:
    total = np.zeros_like(times_s)
    for when, amount in zip(at_s, strength, strict=True):
        total = np.maximum(total, amount * np.exp(-0.5 * ((times_s - when) / width_s) ** 2))
    return total


def _blinks(times_s: FloatArray, rng: np.random.Generator) -> FloatArray:
    closed = np.zeros_like(times_s)
    when = rng.uniform(0.9, 1.5)
    while when < times_s[-1]:
        since = times_s - when
        falling = np.clip(since / _BLINK_CLOSING_S, 0, 1)
        rising = np.clip((since - _BLINK_CLOSING_S - _BLINK_CLOSED_S) / _BLINK_OPENING_S, 0, 1)
        closed = np.maximum(closed, _ease(falling) * (1 - _ease(rising)))
        when += rng.uniform(*_BLINK_EVERY_S)
    return closed


def _ease(x: FloatArray) -> FloatArray:
    return x * x * (3 - 2 * x)


def _saccades(times_s: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Piecewise still directions ``[N, 2]``, a new one about every second."""
    steps = np.zeros((len(times_s), 2))
    when = 0.0
    while when < times_s[-1]:
        steps[times_s >= when] = rng.normal(0, (0.8, 0.35))
        when += rng.uniform(0.5, 1.8)
    return gaussian_filter1d(steps, 0.45, axis=0)
