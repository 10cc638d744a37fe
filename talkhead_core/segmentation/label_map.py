"""One frame's labels: background, torso, neck, head, hands."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from talkhead_core.media.mask_morphology import bounding_box, closed, grown, joined_to, without_holes
from talkhead_core.parameters import require
from talkhead_core.segmentation.face_geometry import FaceGeometry, filled
from talkhead_core.segmentation.hand_region import hand_region
from talkhead_core.segmentation.limb_detector import LimbDetector
from talkhead_core.segmentation.limb_tracker import with_limbs
from talkhead_core.segmentation.limbs import NO_LIMBS, Limbs
from talkhead_core.segmentation.long_hair import LongHair
from talkhead_core.segmentation.segmenter import SEGMENTERS, FaceParser, PersonParts
from talkhead_core.segmentation.skin_colour import SkinColour
from talkhead_core.types import FloatArray, Image, Label

__all__ = ["LabelMapper", "SegmentationConfig", "label_frames"]

_SPECK = 1e-3
_NECK_RATE = 0.03  # a frame
_SKIN_INTERVAL = 5  # frames from one look at the skin's colour to the next


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig:
    """How frames are labelled.

    Args:
        segmenter: person segmentation back end.
        person_threshold: a pixel is person where the probability is at least this.
        hands: look for hands.
        hand_stride: look for hands on every n-th frame, interpolate between.
        plate_margin: pixels nearer to the person than this share of the frame's height are not background.
        weights: path of the weight file, for the segmenters that need one.
    """

    segmenter: str = "selfie"
    person_threshold: float = 0.5
    hands: bool = True
    hand_stride: int = 3
    plate_margin: float = 0.02
    weights: str | None = None

    def __post_init__(self) -> None:
        require(self.segmenter in SEGMENTERS, f"segmenter must be one of {', '.join(SEGMENTERS)}, not {self.segmenter!r}")
        require(0.0 < self.person_threshold < 1.0, f"person_threshold must be in (0, 1), not {self.person_threshold}")
        require(self.hand_stride >= 1, f"hand_stride must be at least 1, not {self.hand_stride}")
        require(0.0 <= self.plate_margin < 0.2, f"plate_margin must be in [0, 0.2), not {self.plate_margin}")


class LabelMapper:
    """Turns person probability, landmarks and hands of one frame after another into labels."""

    def __init__(self, config: SegmentationConfig) -> None:
        self._threshold = config.person_threshold
        self._skin, self._long_hair = SkinColour(memory=0.95**_SKIN_INTERVAL), LongHair()
        self._frames = 0
        self._neck_support: FloatArray | None = None  # how much of the time each pixel was neck lately
        self._skin_support: FloatArray | None = None  # the same for neck or head

    def __call__(
        self, image: Image, probability: FloatArray, points: FloatArray | None, limbs: Limbs, parts: PersonParts | None = None
    ) -> np.ndarray:
        """Labels ``[H, W]`` uint8 of :class:`talkhead_core.types.Label`.

        Args:
            image: RGB ``[H, W, 3]``.
            probability: of a person, ``[H, W]``.
            points: face landmarks ``[>= 468, 2 or 3]`` in pixels, None where the face is not known.
            limbs: hands and arms.
            parts: head and neck, where the segmenter knows them; else they follow from the landmarks and the skin's colour.
        """
        shape = (image.shape[0], image.shape[1])
        person = _without_specks(probability >= self._threshold)
        labels = np.where(person, np.uint8(Label.TORSO), np.uint8(Label.BACKGROUND))
        if points is not None:
            geometry = FaceGeometry.of(points)
            if self._frames % _SKIN_INTERVAL == 0:
                self._skin.update(image, geometry.skin_points, 0.03 * geometry.height_px)
            self._frames += 1
        if parts is not None:
            labels[person & parts.neck], labels[person & parts.head] = Label.NECK, Label.HEAD
        elif points is not None:
            head = person & filled(geometry.head_polygon(), shape)
            labels[head | self._long_hair(image, geometry, person, head)] = Label.HEAD
        if limbs.any:  # before the neck is: the arm of a hand that rests below the chin is skin, too
            self._add_hands(labels, image, limbs)
        if parts is None and points is not None:
            self._add_neck(labels, image, geometry)
        return labels

    def _add_hands(self, labels: np.ndarray, image: Image, limbs: Limbs) -> None:
        allowed = labels == Label.TORSO
        if self._neck_support is not None:
            allowed &= self._neck_support < 0.5
        labels[hand_region(limbs, self._skin.mask(image), allowed)] = Label.HANDS

    def _add_neck(self, labels: np.ndarray, image: Image, geometry: FaceGeometry) -> None:
        """Label the skin below the jaw that hangs together with it, and what it encloses (shadows, a chain)."""
        zone = filled(geometry.neck_polygon(), (image.shape[0], image.shape[1]))
        box = bounding_box(zone, border_px=8)
        if box is None:
            return
        torso = labels[box] == Label.TORSO
        seed = filled(geometry.under_chin_polygon() - (box[1].start, box[0].start), (torso.shape[0], torso.shape[1])) & torso
        below = (zone[box] | seed) & torso
        skin = closed((below & self._skin.mask(image[box])) | seed, 0.03 * geometry.height_px) & below
        neck = np.zeros(labels.shape, np.uint8)
        neck[box] = without_holes(joined_to(skin, seed)) & torso
        bare = neck | (labels == Label.HEAD).astype(np.uint8)
        if self._neck_support is None or self._skin_support is None:
            self._neck_support, self._skin_support = neck.astype(np.float32), bare.astype(np.float32)
        seen = np.ones(labels.shape, np.uint8)
        seen[grown(labels == Label.HANDS, 0.1 * geometry.height_px)] = 0
        cv2.accumulateWeighted(neck, self._neck_support, _NECK_RATE, mask=seen)
        cv2.accumulateWeighted(bare, self._skin_support, _NECK_RATE, mask=seen)
        # Only what has been neck for a while, or what the chin hid until it was lifted: a hand that passes below the chin is skin, too.
        lasting = grown(self._skin_support[box] > 0.5, 0.06 * geometry.height_px)
        labels[box][neck[box].astype(bool) & lasting] = Label.NECK


def label_frames(
    frames: Iterable[Image], points: FloatArray, detected: np.ndarray, config: SegmentationConfig
) -> Iterator[tuple[Image, np.ndarray]]:
    """Yield every frame with its labels ``[H, W]``.

    Args:
        frames: RGB frames in order of frame id.
        points: landmarks ``[N, >= 468, 2 or 3]``, row i for frame id i.
        detected: boolean ``[N]``; frames without a face take the landmarks of the nearest frame with one.
        config: the settings.
    """
    segmenter, mapper = SEGMENTERS.get(config.segmenter)(config.weights), LabelMapper(config)
    nearest = nearest_detected(detected)
    pairs = with_limbs(frames, LimbDetector(), config.hand_stride) if config.hands else ((frame, NO_LIMBS) for frame in frames)
    for index, (frame, limbs) in enumerate(pairs):
        face = points[nearest[index]] if nearest is not None else None
        parts = segmenter.parts(frame) if isinstance(segmenter, FaceParser) else None
        yield frame, mapper(frame, segmenter(frame) if parts is None else parts.person, face, limbs, parts)


def nearest_detected(detected: np.ndarray) -> np.ndarray | None:
    """For every frame the index ``[N]`` of the nearest frame with a face; None where no frame has one."""
    known = np.flatnonzero(detected)
    if not len(known):
        return None
    after = np.clip(np.searchsorted(known, np.arange(len(detected))), 0, len(known) - 1)
    before = np.maximum(after - 1, 0)
    ids = np.arange(len(detected))
    return np.where(np.abs(known[before] - ids) <= np.abs(known[after] - ids), known[before], known[after])


def _without_specks(person: np.ndarray) -> np.ndarray:
    """``person`` ``[H, W]`` without components and holes smaller than a thousandth of the image."""
    height, width = person.shape
    result = person
    for value in (True, False):
        half = (result[::2, ::2] == value).astype(np.uint8)
        _, components, statistics, _ = cv2.connectedComponentsWithStats(half, connectivity=4)
        small = statistics[:, cv2.CC_STAT_AREA] < _SPECK * half.size
        small[0] = False
        if small.any():
            specks = cv2.dilate(small[components].astype(np.uint8), np.ones((3, 3), np.uint8))
            specks = cv2.resize(specks, (width, height), interpolation=cv2.INTER_NEAREST).astype(bool)
            # Grown by a pixel of half the size, a speck can touch what is large, which must stay.
            large = cv2.resize((half - small[components]).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
            result = np.where(specks & (result == value) & (large == 0), not value, result)
    return result
