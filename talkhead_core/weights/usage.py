"""Which weights a speaker's output rests on, and whether they may be used for money."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from talkhead_core.errors import ParameterError
from talkhead_core.weights.catalogue import CATALOGUE, WeightSet

__all__ = ["BundledWeights", "bundled_in_use", "check_commercial", "sets_in_use"]


@dataclass(frozen=True, kw_only=True)
class BundledWeights:
    """Weights that come inside an installed package.

    Args:
        what: they are.
        licence: of them.
        commercial: whether commercial use is allowed.
        chosen_by: ``(section, key, value)`` with which the output rests on them; None where it always does.
    """

    what: str
    licence: str
    commercial: bool = True
    chosen_by: tuple[str, str, str] | None = None


_BUNDLED = (
    BundledWeights(what="MediaPipe face mesh, hands, pose and selfie segmentation (in its wheel)", licence="Apache-2.0"),
    BundledWeights(
        what="Google's speech embedding (in the wheel of openwakeword)",
        licence="Apache-2.0",
        chosen_by=("speech_features", "method", "speech_embedding"),
    ),
)


def bundled_in_use(parameters: Mapping[str, Mapping[str, Any]]) -> list[BundledWeights]:
    """Weights inside packages that these parameters use; see :func:`sets_in_use`."""
    return [each for each in _BUNDLED if each.chosen_by is None or _chosen(parameters, each.chosen_by)]


def sets_in_use(parameters: Mapping[str, Mapping[str, Any]]) -> list[WeightSet]:
    """The sets of the catalogue that these parameters choose.

    Args:
        parameters: section of ``params.yaml`` -> its values for one speaker; sections may be missing.
    """
    return [each for each in CATALOGUE.values() if any(_chosen(parameters, choice) for choice in each.chosen_by)]


def check_commercial(parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse what may not be used commercially.

    Raises:
        ParameterError: the first back end whose weights forbid it, and what to set instead.
    """
    for each in sets_in_use(parameters):
        if not each.commercial:
            section, key, value = next(choice for choice in each.chosen_by if _chosen(parameters, choice))
            raise ParameterError(
                f"{section}.{key} is {value!r}, whose weights may not be used commercially ({each.licence}); "
                "choose another back end in params.yaml, or leave out --commercial-safe"
            )


def _chosen(parameters: Mapping[str, Mapping[str, Any]], choice: tuple[str, str, str]) -> bool:
    """Whether ``section.key`` is the value, or several joined by ``+`` of which it is one."""
    section, key, value = choice
    return value in str((parameters.get(section) or {}).get(key)).split("+")
