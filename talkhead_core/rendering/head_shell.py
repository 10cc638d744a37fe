"""A thin shell around the tracked face in which the head field is sampled.

Where samples go matters more than how fast they are computed: three samples in a shell around the tracked surface beat a
sixteen-sample march through an occupancy grid. The surface is the person's mesh, grown outwards over hair, ears and neck,
and moved by the lip codes: a point of a speaking frame is carried back to the *canonical* face, so that lips and chin move as
geometry and the field only learns what geometry cannot tell (teeth, tongue, shading).

The shell depends on the pose, the person's shape and the lip codes alone, never on the frame's own pixels or landmarks, so a
held-out frame cannot leak through it.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.spatial import cKDTree

from talkhead_core.face.mesh_topology import FACE_OVAL, LIPS_INNER, LIPS_OUTER, closed_triangles
from talkhead_core.kernels.mesh_rasteriser import rasterise
from talkhead_core.parameters import require
from talkhead_core.types import Camera, FloatArray

__all__ = ["MAP_CHANNELS", "HeadShell", "HeadShellConfig", "ShellMaps", "measured_reach"]

MAP_CHANNELS = ("depth", "half_thickness", "displacement_x", "displacement_y", "displacement_z")

_RINGS = np.array([0.25, 0.5, 0.75, 1.0])


@dataclass(frozen=True, kw_only=True)
class HeadShellConfig:
    """Sizes of the shell, in cm of the head frame.

    Args:
        face_half_thickness_cm: half the shell's thickness on the face.
        mouth_half_thickness_cm: the same between the lips, where teeth and tongue lie behind the surface.
        rim_half_thickness_cm: the same at the outermost ring, where hair has no surface.
        above_cm: how far the shell reaches above the highest landmark, at most (hair).
        side_cm: how far it reaches beside the face, at most (ears and hair).
        below_cm: how far it reaches below the jaw (neck).
        margin_cm: background kept around what is labelled head.
        map_px: side of the maps; they are smooth, so an eighth to a half of the image is enough.
    """

    face_half_thickness_cm: float = 0.8
    mouth_half_thickness_cm: float = 1.2
    rim_half_thickness_cm: float = 2.5
    above_cm: float = 7.0
    side_cm: float = 4.5
    below_cm: float = 3.5
    margin_cm: float = 0.8
    map_px: int = 128

    def __post_init__(self) -> None:
        for name in ("face_half_thickness_cm", "mouth_half_thickness_cm", "rim_half_thickness_cm", "above_cm", "side_cm", "below_cm"):
            require(0.05 <= getattr(self, name) <= 20.0, f"{name} must be 0.05 to 20 cm")
        require(32 <= self.map_px <= 1024, "map_px must be 32 to 1024")


@dataclass(frozen=True, kw_only=True)
class ShellMaps:
    """The shell seen by one camera pose.

    Args:
        values: ``[map_px, map_px, 5]`` float32, channels as ``MAP_CHANNELS``: distance along the viewing axis in cm, half the
            thickness in cm, and what to subtract from a point of this frame to reach the canonical face, in cm.
        covered: ``[map_px, map_px]`` bool, where the shell is.
    """

    values: FloatArray
    covered: np.ndarray


class HeadShell:
    """The grown mesh of one person.

    Args:
        shape_cm: the person's neutral mesh ``[468, 3]``.
        displacement_mean_cm: mean displacement of the mesh from ``shape_cm`` ``[468, 3]``.
        displacement_basis_cm: displacement for one unit of each lip code ``[codes, 468, 3]``.
        canonical_codes: lip codes of the canonical face, mouth open, so that its inside has an area of its own.
        reach_cm: how far the shell grows beyond each vertex of the face oval ``[36]``.
        config: sizes.
    """

    def __init__(
        self,
        *,
        shape_cm: FloatArray,
        displacement_mean_cm: FloatArray,
        displacement_basis_cm: FloatArray,
        canonical_codes: FloatArray,
        reach_cm: FloatArray,
        config: HeadShellConfig,
    ) -> None:
        self.config = config
        self.shape_cm, self.reach_cm = shape_cm.astype(np.float32), reach_cm.astype(np.float32)
        self.displacement_mean_cm = displacement_mean_cm.astype(np.float32)
        self.displacement_basis_cm = displacement_basis_cm.astype(np.float32)
        self.canonical_codes = canonical_codes.astype(np.float32)
        base = shape_cm + displacement_mean_cm
        rings, parents, fractions = _grown(base, reach_cm)
        self._parents, self._follow = parents, (1.0 - fractions) ** 1.5
        self.rest = np.concatenate([base, rings]).astype(np.float32)
        self.triangles = np.concatenate([closed_triangles(), _ring_triangles()]).astype(np.int32)
        self.half_thickness = np.concatenate([_face_thickness(base, config), _ring_thickness(fractions, config)]).astype(np.float32)
        self._canonical = self.displaced(self.canonical_codes)
        low, high = self._canonical.min(axis=0) - 3.0, self._canonical.max(axis=0) + 3.0
        self.centre_cm = ((low + high) / 2).astype(np.float32)
        self.half_extent_cm = float((high - low).max() / 2)

    def to_arrays(self) -> dict[str, np.ndarray]:
        """What :meth:`from_arrays` needs, for the model's checkpoint."""
        return {
            "shell.shape_cm": self.shape_cm,
            "shell.displacement_mean_cm": self.displacement_mean_cm,
            "shell.displacement_basis_cm": self.displacement_basis_cm,
            "shell.canonical_codes": self.canonical_codes,
            "shell.reach_cm": self.reach_cm,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], config: HeadShellConfig) -> HeadShell:
        """The shell that a checkpoint holds."""
        names = ("shape_cm", "displacement_mean_cm", "displacement_basis_cm", "canonical_codes", "reach_cm")
        return cls(**{name: arrays[f"shell.{name}"] for name in names}, config=config)

    def displaced(self, codes: FloatArray) -> FloatArray:
        """All vertices for lip codes ``[codes]`` in the head frame, ``[vertices, 3]`` cm."""
        moved = np.tensordot(codes, self.displacement_basis_cm, axes=1)
        rings = moved[self._parents] * self._follow[:, None]
        return (self.rest + np.concatenate([moved, rings])).astype(np.float32)

    def maps(self, rotation: FloatArray, translation_cm: FloatArray, codes: FloatArray, camera: Camera) -> ShellMaps:
        """Rasterise the shell.

        Args:
            rotation: ``[3, 3]`` head to camera.
            translation_cm: ``[3]``.
            codes: lip codes of the frame ``[codes]``.
            camera: of any size; only its field of view matters.
        """
        side = self.config.map_px
        small = camera.resized(side, side)
        vertices = self.displaced(codes)
        in_camera = vertices @ rotation.T + translation_cm
        attributes = np.concatenate([self.half_thickness[:, None], vertices - self._canonical], axis=1)
        depth, rest = rasterise(small.project(in_camera), -in_camera[:, 2], attributes, self.triangles, side, side)
        covered = np.isfinite(depth)
        values = np.concatenate([np.where(covered, depth, 0.0)[..., None], rest], axis=2)
        return ShellMaps(values=_smoothed(_extended(values, covered), covered), covered=covered)

    def region(self, covered: np.ndarray, size_px: int, feather_px: float) -> FloatArray:
        """Weight of the head field ``[size_px, size_px]`` in [0, 1], soft inside the edge of the maps' ``covered``."""
        weight = np.zeros((size_px, size_px), np.float32)
        covered = cv2.resize(covered.astype(np.float32), (size_px, size_px), interpolation=cv2.INTER_LINEAR) > 0.5
        rows, columns = np.flatnonzero(covered.any(axis=1)), np.flatnonzero(covered.any(axis=0))
        if len(rows):  # distances are found in the box around the region, most of whose image is elsewhere
            box = tuple(slice(max(0, where[0] - 1), where[-1] + 2) for where in (rows, columns))
            inside = np.pad(covered[box].astype(np.uint8), 1, mode="edge")  # a head that leaves the image has no edge there
            distance = cv2.distanceTransform(inside, cv2.DIST_L2, 5)[1:-1, 1:-1]
            np.minimum(distance / np.float32(feather_px), np.float32(1.0), out=weight[box])
        return weight


def measured_reach(
    shape_cm: FloatArray, rotations: FloatArray, translations_cm: FloatArray, heads: np.ndarray, camera: Camera, config: HeadShellConfig
) -> FloatArray:
    """How far each direction of the face oval has to grow to hold hair and ears.

    Args:
        shape_cm: ``[468, 3]``.
        rotations: ``[frames, 3, 3]`` of the frames looked at.
        translations_cm: ``[frames, 3]``.
        heads: ``[frames, height, width]`` bool, pixels labelled head.
        camera: for that image size.
        config: the limits.

    Returns:
        ``[36]`` cm.
    """
    limit = _limits(shape_cm, config)
    steps = np.linspace(0.05, 1.0, 20)
    last = np.zeros((len(heads), len(FACE_OVAL)))
    for index, head in enumerate(heads):
        for step in steps:
            ring, _, _ = _grown(shape_cm, limit * step, rings=np.ones(1))
            pixels = camera.project(ring @ rotations[index].T + translations_cm[index]).astype(int)
            u, v = np.clip(pixels[:, 0], 0, camera.width - 1), np.clip(pixels[:, 1], 0, camera.height - 1)
            last[index] = np.where(head[v, u], step, last[index])
    reach = np.quantile(last, 0.9, axis=0) * limit + config.margin_cm
    below = _below(shape_cm)
    reach = reach * (1 - below) + limit * below
    smooth = np.convolve(np.concatenate([reach[-2:], reach, reach[:2]]), [0.15, 0.2, 0.3, 0.2, 0.15], mode="valid")
    return np.clip(np.maximum(reach, smooth), 0.5, limit + config.margin_cm).astype(np.float32)


def _directions(shape_cm: FloatArray) -> FloatArray:
    oval = shape_cm[list(FACE_OVAL)]
    outward = oval[:, :2] - np.median(oval[:, :2], axis=0)
    return outward / np.linalg.norm(outward, axis=1, keepdims=True)


def _below(shape_cm: FloatArray) -> FloatArray:
    """1 for oval directions that point down to the neck, 0 for the rest, smooth between."""
    return np.clip((-_directions(shape_cm)[:, 1] - 0.45) / 0.3, 0.0, 1.0)


def _limits(shape_cm: FloatArray, config: HeadShellConfig) -> FloatArray:
    direction, below = _directions(shape_cm), _below(shape_cm)
    above = np.clip(direction[:, 1], 0.0, 1.0) ** 2
    return (config.side_cm + (config.above_cm - config.side_cm) * above) * (1 - below) + config.below_cm * below


def _grown(base: FloatArray, reach_cm: FloatArray, rings: FloatArray = _RINGS) -> tuple[FloatArray, np.ndarray, FloatArray]:
    """Vertices of the rings, their parents on the face oval, and how far out each lies (0 to 1)."""
    oval = np.array(FACE_OVAL)
    direction, below = _directions(base), _below(base)
    vertices, parents, fractions = [], [], []
    for fraction in rings:
        out_cm = reach_cm * fraction
        # skull: a quarter circle of 8 cm falling back from the oval; neck: a step back of 3.5 cm under the jaw, then straight down
        skull = 8.0 * (1.0 - np.sqrt(np.clip(1.0 - (np.minimum(out_cm, 7.9) / 8.0) ** 2, 0.0, 1.0))) + 0.25 * out_cm
        neck = 3.5 * np.clip(out_cm / 1.2, 0.0, 1.0)
        back = skull * (1 - below) + neck * below
        ring = base[oval].copy()
        ring[:, :2] += direction * out_cm[:, None]
        ring[:, 2] -= back
        vertices.append(ring)
        parents.append(oval)
        fractions.append(np.full(len(oval), fraction))
    return np.concatenate(vertices).astype(np.float32), np.concatenate(parents), np.concatenate(fractions)


def _ring_triangles() -> np.ndarray:
    count = len(FACE_OVAL)
    rows = [np.array(FACE_OVAL)] + [468 + ring * count + np.arange(count) for ring in range(len(_RINGS))]
    triangles = []
    for inner, outer in zip(rows[:-1], rows[1:], strict=True):
        for i in range(count):
            j = (i + 1) % count
            triangles += [(inner[i], outer[i], outer[j]), (inner[i], outer[j], inner[j])]
    return np.array(triangles)


def _face_thickness(base: FloatArray, config: HeadShellConfig) -> FloatArray:
    distance, _ = cKDTree(base[list(LIPS_INNER)]).query(base)
    mouth = np.exp(-((distance / 1.0) ** 2))
    mouth[list(LIPS_OUTER)] = np.maximum(mouth[list(LIPS_OUTER)], 0.5)
    return config.face_half_thickness_cm + (config.mouth_half_thickness_cm - config.face_half_thickness_cm) * mouth


def _ring_thickness(fractions: FloatArray, config: HeadShellConfig) -> FloatArray:
    return config.face_half_thickness_cm + (config.rim_half_thickness_cm - config.face_half_thickness_cm) * fractions


def _extended(values: FloatArray, covered: np.ndarray) -> FloatArray:
    """Fill what is not covered with the nearest covered value, so that interpolation at the edge reads no zeros."""
    if covered.all() or not covered.any():
        return values
    _, labels = cv2.distanceTransformWithLabels((~covered).astype(np.uint8), cv2.DIST_L2, 3, labelType=cv2.DIST_LABEL_PIXEL)
    where = np.flatnonzero(covered)
    lookup = np.zeros(labels.max() + 1, dtype=np.int64)
    lookup[labels.ravel()[where]] = where
    return values.reshape(-1, values.shape[2])[lookup[labels]]


def _smoothed(values: FloatArray, covered: np.ndarray) -> FloatArray:
    """Blur by half a map pixel: the facets of the mesh would show as facets of the face."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), 0.7), dtype=np.float32) if covered.any() else values
