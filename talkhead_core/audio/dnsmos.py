"""How good speech sounds, without a clean version to compare with: DNSMOS (Reddy, Gopal and Cutler 2022, ITU-T P.835).

The network is the official ``sig_bak_ovr.onnx``, run by OpenCV; it hears 9.01 s of 16 kHz speech and gives three opinions, which the
authors' polynomials take to the scale of their listeners.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from talkhead_core.errors import InputError, NotAvailableError
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ
from talkhead_core.types import FloatArray

__all__ = ["DNSMOS_FILE", "Dnsmos", "SpeechRating", "dnsmos_file"]

DNSMOS_FILE = "dnsmos_sig_bak_ovr.onnx"

_SAMPLES = 144_160
_LEAST_SAMPLES = SPEECH_SAMPLE_RATE_HZ // 2
_MOST_WINDOWS = 3
# constant term last; from the authors' dnsmos_local.py, not for personalised speech
_SIGNAL = np.poly1d([-0.08397278, 1.22083953, 0.0052439])
_BACKGROUND = np.poly1d([-0.13166888, 1.60915514, -0.39604546])
_OVERALL = np.poly1d([-0.06766283, 1.11546468, 0.04602535])


@dataclass(frozen=True, kw_only=True)
class SpeechRating:
    """Mean opinions that listeners would give, 1 (bad) to 5 (excellent).

    Args:
        signal: of the speech itself (SIG).
        background: of how little the background disturbs (BAK).
        overall: of both (OVRL).
    """

    signal: float
    background: float
    overall: float


def dnsmos_file(path: Path) -> Path:
    """The network's file: ``path`` itself, or the official name in the folder ``path``."""
    return path / DNSMOS_FILE if path.is_dir() else path


class Dnsmos:
    """The rater.

    Args:
        path: the official file, or the folder that holds it.

    Raises:
        NotAvailableError: the file is not there, or is not a network.
    """

    def __init__(self, path: Path) -> None:
        file = dnsmos_file(path)
        if not file.is_file():
            raise NotAvailableError(f"DNSMOS needs {DNSMOS_FILE}, which is not at {file}; run 'talkhead models pull dnsmos'")
        try:
            self._network = cv2.dnn.readNetFromONNX(str(file))
        except cv2.error as error:
            raise NotAvailableError(f"{file}: cannot be read as DNSMOS's network; run 'talkhead models pull dnsmos' again") from error

    def rate(self, audio: FloatArray) -> SpeechRating:
        """The mean rating of up to three windows of 9.01 s, evenly spread; shorter speech is repeated, as by the authors.

        Args:
            audio: mono ``[samples]`` at 16 kHz.

        Raises:
            InputError: shorter than half a second.
        """
        if len(audio) < _LEAST_SAMPLES:
            raise InputError(f"DNSMOS rates half a second of speech and more, not {len(audio) / SPEECH_SAMPLE_RATE_HZ:.2f} s")
        long = np.tile(audio, 1 << max(int(np.ceil(np.log2(_SAMPLES / len(audio)))), 0))  # doubled until it is long enough
        windows = min(_MOST_WINDOWS, 1 + (len(long) - _SAMPLES) // SPEECH_SAMPLE_RATE_HZ)
        starts = np.linspace(0, len(long) - _SAMPLES, windows).astype(int) if windows > 1 else np.zeros(1, dtype=int)
        opinions = np.mean([self._opinions(long[start : start + _SAMPLES]) for start in starts], axis=0)
        return SpeechRating(signal=float(opinions[0]), background=float(opinions[1]), overall=float(opinions[2]))

    def _opinions(self, window: FloatArray) -> FloatArray:
        self._network.setInput(np.ascontiguousarray(window[None], dtype=np.float32))
        signal, background, overall = (float(value) for value in self._network.forward()[0])
        return np.array([_SIGNAL(signal), _BACKGROUND(background), _OVERALL(overall)])
