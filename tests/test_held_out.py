"""The held-out renders and their controls: what each protocol shows where, on a head trained for a moment."""

from pathlib import Path

import numpy as np
import pytest

from talkhead_core.face.mesh_topology import FACE_OVAL, JAW, LEFT_EYE, LIPS, RIGHT_EYE
from talkhead_core.metrics.regions import face_mask
from talkhead_core.rendering.face_region import clothes_region, face_region, speaking_region
from talkhead_core.rendering.held_out import HeldOutFrame, render_held_out
from talkhead_core.rendering.portrait_renderer import PortraitRenderer
from talkhead_core.types import Label
from tests.synthetic_portrait import synthetic_portrait
from tests.test_head_shell import shell_of
from tests.test_training import speaker_model, trainer

_CHIN = 152


@pytest.fixture(scope="module")
def rendered(tmp_path_factory: pytest.TempPathFactory) -> list[HeldOutFrame]:
    run = trainer(tmp_path_factory.mktemp("held_out"), iterations=60)
    run.train()
    dataset, (_, codes) = run.dataset, shell_of(run.dataset)
    frames = render_held_out(
        PortraitRenderer(speaker_model(run), dataset.track.camera(96)),
        frames=dataset.frames,
        labels=dataset.labels,
        plate=dataset.plate,
        rotation=dataset.track.rotation,
        translation_cm=dataset.track.translation_cm,
        expression=dataset.track.expression,
        lip_codes=codes,
        held_out=dataset.held_out_ids,
        train=dataset.train_ids,
    )
    return list(frames)


def test_outside_the_head_region_every_head_protocol_is_the_recording(rendered: list[HeldOutFrame]) -> None:
    recorded = synthetic_portrait().frames
    for frame in rendered:
        outside = frame.region == 0
        assert outside.any()
        for name in ("head", "wrong_audio", "static_mouth", "retrieval", "portrait"):
            assert np.abs(getattr(frame, name)[outside].astype(int) - recorded[frame.frame_id][outside]).max() <= 1, name


def test_portrait_replaces_less_of_the_recording_than_head(rendered: list[HeldOutFrame]) -> None:
    recorded = synthetic_portrait().frames
    for frame in rendered:
        truth = recorded[frame.frame_id].astype(int)
        pasted, whole = (np.abs(image.astype(int) - truth).max(axis=2) > 1 for image in (frame.portrait, frame.head))
        assert 0 < pasted.sum() < whole.sum()
        assert not (pasted & ~whole).sum() > 0.02 * pasted.sum(), "the face lies inside the head"


def test_the_still_mouth_moves_with_the_head_alone(tmp_path: Path) -> None:
    run = trainer(tmp_path, iterations=20)
    run.train()
    dataset, (_, codes) = run.dataset, shell_of(run.dataset)
    held = np.full(3, dataset.held_out_ids[0])  # one pose, three times; only the speech differs

    def render(speech: np.ndarray) -> list[HeldOutFrame]:
        rotation, translation = (np.repeat(part[held[:1]], len(dataset.frames), axis=0) for part in _pose(dataset))
        return list(
            render_held_out(
                PortraitRenderer(speaker_model(run), dataset.track.camera(96)),
                frames=dataset.frames,
                labels=dataset.labels,
                plate=dataset.plate,
                rotation=rotation,
                translation_cm=translation,
                expression=np.zeros_like(dataset.track.expression),
                lip_codes=speech,
                held_out=np.array([held[0], held[0] + 1]),
                train=dataset.train_ids,
            )
        )

    loud = codes.copy()
    loud[dataset.held_out_ids] += 2.0
    quiet, spoken = render(codes)[0], render(loud)[0]
    assert np.array_equal(quiet.static_mouth, spoken.static_mouth), "what is said in the held-out frames does not reach it"
    assert not np.array_equal(quiet.head, spoken.head)


def _pose(dataset) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[no-untyped-def]
    return dataset.track.rotation, dataset.track.translation_cm


def test_the_face_region_is_the_oval_of_the_posed_mesh() -> None:
    dataset = synthetic_portrait()
    shell, codes = shell_of(dataset)
    track, camera, frame = dataset.track, dataset.track.camera(256), 7
    region = face_region(shell, camera, track.rotation[frame], track.translation_cm[frame], codes[frame], 4.0)[..., 0]
    points = camera.project(shell.displaced(codes[frame])[:468] @ track.rotation[frame].T + track.translation_cm[frame])
    expected = face_mask(points, 256, 256)
    assert np.mean((region > 0) != expected) < 0.005
    inner = np.full((468, 2), np.nan)
    centre = points[list(FACE_OVAL)].mean(axis=0)
    inner[list(FACE_OVAL)] = centre + 0.8 * (points[list(FACE_OVAL)] - centre)
    assert region[face_mask(inner, 256, 256)].min() == 1.0, "soft at its edge alone"
    assert 0.0 < region[(region > 0) & (region < 1)].mean() < 1.0


def test_the_speaking_region_holds_both_chins_and_leaves_the_eyes_to_the_recording() -> None:
    dataset = synthetic_portrait()
    shell, codes = shell_of(dataset)
    track, camera, frame = dataset.track, dataset.track.camera(256), 7
    pose, recorded = (track.rotation[frame], track.translation_cm[frame]), track.mesh_cm[frame].copy()
    recorded[list(JAW)] -= track.rotation[frame].T @ np.array([0.0, -1.5, 0.0])  # the recorded jaw hangs lower than the driven one
    region = speaking_region(shell, camera, *pose, codes[frame], recorded, 4.0)[..., 0]
    for mesh in (shell.displaced(codes[frame]), recorded):
        points = camera.project(mesh @ pose[0].T + pose[1]).round().astype(int)
        weight = region[points[:, 1].clip(0, 255), points[:, 0].clip(0, 255)]
        assert weight[[*LIPS, _CHIN]].min() == 1.0
        assert weight[[*LEFT_EYE, *RIGHT_EYE]].max() == 0.0


def test_clothes_stay_the_recordings_but_for_what_the_driven_face_reaches() -> None:
    dataset = synthetic_portrait()
    shell, codes = shell_of(dataset)
    track, camera, frame = dataset.track, dataset.track.camera(256), 7
    pose = (track.rotation[frame], track.translation_cm[frame])
    chin = camera.project((shell.displaced(codes[frame]) @ pose[0].T + pose[1])[_CHIN][None])[0]
    labels = np.full((256, 256), Label.HEAD, np.uint8)
    labels[int(chin[1]) - 10 :] = Label.TORSO  # a collar that reaches over the chin

    def kept(driven: np.ndarray) -> np.ndarray:
        return clothes_region(labels, face_region(shell, camera, *pose, driven, 6.0), 6.0)[..., 0]

    region = kept(codes[frame])
    assert region[labels != Label.TORSO].max() == 0.0
    assert region[int(chin[1]) + 4, int(chin[0])] == 0.0, "as far as the soft edge of the face"
    assert region[int(chin[1]) + 16 :].min() == 1.0 and 0 < region[int(chin[1]) + 10, int(chin[0])] < 1
    wide = codes[frame] + np.array([6.0, 0.0], np.float32) * np.sign(_drop(shell, codes[frame]))
    assert kept(wide)[int(chin[1]) + 12, int(chin[0])] < region[int(chin[1]) + 12, int(chin[0])], "a lower chin covers more of it"


def _drop(shell, codes: np.ndarray) -> float:  # type: ignore[no-untyped-def]
    """How far down one unit of the first code takes the chin, cm."""
    lower, here = (shell.displaced(each)[_CHIN, 1] for each in (codes + np.array([1.0, 0.0], np.float32), codes))
    return float(here - lower)


def test_the_head_protocols_leave_clothes_to_the_recording(tmp_path: Path) -> None:
    run = trainer(tmp_path, iterations=1)
    dataset, (_, codes) = run.dataset, shell_of(run.dataset)

    def render(labels: np.ndarray) -> HeldOutFrame:
        [frame] = render_held_out(
            PortraitRenderer(speaker_model(run), dataset.track.camera(96)),
            frames=dataset.frames,
            labels=labels,
            plate=dataset.plate,
            rotation=dataset.track.rotation,
            translation_cm=dataset.track.translation_cm,
            expression=dataset.track.expression,
            lip_codes=codes,
            held_out=dataset.held_out_ids[:1],
            train=dataset.train_ids,
        )
        return frame

    bare, dressed = render(dataset.labels), render(np.full_like(dataset.labels, Label.TORSO))
    recorded = dataset.frames[bare.frame_id].astype(int)
    worn = (dressed.region == 0) & (bare.region > 128)
    assert worn.sum() > 100 and (dressed.region > 128).sum() > 1000
    for name in ("head", "wrong_audio", "static_mouth", "retrieval"):
        assert np.abs(getattr(dressed, name)[worn].astype(int) - recorded[worn]).max() <= 1, name
    assert np.array_equal(dressed.full, bare.full), "where no recording plays, clothes are rendered"
    assert np.array_equal(dressed.portrait, bare.portrait)
