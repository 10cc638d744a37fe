"""Textured triangles into a transparent, z-buffered picture: all that drawing the demo speaker's head needs."""

from __future__ import annotations

from typing import Literal

import numba
import numpy as np

__all__ = ["Canvas", "Rule"]

Rule = Literal["visible", "opening", "inside"]
_RULES = ("visible", "opening", "inside")


class Canvas:
    """A premultiplied RGBA picture with depth and labels; bigger depth is nearer.

    Args:
        width: pixels.
        height: pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        self.rgba = np.zeros((height, width, 4), np.float32)  # colour 0..255 times alpha, alpha 0..1
        self.depth = np.full((height, width), -np.inf, np.float32)
        self.label = np.zeros((height, width), np.uint8)
        self.opening = np.zeros((height, width), np.bool_)

    def clear(self) -> None:
        """Make everything transparent."""
        self.rgba.fill(0.0)
        self.depth.fill(-np.inf)
        self.label.fill(0)
        self.opening.fill(False)

    def draw(
        self,
        vertices: np.ndarray,  # [V, 3] float32: u, v in canvas pixels, depth
        texture_uv: np.ndarray,  # [V, 2] float32, texture pixels
        triangles: np.ndarray,  # [T, 3] int32
        texture: np.ndarray,  # [h, w, 4] uint8, straight alpha
        label: int,
        brightness: float = 1.0,
        rule: Rule = "visible",
    ) -> None:
        """Blend triangles over what is there.

        Args:
            vertices: where.
            texture_uv: where in the texture.
            triangles: of the vertices.
            texture: colours.
            label: written wherever the result is more than half opaque.
            brightness: factor on the colours.
            rule: ``"visible"`` draws what is not behind something; ``"opening"`` does too, and remembers where as an
                opening; ``"inside"`` draws what is seen through the opening, whatever its depth, in the order of drawing.
        """
        _draw(
            self.rgba,
            self.depth,
            self.label,
            np.ascontiguousarray(vertices, np.float32),
            np.ascontiguousarray(texture_uv, np.float32),
            triangles,
            texture,
            label,
            np.float32(brightness),
            self.opening,
            _RULES.index(rule),
        )

    def halved(self) -> tuple[np.ndarray, np.ndarray]:
        """The mean of every 2 x 2 block as RGBA ``[H/2, W/2, 4]``, and its most common label ``[H/2, W/2]``."""
        height, width = self.depth.shape
        rgba = np.empty((height // 2, width // 2, 4), np.float32)
        label = np.empty((height // 2, width // 2), np.uint8)
        _halve(self.rgba, self.label, rgba, label)
        return rgba, label


@numba.njit(cache=True, fastmath=True)
def _draw(rgba, depth, labels, vertices, texture_uv, triangles, texture, label, brightness, opening, rule):  # type: ignore[no-untyped-def]
    height, width = depth.shape
    texture_height, texture_width = texture.shape[:2]
    for t in range(triangles.shape[0]):
        a, b, c = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay, bx, by, cx, cy = vertices[a, 0], vertices[a, 1], vertices[b, 0], vertices[b, 1], vertices[c, 0], vertices[c, 1]
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        if abs(area) < 1e-6:
            continue
        x_first = max(0, int(np.floor(min(ax, bx, cx) - 0.5)))
        x_last = min(width - 1, int(np.ceil(max(ax, bx, cx) - 0.5)))
        y_first = max(0, int(np.floor(min(ay, by, cy) - 0.5)))
        y_last = min(height - 1, int(np.ceil(max(ay, by, cy) - 0.5)))
        inverse = 1.0 / area
        for y in range(y_first, y_last + 1):
            py = y + 0.5
            for x in range(x_first, x_last + 1):
                px = x + 0.5
                wb = ((px - ax) * (cy - ay) - (cx - ax) * (py - ay)) * inverse
                wc = ((bx - ax) * (py - ay) - (px - ax) * (by - ay)) * inverse
                wa = 1.0 - wb - wc
                # Inclusive, so that triangles sharing an edge leave no gap.
                if wa < -1e-5 or wb < -1e-5 or wc < -1e-5:
                    continue
                z = wa * vertices[a, 2] + wb * vertices[b, 2] + wc * vertices[c, 2]
                if rule == 2:
                    if not opening[y, x]:
                        continue
                elif z < depth[y, x]:
                    continue
                u = wa * texture_uv[a, 0] + wb * texture_uv[b, 0] + wc * texture_uv[c, 0] - 0.5
                v = wa * texture_uv[a, 1] + wb * texture_uv[b, 1] + wc * texture_uv[c, 1] - 0.5
                u = min(max(u, 0.0), texture_width - 1.001)
                v = min(max(v, 0.0), texture_height - 1.001)
                i, j = int(u), int(v)
                fu, fv = u - i, v - j
                w00, w01, w10, w11 = (1 - fu) * (1 - fv), fu * (1 - fv), (1 - fu) * fv, fu * fv
                alpha = (
                    w00 * texture[j, i, 3] + w01 * texture[j, i + 1, 3] + w10 * texture[j + 1, i, 3] + w11 * texture[j + 1, i + 1, 3]
                ) / 255.0
                if alpha <= 0.002:
                    continue
                for k in range(3):
                    colour = (
                        w00 * texture[j, i, k] + w01 * texture[j, i + 1, k] + w10 * texture[j + 1, i, k] + w11 * texture[j + 1, i + 1, k]
                    )
                    rgba[y, x, k] = colour * brightness * alpha + rgba[y, x, k] * (1.0 - alpha)
                rgba[y, x, 3] = alpha + rgba[y, x, 3] * (1.0 - alpha)
                if alpha > 0.5 and rule < 2:
                    depth[y, x] = z
                    labels[y, x] = label
                if rule == 1:
                    opening[y, x] = True


@numba.njit(cache=True)
def _halve(rgba, labels, small, small_label):  # type: ignore[no-untyped-def]
    for y in range(small.shape[0]):
        for x in range(small.shape[1]):
            for k in range(4):
                small[y, x, k] = 0.25 * (
                    rgba[2 * y, 2 * x, k] + rgba[2 * y, 2 * x + 1, k] + rgba[2 * y + 1, 2 * x, k] + rgba[2 * y + 1, 2 * x + 1, k]
                )
            best, most = 0, 0
            for j in range(2):
                for i in range(2):
                    candidate = labels[2 * y + j, 2 * x + i]
                    count = 0
                    for q in range(2):
                        for p in range(2):
                            count += labels[2 * y + q, 2 * x + p] == candidate
                    if count > most or (count == most and candidate > best):
                        best, most = candidate, count
            small_label[y, x] = best
