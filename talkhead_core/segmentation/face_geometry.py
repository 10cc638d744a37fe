"""Where head and neck can be, from the face landmarks alone."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkhead_core.types import FloatArray

__all__ = ["FaceGeometry", "filled"]

# Indices into MediaPipe's 468-point mesh.
_FOREHEAD, _CHIN, _IMAGE_LEFT_EAR, _IMAGE_RIGHT_EAR = 10, 152, 234, 454
_JAW = (234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454)
_BROW = (356, 389, 251, 284, 332, 297, 338, 10, 109, 67, 103, 54, 21, 162, 127)  # from ear to ear over the forehead
_JAW_ANGLES = (3, 17)  # entries of _JAW where the jaw turns up towards the ears
_CHEEKS_AND_NOSE = (50, 101, 36, 205, 280, 330, 266, 425, 5, 195, 117, 346)


def filled(polygon: FloatArray, shape: tuple[int, int]) -> np.ndarray:
    """Boolean mask ``[H, W]`` of a polygon ``[n, 2]`` in pixels."""
    mask = np.zeros(shape, np.uint8)
    cv2.fillPoly(mask, [np.round(polygon - 0.5).astype(np.int32)], (1,))
    return mask.astype(bool)


@dataclass(frozen=True, kw_only=True)
class FaceGeometry:
    """The face's own axes and sizes in the image.

    Args:
        jaw: the jaw line ``[21, 2]`` from the image's left ear over the chin to the right ear, pixels.
        up: unit vector ``[2]`` from chin to forehead.
        side: unit vector ``[2]`` across the face, to the image's right.
        height_px: chin to the top of the forehead.
        width_px: ear to ear, at least what a face turned sideways keeps of it.
        brow: the face's upper outline ``[15, 2]`` from the right ear over the forehead to the left one, pixels.
        skin_points: points ``[n, 2]`` on cheeks and nose, where skin is always bare.
    """

    jaw: FloatArray
    up: FloatArray
    side: FloatArray
    height_px: float
    width_px: float
    brow: FloatArray
    skin_points: FloatArray

    @staticmethod
    def of(points: FloatArray) -> FaceGeometry:
        """From mesh landmarks ``[>= 468, 2 or 3]`` in pixels."""
        flat = np.asarray(points, np.float64)[:, :2]
        axis = flat[_FOREHEAD] - flat[_CHIN]
        height = float(np.linalg.norm(axis))
        up = axis / max(height, 1e-6)
        side = np.array([-up[1], up[0]])
        width = float(np.linalg.norm(flat[_IMAGE_RIGHT_EAR] - flat[_IMAGE_LEFT_EAR]))
        return FaceGeometry(
            jaw=flat[list(_JAW)],
            up=up,
            side=side,
            height_px=height,
            width_px=max(width, 0.75 * height),
            brow=flat[list(_BROW)],
            skin_points=flat[list(_CHEEKS_AND_NOSE)],
        )

    def head_polygon(self) -> FloatArray:
        """Outline ``[n, 2]`` of what can be head: jaw, then out to the ears, and up beyond the hair."""
        left, right = self.jaw[_JAW_ANGLES[0]], self.jaw[_JAW_ANGLES[1]]
        out, lobe, crown = 0.42 * self.width_px * self.side, 0.12 * self.height_px * self.up, 0.95 * self.height_px * self.up
        left_ear, right_ear = self.jaw[0], self.jaw[-1]
        return np.concatenate(
            [
                self._under_jaw(),
                [right + 0.25 * out, right_ear + out - lobe, right_ear + out + crown],
                [left_ear - out + crown, left_ear - out - lobe, left - 0.25 * out],
            ]
        )

    def neck_polygon(self) -> FloatArray:
        """Outline ``[n, 2]`` of what can be neck: from ear to ear below the jaw, down to the collar bones, widening."""
        # The neck hangs between a head that tilts and shoulders that do not.
        down = np.array([0.0, 1.0]) - self.up
        down *= 1.75 * self.height_px / max(float(np.linalg.norm(down)), 1e-6)
        flare = 0.2 * self.width_px * self.side
        return np.concatenate([self.jaw, [self.jaw[-1] + flare + down, self.jaw[0] - flare + down]])

    def under_chin_polygon(self) -> FloatArray:
        """Outline ``[n, 2]`` of the strip right below the jaw, which no collar reaches."""
        lower = self._under_jaw()
        return np.concatenate([lower, (lower - 0.05 * self.height_px * self.up)[::-1]])

    def throat_polygon(self) -> FloatArray:
        """Outline ``[n, 2]`` of what lies right below the chin, where shadows are as dark as hair."""
        lower = self._under_jaw()[1:-1]
        down = -1.3 * self.height_px * self.up
        return np.concatenate([lower, [lower[-1] + down, lower[0] + down]])

    def face_polygon(self) -> FloatArray:
        """Outline ``[n, 2]`` of the face, a little beyond its landmarks."""
        outline = np.concatenate([self.jaw, self.brow])
        centre = outline.mean(axis=0)
        return centre + 1.08 * (outline - centre)

    def beside_neck_polygon(self) -> FloatArray:
        """Outline ``[n, 2]`` of where long hair falls: from the ears down on both sides of the neck."""
        return self._rectangle(-0.85, 0.85, -1.3, 0.5)

    def clothes_polygons(self) -> list[FloatArray]:
        """Outlines ``[n, 2]`` of where clothes are seen, and no hair: below the chin, and far out to both sides."""
        return [self._rectangle(-0.3, 0.3, -4.0, -0.35), self._rectangle(-4.0, -0.8, -4.0, -0.1), self._rectangle(0.8, 4.0, -4.0, -0.1)]

    def _rectangle(self, left: float, right: float, low: float, high: float) -> FloatArray:
        """Corners ``[4, 2]`` of a rectangle about the chin; sides in widths of the face, heights in its heights."""
        corners = ((left, high), (right, high), (right, low), (left, low))
        chin = self.jaw[len(_JAW) // 2]
        return np.array([chin + x * self.width_px * self.side + y * self.height_px * self.up for x, y in corners])

    def _under_jaw(self) -> FloatArray:
        return self.jaw[_JAW_ANGLES[0] : _JAW_ANGLES[1] + 1]
