"""NIQE, a quality score that needs no reference (Mittal, Soundararajan and Bovik, IEEE SPL 2013); lower is better.

Statistics of a picture's locally normalised luminance, in blocks of 96 pixels at two scales, are compared with those of pristine
pictures. The parameters of those are the authors' own, in the file that BasicSR publishes.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import scipy.ndimage
from scipy.special import gamma

from talkhead_core.errors import NotAvailableError
from talkhead_core.types import FloatArray, Image
from talkhead_core.weights.official_file import official_file

__all__ = ["NIQE_FILE", "Niqe", "block_features", "generalised_gaussian", "halved", "load_niqe"]

NIQE_FILE = "niqe_pris_params.npz"
_BLOCK = 96
_SHIFTS = ((0, 1), (1, 0), (1, 1), (1, -1))
_NAMES = ("mu_pris_param", "cov_pris_param", "gaussian_window")


class Niqe:
    """NIQE with given parameters.

    Args:
        mean: ``[36]`` of pristine pictures' features.
        covariance: ``[36, 36]`` of them.
        window: ``[7, 7]``, what luminance is normalised over.
    """

    def __init__(self, mean: FloatArray, covariance: FloatArray, window: FloatArray) -> None:
        self._mean, self._covariance, self._window = mean.ravel(), covariance, window

    def score(self, image: Image) -> float:
        """Of an RGB frame ``[H, W, 3]`` uint8 ; NaN where it holds fewer than two blocks."""
        if min(image.shape[:2]) < _BLOCK:
            return float("nan")
        features = block_features(luminance(image), self._window)
        features = features[np.isfinite(features).all(axis=1)]
        if len(features) < 2:
            return float("nan")
        difference = self._mean - features.mean(axis=0)
        spread = np.linalg.pinv((self._covariance + np.cov(features, rowvar=False)) / 2)
        return float(np.sqrt(max(difference @ spread @ difference, 0.0)))


def luminance(image: Image) -> FloatArray:
    """Y of YCbCr (BT.601, 16 to 235), rounded, ``[H, W]`` float64."""
    return np.round(image.astype(np.float64) @ np.array([65.481, 128.553, 24.966]) / 255 + 16)


def block_features(luma: FloatArray, window: FloatArray) -> FloatArray:
    """36 features of each whole block ``[blocks, 36]``: 18 at full, 18 at half size."""
    rows, columns = luma.shape[0] // _BLOCK, luma.shape[1] // _BLOCK
    image = luma[: rows * _BLOCK, : columns * _BLOCK]
    scales = []
    for size in (_BLOCK, _BLOCK // 2):
        mean = scipy.ndimage.convolve(image, window, mode="nearest")
        spread = np.sqrt(np.abs(scipy.ndimage.convolve(image**2, window, mode="nearest") - mean**2))
        normalised = (image - mean) / (spread + 1)
        blocks = [normalised[y * size : (y + 1) * size, x * size : (x + 1) * size] for x in range(columns) for y in range(rows)]
        scales.append(np.array([_features(block) for block in blocks]).reshape(-1, 18))
        image = halved(image)
    return np.concatenate(scales, axis=1)


def _features(block: FloatArray) -> list[float]:
    shape, left, right = generalised_gaussian(block)
    features = [shape, (left + right) / 2]
    for shift in _SHIFTS:
        shape, left, right = generalised_gaussian(block * np.roll(block, shift, axis=(0, 1)))
        mean = (right - left) * gamma(2 / shape) / gamma(1 / shape)
        features += [shape, mean, left, right]
    return features


def generalised_gaussian(values: FloatArray) -> tuple[float, float, float]:
    """Shape and the scales left and right of zero of an asymmetric generalised Gaussian, by matching moments (Lasmar et al. 2009)."""
    flat = values.ravel()
    negative, positive = flat[flat < 0], flat[flat > 0]
    if not len(negative) or not len(positive):
        return float("nan"), float("nan"), float("nan")
    left, right = np.sqrt((negative**2).mean()), np.sqrt((positive**2).mean())
    ratio = left / right
    peakedness = np.abs(flat).mean() ** 2 / (flat**2).mean()
    wanted = peakedness * (ratio**3 + 1) * (ratio + 1) / (ratio**2 + 1) ** 2
    shapes, expected = _shape_table()
    shape = float(shapes[np.argmin((expected - wanted) ** 2)])
    scale = np.sqrt(gamma(1 / shape) / gamma(3 / shape))
    return shape, float(left * scale), float(right * scale)


@cache
def _shape_table() -> tuple[FloatArray, FloatArray]:
    shapes = np.arange(0.2, 10.001, 0.001)
    return shapes, gamma(2 / shapes) ** 2 / (gamma(1 / shapes) * gamma(3 / shapes))


def halved(image: FloatArray) -> FloatArray:
    """Half the size by MATLAB's bicubic ``imresize`` with its antialiasing: eight taps, the border mirrored."""
    distance = np.array([3.5, 2.5, 1.5, 0.5, 0.5, 1.5, 2.5, 3.5]) / 2
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    taps = np.where(distance <= 1, near, far)
    taps /= taps.sum()
    padded = cv2.copyMakeBorder(image, 3, 4, 3, 4, cv2.BORDER_REFLECT)
    rows = sum(tap * padded[offset : offset + image.shape[0] : 2] for offset, tap in enumerate(taps))
    return np.asarray(sum(tap * rows[:, offset : offset + image.shape[1] : 2] for offset, tap in enumerate(taps)))


def load_niqe(weights: Path) -> Niqe:
    """NIQE with the authors' parameters.

    Args:
        weights: the folder of the weight store.

    Raises:
        NotAvailableError: the file is missing or is another.
    """
    path = official_file("metric 'niqe'", weights, (NIQE_FILE,), "niqe")
    try:
        with np.load(path, allow_pickle=False) as parameters:
            mean, covariance, window = (np.asarray(parameters[name], np.float64) for name in _NAMES)
        if mean.size != 36 or covariance.shape != (36, 36) or window.ndim != 2:
            raise ValueError(f"shapes {mean.shape}, {covariance.shape}, {window.shape}")
    except (KeyError, ValueError, OSError, zipfile.BadZipFile, zlib.error, tokenize.TokenError) as error:  # NumPy reads a header as Python
        raise NotAvailableError(f"{path} does not hold NIQE's parameters ({error}); run 'talkhead models pull niqe'") from error
    return Niqe(mean, covariance, window)
