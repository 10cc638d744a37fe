"""A prepared speaker to measure on: from a workspace, or from one packed file for a machine that has neither its videos nor the packages
that read them."""

from __future__ import annotations

import argparse
import dataclasses
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import yaml

from talkhead_core.artifacts import read_arrays, write_arrays
from talkhead_core.parameters import from_mapping, merged
from talkhead_core.rendering.speaker_model import SpeakerModel
from talkhead_core.training.portrait_dataset import HeadTrack, PortraitDataset
from tasks.speaker_data import load_channel_groups, load_dataset, load_features
from tasks.stage import Stage
from tasks.train_coarse import TrainCoarseConfig, initial_model

__all__ = ["PreparedSpeaker", "load_speaker", "profile_config"]

REPOSITORY = Path(__file__).resolve().parents[1]
_TRACK = ("rotation", "translation_cm", "shape_cm", "mesh_cm", "expression", "tracked", "shot")


@dataclasses.dataclass(frozen=True)
class PreparedSpeaker:
    """Data of one speaker and the parameters of one profile."""

    dataset: PortraitDataset
    features: np.ndarray
    config: TrainCoarseConfig
    channel_groups: tuple[int, ...] = ()

    def model(self) -> SpeakerModel:
        """A model with an untrained head; always the same."""
        stage = Stage(name="train_coarse", speaker="benchmark", root=Path())
        return initial_model(self.dataset, self.features, self.config, stage, self.channel_groups)


def profile_config(profile: str, size_px: int | None = None) -> TrainCoarseConfig:
    """The section ``train_coarse`` of the repository's params.yaml under a profile; few lip iterations, which are not measured."""
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    values = merged(params["train_coarse"], params["profiles"][profile].get("train_coarse"), {"lips": {"iterations": 5}})
    if size_px:
        values["size_px"] = size_px
    return from_mapping(TrainCoarseConfig, values, where="train_coarse")


def load_speaker(source: Path, speaker: str, config: TrainCoarseConfig) -> PreparedSpeaker:
    """From a workspace (a folder) or a packed file (``.safetensors``)."""
    if source.is_dir():
        stage = Stage(name="train_coarse", speaker=speaker, root=source)
        dataset = load_dataset(stage, config.size_px)
        speech = stage.inputs("speech_features") / "features.safetensors"
        return PreparedSpeaker(dataset, load_features(speech, len(dataset.frames)), config, load_channel_groups(speech))
    arrays = read_arrays(source)
    track = HeadTrack(focal_px=float(arrays["focal_px"][0]), clip_px=int(arrays["clip_px"][0]), **{name: arrays[name] for name in _TRACK})
    size = (config.size_px, config.size_px)
    frames = [cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in _unpacked(arrays, "frame", cv2.IMREAD_COLOR)]
    labels = [cv2.resize(image, size, interpolation=cv2.INTER_NEAREST) for image in _unpacked(arrays, "label", cv2.IMREAD_GRAYSCALE)]
    plate = cv2.resize(next(iter(_unpacked(arrays, "plate", cv2.IMREAD_COLOR))), size, interpolation=cv2.INTER_AREA)
    dataset = PortraitDataset(frames=np.stack(frames), labels=np.stack(labels), plate=plate, track=track, fps=Fraction(25))
    return PreparedSpeaker(dataset, arrays["features"], config, tuple(arrays.get("channel_groups", np.empty(0, np.int64)).tolist()))


def _pack(source: Path, speaker: str, target: Path, quality: int) -> None:
    """Frames as JPEG, labels and plate as PNG, beside the arrays: a 20 s clip of 512 px takes about 30 MB."""
    prepared = load_speaker(source, speaker, profile_config("full"))
    dataset, track = prepared.dataset, prepared.dataset.track
    arrays = {name: getattr(track, name) for name in _TRACK} | {"features": prepared.features}
    arrays["channel_groups"] = np.asarray(prepared.channel_groups, dtype=np.int64)
    arrays |= {"focal_px": np.array([track.focal_px]), "clip_px": np.array([track.clip_px])}
    arrays |= _packed("frame", [cv2.imencode(".jpg", frame, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for frame in dataset.frames])
    arrays |= _packed("label", [cv2.imencode(".png", label)[1] for label in dataset.labels])
    arrays |= _packed("plate", [cv2.imencode(".png", dataset.plate)[1]])
    write_arrays(target, arrays)
    print(f"{speaker}: {len(dataset.frames)} frames, {target.stat().st_size / 2**20:.1f} MiB")


def _packed(name: str, encoded: list[np.ndarray]) -> dict[str, np.ndarray]:
    return {f"{name}_bytes": np.concatenate(encoded), f"{name}_ends": np.cumsum([len(part) for part in encoded])}


def _unpacked(arrays: dict[str, np.ndarray], name: str, flags: int) -> list[np.ndarray]:
    parts = np.split(arrays[f"{name}_bytes"], arrays[f"{name}_ends"][:-1])
    return [cv2.imdecode(part, flags) for part in parts]  # colours as they were given: neither way swaps them


def main() -> None:
    """Pack a prepared speaker: ``python -m benchmarks.prepared_speaker WORKSPACE SPEAKER OUT.safetensors``."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("speaker")
    parser.add_argument("out", type=Path)
    parser.add_argument("--quality", type=int, default=95, help="of the JPEG frames")
    arguments = parser.parse_args()
    _pack(arguments.workspace, arguments.speaker, arguments.out, arguments.quality)


if __name__ == "__main__":
    main()
