"""LSE-C and LSE-D of videos with sound, or why there are none: SyncNet's weights, the sound on the picture's clock."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from talkhead_core.audio.features.speech_cepstra import speech_cepstra
from talkhead_core.errors import FootageError, NotAvailableError
from talkhead_core.media.audio_file import read_audio, read_audio_span
from talkhead_core.media.probe import VideoProbe
from talkhead_core.media.resampled_frames import resampled_frames
from talkhead_core.metrics.lip_sync_error import LipSyncError, load_lip_sync_error

__all__ = ["LSE", "SyncError"]

LSE = ("lse_d", "lse_c")
_TOO_LITTLE = "no face is found in every frame, or the video is shorter than five frames"
_SYNC_FPS = Fraction(25)
_CEPSTRA, _HOP, _SPAN = 13, 160, 400


class SyncError:
    """LSE of any number of videos; SyncNet is loaded once.

    Args:
        weights: the folder of the weight store.

    Attributes:
        not_available: why there can be none, whatever the video; None where SyncNet is here.
    """

    def __init__(self, weights: Path) -> None:
        self.not_available: str | None = None
        try:
            self._error: LipSyncError | None = load_lip_sync_error(weights)
        except NotAvailableError as reason:
            self._error, self.not_available = None, str(reason)

    def of(self, probe: VideoProbe, audio: Path | None = None) -> dict[str, float] | str:
        """``lse_d``, ``lse_c`` and ``lse_offset_frames`` of a video, or why there are none.

        Args:
            probe: of the video.
            audio: what it says, from its first frame on; its own sound when None.
        """
        found = self._of_sounds(probe, audio, (0.0,))
        return found if isinstance(found, str) else found[0]

    def with_wrong_sound(self, probe: VideoProbe, audio: Path | None = None) -> tuple[dict[str, float], dict[str, float]] | str:
        """As :meth:`of`, and the same for the video beside its sound of half its length later."""
        found = self._of_sounds(probe, audio, (0.0, 0.5))
        return found if isinstance(found, str) else (found[0], found[1])

    def _of_sounds(self, probe: VideoProbe, audio: Path | None, rolled: tuple[float, ...]) -> list[dict[str, float]] | str:
        """One result for each share of its length by which the sound is rolled; the lips are looked at once."""
        if self._error is None:
            return str(self.not_available)
        try:
            sound = read_audio(audio) if audio else read_audio_span(probe.path, probe.start_s, probe.duration_s)
        except FootageError as reason:
            return str(reason)
        lips = self._error.lips(lambda: resampled_frames(probe, probe.width, probe.height, _SYNC_FPS))
        if lips is None:
            return _TOO_LITTLE
        found = [self._error.agreement(lips, _cepstra(np.roll(sound, round(share * len(sound))))) for share in rolled]
        return found if all(found) else _TOO_LITTLE


def _cepstra(sound: np.ndarray) -> np.ndarray:
    """``[columns, 13]``, 100 a second."""
    padded = np.pad(sound, (1, 0))  # a sample for the pre-emphasis
    columns = max((len(sound) - _SPAN) // _HOP + 1, 0)
    if columns == 0:
        return np.zeros((0, _CEPSTRA), np.float32)
    segments = np.lib.stride_tricks.sliding_window_view(padded, _SPAN + 1)[::_HOP][:columns]
    return speech_cepstra(segments)[:, :_CEPSTRA]
