"""Face parsing by BiSeNet: where skin, hair, neck and clothes are."""

from __future__ import annotations

import re

import cv2
import numpy as np

from talkhead_core.segmentation.segmenter import PersonParts
from talkhead_core.types import FloatArray, Image
from talkhead_core.weights.official_file import fill, official_file, read_state

__all__ = ["BISENET_FILE", "BiSeNetSegmenter"]

BISENET_FILE = "79999_iter.pth"

_SIZE_PX = 512  # what it was trained on
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BACKGROUND, _NECK, _CLOTH = (0,), (14, 15), (16,)
_TRAINING_ONLY = re.compile(r"^conv_out(16|32)\.")


class BiSeNetSegmenter:
    """The 19-class parser of AD-NeRF's preparation (zllrunning's ``face-parsing.PyTorch``).

    Args:
        weights: ``79999_iter.pth``, or the folder that holds it.

    Raises:
        NotAvailableError: the file is missing or is another network's.
    """

    def __init__(self, weights: str | None = None) -> None:
        path = official_file("segmenter 'bisenet'", weights, (BISENET_FILE,), "bisenet")
        state = read_state(path, "bisenet")
        import torch  # after the file is known to be there

        from talkhead_core.segmentation.bisenet_network import BiSeNet

        self._torch, self._network = torch, BiSeNet()
        given = {name: tensor for name, tensor in state.items() if not _TRAINING_ONLY.search(name)}
        fill(self._network, given, path, "the face parser's", "bisenet")

    def __call__(self, image: Image) -> FloatArray:
        """RGB ``[H, W, 3]`` to the probability of a person ``[H, W]`` float32 in [0, 1]."""
        return self.parts(image).person

    def parts(self, image: Image) -> PersonParts:
        """RGB ``[H, W, 3]`` to the person's parts."""
        height, width = image.shape[:2]
        small = cv2.resize(image, (_SIZE_PX, _SIZE_PX), interpolation=cv2.INTER_AREA if height > _SIZE_PX else cv2.INTER_LINEAR)
        normalised = ((small / 255.0 - _MEAN) / _STD).astype(np.float32).transpose(2, 0, 1)
        with self._torch.inference_mode():
            scores = self._network(self._torch.from_numpy(np.ascontiguousarray(normalised))[None])[0]
        shares = scores.softmax(dim=0).numpy()

        def share(classes: tuple[int, ...]) -> FloatArray:
            return np.asarray(cv2.resize(shares[list(classes)].sum(axis=0), (width, height), interpolation=cv2.INTER_LINEAR), np.float32)

        background, neck, cloth = share(_BACKGROUND), share(_NECK), share(_CLOTH)
        person = np.clip(1 - background, 0, 1)
        head = np.clip(person - neck - cloth, 0, 1)
        return PersonParts(person=person, head=head > np.maximum(neck, cloth), neck=(neck > head) & (neck > cloth))
