"""The face parser BiSeNet: its file, its network computed a second time, and what its classes become."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from talkhead_core.errors import NotAvailableError
from talkhead_core.segmentation.bisenet_network import FACE_CLASSES, BiSeNet
from talkhead_core.segmentation.face_parser import BISENET_FILE, BiSeNetSegmenter
from talkhead_core.segmentation.label_map import LabelMapper, SegmentationConfig
from talkhead_core.segmentation.limbs import NO_LIMBS
from talkhead_core.types import Label
from tests.official_weights import write_bisenet_weights


@pytest.fixture(scope="module")
def bisenet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bisenet_weights(tmp_path_factory.mktemp("bisenet"))


def test_the_face_parsers_file_has_the_size_of_the_official_one(bisenet_weights: Path) -> None:
    assert (bisenet_weights / BISENET_FILE).stat().st_size == pytest.approx(53_289_463, rel=2e-3)


def test_the_face_parser_computes_its_layers(bisenet_weights: Path) -> None:
    """The same network put together a second time, from the published names alone."""
    state = torch.load(bisenet_weights / BISENET_FILE, weights_only=True)
    functional = torch.nn.functional

    def normalised(name: str, x: torch.Tensor) -> torch.Tensor:
        mean, variance, weight, bias = (state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        return functional.batch_norm(x, mean, variance, weight, bias)

    def unit(name: str, x: torch.Tensor, padding: int = 1) -> torch.Tensor:
        return normalised(f"{name}.bn", functional.conv2d(x, state[f"{name}.conv.weight"], padding=padding)).relu()

    def pooled(x: torch.Tensor) -> torch.Tensor:
        return functional.adaptive_avg_pool2d(x, 1)

    def refined(name: str, x: torch.Tensor) -> torch.Tensor:
        x = unit(f"{name}.conv", x)
        return x * normalised(f"{name}.bn_atten", functional.conv2d(pooled(x), state[f"{name}.conv_atten.weight"])).sigmoid()

    image = torch.from_numpy(np.random.default_rng(0).normal(0, 1, (1, 3, 96, 128)).astype(np.float32))
    resnet = "cp.resnet"
    x = normalised(f"{resnet}.bn1", functional.conv2d(image, state[f"{resnet}.conv1.weight"], stride=2, padding=3)).relu()
    x = functional.max_pool2d(x, 3, 2, 1)
    stages = []
    for layer in range(1, 5):
        for block in range(2):
            name, stride = f"{resnet}.layer{layer}.{block}", 2 if layer > 1 and block == 0 else 1
            y = normalised(f"{name}.bn1", functional.conv2d(x, state[f"{name}.conv1.weight"], stride=stride, padding=1)).relu()
            y = normalised(f"{name}.bn2", functional.conv2d(y, state[f"{name}.conv2.weight"], padding=1))
            if f"{name}.downsample.0.weight" in state:
                x = normalised(f"{name}.downsample.1", functional.conv2d(x, state[f"{name}.downsample.0.weight"], stride=stride))
            x = (x + y).relu()
        stages.append(x)
    coarse = refined("cp.arm32", stages[3]) + unit("cp.conv_avg", pooled(stages[3]), 0)
    coarse = unit("cp.conv_head32", functional.interpolate(coarse, scale_factor=2))
    middle = unit("cp.conv_head16", functional.interpolate(refined("cp.arm16", stages[2]) + coarse, scale_factor=2))
    fused = unit("ffm.convblk", torch.cat([stages[1], middle], 1), 0)
    weight = functional.conv2d(functional.conv2d(pooled(fused), state["ffm.conv1.weight"]).relu(), state["ffm.conv2.weight"]).sigmoid()
    scores = functional.conv2d(unit("conv_out.conv", fused * weight + fused), state["conv_out.conv_out.weight"])
    expected = functional.interpolate(scores, (96, 128), mode="bilinear", align_corners=True)
    network = BiSeNet()
    network.load_state_dict({name: tensor for name, tensor in state.items() if not name.startswith(("conv_out16", "conv_out32"))})
    assert expected.std() > 0.01
    np.testing.assert_allclose(network(image), expected, atol=1e-4)


def test_what_the_face_parser_calls_head_and_neck_is_head_and_neck(monkeypatch: pytest.MonkeyPatch, bisenet_weights: Path) -> None:
    parser = BiSeNetSegmenter(str(bisenet_weights))
    classes = torch.zeros(512, 512, dtype=torch.int64)
    classes[100:300, 150:350] = FACE_CLASSES.index("skin")
    classes[60:100, 150:350] = FACE_CLASSES.index("hair")
    classes[300:350, 200:300] = FACE_CLASSES.index("neck")
    classes[350:, 50:450] = FACE_CLASSES.index("cloth")
    scores = 20 * torch.nn.functional.one_hot(classes, 19).permute(2, 0, 1)[None].float()
    monkeypatch.setattr(parser, "_network", lambda image: scores)
    image = np.full((256, 256, 3), 127, np.uint8)
    labels = LabelMapper(SegmentationConfig())(image, parser(image), None, NO_LIMBS, parser.parts(image))
    expected = cv2.resize(classes.numpy().astype(np.uint8), (256, 256), interpolation=cv2.INTER_NEAREST)
    wanted = {"background": Label.BACKGROUND, "skin": Label.HEAD, "hair": Label.HEAD, "neck": Label.NECK, "cloth": Label.TORSO}
    for name, label in wanted.items():
        assert (labels[expected == FACE_CLASSES.index(name)] == label).mean() > 0.97, name


def test_the_face_parser_without_its_file_says_what_to_run(tmp_path: Path) -> None:
    for wrong in (None, str(tmp_path)):
        with pytest.raises(NotAvailableError, match="talkhead models pull bisenet"):
            BiSeNetSegmenter(wrong)
    torch.save({"cp.resnet.conv1.weight": torch.zeros(64, 3, 7, 7)}, tmp_path / BISENET_FILE)
    with pytest.raises(NotAvailableError, match="names do not match"):
        BiSeNetSegmenter(str(tmp_path))
