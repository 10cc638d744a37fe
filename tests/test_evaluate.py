"""The evaluate stage on a small speaker: the contract of its files, known answers, honest failures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from talkhead_core.artifacts import read_json
from talkhead_core.errors import InputError, ParameterError
from talkhead_core.metrics.protocol import CROSS_PROTOCOLS, PROTOCOLS, cross_protocol
from tasks.evaluate import run
from tasks.stage import Stage
from tests.small_speaker import HELD_OUT, NAME, build_workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("workspace")
    build_workspace(root)
    run(Stage(name="evaluate", speaker=NAME, root=root))
    return root


def _document(workspace: Path) -> dict:
    return read_json(workspace / "data" / NAME / "evaluate" / "metrics.json")


def test_every_rendered_protocol_has_the_figures_of_the_contract(workspace: Path) -> None:
    protocols = _document(workspace)["protocols"]
    assert set(protocols) == {"head/self", "head/wrong_audio", "head/static_mouth", "head/retrieval", "portrait/self", "full/self"}
    for name, figures in protocols.items():
        wanted = {"psnr_full", "psnr_head", "psnr_face", "psnr_mouth", "ssim", "ms_ssim", "lmd_px512", "frames", "frames_without_face"}
        assert wanted <= set(figures), f"{name}: {wanted - set(figures)}"
        assert figures["frames"] == len(HELD_OUT)
        for figure, (low, high) in figures["ci95"].items():
            assert low <= figures[figure] <= high or np.isclose(low, high), f"{name} {figure}"
    assert "psnr_torso" in protocols["full/self"], "the full protocol renders the torso"
    assert "psnr_torso" not in protocols["head/self"], "the head protocol's torso is the ground truth"


def test_figures_are_the_means_of_the_rows(workspace: Path) -> None:
    table = pd.read_parquet(workspace / "data" / NAME / "evaluate" / "per_frame.parquet")
    assert list(table[table["protocol"] == "head/self"]["frame_id"]) == HELD_OUT
    for name, figures in _document(workspace)["protocols"].items():
        rows = table[table["protocol"] == name]
        for figure in ("psnr_face", "lmd_px512", "ssim"):
            assert figures[figure] == pytest.approx(rows[figure].mean())


def test_frames_with_a_seam_are_named(workspace: Path) -> None:
    table = pd.read_parquet(workspace / "data" / NAME / "evaluate" / "per_frame.parquet")
    named = _document(workspace)["seam_frame_ids"]
    assert set(named) == {"head/self", "portrait/self", "full/self"}
    for name, ratios in named.items():
        rows = table[table["protocol"] == name]
        for ratio, ids in ratios.items():
            assert ids == rows[rows[ratio] > 1.3]["frame_id"].tolist(), f"{name} {ratio}"


def test_the_better_render_wins_and_the_difference_is_paired(workspace: Path) -> None:
    document = _document(workspace)
    own, wrong = (document["protocols"][name] for name in ("head/self", "head/wrong_audio"))
    difference = document["comparisons"]["head/self - head/wrong_audio"]
    assert difference["psnr_face"] == pytest.approx(own["psnr_face"] - wrong["psnr_face"])
    assert difference["ci95"]["psnr_face"][0] > 3.0
    assert own["lmd_px512"] < 1.0 < own["psnr_face"]


def test_what_is_not_computed_says_why(workspace: Path) -> None:
    reasons = _document(workspace)["not_available"]
    assert "talkhead models pull lpips-alexnet" in reasons["lpips"]
    assert {"fid", "niqe", "lse_c", "lse_d", "aue"} <= set(reasons)
    assert not set(reasons) & set(_document(workspace)["protocols"]["head/self"])


def test_a_second_run_gives_the_same_bytes(workspace: Path, tmp_path: Path) -> None:
    out = workspace / "data" / NAME / "evaluate" / "metrics.json"
    first = out.read_bytes()
    run(Stage(name="evaluate", speaker=NAME, root=workspace))
    assert out.read_bytes() == first


def test_a_render_of_another_length_is_refused(workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace, tmp_path / "w")
    render = tmp_path / "w" / "data" / NAME / "render"
    text = (render / "render.json").read_text()
    (render / "render.json").write_text(text.replace('"frame_ids": [24, ', '"frame_ids": ['))
    with pytest.raises(InputError, match=r"20 frames where render.json names 19"):
        run(Stage(name="evaluate", speaker=NAME, root=tmp_path / "w"))


def test_an_unknown_parameter_names_the_nearest(workspace: Path, tmp_path: Path) -> None:
    shutil.copytree(workspace, tmp_path / "w")
    params = tmp_path / "w" / "params.yaml"
    params.write_text(params.read_text().replace("evaluate: {}", "evaluate: {landmarkr: fan}"))
    with pytest.raises(ParameterError, match="did you mean 'landmarker'"):
        run(Stage(name="evaluate", speaker=NAME, root=tmp_path / "w"))


def test_protocols_name_compositing_and_drive() -> None:
    names = [protocol.name for protocol in (*PROTOCOLS, *CROSS_PROTOCOLS)]
    assert len(set(names)) == len(names) and all(name.count("/") == 1 for name in names)
    assert [cross_protocol(torso).name for torso in ("source", "field", None)] == ["head/cross", "full/cross", "video/cross"]
