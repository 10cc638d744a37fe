"""Perceptual measures by their reference packages, behind the same checks as everything here."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np

from talkhead_core.errors import InputError
from talkhead_core.metrics.speech.speech_pair import checked_pair
from talkhead_core.types import FloatArray

__all__ = ["pesq_mos", "stoi_score"]


def pesq_mos(reference: FloatArray, enhanced: FloatArray, rate: int, band: Literal["wide", "narrow"] = "wide") -> float:
    """PESQ as a mean opinion score, 1.0 to 4.64 (ITU-T P.862.2) or 4.55 (narrow band, P.862.1).

    Args:
        reference: clean speech, mono ``[samples]``, in step with ``enhanced``.
        enhanced: the speech to judge.
        rate: 16000; narrow band also takes 8000.
        band: wide band is what the field's tables hold.

    Raises:
        InputError: see ``checked_pair``; or PESQ finds no utterance in the signals.
    """
    from pesq import NoUtterancesError, PesqError, pesq

    rates = (16_000,) if band == "wide" else (8_000, 16_000)
    clean, other = checked_pair(reference, enhanced, rate, rates=rates, least_s=0.3, metric=f"PESQ ({band} band)")
    try:
        score = pesq(rate, clean.astype(np.float32), other.astype(np.float32), "wb" if band == "wide" else "nb")
    except NoUtterancesError as error:
        raise InputError(f"PESQ ({band} band): no speech found in the signals") from error
    except PesqError as error:
        raise InputError(f"PESQ ({band} band) could not compare the signals ({error})") from error
    return float(score)


def stoi_score(reference: FloatArray, enhanced: FloatArray, rate: int) -> float:
    """Short-time objective intelligibility (Taal et al. 2011), 0 to 1, higher is better.

    Args:
        reference: clean speech, mono ``[samples]``, in step with ``enhanced``.
        enhanced: the speech to judge.
        rate: samples a second.

    Raises:
        InputError: see ``checked_pair``; or less than 0.4 s of it holds speech.
    """
    from pystoi import stoi

    clean, other = checked_pair(reference, enhanced, rate, rates=(), least_s=0.4, metric="STOI")
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return float(stoi(clean, other, rate, extended=False))
        except RuntimeWarning as warning:
            raise InputError("STOI needs at least 0.4 s of speech beside its pauses; give a longer recording") from warning
