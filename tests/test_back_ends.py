"""What ``talkhead doctor`` says of kernels and back ends."""

from __future__ import annotations

from pathlib import Path

import torch

from talkhead_core.audio.features import FEATURES
from talkhead_core.weights.catalogue import CATALOGUE
from tasks.back_ends import back_ends


def test_without_weights_each_says_what_to_pull(tmp_path: Path) -> None:
    found = {(each.kind, each.name): each for each in back_ends(tmp_path)}
    assert {name for kind, name in found if kind == "speech feature"} == set(FEATURES)
    assert not found["speech feature", "log_mel"].needs
    for name, choice in (("hubert", ("speech feature", "hubert")), ("lama", ("inpainter", "lama")), ("inception", ("metric", "FID"))):
        assert f"talkhead models pull {name}" in found[choice].needs and found[choice].licence == CATALOGUE[name].licence


def test_weights_that_are_there_are_seen(tmp_path: Path) -> None:
    (tmp_path / "big-lama.pt").touch()
    (tmp_path / "alexnet-owt-7be5be79.pth").touch()
    needs = {each.name: each.needs for each in back_ends(tmp_path)}
    assert not needs["lama"]
    assert "lpips-alexnet" in needs["LPIPS"], "one of two files"


def test_what_may_not_be_used_commercially_is_marked(tmp_path: Path) -> None:
    assert {each.name for each in back_ends(tmp_path) if not each.commercial} == {"ave", "fan", "bisenet", "LSE-C and LSE-D"}


def test_a_kernel_is_used_for_each_part_of_the_model(tmp_path: Path) -> None:
    kernels = [each for each in back_ends(tmp_path) if "kernel" in each.kind]
    kinds = {each.kind for each in kernels}
    assert len(kinds) == 5
    assert all(sum("(used)" in each.name for each in kernels if each.kind == kind) == 1 for kind in kinds)
    if not torch.cuda.is_available():
        assert all("CUDA" in each.needs for each in kernels if each.name in ("triton", "tinycudann"))
