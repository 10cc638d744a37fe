"""Background noise removed from speech: a registry of methods, one decision, one report."""

from talkhead_core.audio.denoise.denoiser import (
    DENOISERS,
    AutoConfig,
    Decision,
    DenoiseConfig,
    Denoiser,
    denoise,
    denoise_blocks,
    denoise_report,
)
from talkhead_core.audio.denoise.spectral_subtraction import MssConfig

__all__ = [
    "DENOISERS",
    "AutoConfig",
    "Decision",
    "DenoiseConfig",
    "Denoiser",
    "MssConfig",
    "denoise",
    "denoise_blocks",
    "denoise_report",
]
