"""Training of the lip encoder against lip codes of the tracked mesh."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from talkhead_core.encoders.kernel_readout import KernelReadout, KernelReadoutConfig
from talkhead_core.encoders.lip_encoder import LipEncoder, LipEncoderConfig, LipNetwork
from talkhead_core.encoders.phonetic_encoder import PhoneticEncoder, PhoneticEncoderConfig
from talkhead_core.parameters import require
from talkhead_core.progress import Progress, silent
from talkhead_core.training.kernel_regression import KernelRegression, KernelRegressionConfig
from talkhead_core.types import FloatArray, FrameRows

__all__ = ["LipTrainingConfig", "predict_lip_codes", "train_lip_encoder"]

_STRETCHES = np.linspace(0.5, 3.0, 51)


@dataclass(frozen=True, kw_only=True)
class LipTrainingConfig:
    """How the lip encoder is trained.

    Args:
        codes: lip codes; 0: as many as the footage bears (``lip_codes_for``).
        iterations: optimiser steps of each network.
        members: networks that vote; all learn from all training frames.
        folds: further networks, each without one of as many parts of the training frames. What they say of those parts is what
            speech says of frames not learned, and sets how far the opening is stretched; with 1 nothing is stretched.
        opening_spread: spread of the mouth opening over those unseen parts that predictions are stretched to, as a part of the
            tracked one's. Least squares shrinks what it cannot tell, and mouths under-open.
        clips: clips of consecutive frames a step.
        clip_frames: frames a clip.
        learning_rate: peak of the one-cycle schedule.
        weight_decay: of AdamW.
        velocity_weight: of the difference between consecutive frames' codes.
        noise_std: white noise added to the features, in standard deviations.
        tilt_std: noise a channel, constant over a clip: another microphone.
        gain_std: noise constant over channels and a clip: another loudness.
        masked_channels: widest band of channels silenced in a clip (SpecAugment).
        phonetic: let the phonetic encoder listen too; only where the first of the features are log-mel bands.
        kernel_share: of the kernel readout in the vote; 0 leaves it out.
        kernel: how that readout is fitted.
        seed: of initial weights and draws.
    """

    codes: int = 0
    iterations: int = 300
    members: int = 4
    folds: int = 4
    opening_spread: float = 0.9
    clips: int = 16
    clip_frames: int = 32
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    velocity_weight: float = 2.0
    noise_std: float = 0.2
    tilt_std: float = 0.2
    gain_std: float = 0.3
    masked_channels: int = 16
    phonetic: bool = True
    kernel_share: float = 0.5
    kernel: KernelRegressionConfig = KernelRegressionConfig()
    seed: int = 0

    def __post_init__(self) -> None:
        require(0 <= self.codes <= 64, f"codes must be 0 to 64, not {self.codes}")
        require(self.iterations >= 1, f"iterations must be at least 1, not {self.iterations}")
        require(1 <= self.members <= 16, f"members must be 1 to 16, not {self.members}")
        require(1 <= self.folds <= 16, f"folds must be 1 to 16, not {self.folds}")
        require(0.0 < self.opening_spread <= 2.0, f"opening_spread must be in (0, 2], not {self.opening_spread}")
        require(self.clip_frames >= 8, f"clip_frames must be at least 8, not {self.clip_frames}")
        require(0 < self.learning_rate < 1, f"learning_rate must be in (0, 1), not {self.learning_rate}")


def train_lip_encoder(
    features: FloatArray,
    lip_codes: FloatArray,
    train_ids: np.ndarray,
    config: LipTrainingConfig,
    progress: Progress = silent,
    opening_cm: Callable[[FloatArray], FloatArray] | None = None,
    channel_groups: tuple[int, ...] = (),
) -> LipEncoder:
    """Train the networks and the kernel readout, and stretch the opening by what frames not learned from showed.

    Args:
        features: ``[N, window, channels]``, row ``i`` is frame id ``i``.
        lip_codes: ``[N, codes]`` of the tracked mesh.
        train_ids: frame ids that may be learned from; the clips drawn never reach beyond the last of them.
        config: how.
        progress: listener.
        opening_cm: mouth opening ``[frames]`` of lip codes ``[frames, codes]``, for ``opening_spread``; the first code when None.
        channel_groups: channels of each of the features that were joined to ``features``; one where empty.
    """
    torch.manual_seed(config.seed)
    encoder = _untrained(features, channel_groups, lip_codes.shape[1], train_ids, config)
    regression = _regression(encoder, features, train_ids, config) if config.kernel_share else None
    inputs = _inputs(encoder, features)
    end, networks = int(train_ids.max()) + 1, config.members + (config.folds if config.folds > 1 else 0)

    def train(network: LipNetwork, learned: np.ndarray, number: int) -> None:
        def tell(done: int, total: int, note: str = "") -> None:
            progress(number * total + done, networks * total, note)

        _train_network(network, inputs, lip_codes, learned, end, config, config.seed + number, tell)

    for member, network in enumerate(encoder.networks):
        assert isinstance(network, LipNetwork)
        train(network, train_ids, member)
    if config.folds > 1:
        unseen = np.zeros_like(lip_codes)
        for fold, part in enumerate(np.array_split(train_ids, config.folds)):
            learned, judge = np.setdiff1d(train_ids, part), encoder.untrained_network(fold)
            train(judge, learned, config.members + fold)
            unseen[part] = predict_lip_codes(judge, inputs)[part]
            if regression is not None:
                heard = _read_out(regression.fit(lip_codes, learned), regression, part)
                unseen[part] = encoder.vote(torch.from_numpy(unseen[part]), heard).numpy()
        encoder.stretch.copy_(torch.from_numpy(_stretch(unseen[train_ids], lip_codes[train_ids], config.opening_spread, opening_cm)))
    if regression is not None:
        encoder.kernel = regression.fit(lip_codes, train_ids)
        encoder.config = dataclasses.replace(encoder.config, kernel=encoder.kernel.config)
    return encoder.eval()


def _untrained(features: FloatArray, groups: tuple[int, ...], codes: int, train_ids: np.ndarray, config: LipTrainingConfig) -> LipEncoder:
    """An encoder whose phonetic part, if it has one, is trained and scaled to the speaker."""
    _, window, channels = features.shape
    groups = groups or (channels,)
    phonetic = PhoneticEncoder.trained() if config.phonetic and groups[0] == PhoneticEncoderConfig.channels else None
    sizes = LipEncoderConfig(
        window=window,
        channels=channels,
        feature_groups=groups,
        lip_codes=codes,
        members=config.members,
        kernel_share=config.kernel_share,
        phonetic=phonetic.config if phonetic else None,
    )
    encoder = LipEncoder(dataclasses.replace(sizes, kernel=KernelReadoutConfig(groups=sizes.groups)))
    if phonetic is not None:
        encoder.phonetic = phonetic
        heard = _inputs(encoder, features[train_ids])[..., groups[0] : groups[0] + phonetic.config.embedding]
        heard = heard.reshape(-1, phonetic.config.embedding)
        encoder.heard_mean.copy_(torch.from_numpy(heard.mean(axis=0)))
        encoder.heard_std.copy_(torch.from_numpy(heard.std(axis=0) + 1e-4))
    return encoder


@torch.no_grad()
def _inputs(encoder: LipEncoder, features: FloatArray) -> FloatArray:
    """What the networks see of all frames ``[N, window, network_channels]``."""
    parts = [encoder.inputs(part[None])[0, ..., : encoder.config.network_channels] for part in torch.from_numpy(features).split(512)]
    return torch.cat(parts).numpy()


def _regression(encoder: LipEncoder, features: FloatArray, train_ids: np.ndarray, config: LipTrainingConfig) -> KernelRegression:
    """Where all frames lie for the kernel readout."""

    @torch.no_grad()
    def windows(ids: np.ndarray) -> Tensor:
        return encoder.inputs(torch.from_numpy(features[ids])[None])[0]

    return KernelRegression(windows, len(features), train_ids, encoder.config.groups, config.kernel)


def _read_out(readout: KernelReadout, regression: KernelRegression, part: np.ndarray) -> Tensor:
    """Codes ``[part, codes]`` of consecutive frames, from where they lie."""
    return readout.from_points(regression.points[torch.from_numpy(part)][None])[0]


def _train_network(
    network: LipNetwork,
    features: FloatArray,
    lip_codes: FloatArray,
    learned: np.ndarray,
    end: int,
    config: LipTrainingConfig,
    seed: int,
    progress: Progress,
) -> None:
    generator = np.random.default_rng(seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, config.learning_rate, total_steps=max(2, config.iterations))
    usable = np.zeros(len(features), dtype=np.float32)
    usable[learned] = 1.0
    given, wanted, weight = torch.from_numpy(features), torch.from_numpy(lip_codes), torch.from_numpy(usable)
    length = min(config.clip_frames, end)
    network.train()
    for step in range(config.iterations):
        rows = torch.from_numpy(generator.integers(0, end - length + 1, config.clips)[:, None] + np.arange(length))
        loss = _loss(network(_augmented(given[rows], generator, config)), wanted[rows], weight[rows], config.velocity_weight)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        progress(step + 1, config.iterations, f"lips, loss {loss.item():.3f}")


def _stretch(predicted: FloatArray, wanted: FloatArray, spread: float, opening_cm: Callable[[FloatArray], FloatArray] | None) -> FloatArray:
    """What predicted codes are multiplied by, ``[codes, codes]``, from frames that no network had learned.

    The one direction in which the mouth opens is stretched until the opening spreads as ``spread`` asks; stretching every code
    would make the errors of all of them larger.
    """
    opening = opening_cm or (lambda codes: codes[:, 0])
    nothing, codes = np.zeros_like(wanted[:1]), np.eye(wanted.shape[1])
    along = np.array([float((opening(nothing + step) - opening(nothing - step))[0]) for step in codes * 0.1])
    along /= max(float(np.linalg.norm(along)), 1e-9)
    target = spread * opening(wanted).std()
    stretches = [codes + (factor - 1.0) * np.outer(along, along) for factor in _STRETCHES]
    spreads = np.array([opening((predicted @ stretch).astype(np.float32)).std() for stretch in stretches])
    return np.asarray(stretches[int(np.abs(spreads - target).argmin())], dtype=np.float32)


@torch.no_grad()
def predict_lip_codes(encoder: LipEncoder | LipNetwork, features: FrameRows, block: int = 1000, overlap: int = 16) -> FloatArray:
    """Lip codes ``[N, codes]`` of consecutive frames, in blocks of constant memory whose edges do not show."""
    encoder.eval()
    parts = []
    for start in range(0, len(features), block):
        low, high = max(0, start - overlap), min(len(features), start + block + overlap)
        codes = encoder(torch.from_numpy(np.ascontiguousarray(features[low:high], dtype=np.float32))[None])[0]
        parts.append(codes[start - low : start - low + block].numpy())
    return np.concatenate(parts)


def _loss(predicted: Tensor, wanted: Tensor, weight: Tensor, velocity_weight: float) -> Tensor:
    weight = weight.unsqueeze(-1)
    error = (predicted - wanted) * weight
    velocity = (error[:, 1:] - error[:, :-1]) * weight[:, 1:] * weight[:, :-1]
    return error.square().mean() + velocity_weight * velocity.square().mean()


def _augmented(features: Tensor, generator: np.random.Generator, config: LipTrainingConfig) -> Tensor:
    clips, frames, window, channels = features.shape
    noise = generator.standard_normal((clips, frames, window, channels), dtype=np.float32) * config.noise_std
    noise += generator.standard_normal((clips, 1, 1, channels), dtype=np.float32) * config.tilt_std
    noise += generator.standard_normal((clips, 1, 1, 1), dtype=np.float32) * config.gain_std
    augmented = features + torch.from_numpy(noise)
    if config.masked_channels:
        for clip in range(clips):
            width = int(generator.integers(0, min(config.masked_channels, channels)))
            first = int(generator.integers(0, channels - width))
            augmented[clip, :, :, first : first + width] = 0.0
    return augmented
