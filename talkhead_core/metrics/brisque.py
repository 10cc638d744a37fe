"""BRISQUE, a quality score that needs no reference (Mittal, Moorthy, Bovik, IEEE TIP 2012); lower is better.

Computed by the package ``brisque`` 0.2.0 with its own model (optional extra ``brisque``). The score depends on the size of the
frame and is meant for whole pictures, not for regions.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from importlib import import_module

from talkhead_core.errors import NotAvailableError
from talkhead_core.types import Image

__all__ = ["load_brisque"]


def load_brisque() -> Callable[[Image], float]:
    """A function from an RGB frame ``[H, W, 3]`` uint8 to its score.

    Raises:
        NotAvailableError: the package is not installed.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the package imports a module that SciPy has renamed
            model = import_module("brisque").BRISQUE(url=False)
    except ImportError as error:
        raise NotAvailableError(f"metric 'brisque' needs the package brisque ({error}); run \"pip install -e '.[brisque]'\"") from error

    def score(image: Image) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # the package's own, once per feature
            return round(float(model.score(img=image)), 6)  # its last digits differ from run to run

    return score
