"""Which kernels and back ends work on this machine, and what each that does not would need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from talkhead_core.audio.denoise.denoiser import DENOISERS
from talkhead_core.audio.features import FEATURES
from talkhead_core.errors import NotAvailableError
from talkhead_core.face.landmarks import LANDMARKERS
from talkhead_core.inpaint.inpainter import INPAINTERS
from talkhead_core.kernels.selection import (
    compositing_kernels,
    hash_kernels,
    marching_kernels,
    perceptron_kernels,
    select_kernel,
    shell_kernels,
)
from talkhead_core.motion.optical_flow import OPTICAL_FLOWS
from talkhead_core.registry import Registry
from talkhead_core.segmentation.segmenter import SEGMENTERS
from talkhead_core.weights.catalogue import CATALOGUE, WeightSet

__all__ = ["BackEnd", "back_ends"]

_KINDS: tuple[tuple[str, str, str, Registry[Any]], ...] = (
    ("speech feature", "speech_features", "method", FEATURES),
    ("denoiser", "denoise", "method", DENOISERS),
    ("landmarker", "landmarks", "landmarker", LANDMARKERS),
    ("segmenter", "segment", "segmenter", SEGMENTERS),
    ("optical flow", "flow_masks", "method", OPTICAL_FLOWS),
    ("inpainter", "inpaint", "method", INPAINTERS),
)
_METRICS = {"lpips-alexnet": "LPIPS", "inception": "FID", "niqe": "NIQE", "syncnet": "LSE-C and LSE-D"}


@dataclass(frozen=True, kw_only=True)
class BackEnd:
    """One choice.

    Args:
        kind: what it is a choice of.
        name: as ``params.yaml`` calls it.
        needs: what is missing and how to get it; empty where it works.
        licence: of its weights, where it has any of its own.
        commercial: whether those may be used commercially.
    """

    kind: str
    name: str
    needs: str
    licence: str = ""
    commercial: bool = True


def back_ends(weights: Path) -> list[BackEnd]:
    """Every kernel, back end and metric with weights, in the order of the stages.

    Args:
        weights: the folder of the weight store.
    """
    return [*_stage_back_ends(weights), *_metrics(weights), *_kernels()]


def _stage_back_ends(weights: Path) -> Iterator[BackEnd]:
    for kind, section, key, registry in _KINDS:
        for name in registry:
            found = next((each for each in CATALOGUE.values() if (section, key, name) in each.chosen_by), None)
            if found is None:
                yield BackEnd(kind=kind, name=name, needs="")
            else:
                yield _with_weights(kind, name, found, weights)


def _metrics(weights: Path) -> Iterator[BackEnd]:
    for name, metric in _METRICS.items():
        yield _with_weights("metric", metric, CATALOGUE[name], weights)
    yield BackEnd(kind="metric", name="BRISQUE", needs="" if find_spec("brisque") else "pip install -e '.[brisque]'")
    yield BackEnd(kind="metric", name="AUE", needs="OpenFace's CSV beside each of both videos, as NAME.au.csv")


def _with_weights(kind: str, name: str, found: WeightSet, weights: Path) -> BackEnd:
    return BackEnd(kind=kind, name=name, needs=_missing(found, weights), licence=found.licence, commercial=found.commercial)


def _missing(found: WeightSet, weights: Path) -> str:
    parts = [f"pip install -e '.[{found.extra}]'"] if found.package and find_spec(found.package.replace("-", "_")) is None else []
    if not all((weights / file.file).is_file() for file in found.files):
        size = sum(file.size_mb for file in found.files)
        parts.append(f"talkhead models pull {found.name} ({size:.4g} MB)")
    return " and ".join(parts)


def _kernels() -> Iterator[BackEnd]:
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"
    for kernels in (shell_kernels, marching_kernels, hash_kernels, perceptron_kernels, compositing_kernels):
        chosen, _ = select_kernel(kernels, "auto", device)
        for name in kernels:
            try:
                select_kernel(kernels, name, device)
            except (NotAvailableError, ImportError) as error:
                yield BackEnd(kind=kernels.kind, name=name, needs=_reason(name, device, error))
            else:
                yield BackEnd(kind=kernels.kind, name=f"{name} (used)" if name == chosen else name, needs="")


def _reason(name: str, device: str, error: Exception) -> str:
    if name == "triton":
        parts = ["a CUDA device"] if device == "cpu" else []
        parts += ["pip install -e '.[gpu]'"] if find_spec("triton") is None else []
        return " and ".join(parts) or " ".join(str(error).split())
    return " ".join(str(error).split()).removeprefix(f"hash kernel {name!r}: ")
