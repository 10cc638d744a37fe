"""Scores of one rendered frame against its reference, region by region."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from talkhead_core.metrics.motion import flicker_levels
from talkhead_core.metrics.psnr import psnr_db, squared_error
from talkhead_core.metrics.regions import face_mask, mouth_mask, torso_mask
from talkhead_core.metrics.seam import join_ratio, seam_levels, seam_ratio
from talkhead_core.metrics.ssim import ssim_in, ssim_map_and_ms_ssim
from talkhead_core.types import FloatArray, Image

__all__ = ["FrameScorer", "ReferenceFrame", "region_masks"]

_SSIM_REGIONS = ("head", "face", "mouth", "torso")


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceFrame:
    """The ground truth of one frame and what is known about it, all at the size of the rendered frame.

    Args:
        frame_id: the frame.
        image: ``[H, W, 3]`` uint8.
        masks: what :func:`region_masks` returned.
        labels: ``[H, W]`` uint8, or None.
    """

    frame_id: int
    image: Image
    masks: Mapping[str, np.ndarray | None]
    labels: np.ndarray | None = None


def region_masks(
    points_px: FloatArray,
    height: int,
    width: int,
    *,
    head: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    transient: np.ndarray | None = None,
) -> dict[str, np.ndarray | None]:
    """The masks ``[H, W]`` bool of every region that can be told; ``full`` is None, which means every pixel.

    Args:
        points_px: the reference's face mesh in pixels of this size; NaN without a face.
        height: pixels.
        width: pixels.
        head: ``region.mkv``'s frame, ``[H, W]`` uint8.
        labels: ``labels.mkv``'s frame, ``[H, W]`` uint8.
        transient: ``transient.mkv``'s frame, ``[H, W]`` uint8.
    """
    masks: dict[str, np.ndarray | None] = {
        "full": None,
        "face": face_mask(points_px, height, width),
        "mouth": mouth_mask(points_px, height, width),
    }
    if head is not None:
        masks["head"] = head >= 128
    if labels is not None:
        masks["torso"] = torso_mask(labels)
    if transient is not None:
        masks["outside_transient"] = transient < 128
    return masks


class FrameScorer:
    """Scores one video frame after frame; it remembers the last pair for flicker.

    Args:
        regions: the regions that PSNR is given for; those a frame has no mask for score NaN.
        extra: column name -> function of (reference, rendered) for metrics with weights or models of their own.
        extra_every: they are computed for every so many frames, NaN in between.
    """

    def __init__(
        self,
        regions: Sequence[str],
        extra: Mapping[str, Callable[[Image, Image], float]] | None = None,
        extra_every: int = 1,
    ) -> None:
        self._regions = tuple(regions)
        self._extra = dict(extra or {})
        self._every = extra_every
        self._count = 0
        self._previous: tuple[int, Image, Image] | None = None

    def score(self, reference: ReferenceFrame, rendered: Image) -> dict[str, float]:
        """Column name -> value for one frame; NaN where a region is empty or not known.

        Args:
            reference: the ground truth.
            rendered: ``[H, W, 3]`` uint8, of the same size.
        """
        scores: dict[str, float] = {}
        squared = squared_error(reference.image, rendered)
        similarity, multi_scale = ssim_map_and_ms_ssim(reference.image, rendered)
        for region in self._regions:
            known = region in reference.masks
            scores[f"psnr_{region}"] = psnr_db(squared, reference.masks[region]) if known else float("nan")
            if region in _SSIM_REGIONS:
                scores[f"ssim_{region}"] = ssim_in(similarity, reference.masks[region]) if known else float("nan")
        scores["ssim"] = ssim_in(similarity)
        scores["ms_ssim"] = multi_scale
        scores["flicker_levels"] = self._flicker(reference, rendered)
        if reference.labels is not None:
            scores["seam_levels"] = seam_levels(reference.image, rendered, reference.labels)
            scores["seam_ratio"] = seam_ratio(reference.image, rendered, reference.labels)
            head = reference.masks.get("head")
            if head is not None:
                scores["join_ratio"] = join_ratio(reference.image, rendered, reference.labels, head)
        for name, metric in self._extra.items():
            scores[name] = metric(reference.image, rendered) if self._count % self._every == 0 else float("nan")
        self._previous = (reference.frame_id, reference.image, rendered)
        self._count += 1
        return scores

    def _flicker(self, reference: ReferenceFrame, rendered: Image) -> float:
        if self._previous is None or self._previous[0] != reference.frame_id - 1:
            return float("nan")
        _, before, rendered_before = self._previous
        return flicker_levels(reference.image, rendered, before, rendered_before, reference.masks.get("face"))
