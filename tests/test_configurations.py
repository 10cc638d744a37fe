"""The papers' configurations: sizes as published, gradients everywhere, training that learns and resumes, models that survive the disk."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import yaml

from talkhead_core.audio.denoise import DenoiseConfig
from talkhead_core.audio.features import SpeechFeaturesConfig
from talkhead_core.encoders.audio_attention import AudioAttention
from talkhead_core.encoders.audio_encoder import AudioEncoder, AudioEncoderConfig, predict_audio_codes
from talkhead_core.encoders.spherical_harmonics import spherical_harmonics
from talkhead_core.errors import NotAvailableError, ParameterError
from talkhead_core.face.lip_codes import LipCodes
from talkhead_core.face.upper_face_codes import UpperFaceCodes
from talkhead_core.fields.region_aware_field import RegionAwareField
from talkhead_core.metrics.lpips import Lpips
from talkhead_core.parameters import from_mapping, merged
from talkhead_core.rendering.occupancy_grid import OccupancyGrid, OccupancyGridConfig, dilated_mesh
from talkhead_core.rendering.portrait_renderer import PortraitRenderer
from talkhead_core.rendering.region_aware_head import RegionAwareHead, RegionAwareHeadConfig
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.training.checkpoints import CheckpointStore
from talkhead_core.training.perceptual_loss import PerceptualLoss, perceptual_loss
from talkhead_core.training.region_aware_losses import RegionAwareLossConfig, opacity_entropy, uncertainty_loss
from talkhead_core.training.region_aware_training import RegionAwareTrainer
from talkhead_core.training.resumable_training import HeadTrainingConfig
from tasks.dub import DubConfig
from tasks.train_coarse import TrainCoarseConfig
from tasks.train_fine import TrainFineConfig
from tasks.train_torso import TrainTorsoConfig
from tests.synthetic_portrait import synthetic_portrait
from tests.test_head_shell import shell_of

PARAMS = yaml.safe_load((Path(__file__).resolve().parents[1] / "params.yaml").read_text())
PAPERS = [name for name, config in PARAMS["configs"].items() if config["train_coarse"].get("architecture") == "region_aware"]


def section(config: str, name: str, kind: type, profile: str = "full"):
    layers = [PARAMS.get(name), PARAMS["profiles"][profile].get(name), PARAMS["configs"][config].get(name)]
    return from_mapping(kind, merged(*layers), where=f"{config}.{name}")


def test_the_papers_are_configurations() -> None:
    assert PAPERS == ["er-nerf", "synctalk", "rae-nerf", "wildtalker"]


@pytest.mark.parametrize(
    ("config", "levels", "audio", "eyes", "encoder"),
    [
        ("er-nerf", 12, 32, 1, "audio_net"),
        ("synctalk", 12, 32, 7, "fc"),
        ("rae-nerf", 14, 64, 7, "fc_res_block"),
        ("wildtalker", 12, 32, 7, "fc"),
    ],
)
def test_a_configuration_has_the_sizes_of_its_paper(config: str, levels: int, audio: int, eyes: int, encoder: str) -> None:
    coarse = section(config, "train_coarse", TrainCoarseConfig)
    window, channels = (16, 29) if encoder == "audio_net" else (1, 512)  # DeepSpeech's windows, AVE's vectors
    head = coarse.region_aware.for_speaker(window=window, channels=channels, expression=7)
    field = RegionAwareField(head.field)
    encoded = 3 * levels  # three planes, F = 1
    assert field.config.layout.output_channels == encoded
    assert (head.field.base_resolution, head.field.finest_resolution, head.field.log2_entries, head.field.features) == (64, 512, 14, 1)
    assert float(field.encoder.table.detach().abs().max()) <= 1e-4
    to_eyes = 1 if config == "er-nerf" else eyes
    assert shapes(field.audio_attention) == [(64, encoded), (audio, 64)]
    assert shapes(field.eye_attention) == [(16 if config == "er-nerf" else 64, encoded), (to_eyes, 16 if config == "er-nerf" else 64)]
    assert shapes(field.density) == [(64, encoded + audio + eyes), (64, 64), (65, 64)]
    assert shapes(field.colour) == [(64, 16 + 64 + 4), (3, 64)]
    assert shapes(field.uncertainty) == [(32, encoded), (1, 32)]
    speech = AudioEncoder(head.speech)
    assert audio_shapes(speech) == AUDIO[encoder]
    assert [tuple(layer.weight.shape[:2]) for layer in speech.attention.convolutions[::2]] == [(16, audio), (8, 16), (4, 8), (2, 4), (1, 2)]
    assert speech.attention.linear.weight.shape == (8, 8)
    assert (head.grid.cells, head.grid.samples, head.grid.decay, head.grid.update_every) == (128, 16, 0.95, 16)
    assert not head.lip_code_supervision
    assert speech(torch.zeros(5, window, channels)).shape == (5, audio)
    seen = field(torch.rand(3, 6), torch.eye(3)[[0, 1, 2, 0, 1, 2]], torch.zeros(2, head.field.condition_channels), torch.arange(6) // 3)
    assert [tuple(part.shape) for part in seen] == [(6,), (6, 3), (6,), (6,), (6,)]


AUDIO = {
    "audio_net": [(32, 29, 3), (32, 32, 3), (64, 32, 3), (64, 64, 3), (64, 64), (32, 64)],
    "fc": [(256, 512), (128, 256), (32, 128)],
    "fc_res_block": [(256, 512), (256, 256), (256, 512), (128, 256), (128, 128), (128, 256), (64, 128), (64, 64), (64, 128)],
}


def shapes(module: torch.nn.Module) -> list[tuple[int, ...]]:
    assert not any(name.endswith("bias") for name, _ in module.named_parameters())
    return [tuple(parameter.shape) for parameter in module.parameters()]


def audio_shapes(speech: AudioEncoder) -> list[tuple[int, ...]]:
    return [tuple(parameter.shape) for name, parameter in speech.window.named_parameters() if name.endswith("weight")]


def test_wildtalkers_dubs_show_the_whole_frame() -> None:
    assert section("wildtalker", "dub", DubConfig).frame == "full"
    assert section("rae-nerf", "dub", DubConfig).frame == "crop"


def test_dubs_of_heads_that_hear_everywhere_take_the_lower_face_alone() -> None:
    assert {section(config, "dub", DubConfig).region for config in PAPERS} == {"lower_face"}
    assert section("talkhead", "dub", DubConfig).region == "head"
    for other in ({"torso": "field"}, {"blinks": {"source": "synthesised"}}):
        with pytest.raises(ParameterError, match="lower_face"):
            from_mapping(DubConfig, {"region": "lower_face", **other}, where="dub")


def test_schedules_rates_and_losses_are_those_of_the_papers() -> None:
    for config in PAPERS:
        coarse, fine = section(config, "train_coarse", TrainCoarseConfig), section(config, "train_fine", TrainFineConfig)
        assert (coarse.head.for_marched_head().iterations, fine.head.for_marched_head().iterations) == (100_000, 25_000)
        assert coarse.head.frames_per_step * coarse.head.rays_per_frame == 256**2
        assert (coarse.head.table_rate, coarse.head.network_rate, coarse.losses.attention_rate_factor) == (0.01, 0.001, 5.0)
        assert (coarse.head.first_rate_fraction, coarse.head.last_rate_fraction, fine.head.last_rate_fraction) == (1.0, 0.5, 0.05)
        for losses in (coarse.losses, fine.losses):
            assert losses.photometric == ("l1" if config in ("synctalk", "rae-nerf") else "mse")
            assert (losses.entropy_weight, losses.ambient_weight, losses.jitter_every) == (1e-4, 1e-4, 16)
            assert losses.uncertainty_weight > 0 and losses.jitter_weight > 0
        assert (coarse.losses.patches, fine.losses.patches) == ("none", "lips")
        assert (fine.losses.lpips_patch_weight, fine.losses.lpips_lip_weight) == (0.1, 0.01)
        torso = section(config, "train_torso", TrainTorsoConfig)
        assert torso.torso.transient_weighting == (config == "wildtalker")
        assert section(config, "speech_features", SpeechFeaturesConfig).window == 16
    assert section("wildtalker", "denoise", DenoiseConfig).method == "mss"
    assert section("talkhead", "train_coarse", TrainCoarseConfig).architecture == "shell"


GRID = OccupancyGridConfig(cells=64, samples=12, cells_per_update=4096, update_every=8)


@cache
def small_scene():
    dataset = synthetic_portrait()
    shell, codes = shell_of(dataset)
    shell.config = dataclasses.replace(shell.config, map_px=32)  # only a region here, and 44 of them a test
    return dataset, shell, codes, dilated_mesh(shell, codes[::6], GRID)


def speaker_parts(config: str, **changes):
    """The configuration's head on a small scene: its own networks, a smaller grid and hash so that a test takes seconds."""
    dataset, shell, codes, hull = small_scene()
    parts = section(config, "train_coarse", TrainCoarseConfig, "smoke")
    parts = dataclasses.replace(
        parts.region_aware,
        grid=GRID,
        field=dataclasses.replace(parts.region_aware.field, base_resolution=16, finest_resolution=128, log2_entries=12),
        **changes,
    ).for_speaker(window=16, channels=10, expression=4)
    torch.manual_seed(0)
    head = RegionAwareHead(shell, parts, len(dataset.frames), hull, lip_codes=2)
    track = dataset.track
    lip_codes = LipCodes.fit(track.mesh_cm, track.shape_cm, 2)
    model = SpeakerModel(
        head=head,
        lip_encoder=None,
        lip_codes=lip_codes,
        upper_face_codes=UpperFaceCodes.fit(track.mesh_cm, track.shape_cm, lip_codes, 0),
        expression_mean=np.zeros(4, np.float32),
        expression_std=np.ones(4, np.float32),
        appearance=np.zeros(4, np.float32),
        size_px=96,
    )
    speech = np.repeat(codes[:, :1, None], 16, axis=1) * np.linspace(-1, 1, 10, dtype=np.float32)  # features that tell the first code
    return dataset, model, speech.astype(np.float32)


def trainer_of(config: str, folder: Path, perceptual: PerceptualLoss | None = None, fine: bool = False, parts=None, **changes):
    dataset, model, speech = parts or speaker_parts(config)
    stage, kind = ("train_fine", TrainFineConfig) if fine else ("train_coarse", TrainCoarseConfig)
    settings = section(config, stage, kind, "smoke")
    head = {"iterations": 24, "frames_per_step": 8, "rays_per_frame": 32, "checkpoint_every": 10, **changes}
    return RegionAwareTrainer.for_model(
        model, dataset, speech, dataclasses.replace(settings.head, **head), settings.losses, CheckpointStore(folder), perceptual
    )


@pytest.mark.parametrize("config", PAPERS)
def test_a_few_steps_lower_the_loss_and_reach_every_parameter(config: str, tmp_path: Path) -> None:
    dataset, model, speech = speaker_parts(config, lip_code_supervision=config == "synctalk")
    run = trainer_of(config, tmp_path, parts=(dataset, model, speech), iterations=100)
    before = {name: parameter.detach().clone() for name, parameter in run.head.named_parameters()}
    terms = [run.step(step) for step in range(50)]
    first, last = (float(torch.stack([row["mse"] for row in part]).mean()) for part in (terms[:8], terms[-8:]))
    assert last < 0.6 * first
    unmoved = [name for name, parameter in run.head.named_parameters() if torch.equal(before[name], parameter)]
    assert not unmoved
    wanted = {"photometric", "entropy", "ambient", "uncertainty", "jitter"} | ({"lip_codes"} if config == "synctalk" else set())
    assert set(terms[16]) == wanted | {"loss", "mse"} and "jitter" not in terms[17]
    assert torch.isfinite(torch.stack([row["loss"] for row in terms])).all()


def test_the_grid_is_pruned_to_what_there_is_and_keeps_the_face(tmp_path: Path) -> None:
    run = trainer_of("rae-nerf", tmp_path, iterations=200)
    grid = run.head.grid
    hull = int(grid.occupied.sum())
    assert hull == int((grid.density < 0).sum()) < 64**3 // 3
    for step in range(130):
        run.step(step)
    left = int(grid.occupied.sum())
    assert left < 0.8 * hull
    shell, codes = run.head.shell, np.zeros(2, np.float32)
    face = ((shell.displaced(codes)[:468] - shell.centre_cm) / (2 * shell.half_extent_cm) + 0.5) * 64
    near = torch.nn.functional.max_pool3d(grid.occupied[None].float(), 5, 1, 2)[0]
    assert near[tuple(torch.from_numpy(face.astype(int)).T)].mean() > 0.9
    assert not grid.occupied[0].any(), "a cell outside the dilated mesh is never looked at"


def test_an_update_keeps_the_larger_density_and_forgets_slowly() -> None:
    hull = np.zeros((8, 8, 8), bool)
    hull[2:4] = True
    grid = OccupancyGrid(OccupancyGridConfig(cells=8, cells_per_update=20000, threshold=10.0), hull)
    generator = torch.Generator().manual_seed(0)
    assert int(grid.occupied.sum()) == hull.sum()
    for _ in range(30):  # an update draws cells with replacement
        grid.update(generator, lambda points, lot: torch.where(points[0] * 8 < 3, 100.0, 0.0))
    assert grid.density[2].eq(100).all() and grid.density[3].lt(1e-5).all() and not grid.density[:2].any()
    assert grid.occupied[2].all() and not grid.occupied[3].any()
    grid.update(generator, lambda points, lot: torch.zeros(points.shape[1]))
    assert set(grid.density[2].unique().tolist()) == {95.0, 100.0}, "a cell that is looked at forgets, and no other"
    copy = OccupancyGrid(grid.config)
    assert not copy.occupied.any()
    copy.load_state_dict(grid.state_dict())
    assert torch.equal(copy.occupied, grid.occupied)


@pytest.mark.parametrize("fine", [False, True])
def test_a_killed_training_resumes_to_the_same_bits(fine: bool, tmp_path: Path) -> None:
    whole = trainer_of("rae-nerf", tmp_path / "whole", fine=fine)
    whole.train()
    killed = trainer_of("rae-nerf", tmp_path / "killed", fine=fine)
    step = killed.step

    def kill(number: int) -> dict[str, torch.Tensor]:
        if number == 17:
            raise KeyboardInterrupt
        return step(number)

    killed.step = kill  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    again = trainer_of("rae-nerf", tmp_path / "killed", fine=fine)
    history = again.train()
    for (name, expected), actual in zip(whole.head.state_dict().items(), again.head.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name
    assert history[-1]["step"] == 24 and ("gradient" in history[-1]) == fine
    assert (tmp_path / "killed" / "preview.png").exists()


@pytest.mark.parametrize("config", PAPERS)
def test_a_model_survives_the_disk_and_renders_what_it_hears(config: str, tmp_path: Path) -> None:
    dataset, model, speech = speaker_parts(config, lip_code_supervision=config == "wildtalker")
    trainer_of(config, tmp_path / "checkpoints", parts=(dataset, model, speech), iterations=10).train()
    model.save(tmp_path / "model")
    loaded = SpeakerModel.load(tmp_path / "model")
    assert isinstance(loaded.head, RegionAwareHead) and loaded.lip_encoder is None
    assert loaded.head.config == model.head.config
    codes = loaded.audio_codes(speech)
    np.testing.assert_array_equal(codes, model.audio_codes(speech))
    track = dataset.track
    arguments = (track.rotation[0], track.translation_cm[0], codes[0], np.zeros(4, np.float32))
    before, after = (PortraitRenderer(each, track.camera(96)).head(*arguments) for each in (model, loaded))
    np.testing.assert_array_equal(before.colour, after.colour)
    assert before.over(dataset.plate.astype(np.float32) / 255).shape == (96, 96, 3) and before.opacity.max() > 0


def test_lip_code_supervision_teaches_the_audio_code_what_lips_do(tmp_path: Path) -> None:
    dataset, model, speech = speaker_parts("rae-nerf", lip_code_supervision=True)
    run = trainer_of("rae-nerf", tmp_path, parts=(dataset, model, speech), iterations=120, rays_per_frame=8, network_rate=4e-3)
    run.train()
    assert isinstance(model.head, RegionAwareHead) and model.head.lip_readout is not None
    with torch.no_grad():
        told = model.head.lip_readout(torch.from_numpy(model.audio_codes(speech))).numpy()[:, 0]
    wanted = model.lip_codes.encode(dataset.track.mesh_cm, dataset.track.shape_cm)[:, 0]
    assert np.corrcoef(told, wanted)[0, 1] > 0.8


def test_codes_of_a_clip_are_those_of_its_frames_and_of_its_blocks() -> None:
    torch.manual_seed(0)
    encoder = AudioEncoder(AudioEncoderConfig(encoder="audio_net", window=20, channels=6, outputs=8))
    features = torch.randn(30, 20, 6)
    codes = predict_audio_codes(encoder, features.numpy())
    np.testing.assert_allclose(predict_audio_codes(encoder, features.numpy(), block=7), codes, atol=1e-6)
    padded = torch.nn.functional.pad(features, (0, 0, 0, 0, 4, 3))
    frames = [0, 3, 12, 28, 29]
    neighbours = torch.stack([padded[frame : frame + AudioAttention.frames] for frame in frames])
    np.testing.assert_allclose(encoder.attended(neighbours).detach().numpy(), codes[frames], atol=1e-6)


def test_spherical_harmonics_are_orthonormal() -> None:
    directions = torch.nn.functional.normalize(torch.randn(200_000, 3, generator=torch.Generator().manual_seed(0)), dim=1)
    values = spherical_harmonics(directions)
    assert torch.allclose(values.T @ values / len(values) * 4 * np.pi, torch.eye(16), atol=0.03)


def test_losses_have_the_values_they_should() -> None:
    opacity = torch.tensor([[0.5], [0.5]])
    assert float(opacity_entropy(opacity)) == pytest.approx(1.0) and float(opacity_entropy(torch.tensor([[0.0], [1.0]]))) < 1e-3
    target = torch.zeros(1, 3)
    rendered = torch.full((1, 3), 0.2)
    candidates = torch.linspace(0.0, 1.0, 200)
    best = candidates[torch.stack([uncertainty_loss(rendered, target, value.view(1)) for value in candidates]).argmin()]
    assert float(best) + 0.03 == pytest.approx(0.2 * 3**0.5, abs=0.01)  # the likeliest width is the residual's length


def test_lpips_is_taken_only_with_its_weights(tmp_path: Path) -> None:
    assert perceptual_loss("auto", tmp_path).name == "gradient"
    with pytest.raises(NotAvailableError, match="talkhead models pull lpips-alexnet"):
        perceptual_loss("lpips", tmp_path)
    torch.manual_seed(0)
    network = Lpips()
    for head in network.heads:
        torch.nn.init.uniform_(head)
    lpips = PerceptualLoss("lpips", lambda rendered, wanted: network(rendered * 2 - 1, wanted * 2 - 1).mean())
    run = trainer_of("wildtalker", tmp_path / "run", lpips, fine=True, rays_per_frame=128)
    for step, weight in ((0, 0.1), (1, 0.01)):  # random patches, then the lip rectangle
        assert float(run.step(step)["lpips"]) > 0
        same = torch.rand(run.lip_patch_px**2, 3)
        assert float(run._of_patches(step, same, same, run.lip_patch_px)) == 0.0
        other = float(run._of_patches(step, same, 1 - same, run.lip_patch_px))
        patch, inverse = (part.view(1, run.lip_patch_px, run.lip_patch_px, 3).permute(0, 3, 1, 2) for part in (same, 1 - same))
        assert other == pytest.approx(weight * float(lpips.of(patch, inverse)), rel=1e-5)


@pytest.mark.parametrize(("measured", "columns"), [(4, (0, 1)), (7, (5, 6)), (8, (7,))])
def test_the_blink_is_taken_from_what_tracking_measured_and_not_from_the_codes_after_it(measured: int, columns: tuple[int, int]) -> None:
    config = section("er-nerf", "train_coarse", TrainCoarseConfig).region_aware.for_speaker(window=16, channels=29, expression=measured)
    expression = torch.arange(2 * (measured + 6), dtype=torch.float32).view(2, -1)  # six upper-face codes follow
    eyes = RegionAwareHead.eyes(SimpleNamespace(config=config), expression)  # type: ignore[arg-type]
    assert eyes.tolist() == expression[:, list(columns)].mean(dim=1, keepdim=True).tolist()


def test_marched_heads_take_fewer_steps_on_a_cpu() -> None:
    """A step of theirs costs many times one of ours, and the profile promises an hour."""
    for config in PAPERS:
        coarse, fine = (
            section(config, name, kind, "cpu").head for name, kind in (("train_coarse", TrainCoarseConfig), ("train_fine", TrainFineConfig))
        )
        assert coarse.for_marched_head().iterations == 4 * fine.for_marched_head().iterations < coarse.iterations
    assert HeadTrainingConfig(iterations=7).for_marched_head() == HeadTrainingConfig(iterations=7)
    with pytest.raises(ParameterError, match="marched_iterations"):
        HeadTrainingConfig(marched_iterations=-1)


def test_wrong_choices_are_refused() -> None:
    with pytest.raises(ParameterError, match="audio_net"):
        AudioEncoderConfig(encoder="audionet")
    with pytest.raises(ParameterError, match="eyes"):
        RegionAwareHeadConfig(eyes="both")
    with pytest.raises(ParameterError, match="photometric must be one of"):
        from_mapping(RegionAwareLossConfig, {"photometric": "l2"}, where="losses")
    assert HeadTrainingConfig().iterations > 0
