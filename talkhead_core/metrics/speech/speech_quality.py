"""Every speech metric of one pair, or of folders of pairs, after alignment."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from talkhead_core.errors import InputError
from talkhead_core.media.audio_file import SPEECH_SAMPLE_RATE_HZ, read_audio
from talkhead_core.metrics.speech.composite import composite_scores
from talkhead_core.metrics.speech.log_likelihood_ratio import log_likelihood_ratio
from talkhead_core.metrics.speech.mel_cepstral_distortion import mel_cepstral_distortion_db
from talkhead_core.metrics.speech.perceptual import pesq_mos, stoi_score
from talkhead_core.metrics.speech.segmental_snr import segmental_snr_db
from talkhead_core.metrics.speech.si_sdr import si_sdr_db
from talkhead_core.metrics.speech.signal_alignment import aligned_pair
from talkhead_core.metrics.speech.weighted_spectral_slope import weighted_spectral_slope
from talkhead_core.progress import Progress, silent, tracked
from talkhead_core.types import FloatArray

__all__ = ["COLUMNS", "paired_files", "speech_quality", "speech_quality_table", "suffixed_pairs", "versions_beside"]

COLUMNS = {
    "pesq_wb": "PESQ, wide band (P.862.2)",
    "pesq_nb": "PESQ, narrow band (P.862.1)",
    "csig": "CSIG",
    "cbak": "CBAK",
    "covl": "COVL",
    "stoi": "STOI",
    "si_sdr_db": "SI-SDR, dB",
    "snrseg_db": "SNRseg, dB",
    "mcd_db": "MCD, dB",
    "wss": "WSS",
    "llr": "LLR",
}
"""Column -> what a table calls it. WildTalker's Table 3 has the first and the next three, RAE-NeRF's figures 5 and 6 STOI to WSS."""

_CLEAN = "_clean"
_AUDIO_SUFFIXES = {".wav", ".flac", ".mp3", ".m4a", ".aac", ".ogg", ".opus"}


def speech_quality(reference: FloatArray, enhanced: FloatArray, rate: int = SPEECH_SAMPLE_RATE_HZ) -> dict[str, float]:
    """All figures of ``COLUMNS``, and ``delay_ms``, by which the enhanced signal was late before it was aligned.

    Args:
        reference: clean speech, mono ``[samples]``.
        enhanced: the same speech to judge; may be delayed or trimmed by a little.
        rate: samples a second of both: 16000, where all of the measures are defined.

    Raises:
        InputError: another rate, silence, too short, or lengths that differ by more than half a second.
    """
    if rate != SPEECH_SAMPLE_RATE_HZ:
        raise InputError(f"speech quality is measured at {SPEECH_SAMPLE_RATE_HZ} Hz, not {rate} Hz; resample both signals")
    pair = aligned_pair(reference, enhanced, rate)
    clean, other = pair.reference, pair.enhanced
    figures = {
        "pesq_wb": pesq_mos(clean, other, rate, "wide"),
        "pesq_nb": pesq_mos(clean, other, rate, "narrow"),
        "stoi": stoi_score(clean, other, rate),
        "si_sdr_db": si_sdr_db(clean, other, rate),
        "snrseg_db": segmental_snr_db(clean, other, rate),
        "mcd_db": mel_cepstral_distortion_db(clean, other, rate),
        "wss": weighted_spectral_slope(clean, other, rate),
        "llr": log_likelihood_ratio(clean, other, rate),
    }
    ratings = composite_scores(pesq=figures["pesq_wb"], llr=figures["llr"], wss=figures["wss"], segmental_snr_db=figures["snrseg_db"])
    figures |= {"csig": ratings.signal_distortion, "cbak": ratings.background, "covl": ratings.overall}
    ordered = {name: figures[name] for name in COLUMNS}
    return ordered | {"delay_ms": 1000 * pair.delay_samples / rate}


def speech_quality_table(pairs: Mapping[str, tuple[Path, Path]], progress: Progress = silent) -> pd.DataFrame:
    """One row per pair and a last row ``mean``; columns as ``speech_quality`` names them.

    Args:
        pairs: name -> (reference file, enhanced file), sound or video files of any rate.
        progress: called after every pair.

    Raises:
        InputError: no pairs, or a pair that cannot be compared; the message names it.
    """
    if not pairs:
        raise InputError("no pairs of reference and enhanced speech to compare")
    rows = {}
    for name, (reference, enhanced) in tracked(pairs.items(), len(pairs), progress):
        try:
            rows[name] = speech_quality(read_audio(reference), read_audio(enhanced))
        except InputError as error:
            raise InputError(f"{name}: {error}") from error
    table = pd.DataFrame.from_dict(rows, orient="index")
    finite = table.replace([np.inf, -np.inf], np.nan)
    table.loc["mean"] = finite.mean()
    return table


def paired_files(reference: Path, enhanced: Path) -> dict[str, tuple[Path, Path]]:
    """Pairs for :func:`speech_quality_table` from two files, or from two folders whose files share their stems.

    A reference may end in ``_clean``: ``take_clean.wav`` is the reference of ``take.wav`` and of ``take_anything.wav``.

    Raises:
        InputError: a path is missing, one is a folder and the other is not, or the folders share no stem.
    """
    for path in (reference, enhanced):
        if not path.exists():
            raise InputError(f"{path}: no such file or folder")
    if reference.is_dir() != enhanced.is_dir():
        raise InputError(f"{reference} and {enhanced}: give two files or two folders")
    if not reference.is_dir():
        return {enhanced.stem: (reference, enhanced)}
    stems = {path.stem: path for path in _sounds(reference)}
    cleans = {stem.removesuffix(_CLEAN): path for stem, path in stems.items() if stem.endswith(_CLEAN)}
    pairs = {}
    for path in _sounds(enhanced):
        utterance = next((name for name in cleans if path.stem == name or path.stem.startswith(f"{name}_")), None)
        clean = stems.get(path.stem) if utterance is None else cleans[utterance]
        if clean is not None and clean != path:
            pairs[path.stem] = (clean, path)
    if not pairs:
        raise InputError(f"{reference} and {enhanced} share no file name; a pair has the same stem in both, or NAME and NAME{_CLEAN}")
    return pairs


def versions_beside(cleans: Mapping[str, Path]) -> dict[str, dict[str, tuple[Path, Path]]]:
    """Other versions of the same utterances in the references' own folder.

    Args:
        cleans: name -> its reference file.

    Returns:
        system (``noisy``, ...) -> name -> (reference file, that system's file), for the systems that have every utterance, so that
        their means compare; empty where no reference's name ends in ``_clean``.
    """
    systems: dict[str, dict[str, tuple[Path, Path]]] = {}
    for name, clean in cleans.items():
        if clean.stem.endswith(_CLEAN):
            utterance = clean.stem.removesuffix(_CLEAN)
            for path in _sounds(clean.parent):
                if path != clean and path.stem.startswith(f"{utterance}_"):
                    systems.setdefault(path.stem.removeprefix(f"{utterance}_"), {})[name] = (clean, path)
    return {system: pairs for system, pairs in systems.items() if len(pairs) == len(cleans)}


def suffixed_pairs(folder: Path, reference: str = "clean") -> dict[str, dict[str, tuple[Path, Path]]]:
    """Pairs from one folder with files such as ``p232_032_clean.wav`` and ``p232_032_noisy.wav``.

    Args:
        folder: holds the files.
        reference: what the reference's names end in.

    Returns:
        system (``noisy``, ...) -> utterance -> (reference file, enhanced file).

    Raises:
        InputError: no reference, or nothing beside it.
    """
    systems: dict[str, dict[str, tuple[Path, Path]]] = {}
    files = _sounds(folder)
    for clean in (path for path in files if path.stem.endswith(f"_{reference}")):
        utterance = clean.stem.removesuffix(f"_{reference}")
        for path in files:
            if path != clean and path.stem.startswith(f"{utterance}_"):
                systems.setdefault(path.stem.removeprefix(f"{utterance}_"), {})[utterance] = (clean, path)
    if not systems:
        raise InputError(f"{folder}: no file ends in _{reference} with another version beside it")
    return systems


def _sounds(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in _AUDIO_SUFFIXES)
