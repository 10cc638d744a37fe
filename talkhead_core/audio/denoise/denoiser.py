"""What every denoiser is, and how one is chosen and run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import numpy as np

from talkhead_core.audio.denoise.spectral_subtraction import MssConfig
from talkhead_core.audio.dnsmos import SpeechRating
from talkhead_core.audio.voice_activity import SpeechLevels, speech_levels
from talkhead_core.parameters import require
from talkhead_core.registry import Registry
from talkhead_core.types import FloatArray

__all__ = ["DENOISERS", "AutoConfig", "Decision", "DenoiseConfig", "Denoiser", "ReadBlocks", "denoise", "denoise_blocks"]

ReadBlocks = Callable[[], Iterable[FloatArray]]
"""Opens a recording: consecutive mono ``[samples]`` at 16 kHz."""


@dataclass(frozen=True, kw_only=True)
class AutoConfig:
    """When ``auto`` denoises, and how strongly.

    Args:
        clean_from_db: a recording whose band-wise signal-to-noise ratio is at least this passes untouched.
        full_below_db: below this the background is subtracted in full; in between its remainder grows.
        gentlest_floor: the smallest gain just below ``clean_from_db``.
        dnsmos: path of DNSMOS's network, or of the folder that holds it; its ratings join the decision where it is there.
        clean_background: a background that DNSMOS rates at least so, of 5, passes untouched whatever its level.
        worse_by: subtraction that lowers DNSMOS's overall rating by more than this is made gentler, or left.
    """

    clean_from_db: float = 25.0
    full_below_db: float = 20.0
    gentlest_floor: float = 0.3
    dnsmos: str | None = None
    clean_background: float = 4.0
    worse_by: float = 0.05

    def __post_init__(self) -> None:
        require(1 <= self.clean_background <= 5, f"clean_background must lie in [1, 5], not {self.clean_background}")
        require(self.worse_by >= 0, f"worse_by must not be negative, not {self.worse_by}")
        require(self.full_below_db <= self.clean_from_db, "full_below_db must not exceed clean_from_db")
        require(0 <= self.gentlest_floor <= 1, "gentlest_floor must lie in [0, 1]")


@dataclass(frozen=True, kw_only=True)
class DenoiseConfig:
    """How background noise is removed.

    Args:
        method: a name in ``DENOISERS``.
        mss: settings of multi-scale spectral subtraction, for ``mss`` and ``auto``.
        auto: when ``auto`` denoises.
        weights: path of the weight file for the denoisers that need one, or of the folder that holds it.
    """

    method: str = "auto"
    mss: MssConfig = field(default_factory=MssConfig)
    auto: AutoConfig = field(default_factory=AutoConfig)
    weights: str | None = None

    def __post_init__(self) -> None:
        require(self.method in DENOISERS, f"no denoiser called {self.method!r}; choose one of {', '.join(DENOISERS)}")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a denoiser will do to a recording, and why.

    Args:
        applied: name of the method that will run; ``none`` if the recording passes untouched.
        reasons: for a person to read.
        settings: of the method that will run.
        ratings: what DNSMOS gave each version that was weighed, where it was asked.
    """

    applied: str
    reasons: list[str]
    settings: dict[str, Any] = field(default_factory=dict)
    ratings: dict[str, SpeechRating] = field(default_factory=dict)


class Denoiser(Protocol):
    """Removes background noise from speech at 16 kHz."""

    def __init__(self, config: DenoiseConfig) -> None: ...

    def prepare(self, levels: SpeechLevels, read: ReadBlocks) -> Decision:
        """Look at a recording's levels, and listen to it where they do not tell, before :meth:`stream`; called once."""
        ...

    def stream(self, blocks: Iterable[FloatArray]) -> Iterator[FloatArray]:
        """Denoise consecutive mono ``[samples]`` of any lengths in constant memory; gives as many samples as it took."""
        ...


DENOISERS: Registry[type[Denoiser]] = Registry(
    "denoiser",
    {
        "auto": "talkhead_core.audio.denoise.auto:Auto",
        "mss": "talkhead_core.audio.denoise.mss:Mss",
        "none": "talkhead_core.audio.denoise.none:Untouched",
        "zipenhancer": "talkhead_core.audio.denoise.zipenhancer:ZipEnhancerDenoiser",
    },
)


def denoise_blocks(read: ReadBlocks, config: DenoiseConfig) -> tuple[Iterator[FloatArray], Decision, SpeechLevels]:
    """Measure a recording, decide, and denoise it block by block, in constant memory.

    Args:
        read: opens the recording: consecutive mono ``[samples]`` at 16 kHz; called more than once.
        config: the method and its settings.

    Returns:
        the denoised blocks, what was decided, and the levels before.

    Raises:
        NotAvailableError: the method's package or weights are not here.
    """
    denoiser = DENOISERS.get(config.method)(config)
    levels = speech_levels(read())
    decision = denoiser.prepare(levels, read)
    return denoiser.stream(read()), decision, levels


def denoise(audio: FloatArray, config: DenoiseConfig | None = None) -> tuple[FloatArray, dict[str, Any]]:
    """Denoise a whole recording.

    Args:
        audio: mono ``[samples]`` at 16 kHz.
        config: the method and its settings.

    Returns:
        float32 ``[samples]`` and the report that :func:`denoise_report` makes.

    Raises:
        NotAvailableError: the method's package or weights are not here.
    """
    config = config or DenoiseConfig()
    audio = np.asarray(audio, dtype=np.float32)
    blocks, decision, before = denoise_blocks(lambda: [audio], config)
    cleaned = np.concatenate([np.zeros(0, dtype=np.float32), *blocks])
    return cleaned, denoise_report(config, decision, before, speech_levels([cleaned]))


def denoise_report(config: DenoiseConfig, decision: Decision, before: SpeechLevels, after: SpeechLevels) -> dict[str, Any]:
    """What ``denoise.json`` holds; levels that do not exist (no speech, no noise) are null."""
    return {
        "method": config.method,
        "applied": decision.applied,
        "reasons": decision.reasons,
        "settings": decision.settings,
        "dnsmos": {name: {key: round(value, 3) for key, value in asdict(rating).items()} for name, rating in decision.ratings.items()},
        "before": _finite(before),
        "after": _finite(after),
    }


def _finite(levels: SpeechLevels) -> dict[str, float | None]:
    return {name: round(value, 3) if np.isfinite(value) else None for name, value in asdict(levels).items()}
