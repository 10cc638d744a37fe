"""Training learns, resumes to the same weights, survives a loss that is not a number, and models survive the disk."""

import dataclasses

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter1d

from talkhead_core.encoders.fc_res_block import FCResBlock, ResidualAudioEncoder
from talkhead_core.encoders.kernel_readout import KernelReadout
from talkhead_core.encoders.lip_encoder import LipEncoder, LipEncoderConfig
from talkhead_core.errors import InputError, ParameterError, TrainingError
from talkhead_core.fields.head_field import HeadFieldConfig
from talkhead_core.fields.torso_field import TorsoField, TorsoFieldConfig
from talkhead_core.rendering.portrait_renderer import PortraitRenderer
from talkhead_core.rendering.shell_cache import ShellCache
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.rendering.talking_head import TalkingHead
from talkhead_core.training.checkpoints import CheckpointStore, signature
from talkhead_core.training.head_training import HeadTrainer, HeadTrainingConfig
from talkhead_core.training.kernel_regression import KernelRegression, KernelRegressionConfig
from talkhead_core.training.lip_training import LipTrainingConfig, predict_lip_codes, train_lip_encoder
from talkhead_core.training.ray_sampling import mouth_boxes
from talkhead_core.training.structure_loss import multiscale_gradient_loss
from talkhead_core.training.torso_training import TorsoTrainingConfig, train_torso_field
from tests.synthetic_portrait import synthetic_portrait
from tests.test_head_shell import shell_of

FIELD = HeadFieldConfig(levels=6, base_resolution=8, finest_resolution=128, log2_entries=12, hidden=32, lip_codes=2)
TRAINING = HeadTrainingConfig(iterations=60, frames_per_step=8, rays_per_frame=64, checkpoint_every=20)


def trainer(folder, **changes) -> HeadTrainer:
    dataset = synthetic_portrait()
    shell, codes = shell_of(dataset)
    torch.manual_seed(0)
    head = TalkingHead(shell, FIELD, len(dataset.frames))
    track = dataset.track
    return HeadTrainer(
        head=head,
        dataset=dataset,
        cache=ShellCache(shell, track.camera(96), track.rotation, track.translation_cm, codes),
        conditions=(codes, track.expression),
        boxes=mouth_boxes(shell, dataset, codes),
        config=dataclasses.replace(TRAINING, **changes),
        store=CheckpointStore(folder),
    )


def test_the_head_field_learns_a_talking_face(tmp_path) -> None:
    run = trainer(tmp_path, iterations=300)
    history = run.train()
    assert history[-1]["psnr"] > history[0]["psnr"] + 4
    dataset, model = run.dataset, speaker_model(run)
    renderer = PortraitRenderer(model, dataset.track.camera(96))
    plate = dataset.plate.astype(np.float32) / 255
    shell, codes = shell_of(dataset)
    scores = {}
    for name, other in (("right", 0), ("wrong", 6)):
        errors = []
        for frame in dataset.held_out_ids:
            layer = renderer.head(
                dataset.track.rotation[frame], dataset.track.translation_cm[frame], codes[frame - other], dataset.track.expression[frame]
            )
            image = layer.over(plate).astype(float)
            errors.append(np.square(image - dataset.frames[frame]).mean())
        scores[name] = -10 * np.log10(np.mean(errors) / 255**2)
    assert scores["right"] > 24, scores
    assert scores["right"] > scores["wrong"] + 0.5, scores  # the mouth follows the lip codes on frames never seen


@pytest.mark.parametrize("structure_weight", [0.0, 0.02])
def test_a_killed_training_resumes_to_the_same_bits(tmp_path, structure_weight) -> None:
    whole = trainer(tmp_path / "whole", structure_weight=structure_weight, patch_px=16)
    whole.train()
    killed = trainer(tmp_path / "killed", structure_weight=structure_weight, patch_px=16)

    def kill(done: int, total: int, note: str = "") -> None:
        if done >= 50:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed.train(kill)
    again = trainer(tmp_path / "killed", structure_weight=structure_weight, patch_px=16)
    history = again.train()
    for (name, expected), actual in zip(whole.head.state_dict().items(), again.head.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name
    assert [row["step"] for row in history] == [50, 60]
    assert (tmp_path / "killed" / "preview.png").exists()


def test_a_loss_that_is_not_a_number_is_rolled_back_and_then_reported(tmp_path) -> None:
    once = trainer(tmp_path / "once")
    poison = {"left": 1}
    step = once.step

    def poisoned(number: int) -> dict[str, torch.Tensor]:
        if number == 33 and poison["left"]:
            poison["left"] -= 1
            with torch.no_grad():
                once.head.field.output.weight.fill_(float("nan"))
        return step(number)

    once.step = poisoned  # type: ignore[method-assign]
    once.train()
    assert all(torch.isfinite(value).all() for value in once.head.state_dict().values())
    assert once._rate_factor == 0.5
    always = trainer(tmp_path / "always")
    always.step = lambda number: {"loss": torch.tensor(float("nan")), "mse": torch.tensor(0.0)}  # type: ignore[method-assign]
    with pytest.raises(TrainingError, match="step 10, after 3 returns"):
        always.train()


def test_a_model_survives_the_disk(tmp_path) -> None:
    run = trainer(tmp_path / "checkpoints", iterations=5)
    run.train()
    model = speaker_model(run)
    model.torso = TorsoField(TorsoFieldConfig(levels=4, finest_resolution=64, log2_entries=12))
    model.save(tmp_path / "model")
    loaded = SpeakerModel.load(tmp_path / "model")
    camera, track = run.dataset.track.camera(96), run.dataset.track
    arguments = (track.rotation[0], track.translation_cm[0], np.zeros(2, np.float32), np.zeros(4, np.float32))
    before, after = (PortraitRenderer(m, camera).head(*arguments) for m in (model, loaded))
    np.testing.assert_array_equal(before.colour, after.colour)
    assert loaded.torso is not None and loaded.record == {"lips": {"r": 1.0}}
    (tmp_path / "model" / "model.json").write_text('{"format": 99}')
    with pytest.raises(InputError, match="format 99"):
        SpeakerModel.load(tmp_path / "model")


def test_the_lip_encoder_learns_what_the_audio_tells() -> None:
    generator = np.random.default_rng(0)
    codes = uniform_filter1d(generator.standard_normal((400, 2)), 5, axis=0).astype(np.float32)
    codes = (codes - codes.mean(axis=0)) / codes.std(axis=0)
    features = generator.standard_normal((400, 24, 10)).astype(np.float32) * 0.1
    features[:, 8:16, :5] += codes[:, None, :1]
    features[:, 8:16, 5:] += codes[:, None, 1:]
    train = np.arange(340)
    config = LipTrainingConfig(iterations=80, members=2, folds=1, masked_channels=0, gain_std=0.05, tilt_std=0.05)
    encoder = train_lip_encoder(features, codes, train, config)
    predicted = predict_lip_codes(encoder, features)
    assert np.corrcoef(predicted[340:, 0], codes[340:, 0])[0, 1] > 0.9
    np.testing.assert_allclose(predict_lip_codes(encoder, features, block=37), predicted, atol=1e-4)


def test_the_mouth_opens_as_wide_as_frames_not_learned_say() -> None:
    """The first code opens the mouth and is half heard: it is stretched to its spread; the second, as badly heard, is left small."""
    generator = np.random.default_rng(1)
    codes = uniform_filter1d(generator.standard_normal((400, 2)), 5, axis=0).astype(np.float32)
    codes = (codes - codes.mean(axis=0)) / codes.std(axis=0)
    features = generator.standard_normal((400, 12, 10)).astype(np.float32) * 2.0
    features[:, 4:8, :5] += codes[:, None, :1]
    features[:, 4:8, 5:] += codes[:, None, 1:]
    config = LipTrainingConfig(
        iterations=40, members=1, folds=2, clips=8, masked_channels=0, gain_std=0.05, tilt_std=0.05, opening_spread=0.9
    )
    plain = predict_lip_codes(train_lip_encoder(features, codes, np.arange(340), dataclasses.replace(config, folds=1)), features)[340:]
    stretched = predict_lip_codes(train_lip_encoder(features, codes, np.arange(340), config), features)[340:]
    wanted = codes[340:]
    assert plain[:, 0].std() < 0.8 * wanted[:, 0].std()
    assert abs(stretched[:, 0].std() - 0.9 * wanted[:, 0].std()) < abs(plain[:, 0].std() - 0.9 * wanted[:, 0].std())
    np.testing.assert_allclose(stretched[:, 1], plain[:, 1], atol=0.15 * wanted[:, 1].std())


@pytest.mark.parametrize("kernel_share", [0.0, 0.5])
@pytest.mark.parametrize("phonetic", [False, True])
def test_a_saved_lip_encoder_says_the_same(kernel_share: float, phonetic: bool) -> None:
    generator = np.random.default_rng(2)
    features = generator.standard_normal((80, 24, 80)).astype(np.float32)
    codes = generator.standard_normal((80, 2)).astype(np.float32)
    config = LipTrainingConfig(iterations=2, members=2, folds=2, clips=2, clip_frames=8, kernel_share=kernel_share, phonetic=phonetic)
    encoder = train_lip_encoder(features, codes, np.arange(70), config)
    assert (encoder.phonetic is not None) == phonetic and (encoder.kernel is not None) == (kernel_share > 0)
    copy = LipEncoder(encoder.config)
    copy.load_state_dict(encoder.state_dict())
    np.testing.assert_array_equal(predict_lip_codes(copy, features), predict_lip_codes(encoder, features))


def test_the_phonetic_encoder_hears_the_first_of_joined_features() -> None:
    generator = np.random.default_rng(6)
    features = generator.standard_normal((80, 24, 90)).astype(np.float32)
    codes = generator.standard_normal((80, 2)).astype(np.float32)
    config = LipTrainingConfig(iterations=2, members=2, folds=2, clips=2, clip_frames=8)
    encoder = train_lip_encoder(features, codes, np.arange(70), config, channel_groups=(80, 10))
    assert encoder.phonetic is not None and encoder.kernel is not None
    assert encoder.kernel.config.groups == (80, 32, 10, 128)
    assert [network.channels for network in encoder.networks] == [122, 112], "the second is not given the last of the features"
    windows = torch.from_numpy(features[None])
    alone = train_lip_encoder(features[..., :80], codes, np.arange(70), config)
    heard, without = encoder.inputs(windows), alone.inputs(windows[..., :80])
    torch.testing.assert_close(heard[..., :112], without[..., :112])
    torch.testing.assert_close(heard[..., 112:122], windows[..., 80:])
    torch.testing.assert_close(heard[..., 122:], without[..., 112:])
    copy = LipEncoder(encoder.config)
    copy.load_state_dict(encoder.state_dict())
    np.testing.assert_array_equal(predict_lip_codes(copy, features), predict_lip_codes(encoder, features))


def test_the_kernel_readout_is_kernel_ridge_regression_and_few_centres_are_nearly_it() -> None:
    generator = np.random.default_rng(4)
    features = torch.from_numpy(generator.standard_normal((150, 12, 6)).astype(np.float32))
    codes = (features[:, 5:7].mean(dim=(1, 2), keepdim=True)[:, :, 0] * 3).numpy().repeat(2, axis=1)
    learned, told = np.arange(120), np.arange(120, 150)

    def fitted(most_centres: int) -> tuple[KernelReadout, KernelRegression]:
        config = KernelRegressionConfig(ridge=0.05, most_centres=most_centres, dimensions=36)
        regression = KernelRegression(lambda ids: features[ids], 150, learned, (4, 2), config)
        return regression.fit(codes, learned), regression

    readout, regression = fitted(120)
    points = regression.points.double().numpy()
    distances = np.square(points[:, None] - points[None]).sum(axis=2)
    among, across = np.exp(-distances[:120, :120] / 2), np.exp(-distances[120:, :120] / 2)
    weights = np.linalg.solve(among + 0.05 * np.eye(120), codes[:120] - codes[:120].mean(axis=0))
    expected = readout.smoothed(torch.from_numpy(across @ weights + codes[:120].mean(axis=0)).float()[None])
    torch.testing.assert_close(readout(features[told][None]), expected, atol=2e-4, rtol=0)
    assert np.corrcoef(expected[0, :, 0], codes[told, 0])[0, 1] > 0.4
    few, _ = fitted(80)
    assert few.centres.shape == (80, 36)
    assert np.corrcoef(few(features[told][None])[0, :, 0], expected[0, :, 0])[0, 1] > 0.8


def test_groups_count_the_same_whatever_their_size() -> None:
    features = torch.from_numpy(np.random.default_rng(5).standard_normal((90, 12, 9)).astype(np.float32)) * torch.arange(1.0, 10.0)
    regression = KernelRegression(lambda ids: features[ids], 90, np.arange(90), (8, 1), KernelRegressionConfig())
    rows = regression.fit(np.zeros((90, 1), np.float32), np.arange(90)).rows(features).view(90, -1, 9)
    lengths = [float(part.square().sum(dim=(1, 2)).mean()) for part in (rows[..., :8], rows[..., 8:])]
    np.testing.assert_allclose(lengths, [0.5, 0.5], rtol=1e-3)


def test_the_phonetic_encoder_is_left_out_for_other_features() -> None:
    features = np.random.default_rng(3).standard_normal((60, 24, 39)).astype(np.float32)
    encoder = train_lip_encoder(
        features, features[:, 0, :2], np.arange(50), LipTrainingConfig(iterations=1, members=1, folds=1, clips=1, clip_frames=8)
    )
    assert encoder.phonetic is None


def test_residual_blocks_have_the_sizes_of_the_paper() -> None:
    encoder = ResidualAudioEncoder()
    assert [(block.first.in_features, block.first.out_features) for block in encoder] == [(512, 256), (256, 128), (128, 64)]
    assert isinstance(FCResBlock(8, 8).residual, torch.nn.Identity)
    block, x = FCResBlock(3, 2), torch.randn(5, 3)
    leaky = torch.nn.LeakyReLU(0.02)
    expected = leaky(block.second(leaky(block.first(x))) + block.residual(x))  # RAE-NeRF eq. 2
    torch.testing.assert_close(block(x), expected)


def test_the_torso_learns_and_transient_pixels_do_not_count() -> None:
    dataset = synthetic_portrait()
    hand = dataset.frames.copy()
    hand[:, 80:, :, :] = (200, 30, 30)
    labels = dataset.labels.copy()
    labels[:, 70:, :] = 1
    spoiled = dataclasses.replace(dataset, frames=hand, labels=labels)
    transient = np.zeros(labels.shape, np.uint8)
    transient[:, 80:, :] = 255
    torch.manual_seed(0)
    config = TorsoTrainingConfig(iterations=120, frames_per_step=8, pixels_per_frame=128)
    field = TorsoField(TorsoFieldConfig(levels=6, finest_resolution=64, log2_entries=12))
    history = train_torso_field(field, spoiled, transient, config)
    assert history[-1]["psnr"] > history[0]["psnr"] + 3
    masked = _torso_error(field, spoiled, slice(82, 94))
    torch.manual_seed(0)
    field = TorsoField(TorsoFieldConfig(levels=6, finest_resolution=64, log2_entries=12))
    train_torso_field(field, spoiled, transient, dataclasses.replace(config, transient_weighting=False))
    assert _torso_error(field, spoiled, slice(82, 94)) < 0.3 * masked  # without the weighting the hand is learned


def test_structure_loss_tells_sharp_from_blurred() -> None:
    sharp = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, 1, 1)
    assert multiscale_gradient_loss(sharp, sharp).item() == 0.0
    assert multiscale_gradient_loss(blurred, sharp) > 3 * multiscale_gradient_loss(sharp + 0.05, sharp)


def test_signatures_tell_inputs_apart(tmp_path) -> None:
    one, two = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"1")
    two.write_bytes(b"2")
    assert signature({"x": 1}, one) == signature({"x": 1}, one)
    assert len({signature({"x": 1}, one), signature({"x": 2}, one), signature({"x": 1}, two)}) == 3


def test_bad_training_parameters_are_refused() -> None:
    with pytest.raises(ParameterError, match="iterations"):
        HeadTrainingConfig(iterations=0)


def speaker_model(run: HeadTrainer) -> SpeakerModel:
    from talkhead_core.face.lip_codes import LipCodes
    from talkhead_core.face.upper_face_codes import UpperFaceCodes

    track = run.dataset.track
    return SpeakerModel(
        head=run.head,
        lip_encoder=LipEncoder(LipEncoderConfig(lip_codes=2)),
        lip_codes=LipCodes.fit(track.mesh_cm, track.shape_cm, 2),
        upper_face_codes=UpperFaceCodes(components=np.zeros((0, 1), np.float32), mesh_basis_cm=np.zeros((0, 468, 3), np.float32)),
        expression_mean=np.zeros(4, np.float32),
        expression_std=np.ones(4, np.float32),
        appearance=run.head.appearance.detach().mean(dim=0).numpy(),
        size_px=96,
        record={"lips": {"r": 1.0}},
    )


def _torso_error(field: TorsoField, dataset, rows: slice) -> float:
    centres = (torch.arange(96, dtype=torch.float32) + 0.5) / 96
    v, u = torch.meshgrid(centres, centres, indexing="ij")
    position = torch.stack([u, v], dim=2)[rows].reshape(1, -1, 2)
    track = dataset.track
    code = field.pose_code(torch.from_numpy(track.rotation[:1]), torch.from_numpy(track.translation_cm[:1]), track.camera(96).focal_px / 96)
    with torch.no_grad():
        colour, opacity = field(position, code)
    plate = torch.from_numpy(dataset.plate[rows].reshape(1, -1, 3).astype(np.float32) / 255)
    rendered = opacity * colour + (1 - opacity) * plate
    target = torch.from_numpy(dataset.frames[0, rows].reshape(1, -1, 3).astype(np.float32) / 255)
    return float((rendered - target).square().mean())
