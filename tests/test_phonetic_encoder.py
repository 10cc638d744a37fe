"""The phonetic encoder: synthetic speech with known sounds, its training, and the weights that ship."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors
import torch

from talkhead_core.demo.synthetic_speech import PHONEMES, utterances
from talkhead_core.encoders.phonetic_encoder import PhoneticEncoder, PhoneticEncoderConfig
from talkhead_core.training.phonetic_training import PhoneticTrainingConfig, Utterance, train_phonetic_encoder


@pytest.fixture(scope="module")
def spoken() -> list[Utterance]:
    return list(utterances(24, seed=7))


def test_synthetic_speech_knows_its_sounds(spoken: list[Utterance]) -> None:
    assert all(len(utterance.columns) == len(utterance.phoneme) == len(utterance.mouth) > 300 for utterance in spoken)
    low_bands = np.concatenate([utterance.columns[:, :30].mean(axis=1) for utterance in spoken])
    phoneme = np.concatenate([utterance.phoneme for utterance in spoken])
    jaw = np.concatenate([utterance.mouth[:, 0] for utterance in spoken])
    vowels = np.isin(phoneme, [PHONEMES.index(sound) for sound in "aeiou"])
    closed = np.isin(phoneme, [PHONEMES.index(sound) for sound in "pbm"])
    # If the times of the sounds did not fit the sound, neither would hold.
    assert low_bands[phoneme == PHONEMES.index("")].mean() < low_bands[vowels].mean() - 1.0
    assert low_bands[closed].mean() < low_bands[vowels].mean() - 1.0
    assert jaw[phoneme == PHONEMES.index("a")].mean() > 2 * jaw[closed].mean()
    again = next(utterances(1, seed=7))
    np.testing.assert_array_equal(again.columns, spoken[0].columns)


def test_training_learns_sounds_and_jaw(spoken: list[Utterance]) -> None:
    config = PhoneticTrainingConfig(
        encoder=PhoneticEncoderConfig(hidden=48, embedding=16),
        iterations=120,
        clips=8,
        clip_columns=100,
        learning_rate=5e-3,
        validation=0.2,
    )
    untrained = train_phonetic_encoder(spoken, PhoneticTrainingConfig(encoder=config.encoder, iterations=2, clips=2, validation=0.2))[1]
    _, scores = train_phonetic_encoder(spoken, config)
    assert scores["phoneme_accuracy"] > untrained["phoneme_accuracy"] + 0.05, (scores, untrained)
    assert scores["jaw_r"] > untrained["jaw_r"] + 0.2


def test_the_weights_that_ship_tell_sounds_apart(spoken: list[Utterance]) -> None:
    """On utterances that were not trained on (another seed): a nearest-mean classifier on the embedding beats one on the features."""
    encoder = PhoneticEncoder.trained()
    columns = [(utterance.columns - utterance.columns.mean(axis=0)) / utterance.columns.std(axis=0) for utterance in spoken]
    heard = [encoder(torch.from_numpy(part)[None])[0].numpy() for part in columns]

    def accuracy(features: list[np.ndarray]) -> float:
        learned, sounds = np.concatenate(features[:16]), np.concatenate([utterance.phoneme for utterance in spoken[:16]])
        known = [sound for sound in np.unique(sounds) if (sounds == sound).sum() >= 50]
        means = np.stack([learned[sounds == sound].mean(axis=0) for sound in known])
        tested, truth = np.concatenate(features[16:]), np.concatenate([utterance.phoneme for utterance in spoken[16:]])
        nearest = np.array(known)[np.square(tested[:, None] - means).sum(axis=2).argmin(axis=1)]
        return float((nearest == truth).mean())

    assert accuracy(heard) > accuracy(columns) + 0.15


def test_weights_come_back_from_a_file(tmp_path: Path) -> None:
    encoder = PhoneticEncoder(PhoneticEncoderConfig(channels=10, hidden=8, embedding=4)).half().float().eval()
    path = tmp_path / "weights.safetensors"
    encoder.save(path, {"utterances": 3})
    columns = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 30, 10)).astype(np.float32))
    assert torch.equal(PhoneticEncoder.trained(path)(columns), encoder(columns))
    with safetensors.safe_open(path, framework="np") as file:
        assert file.metadata()["record"] == '{"utterances": 3}'
        np.testing.assert_array_equal(file.get_tensor("embed.weight"), encoder.embed.weight.detach().half().numpy())
