"""Composite measures: regressions of listeners' ratings on objective measures (Hu and Loizou 2008, table VI)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["CompositeScores", "composite_scores"]


@dataclass(frozen=True, kw_only=True)
class CompositeScores:
    """Predicted ratings, 1 to 5, higher is better.

    Args:
        signal_distortion: CSIG, of the speech alone.
        background: CBAK, intrusiveness of the background.
        overall: COVL.
    """

    signal_distortion: float
    background: float
    overall: float


def composite_scores(*, pesq: float, llr: float, wss: float, segmental_snr_db: float) -> CompositeScores:
    """CSIG, CBAK and COVL of one recording.

    Args:
        pesq: the mean opinion score; the field puts wide-band PESQ in.
        llr: log-likelihood ratio.
        wss: weighted spectral slope distance.
        segmental_snr_db: segmental signal-to-noise ratio.
    """
    signal = 3.093 - 1.029 * llr + 0.603 * pesq - 0.009 * wss
    background = 1.634 + 0.478 * pesq - 0.007 * wss + 0.063 * segmental_snr_db
    overall = 1.594 + 0.805 * pesq - 0.512 * llr - 0.007 * wss
    limited = [float(np.clip(value, 1.0, 5.0)) for value in (signal, background, overall)]
    return CompositeScores(signal_distortion=limited[0], background=limited[1], overall=limited[2])
