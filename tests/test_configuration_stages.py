"""Every configuration through the stages themselves: coarse, fine, torso and the held-out render, on a tiny scene."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
import yaml

from talkhead_core.artifacts import read_json, write_arrays, write_json
from talkhead_core.consent import Consent, statement_hash, write_consent
from talkhead_core.media.audio_file import write_audio
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.rendering.region_aware_head import RegionAwareHead
from talkhead_core.rendering.speaker_model import SpeakerModel
from tasks import render, train_coarse, train_fine, train_torso
from tasks.dub import _closed_mouth
from tasks.stage import Stage
from tests.synthetic_portrait import synthetic_portrait
from tests.test_configurations import PAPERS, PARAMS

_SIZE_PX = 96
_SHORT = {"iterations": 12, "frames_per_step": 4, "rays_per_frame": 64, "checkpoint_every": 10}
_PROFILE = {
    "train_coarse": {"size_px": _SIZE_PX, "head": _SHORT, "region_aware": {"grid": {"cells": 32, "samples": 8}}, "upper_face_codes": 1},
    "train_fine": {"head": _SHORT},
    "train_torso": {"torso": {"iterations": 5, "frames_per_step": 2, "pixels_per_frame": 32}, "field": {"log2_entries": 12}},
}


@cache
def _features() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((44, 16, 80)).astype(np.float32)


def workspace(root: Path, config: str) -> Path:
    """A speaker ``ada`` prepared up to training, from the synthetic portrait; returns its folder."""
    dataset, folder = synthetic_portrait(), root / "data" / "ada"
    track, count = dataset.track, len(dataset.frames)
    base = {name: value for name, value in PARAMS.items() if name not in ("profiles", "configs", "no_override")}
    (root / "params.yaml").write_text(yaml.safe_dump({**base, "profiles": {"tiny": _PROFILE}, "configs": PARAMS["configs"]}))
    speaker = {"video": "data/ada/raw/video.mp4", "profile": "tiny", "config": config}
    (root / "speakers.yaml").write_text(yaml.safe_dump({"speakers": {"ada": speaker}}))
    videos = {
        "ingest/clip.mkv": (dataset.frames, "near_lossless"),
        "inpaint/clean.mkv": (dataset.frames, "near_lossless"),
        "segment/labels.mkv": (dataset.labels, "lossless_gray"),
        "flow_masks/transient.mkv": (np.zeros_like(dataset.labels), "lossless_gray"),
    }
    for name, (frames, encoding) in videos.items():
        with VideoWriter(folder / name, width=_SIZE_PX, height=_SIZE_PX, fps=dataset.fps, encoding=encoding) as writer:
            for frame in frames:
                writer.write(frame)
    cv2.imwrite(str(folder / "segment" / "background.png"), cv2.cvtColor(dataset.plate, cv2.COLOR_RGB2BGR))
    rows = {name: getattr(track, name) for name in ("rotation", "translation_cm", "shape_cm", "mesh_cm", "expression", "shot")}
    frame_id = np.arange(count)
    rows |= {"frame_id": frame_id, "focal_px": np.array([track.focal_px]), "status": np.where(track.tracked, 0, 1)}
    write_arrays(folder / "track_head" / "track.safetensors", rows)
    write_arrays(folder / "speech_features" / "features.safetensors", {"frame_id": frame_id, "features": _features()})
    write_audio(folder / "extract_audio" / "audio.wav", 0.1 * np.sin(np.arange(count * 640) / 20))
    write_json(folder / "ingest" / "ingest.json", {"source": {"sha256": "0" * 64}})
    agreed = Consent(who="nobody", purpose="tests", given_on="2025-01-01", statement_sha256=statement_hash("yes"), synthetic=True)
    write_consent(folder / "raw" / "consent.json", agreed)
    return folder


@pytest.mark.parametrize("config", PAPERS)
def test_a_configuration_goes_from_coarse_to_rendered_frames(config: str, tmp_path: Path) -> None:
    folder = workspace(tmp_path, config)
    for module in (train_coarse, train_fine, train_torso, render):
        module.run(Stage(name=module.__name__.rpartition(".")[2], speaker="ada", root=tmp_path))
    model = SpeakerModel.load(folder / "train_torso")
    assert isinstance(model.head, RegionAwareHead) and model.torso is not None
    assert model.record["train_coarse"]["patch_loss"] == "none"
    assert model.record["train_fine"]["patch_loss"] == "gradient", (
        "AlexNet's weights are not here, and the record says what took their place"
    )
    assert {"entropy", "ambient", "uncertainty", "gradient"} <= set(pd.read_parquet(folder / "train_fine" / "history.parquet").columns)
    assert not any((tmp_path / "checkpoints" / "ada").glob("*/*"))
    rendered = cv2.VideoCapture(str(folder / "render" / "heldout.mkv"))
    assert int(rendered.get(cv2.CAP_PROP_FRAME_COUNT)) == 4
    assert read_json(folder / "render" / "render.json")["frame_ids"] == [40, 41, 42, 43]
    if config == PAPERS[0]:
        stage, track = Stage(name="dub", speaker="ada", root=tmp_path), synthetic_portrait().track
        closed = _closed_mouth(stage, model, track)
        quietest = np.argsort(model.lip_codes.opening_cm(model.lip_codes.encode(track.mesh_cm[:40], track.shape_cm), track.shape_cm))[:4]
        np.testing.assert_allclose(closed, model.audio_codes(_features())[quietest].mean(axis=0), rtol=1e-5)
