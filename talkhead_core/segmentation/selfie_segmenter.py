"""MediaPipe's selfie segmentation, whose weights come inside its wheel."""

from __future__ import annotations

import cv2
import numpy as np

from talkhead_core.media.mediapipe_solutions import mediapipe_package
from talkhead_core.types import FloatArray, Image

__all__ = ["SelfieSegmenter"]

_INPUT_SIZE_PX = 256


class SelfieSegmenter:
    """Person probability from the general selfie model (256 x 256 input; Google, 2021)."""

    def __init__(self, weights: str | None = None) -> None:
        self._model = mediapipe_package().solutions.selfie_segmentation.SelfieSegmentation(model_selection=0)

    def __call__(self, image: Image) -> FloatArray:
        """RGB ``[H, W, 3]`` to the probability of a person ``[H, W]`` float32 in [0, 1]."""
        height, width = image.shape[:2]
        # Resized here because the graph would return its mask at the image's size through a slower path.
        small = cv2.resize(image, (_INPUT_SIZE_PX, _INPUT_SIZE_PX), interpolation=cv2.INTER_AREA)
        mask = np.asarray(self._model.process(small).segmentation_mask, dtype=np.float32)
        return np.asarray(cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
