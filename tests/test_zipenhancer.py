"""ZipEnhancer: the authors' file under our names, its spectrum, its parts against the paper, what it says without weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from talkhead_core.audio.denoise import DenoiseConfig, denoise
from talkhead_core.audio.denoise.zip_enhancer.dual_path import StackSize, relative_positions
from talkhead_core.audio.denoise.zip_enhancer.network import NetworkSize, compressed_spectrum, waveform
from talkhead_core.audio.denoise.zip_enhancer.official_weights import WEIGHTS_FILE, load_official, our_name
from talkhead_core.audio.denoise.zip_enhancer.zipformer_block import AttentionWeights, BlockSize, Bypass
from talkhead_core.errors import NotAvailableError
from tests.official_zipenhancer import SMALL, official_file
from tests.test_denoise import hiss, speechlike


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A file of the official form with random weights, of a network small enough for a test."""
    return official_file(tmp_path_factory.mktemp("zipenhancer"), (StackSize(time_factor=4, frequency_factor=5, block=SMALL),))


def test_official_weights_load_under_the_authors_names(tmp_path: Path) -> None:
    stacks = (StackSize(block=SMALL), StackSize(time_factor=2, frequency_factor=3, layers=2, block=SMALL))
    weights = official_file(tmp_path, stacks)
    network = load_official(Path(weights))
    assert network.size == NetworkSize(channels=8, stacks=stacks)
    assert our_name("TSConformer.downsample_output.bias") is None
    wanted = "stacks.1.time.0.attention_weights.project.weight"
    assert our_name("TSConformer.encoders.1.encoder.t_layers.0.self_attn_weights.in_proj.weight") == wanted
    official = torch.load(weights, weights_only=True)["generator"]
    state = network.state_dict()
    assert {our_name(name) for name in official} - {None} == set(state)
    for name, tensor in official.items():
        if our_name(name):
            torch.testing.assert_close(state[our_name(name)], tensor)
    assert load_official(Path(weights).parent).size == network.size


def test_zipenhancers_spectrum_is_inverted_and_its_level_does_not_matter(weights: str) -> None:
    audio = torch.from_numpy(speechlike(1.0) + hiss(1.0))[None]
    torch.testing.assert_close(waveform(*compressed_spectrum(audio), samples=16000), audio, atol=2e-3, rtol=0)
    network = load_official(Path(weights))
    with torch.no_grad():
        once, louder = network.enhance(audio), network.enhance(4 * audio)
    assert torch.isfinite(once).all()
    torch.testing.assert_close(louder, 4 * once, atol=1e-3, rtol=1e-2)
    assert network.enhance(torch.zeros(1, 16000)).abs().max() == 0


def test_bypass_is_equation_one() -> None:
    bypass = Bypass(3)
    with torch.no_grad():
        bypass.weight.copy_(torch.tensor([0.0, 0.25, 1.0]))
    torch.testing.assert_close(bypass(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([5.0, 5.0, 5.0])), torch.tensor([1.0, 2.0, 5.0]))


def test_offsets_are_told_apart_and_attention_sees_the_right_one() -> None:
    encoding = relative_positions(5, 16, torch.device("cpu"))
    assert encoding.shape == (9, 16)
    torch.testing.assert_close(encoding[4, :-1:2], torch.ones(8))
    assert torch.pdist(encoding).min() > 0.1
    size = BlockSize(channels=8, heads=1, query=1, position_query=1, value=1, position=16)
    weights = AttentionWeights(size)
    with torch.no_grad():
        weights.project.weight.zero_()
        weights.project.bias.copy_(torch.tensor([0.0, 0.0, 1.0]))
        weights.position.weight.zero_()
        weights.position.weight[0, 1] = -50.0  # the sine of the offset: prefers what lies before
    attention = weights(torch.zeros(1, 5, 8), encoding)[0, 0]
    assert attention.argmax(dim=1).tolist() == [0, 0, 0, 0, 0]
    torch.testing.assert_close(attention.sum(dim=1), torch.ones(5))


def test_zipenhancer_without_its_weights_says_what_to_run(tmp_path: Path) -> None:
    for path in (None, str(tmp_path / "nowhere.bin"), str(tmp_path)):
        with pytest.raises(NotAvailableError, match="talkhead models pull zipenhancer"):
            denoise(hiss(1.0), DenoiseConfig(method="zipenhancer", weights=path))
    (tmp_path / WEIGHTS_FILE).write_bytes(b"no weights")
    with pytest.raises(NotAvailableError, match="is not ZipEnhancer's weight file"):
        denoise(hiss(1.0), DenoiseConfig(method="zipenhancer", weights=str(tmp_path)))
    torch.save({"generator": {"some.weight": torch.zeros(3)}}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(NotAvailableError, match="is not ZipEnhancer's weight file"):
        denoise(hiss(1.0), DenoiseConfig(method="zipenhancer", weights=str(tmp_path)))
