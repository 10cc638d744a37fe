"""The dataset layout of AD-NeRF, RAD-NeRF, ER-NeRF and SyncTalk: file names, colours and conventions, in one place.

One folder a speaker, 25 frames a second; ``N`` is a frame's number, from 0::

    aud.wav              speech, 16 kHz mono
    ori_imgs/N.jpg       the frame             ori_imgs/N.lms    68 landmarks "x y", where there is a face
    gt_imgs/N.jpg        its background replaced by bc.jpg
    torso_imgs/N.png     torso and neck (RGBA), continued a little under the head
    parsing/N.png        head, neck, torso, background as colours
    parsing/N_face.png   the face's skin alone, soft (SyncTalk's portrait mode)
    bc.jpg               the clean background
    transforms_train.json, transforms_val.json   camera, and each frame's pose as a camera-to-world matrix, in metres
    track_params.pt      euler [N, 3], trans [N, 3] in tenths of a metre, focal
    au.csv               column " AU45_r": how far the eyes are closed
    bs.npy               [N, 52] blendshapes, where a landmarker gave them
    aud_ds.npy, aud_hu.npy, ...                  speech features
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np

from talkhead_core.types import Image, Label

__all__ = ["FPS", "AdNerfFiles", "labels_of_colours", "parsing_colours"]

FPS = Fraction(25)

# As the files hold them when read by OpenCV, which is how the field's loaders read them: blue, green, red.
_HEAD, _NECK, _TORSO, _BACKGROUND = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
# The layout has no hands: they are part of what the torso shows.
_COLOUR_BGR = {
    Label.BACKGROUND: _BACKGROUND,
    Label.TORSO: _TORSO,
    Label.NECK: _NECK,
    Label.HEAD: _HEAD,
    Label.HANDS: _TORSO,
}


class AdNerfFiles:
    """The paths of a dataset in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.audio, self.background = folder / "aud.wav", folder / "bc.jpg"
        self.train, self.validation = folder / "transforms_train.json", folder / "transforms_val.json"
        self.track, self.action_units, self.blendshapes = folder / "track_params.pt", folder / "au.csv", folder / "bs.npy"

    def make_folders(self) -> None:
        """Make the folders that hold a file a frame."""
        for name in ("ori_imgs", "gt_imgs", "torso_imgs", "parsing"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)

    def image(self, number: int) -> Path:
        """The frame as recorded."""
        return self.folder / "ori_imgs" / f"{number}.jpg"

    def landmarks(self, number: int) -> Path:
        """The frame's 68 points."""
        return self.folder / "ori_imgs" / f"{number}.lms"

    def over_background(self, number: int) -> Path:
        """The frame over the clean background."""
        return self.folder / "gt_imgs" / f"{number}.jpg"

    def torso(self, number: int) -> Path:
        """The frame's torso."""
        return self.folder / "torso_imgs" / f"{number}.png"

    def parsing(self, number: int) -> Path:
        """The frame's labels."""
        return self.folder / "parsing" / f"{number}.png"

    def face(self, number: int) -> Path:
        """The frame's face mask."""
        return self.folder / "parsing" / f"{number}_face.png"


def parsing_colours(labels: np.ndarray) -> Image:
    """Labels ``[H, W]`` of :class:`talkhead_core.types.Label` to the layout's colours ``[H, W, 3]`` in OpenCV's order."""
    table = np.zeros((len(Label), 3), np.uint8)
    for label, colour in _COLOUR_BGR.items():
        table[label] = colour
    return table[labels]


def labels_of_colours(colours: Image) -> np.ndarray:
    """The layout's colours ``[H, W, 3]`` in OpenCV's order to labels ``[H, W]`` uint8; each pixel takes the nearest colour."""
    known = (Label.BACKGROUND, Label.TORSO, Label.NECK, Label.HEAD)
    distance = [np.abs(colours.astype(np.int16) - np.array(_COLOUR_BGR[label])).sum(axis=-1) for label in known]
    return np.array(known, np.uint8)[np.argmin(distance, axis=0)]
