"""Make the weights of the phonetic encoder anew: ``python -m tasks.train_phonetic_encoder --out W.safetensors``."""

from __future__ import annotations

import argparse
from pathlib import Path

from talkhead_core.demo.synthetic_speech import utterances
from talkhead_core.training.phonetic_training import PhoneticTrainingConfig, train_phonetic_encoder
from tasks.stage import print_progress


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.train_phonetic_encoder", description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--utterances", type=int, default=1250, help="of synthetic speech; each is about seven seconds")
    parser.add_argument("--iterations", type=int, default=PhoneticTrainingConfig.iterations)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    spoken = list(utterances(arguments.utterances, arguments.seed))
    config = PhoneticTrainingConfig(iterations=arguments.iterations, seed=arguments.seed)
    encoder, scores = train_phonetic_encoder(spoken, config, print_progress)
    seconds = sum(len(utterance.columns) for utterance in spoken) / 100
    encoder.save(arguments.out, {"utterances": len(spoken), "seconds": seconds, "iterations": config.iterations, **scores})
    right = f"{100 * scores['phoneme_accuracy']:.1f} % of columns right, jaw r {scores['jaw_r']:.3f}"
    print_progress(config.iterations, config.iterations, f"{seconds / 60:.0f} minutes of speech, {right}")


if __name__ == "__main__":
    _main()
