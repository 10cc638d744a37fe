"""The seam where the rendered head meets what is under it."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.types import Image, Label

__all__ = ["LARGEST_SEAM_RATIO", "join_ratio", "neck_line", "seam_levels", "seam_ratio"]

LARGEST_SEAM_RATIO = 1.3
"""Of :func:`seam_ratio` and :func:`join_ratio`: above it people see a line that the recording does not have."""

_PATCH_PX = 3  # on each side of the line
_ACROSS_PX = 1.5  # from the line to either side, where the gradient is taken; every soft edge reaches farther
_LEAST_GRADIENT = 0.5  # levels a pixel: below it a reference is flat, and a ratio to it says nothing


def neck_line(labels: np.ndarray) -> np.ndarray:
    """Head pixels that touch neck or torso, ``[H, W]`` bool.

    Args:
        labels: the reference's label frame, ``[H, W]`` uint8 (:class:`talkhead_core.types.Label`).
    """
    below = ((labels == Label.NECK) | (labels == Label.TORSO)).astype(np.uint8)
    touching = cv2.dilate(below, np.ones((3, 3), np.uint8)).astype(bool)
    return (labels == Label.HEAD) & touching


def seam_ratio(reference: Image, rendered: Image, labels: np.ndarray) -> float:
    """The gradient across the neck line over the same in the reference: 1 is as steep, more is a seam, less is blur.

    The gradient is the absolute difference of luma 1.5 px to either side of the line along its normal, averaged along the line.

    Args:
        reference: ``[H, W, 3]`` uint8.
        rendered: as ``reference``.
        labels: the reference's label frame, ``[H, W]`` uint8.

    Returns:
        NaN where head and neck do not touch, or the reference is flat there.
    """
    return _gradient_ratio(reference, rendered, neck_line(labels), labels == Label.HEAD)


def join_ratio(reference: Image, rendered: Image, labels: np.ndarray, region: np.ndarray) -> float:
    """As :func:`seam_ratio`, across the line on the person where what is rendered as head meets what is under it.

    Args:
        reference: ``[H, W, 3]`` uint8.
        rendered: as ``reference``.
        labels: the reference's label frame, ``[H, W]`` uint8.
        region: ``[H, W]`` bool, where the head is rendered.
    """
    outside = cv2.dilate((~region).astype(np.uint8), np.ones((3, 3), np.uint8)).astype(bool)
    return _gradient_ratio(reference, rendered, region & outside & ((labels == Label.NECK) | (labels == Label.TORSO)), region)


def seam_levels(reference: Image, rendered: Image, labels: np.ndarray) -> float:
    """The step across the neck line that the reference does not have, in 8-bit levels of luma.

    The error ``rendered - reference`` is averaged on either side of the line in small patches; the metric is the mean absolute
    difference of the two sides along the line. An edge that the reference has too, such as a collar, does not count; nor does
    blur, which errs alike on both sides.

    Args:
        reference: ``[H, W, 3]`` uint8.
        rendered: as ``reference``.
        labels: the reference's label frame, ``[H, W]`` uint8.

    Returns:
        NaN where head and neck do not touch.
    """
    line = neck_line(labels)
    if not line.any():
        return float("nan")
    error = _luma(rendered) - _luma(reference)
    head = (labels == Label.HEAD).astype(np.float32)
    below = ((labels == Label.NECK) | (labels == Label.TORSO)).astype(np.float32)
    above, above_weight = _patch_mean(error, head)
    under, under_weight = _patch_mean(error, below)
    usable = line & (above_weight > 0.1) & (under_weight > 0.1)
    return float(np.abs(above - under)[usable].mean()) if usable.any() else float("nan")


def _gradient_ratio(reference: Image, rendered: Image, line: np.ndarray, inside: np.ndarray) -> float:
    if not line.any():
        return float("nan")
    ends = _ends_across(line, inside)
    steep = _steepness(_luma(reference), ends)
    return _steepness(_luma(rendered), ends) / steep if steep > _LEAST_GRADIENT else float("nan")


def _ends_across(line: np.ndarray, inside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of the line's ``n`` pixels the points on either side of it along the normal, two ``[1, n, 2]`` (column, row)."""
    distance = cv2.distanceTransform(inside.astype(np.uint8), cv2.DIST_L2, 5) - cv2.distanceTransform(
        (~inside).astype(np.uint8), cv2.DIST_L2, 5
    )
    smooth = cv2.GaussianBlur(distance, (0, 0), 1.5)
    rows, columns = np.nonzero(line)
    slope = np.stack([cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)], axis=-1)[rows, columns]
    normal = slope / np.maximum(np.linalg.norm(slope, axis=1, keepdims=True), 1e-6)
    # The line's pixels lie on the inner side: half a pixel outwards is the edge.
    edge = np.stack([columns, rows], axis=1) - 0.5 * normal
    return tuple((edge + side * _ACROSS_PX * normal).astype(np.float32)[None] for side in (-1.0, 1.0))  # type: ignore[return-value]


def _steepness(luma: np.ndarray, ends: tuple[np.ndarray, np.ndarray]) -> float:
    """Mean absolute difference of the values at both ends, levels a pixel."""
    one, two = (cv2.remap(luma, points, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for points in ends)  # type: ignore[call-overload]
    return float(np.abs(one - two).mean() / (2 * _ACROSS_PX))


def _patch_mean(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    side = (2 * _PATCH_PX + 1, 2 * _PATCH_PX + 1)
    total = cv2.blur(values * weight, side)
    share = cv2.blur(weight, side)
    return total / np.maximum(share, 1e-6), share


def _luma(image: Image) -> np.ndarray:
    return np.asarray(image.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32))
