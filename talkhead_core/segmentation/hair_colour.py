"""Hair that falls below the jaw, told from clothes and skin by its colour."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from talkhead_core.types import FloatArray, Image

__all__ = ["HairColour"]

# Bins of brightness (logarithmic, since hair and clothes are often both dark), red share and blue share.
_BINS = (27, 32, 16)
_SPREAD_BINS = (1.2, 1.2, 0.8)
_UNSEEN = 1e-5  # density of a colour that none of the three shows: no evidence for hair
_BRIGHTNESS_BIN = np.log2(np.arange(256) / 8 + 1) * 5


class HairColour:
    """Colour histograms of the hair around the face, of the clothes and of the face, averaged over time.

    Args:
        memory: weight of the past at each update.
    """

    def __init__(self, memory: float = 0.8) -> None:
        self._memory = memory
        self._densities: list[FloatArray] | None = None
        self._is_hair = np.zeros(int(np.prod(_BINS)), bool)

    def update(self, image: Image, hair: np.ndarray, clothes: np.ndarray, face: np.ndarray) -> None:
        """Learn from pixels that are surely hair, clothes and face, boolean ``[H, W]`` each."""
        if not (hair.any() and clothes.any() and face.any()):
            return
        new = [_density(image[pixels]) for pixels in (hair, clothes, face)]
        if self._densities is not None:
            new = [self._memory * old + (1 - self._memory) * fresh for old, fresh in zip(self._densities, new, strict=True)]
        self._densities = new
        self._is_hair = new[0] / (sum(new) + _UNSEEN) > 0.5

    def mask(self, image: Image) -> np.ndarray:
        """Boolean ``[H, W]``: pixels more like the hair than like clothes and face together. All false before an update."""
        return self._is_hair[_bins(image)]


def _density(colours: np.ndarray) -> FloatArray:
    counts = np.bincount(_bins(colours), minlength=int(np.prod(_BINS))).astype(np.float64)
    smooth = gaussian_filter(counts.reshape(_BINS), _SPREAD_BINS).ravel()
    return smooth / smooth.sum()


def _bins(colours: np.ndarray) -> np.ndarray:
    red, blue = colours[..., 0].astype(np.float32), colours[..., 2].astype(np.float32)
    total = red + colours[..., 1] + blue + 12
    brightness = _BRIGHTNESS_BIN[np.round((total - 12) / 3).astype(np.uint8)].astype(np.int32)
    red_bin = np.clip(((red + 4) / total - 0.2) * 80, 0, _BINS[1] - 1).astype(np.int32)
    blue_bin = np.clip(((blue + 4) / total - 0.13) * 60, 0, _BINS[2] - 1).astype(np.int32)
    return np.asarray((np.minimum(brightness, _BINS[0] - 1) * _BINS[1] + red_bin) * _BINS[2] + blue_bin)
