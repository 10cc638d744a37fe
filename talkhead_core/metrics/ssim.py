"""Structural similarity, in one pinned definition.

Wang et al., "Image quality assessment: from error visibility to structural similarity", IEEE TIP 2004, eq. 13:
Gaussian window of 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03, population covariance, values in [0, 255], each of
the RGB channels on its own and averaged, only where the window lies inside the frame. This equals
``skimage.metrics.structural_similarity(gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`` and
``pytorch_msssim.ssim``; other libraries' defaults differ by up to 0.2 on the same image.

Multi-scale: Wang, Simoncelli, Bovik, "Multiscale structural similarity for image quality assessment", Asilomar 2003,
eq. 7 with the five weights of its section 3.2; halved by 2x2 averages, as in ``pytorch_msssim.ms_ssim``.
"""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import Image

__all__ = ["MS_SSIM_SMALLEST_SIDE_PX", "SSIM_DEFINITION", "ms_ssim", "ssim_in", "ssim_map", "ssim_map_and_ms_ssim"]

SSIM_DEFINITION = "Wang 2004, Gaussian window 11 px sigma 1.5, K 0.01 / 0.03, population covariance, mean of R, G, B, valid area"

_WINDOW_PX = 11
_SIGMA_PX = 1.5
_MARGIN_PX = _WINDOW_PX // 2
_C1 = (0.01 * 255.0) ** 2
_C2 = (0.03 * 255.0) ** 2
_SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)

MS_SSIM_SMALLEST_SIDE_PX = (_WINDOW_PX - 1) * 2 ** (len(_SCALE_WEIGHTS) - 1) + 1
"""Below this side the coarsest of the five scales is smaller than the window."""


def ssim_map(reference: Image, rendered: Image) -> np.ndarray:
    """SSIM at every pixel, ``[H, W]`` float32; NaN within 5 px of the border, where the window does not fit.

    Args:
        reference: ``[H, W, 3]`` uint8.
        rendered: ``[H, W, 3]`` uint8.
    """
    similarity, _ = _similarity(reference.astype(np.float32), rendered.astype(np.float32))
    return _framed(similarity, reference.shape)


def ssim_in(similarity: np.ndarray, mask: np.ndarray | None = None) -> float:
    """Mean of an :func:`ssim_map` over the pixels of ``mask`` ``[H, W]`` bool that have a value; NaN where there are none."""
    values = similarity if mask is None else similarity[mask]
    values = values[~np.isnan(values)]
    return float(values.mean(dtype=np.float64)) if values.size else float("nan")


def ms_ssim(reference: Image, rendered: Image) -> float:
    """Multi-scale SSIM of the whole frame, mean over R, G, B.

    Returns:
        NaN where a side is below :data:`MS_SSIM_SMALLEST_SIDE_PX`.
    """
    return ssim_map_and_ms_ssim(reference, rendered)[1]


def ssim_map_and_ms_ssim(reference: Image, rendered: Image) -> tuple[np.ndarray, float]:
    """:func:`ssim_map` and :func:`ms_ssim`, whose finest scale is the same work."""
    first, second = reference.astype(np.float32), rendered.astype(np.float32)
    similarity, contrast = _similarity(first, second)
    finest = _framed(similarity, reference.shape)
    if min(reference.shape[:2]) < MS_SSIM_SMALLEST_SIDE_PX:
        return finest, float("nan")
    product = _channel_means(contrast) ** _SCALE_WEIGHTS[0]
    for weight in _SCALE_WEIGHTS[1:]:
        first, second = _halved(first), _halved(second)
        similarity, contrast = _similarity(first, second)
        product = product * _channel_means(similarity if weight == _SCALE_WEIGHTS[-1] else contrast) ** weight
    return finest, float(product.mean())


def _framed(similarity: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    whole = np.full(shape[:2], np.nan, dtype=np.float32)
    mean = cv2.transform(similarity, np.full((1, 3), 1.0 / 3.0, dtype=np.float32))
    whole[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX] = mean
    return whole


def _channel_means(values: np.ndarray) -> np.ndarray:
    # cv2.mean is ten times as fast as numpy's over the leading axes of interleaved channels
    return np.maximum(cv2.mean(values)[:3], 0.0)


def _similarity(first: np.ndarray, second: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """SSIM and its contrast-structure factor, ``[H - 10, W - 10, 3]``, of float images in [0, 255]."""
    mean_first, mean_second = _blurred(first), _blurred(second)
    cross = mean_first * mean_second
    squares = mean_first * mean_first + mean_second * mean_second
    variances = _blurred(first * first + second * second) - squares
    covariance = _blurred(first * second) - cross
    contrast = (2.0 * covariance + _C2) / (variances + _C2)
    return (2.0 * cross + _C1) / (squares + _C1) * contrast, contrast


def _blurred(image: np.ndarray) -> np.ndarray:
    blurred = cv2.GaussianBlur(image, (_WINDOW_PX, _WINDOW_PX), _SIGMA_PX)
    return np.ascontiguousarray(blurred[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX])


def _halved(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    # an odd side gets a zero row before and after it, of which the last is dropped: pytorch_msssim's padded average pool
    padded = np.pad(image, ((height % 2, 0), (width % 2, 0), (0, 0)))
    return np.asarray(cv2.resize(padded, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
