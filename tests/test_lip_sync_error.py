"""LSE: SyncNet and S3FD in the official files' formats, and distances whose answer is known."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from talkhead_core.errors import NotAvailableError
from talkhead_core.media.audio_file import write_audio
from talkhead_core.media.mux import mux
from talkhead_core.media.probe import probe_video
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.metrics.face_detector_network import FaceDetector
from talkhead_core.metrics.lip_sync_error import (
    FACE_DETECTOR_FILE,
    SYNCNET_FILE,
    LipSyncError,
    cut_faces,
    face_boxes,
    load_lip_sync_error,
    sync_figures,
)
from talkhead_core.metrics.syncnet_network import SyncNet
from tasks.sync_error import SyncError
from tests.official_weights import randomised


class _KnownDetector(torch.nn.Module):
    """Finds a bright square, in the scale that it is shown."""

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        bright = image[0].mean(dim=0) > 0
        if not bright.any():
            return torch.zeros(1, 4), torch.zeros(1)
        rows, columns = bright.any(dim=1).nonzero(), bright.any(dim=0).nonzero()
        box = torch.tensor([[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], dtype=torch.float32)
        return torch.cat([box, torch.zeros(1, 4)]), torch.tensor([0.99, 0.2])


def frames_with_a_square(count: int = 30) -> list[np.ndarray]:
    frames = []
    for number in range(count):
        frame = np.zeros((240, 320, 3), np.uint8)
        frame[80:160, 100 + 4 * (number // 10) : 180 + 4 * (number // 10)] = 255
        frames.append(frame)
    for frame in frames[12:13]:
        frame[:] = 0
    return frames


def test_the_files_have_the_official_ones_sizes() -> None:
    def megabytes(network: torch.nn.Module) -> float:
        return sum(tensor.numel() * tensor.element_size() for tensor in network.state_dict().values()) / 1e6

    assert megabytes(SyncNet()) == pytest.approx(54.57, rel=2e-3)
    assert megabytes(FaceDetector()) == pytest.approx(89.84, rel=2e-3)


def test_the_detector_puts_anchors_where_they_are() -> None:
    detector = FaceDetector()
    state = {name: torch.zeros_like(tensor) for name, tensor in detector.state_dict().items()}
    detector.load_state_dict(state)
    boxes, scores = detector(torch.zeros(1, 3, 128, 192))
    # of each map: anchors four steps wide in the middle of each step
    assert len(boxes) == sum((128 // step) * (192 // step) for step in (4, 8, 16, 32, 64, 128)) + 1  # the last map is rounded up
    assert boxes[0].tolist() == [-6.0, -6.0, 10.0, 10.0] and boxes[1].tolist() == [-2.0, -6.0, 14.0, 10.0]
    assert boxes[-1].tolist()[2] - boxes[-1].tolist()[0] == 512.0
    np.testing.assert_allclose(scores, 0.5)


def test_the_face_is_followed_and_cut_out_as_syncnets_authors_do() -> None:
    frames = frames_with_a_square()
    boxes = face_boxes(frames, _KnownDetector())  # type: ignore[arg-type]
    assert boxes is not None and boxes.shape == (30, 3)
    np.testing.assert_allclose(boxes[5], [140, 120, 40], atol=4)
    assert np.isfinite(boxes).all(), "the frame without a face lies between its neighbours"
    faces = list(cut_faces(frames, boxes))
    assert len(faces) == 30 and faces[0].shape == (224, 224, 3)
    # 56 px either side of the centre; 40 px above and 72 px below it
    assert faces[5][5, 112, 0] > 200 and faces[5][180, 112, 0] < 50 and faces[5][60, 10, 0] < 50 and faces[5][60, 112, 0] > 200
    assert face_boxes([np.zeros((240, 320, 3), np.uint8)] * 3, _KnownDetector()) is None  # type: ignore[arg-type]
    corner = next(cut_faces([np.zeros((240, 320, 3), np.uint8)], np.array([[5.0, 5.0, 40.0]])))
    assert corner[5, 5].tolist() == [110, 110, 110]


@pytest.mark.parametrize("offset", [-6, 0, 4])
def test_distance_confidence_and_offset_of_known_tracks(offset: int) -> None:
    rng = np.random.default_rng(0)
    sound = rng.normal(0, 1, (120, 16)).astype(np.float32)
    lips = np.roll(sound, -offset, axis=0) + rng.normal(0, 0.1, sound.shape).astype(np.float32)
    figures = sync_figures(lips[20:100], sound[20:100])
    assert figures["lse_offset_frames"] == offset
    # apart: the distance of two random vectors of 16 numbers; together: that of the noise, and of the ends that the shift leaves
    together = (0.4 * (80 - abs(offset)) + 4 * abs(offset)) / 80
    assert figures["lse_d"] == pytest.approx(together, rel=0.15)
    assert figures["lse_d"] + figures["lse_c"] == pytest.approx(np.sqrt(2 * 16), rel=0.1)


def test_a_whole_video_is_scored_with_weights_of_the_official_form(tmp_path: Path) -> None:
    with pytest.raises(NotAvailableError, match="talkhead models pull syncnet"):
        load_lip_sync_error(tmp_path)
    syncnet = {name: tensor for name, tensor in randomised(SyncNet()).items() if not name.endswith("num_batches_tracked")}  # an old file
    torch.save(syncnet, tmp_path / SYNCNET_FILE)
    torch.save({"vgg.0.weight": torch.zeros(1)}, tmp_path / FACE_DETECTOR_FILE)
    with pytest.raises(NotAvailableError, match="is not SyncNet's face detector"):
        load_lip_sync_error(tmp_path)
    torch.save(FaceDetector().state_dict(), tmp_path / FACE_DETECTOR_FILE)
    loaded = load_lip_sync_error(tmp_path)
    error = LipSyncError(loaded._syncnet, _KnownDetector())  # type: ignore[arg-type]
    cepstra = np.random.default_rng(0).normal(0, 5, (100, 13)).astype(np.float32)
    figures = error.figures(lambda: frames_with_a_square(8), cepstra)
    assert set(figures) == {"lse_d", "lse_c", "lse_offset_frames"} and all(np.isfinite(list(figures.values())))
    assert error.figures(lambda: frames_with_a_square(3), cepstra) == {}, "shorter than a window"
    assert error.figures(lambda: frames_with_a_square(8), cepstra[:5]) == {}


def test_a_dub_is_scored_with_its_own_sound_or_the_speech_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    found = LipSyncError(SyncNet().eval(), _KnownDetector())  # type: ignore[arg-type]
    with VideoWriter(tmp_path / "silent.mp4", width=320, height=240, fps=Fraction(25), encoding="delivery") as writer:
        for frame in frames_with_a_square(20):
            writer.write(frame)
    rng = np.random.default_rng(0)
    sounds = [tmp_path / "own.wav", tmp_path / "other.wav"]
    for path in sounds:
        write_audio(path, 0.1 * rng.normal(0, 1, 12800).astype(np.float32), 16000)
    mux(tmp_path / "silent.mp4", sounds[0], tmp_path / "dub.mp4")
    dub, silent = probe_video(tmp_path / "dub.mp4"), probe_video(tmp_path / "silent.mp4")
    assert "talkhead models pull syncnet" in str(SyncError(tmp_path).of(dub))
    monkeypatch.setattr("tasks.sync_error.load_lip_sync_error", lambda weights: found)
    error = SyncError(tmp_path)
    own, other = error.of(dub), error.of(dub, sounds[1])
    assert isinstance(own, dict) and isinstance(other, dict) and own["lse_c"] != other["lse_c"]
    both = error.with_wrong_sound(dub)
    assert isinstance(both, tuple) and both[0] == own and both[1]["lse_c"] != own["lse_c"], "the control hears another part of the sound"
    assert isinstance(error.of(silent), str) and isinstance(error.of(silent, sounds[0]), dict), "a video without sound says so"
