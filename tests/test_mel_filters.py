"""Our mel filters and Hann window are those of librosa and SciPy."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
import scipy.signal

from talkhead_core.audio.hann_window import hann_window
from talkhead_core.audio.mel_filters import mel_filters


@pytest.mark.parametrize("equal_area", [False, True])
@pytest.mark.parametrize(("fft", "bands", "lowest_hz", "highest_hz"), [(512, 16, 60, 7600), (512, 80, 55, 7600), (800, 80, 0, 8000)])
def test_filters_are_librosas(fft: int, bands: int, lowest_hz: float, highest_hz: float, equal_area: bool) -> None:
    norm = "slaney" if equal_area else None
    expected = librosa.filters.mel(sr=16000, n_fft=fft, n_mels=bands, fmin=lowest_hz, fmax=highest_hz, norm=norm)
    ours = mel_filters(rate_hz=16000, fft=fft, bands=bands, lowest_hz=lowest_hz, highest_hz=highest_hz, equal_area=equal_area)
    assert ours.dtype == np.float32
    assert np.allclose(ours, expected, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("samples", [400, 512])
def test_the_window_is_scipys(samples: int) -> None:
    assert np.allclose(hann_window(samples), scipy.signal.get_window("hann", samples), atol=1e-15)
