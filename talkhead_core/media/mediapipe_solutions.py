"""MediaPipe, whose models look at pictures, without what its package imports to draw and to record."""

from __future__ import annotations

import sys
from functools import cache
from types import ModuleType
from typing import Any

__all__ = ["mediapipe_package"]

_NOT_NEEDED = ("matplotlib", "matplotlib.pyplot", "sounddevice")


@cache
def mediapipe_package() -> Any:
    """The package ``mediapipe``, loaded in half the time: drawing and recording are not in it unless they were loaded before."""
    absent = [name for name in _NOT_NEEDED if name not in sys.modules]
    sys.modules |= {name: ModuleType(name) for name in absent}
    try:
        import mediapipe
    finally:
        for name in absent:
            del sys.modules[name]
    return mediapipe
