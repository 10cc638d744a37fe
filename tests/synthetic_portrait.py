"""A small speaker for tests: a real face photograph, its real mesh, known poses and known lip movement."""

from __future__ import annotations

from fractions import Fraction
from functools import cache

import cv2
import numpy as np
import skimage.data

from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.face.mesh_topology import FACE_OVAL, JAW, LIPS_INNER, LIPS_OUTER
from talkhead_core.training.portrait_dataset import HeadTrack, PortraitDataset
from talkhead_core.types import OUTER_EYE_DISTANCE_CM, Camera, Label

CAMERA = Camera(focal_px=360.0, width=96, height=96)
DISTANCE_CM = 85.0


@cache
def face_shape_cm() -> np.ndarray:
    """The astronaut's mesh ``[468, 3]`` in the head frame, mouth as photographed."""
    photograph = cv2.resize(skimage.data.astronaut()[0:256, 96:352], (512, 512), interpolation=cv2.INTER_CUBIC)
    points = next(iter(build_landmarker(LandmarksConfig()).detect([photograph], [(0, 1)]))).points[:468].astype(np.float64)
    scale = OUTER_EYE_DISTANCE_CM / np.linalg.norm(points[33, :2] - points[263, :2])
    shape = (points - points[list(FACE_OVAL)].mean(axis=0)) * scale * [1, -1, -1]
    shape[:, 2] += 4.0
    return shape.astype(np.float32)


def jaw_drop_cm(opening_cm: np.ndarray) -> np.ndarray:
    """Displacement of the mesh ``[frames, 468, 3]`` for a mouth opened by so much: lower lip and jaw go down."""
    weight = np.zeros(468, dtype=np.float32)
    lower_inner, lower_outer = LIPS_INNER[11:], LIPS_OUTER[11:]
    weight[list(JAW)] = 0.7
    weight[[*lower_inner, *lower_outer]] = 1.0
    displacement = np.zeros((len(opening_cm), 468, 3), dtype=np.float32)
    displacement[..., 1] = -opening_cm[:, None] * weight
    return displacement


@cache
def synthetic_portrait(frames: int = 44, size_px: int = 96) -> PortraitDataset:
    """A head that turns and talks before a plain wall; pixels are drawn from the mesh with a smooth texture in the head frame."""
    time = np.arange(frames) / 25.0
    yaw = np.radians(8.0) * np.sin(2 * np.pi * 0.4 * time)
    opening = 0.6 + 0.6 * np.sin(2 * np.pi * 2.0 * time)
    rotation = np.stack([[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in yaw]).astype(np.float32)
    translation = np.tile(np.array([0, 0, -DISTANCE_CM], np.float32), (frames, 1))
    shape = face_shape_cm()
    mesh = shape + jaw_drop_cm(opening.astype(np.float32))
    camera = CAMERA.resized(size_px, size_px)
    images = np.empty((frames, size_px, size_px, 3), np.uint8)
    labels = np.zeros((frames, size_px, size_px), np.uint8)
    plate = np.full((size_px, size_px, 3), (40, 80, 120), np.uint8)
    for i in range(frames):
        images[i], labels[i] = _drawn(mesh[i], rotation[i], translation[i], camera, plate)
    track = HeadTrack(
        rotation=rotation,
        translation_cm=translation,
        focal_px=camera.focal_px,
        clip_px=size_px,
        shape_cm=shape,
        mesh_cm=mesh,
        expression=np.zeros((frames, 4), np.float32),
        tracked=np.ones(frames, bool),
        shot=np.zeros(frames, np.int32),
    )
    return PortraitDataset(frames=images, labels=labels, plate=plate, track=track, fps=Fraction(25))


def _drawn(
    mesh: np.ndarray, rotation: np.ndarray, translation: np.ndarray, camera: Camera, plate: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    from talkhead_core.face.mesh_topology import MOUTH_HOLE_TRIANGLES, closed_triangles
    from talkhead_core.kernels.mesh_rasteriser import rasterise

    shape = face_shape_cm()
    colour = 0.55 + 0.25 * np.stack([np.sin(shape[:, 0]), np.sin(shape[:, 1] * 0.9 + 1), np.cos(shape[:, 0] * 0.7 + shape[:, 1])], axis=1)
    colour[list(LIPS_OUTER + LIPS_INNER)] = (0.7, 0.2, 0.25)
    triangles = closed_triangles()
    hole = {tuple(sorted(t)) for t in MOUTH_HOLE_TRIANGLES}
    skin = np.array([t for t in triangles if tuple(sorted(t.tolist())) not in hole])
    points = mesh @ rotation.T + translation
    pixels = camera.project(points)
    whole, _ = rasterise(pixels, -points[:, 2], colour, triangles, camera.width, camera.height)
    depth, drawn = rasterise(pixels, -points[:, 2], colour, skin, camera.width, camera.height)
    image = plate.copy()
    image[np.isfinite(whole)] = (30, 10, 10)  # the inside of the mouth
    image[np.isfinite(depth)] = np.clip(drawn[np.isfinite(depth)] * 255, 0, 255)
    return image, np.where(np.isfinite(whole), np.uint8(Label.HEAD), np.uint8(Label.BACKGROUND))
