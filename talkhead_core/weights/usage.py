"""Which weights a speaker's output rests on, and whether they may be used for money."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkhead_core.errors import ParameterError
from talkhead_core.weights.catalogue import CATALOGUE, WeightSet

__all__ = ["BUNDLED", "check_commercial", "sets_in_use"]

BUNDLED = (("MediaPipe face mesh, hands, pose and selfie segmentation (in its wheel)", "Apache-2.0", True),)
"""Weights that come with a package and touch every output: what, licence, commercial use."""


def sets_in_use(parameters: Mapping[str, Mapping[str, Any]]) -> list[WeightSet]:
    """The sets of the catalogue that these parameters choose.

    Args:
        parameters: section of ``params.yaml`` -> its values for one speaker; sections may be missing.
    """
    return [
        each
        for each in CATALOGUE.values()
        if any((parameters.get(section) or {}).get(key) == value for section, key, value in each.chosen_by)
    ]


def check_commercial(parameters: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse what may not be used commercially.

    Raises:
        ParameterError: the first back end whose weights forbid it, and what to set instead.
    """
    for each in sets_in_use(parameters):
        if not each.commercial:
            section, key, value = next(choice for choice in each.chosen_by if (parameters.get(choice[0]) or {}).get(choice[1]) == choice[2])
            raise ParameterError(
                f"{section}.{key} is {value!r}, whose weights may not be used commercially ({each.licence}); "
                "choose another back end in params.yaml, or leave out --commercial-safe"
            )
