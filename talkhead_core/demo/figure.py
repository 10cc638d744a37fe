"""Draws the demo speaker's head and neck for one pose and one expression."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from talkhead_core.demo.head_mesh import FOCAL_PER_WIDTH, HeadMesh, Part, build_head_mesh, mouth_opening_cm
from talkhead_core.demo.photograph import WINDOW_ORIGIN_PX, WINDOW_SIZE_PX, Photograph
from talkhead_core.demo.rasteriser import Canvas, Rule
from talkhead_core.demo.visemes import MouthShape
from talkhead_core.types import Camera, FloatArray, Image, Label

__all__ = ["Face", "Figure", "HeadPose"]

_SUPERSAMPLING = 2
# The torso rolls about this height, as a share of the frame's.
_TORSO_PIVOT = 0.85


@dataclass(frozen=True, kw_only=True)
class HeadPose:
    """Head to camera, and the same for the torso.

    Args:
        rotation: ``[3, 3]``.
        translation_cm: ``[3]``.
        torso_shift_cm: ``[3]`` camera frame, from where the torso is in the photograph.
        torso_roll_deg: about the camera's axis, clockwise as seen.
    """

    rotation: FloatArray
    translation_cm: FloatArray
    torso_shift_cm: FloatArray
    torso_roll_deg: float


@dataclass(frozen=True, kw_only=True)
class Face:
    """What the face does in one frame.

    Args:
        mouth: its shape.
        blink: how far the image's left and right eye are closed, 0 to 1.
        brow: how far the brows are raised, 0 to 1.
        smile: 0 to 1.
        gaze_px: ``[2]`` shift of the irises in pixels of the photograph.
    """

    mouth: MouthShape
    blink: tuple[float, float]
    brow: float
    smile: float
    gaze_px: FloatArray


class Figure:
    """The head, ready to be drawn in frames of one size.

    Args:
        size_px: side of the square frame.
        photograph: textures at ``2 * size_px`` pixels per window.
    """

    def __init__(self, size_px: int, photograph: Photograph) -> None:
        self.mesh: HeadMesh = build_head_mesh()
        self.camera = Camera(focal_px=FOCAL_PER_WIDTH * size_px, width=size_px, height=size_px)
        self._photograph = photograph
        self._canvas = Canvas(size_px * _SUPERSAMPLING, size_px * _SUPERSAMPLING)
        self._uv = {
            name: photograph.texture_uv(getattr(self.mesh, name).photo_px)
            for name in ("face", "shell", "back", "neck", "upper_teeth", "lower_teeth")
        }
        self._eye_uv = [photograph.texture_uv(eye.photo_px) for eye in self.mesh.eyes]
        self._tongue, self._cavity, self._shadow = _tongue_texture(), _cavity_texture(), _lip_shadow_texture()
        self._px_per_photo_px = size_px / WINDOW_SIZE_PX

    def face_cm(self, face: Face) -> FloatArray:
        """The face mesh ``[468, 3]`` in the head frame."""
        mouth = face.mouth
        part = 1.0 - mouth.closed
        amounts = {
            "jaw": mouth.jaw * part,
            "wide": mouth.wide * (0.5 + 0.5 * part),
            "rounded": mouth.rounded * (0.5 + 0.5 * part),
            "upper_raised": mouth.upper_raised * part,
            "lower_dropped": mouth.lower_dropped * part,
            "tucked": mouth.tucked * part,
            "pressed": mouth.closed * 0.7,
            "smile": face.smile * (1.0 - 0.6 * mouth.rounded),
            "blink_right": face.blink[0],
            "blink_left": face.blink[1],
            "brow_right": face.brow,
            "brow_left": face.brow,
        }
        return self.mesh.expressions.face_cm(amounts)

    def draw(self, pose: HeadPose, face: Face) -> tuple[FloatArray, Image]:
        """One frame.

        Returns:
            premultiplied RGBA ``[size, size, 4]`` (alpha 0 to 1) and labels ``[size, size]`` (head, neck or 0).
        """
        mesh, canvas = self.mesh, self._canvas
        canvas.clear()
        mesh_cm = self.face_cm(face)
        jaw = face.mouth.jaw * (1 - face.mouth.closed)
        shell_cm = mesh.shell.vertices_cm + mesh.shell_follows @ (mesh_cm - mesh.smiling_cm)
        photo = self._photograph
        self._part(pose, mesh.back, mesh.back.vertices_cm, self._uv["back"], photo.head, Label.HEAD, 0.82)
        self._neck(pose)
        self._mouth(pose, face, mesh_cm, jaw)
        for eye, uv, follows in zip(mesh.eyes, self._eye_uv, mesh.eye_gaze, strict=True):
            looking = uv - follows[:, None] * face.gaze_px * photo.scale
            self._part(pose, eye, eye.vertices_cm, looking, photo.head, Label.HEAD)
        self._part(pose, mesh.shell, shell_cm, self._uv["shell"], photo.head, Label.HEAD)
        self._part(pose, mesh.face, mesh_cm, self._uv["face"], photo.head, Label.HEAD)
        return canvas.halved()

    def torso_transform(self, pose: HeadPose) -> FloatArray:
        """``[2, 3]`` affine map from the torso's texture pixels to pixels of the frame."""
        scale = self._px_per_photo_px / self._photograph.scale
        still = np.array([[scale, 0.0, 0.0], [0.0, scale, 0.0]])
        window = self._photograph.texture_uv(np.array(WINDOW_ORIGIN_PX))
        still[:, 2] = -window * scale
        per_cm = self.camera.focal_px / abs(self.mesh.translation_cm[2])
        shift = pose.torso_shift_cm[:2] * (per_cm, -per_cm)
        pivot = np.array([0.5, _TORSO_PIVOT]) * self.camera.width
        angle = np.radians(pose.torso_roll_deg)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        moved = turn @ still
        moved[:, 2] += pivot + shift - turn @ pivot
        return moved

    def _mouth(self, pose: HeadPose, face: Face, face_cm: FloatArray, jaw: float) -> None:
        mesh, photo = self.mesh, self._photograph
        bone = mesh.expressions.with_jaw
        opening_cm, opening_uv = mouth_opening_cm(face_cm), mesh.opening.photo_px * 63
        self._part(pose, mesh.opening, opening_cm, opening_uv, self._cavity, Label.HEAD, rule="opening")
        tongue_cm = bone(mesh.tongue.vertices_cm, 0.85 * jaw) + face.mouth.tongue * np.array([0.0, 0.55, 0.45])
        self._part(pose, mesh.tongue, tongue_cm, mesh.tongue.photo_px * 63, self._tongue, Label.HEAD, rule="inside")
        lower_cm = bone(mesh.lower_teeth.vertices_cm, jaw)
        self._part(pose, mesh.lower_teeth, lower_cm, self._uv["lower_teeth"], photo.teeth, Label.HEAD, 0.78, rule="inside")
        upper_cm = mesh.upper_teeth.vertices_cm
        self._part(pose, mesh.upper_teeth, upper_cm, self._uv["upper_teeth"], photo.teeth, Label.HEAD, 0.94, rule="inside")
        self._part(pose, mesh.opening, opening_cm, opening_uv, self._shadow, Label.HEAD, rule="inside")

    def _neck(self, pose: HeadPose) -> None:
        mesh = self.mesh
        neck = mesh.neck.vertices_cm
        with_head = neck @ pose.rotation.T + pose.translation_cm
        angle = -np.radians(pose.torso_roll_deg)
        still = neck @ mesh.rotation.T + mesh.translation_cm
        pivot = np.array([0.0, (_TORSO_PIVOT - 0.5) / FOCAL_PER_WIDTH * mesh.translation_cm[2]])
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        with_torso = still.copy()
        with_torso[:, :2] = (still[:, :2] - pivot) @ turn.T + pivot
        with_torso += pose.torso_shift_cm
        share = mesh.neck_head_share[:, None]
        self._draw(with_head * share + with_torso * (1 - share), mesh.neck, self._uv["neck"], self._photograph.neck, Label.NECK)

    def _part(
        self,
        pose: HeadPose,
        part: Part,
        vertices_cm: FloatArray,
        uv: FloatArray,
        texture: Image,
        label: Label,
        light: float = 1.0,
        rule: Rule = "visible",
    ) -> None:
        self._draw(vertices_cm @ pose.rotation.T + pose.translation_cm, part, uv, texture, label, light, rule)

    def _draw(
        self, camera_cm: FloatArray, part: Part, uv: FloatArray, texture: Image, label: Label, light: float = 1.0, rule: Rule = "visible"
    ) -> None:
        pixels = self.camera.project(camera_cm) * _SUPERSAMPLING
        vertices = np.column_stack([pixels, camera_cm[:, 2]])
        self._canvas.draw(vertices, uv, part.triangles, texture, int(label), light, rule)


def _tongue_texture() -> Image:
    v, u = np.mgrid[0:64, 0:64] / 63.0
    shape = 1 - np.hypot((u - 0.5) / 0.5, (v - 0.55) / 0.45)
    groove = 1 - 0.12 * np.exp(-(((u - 0.5) / 0.05) ** 2))
    light = (0.55 + 0.35 * np.clip(1 - v, 0, 1)) * groove
    colour = np.array([176.0, 88.0, 88.0]) * light[..., None]
    alpha = np.clip(shape / 0.18, 0, 1) * 255
    return np.dstack([colour, cv2.GaussianBlur(alpha, (0, 0), 1.5)]).round().astype(np.uint8)


def _cavity_texture() -> Image:
    v, u = np.mgrid[0:64, 0:64] / 63.0
    light = 0.55 + 0.6 * np.clip(v, 0, 1) - 0.35 * np.abs(u - 0.5)
    colour = np.array([62.0, 24.0, 24.0]) * light[..., None]
    return np.dstack([colour, np.full_like(u, 255)]).round().astype(np.uint8)


def _lip_shadow_texture() -> Image:
    """What the lips keep from the light: most under the upper one and in the corners."""
    v, u = np.mgrid[0:64, 0:64] / 63.0
    under = 0.60 * np.clip(1 - v / 0.35, 0, 1) ** 1.5
    above = 0.45 * np.clip(1 - (1 - v) / 0.18, 0, 1)
    corners = np.clip((np.abs(u - 0.5) - 0.22) / 0.28, 0, 1) ** 1.6
    alpha = 1 - (1 - under) * (1 - above) * (1 - 0.92 * corners)
    return np.dstack([np.broadcast_to(np.array([44.0, 16.0, 16.0]), (64, 64, 3)), alpha * 255]).round().astype(np.uint8)
