"""Render the held-out frames: driven by their own audio under each protocol, and the controls: wrong audio, a still mouth, retrieval."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial

import numpy as np

from talkhead_core.artifacts import whole_file, write_json
from talkhead_core.kernels import select_device
from talkhead_core.media.mux import mux
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.provenance.credentials import Origin, sign_file
from talkhead_core.provenance.watermark import Watermark
from talkhead_core.rendering.held_out import render_held_out
from talkhead_core.rendering.portrait_renderer import PortraitRenderer
from talkhead_core.rendering.speaker_model import SpeakerModel
from tasks.provenance import ProvenanceConfig, origin_of, stage_signer
from tasks.speaker_data import load_dataset, load_features, spoken_codes
from tasks.stage import Stage, main

_VIDEOS = {
    "heldout.mkv": ("head", "head/self"),
    "heldout_wrong_audio.mkv": ("wrong_audio", "head/wrong_audio"),
    "heldout_static_mouth.mkv": ("static_mouth", "head/static_mouth"),
    "heldout_retrieval.mkv": ("retrieval", "head/retrieval"),
    "heldout_portrait.mkv": ("portrait", "portrait/self"),
    "heldout_full.mkv": ("full", "full/self"),
}


@dataclass(frozen=True, kw_only=True)
class RenderConfig:
    """The section ``render``.

    Args:
        samples: samples a ray.
        feather: width of the head region's soft edge, as a part of the frame's side.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """

    samples: int = 3
    feather: float = 0.02
    device: str = "auto"


def run(stage: Stage) -> None:
    """Write the held-out videos and ``render.json``; ``heldout.mp4``, the one that people watch, is labelled as a dub is."""
    config, provenance = stage.section(RenderConfig), stage.section(ProvenanceConfig, "provenance")
    signer = stage_signer(stage.root, provenance)
    model = SpeakerModel.load(stage.inputs("train_torso")).to(select_device(config.device))
    dataset = load_dataset(stage, model.size_px)
    features = load_features(stage.inputs("speech_features") / "features.safetensors", len(dataset.frames))
    renderer = PortraitRenderer(model, dataset.track.camera(model.size_px), samples=config.samples, feather=config.feather)
    held_out, track = dataset.held_out_ids, dataset.track
    watermark = Watermark(model.size_px, model.size_px, provenance.watermark_key)
    started = time.perf_counter()
    with ExitStack() as stack:
        writer_of = partial(VideoWriter, width=model.size_px, height=model.size_px, fps=dataset.fps)
        writers = {
            attribute: stack.enter_context(writer_of(stage.out / name, encoding="lossless_rgb")) for name, (attribute, _) in _VIDEOS.items()
        }
        region = stack.enter_context(writer_of(stage.out / "region.mkv", encoding="lossless_gray"))
        silent = stack.enter_context(whole_file(stage.root / "data" / stage.speaker / "render" / "heldout_silent.mp4"))
        with writer_of(silent, encoding="delivery") as watched:
            for frame in render_held_out(
                renderer,
                frames=dataset.frames,
                labels=dataset.labels,
                plate=dataset.plate,
                rotation=dataset.track.rotation,
                translation_cm=dataset.track.translation_cm,
                expression=model.expression(track.mesh_cm, track.shape_cm, track.expression),
                lip_codes=spoken_codes(model, features),
                held_out=held_out,
                train=dataset.train_ids,
                progress=stage.progress,
            ):
                for attribute, writer in writers.items():
                    writer.write(getattr(frame, attribute))
                region.write(frame.region)
                watched.write(watermark.marked(frame.full))
        start_s, length_s = float(held_out[0] / dataset.fps), float(len(held_out) / dataset.fps)
        unsigned = stack.enter_context(whole_file(stage.out / "heldout_unsigned.mp4"))
        mux(silent, stage.inputs("extract_audio") / "audio.wav", unsigned, start_s=start_s, duration_s=length_s)
        sign_file(unsigned, stage.out / "heldout.mp4", _origin(stage), signer)
    for name in ("heldout_silent.mp4", "heldout_unsigned.mp4"):
        (stage.out / name).unlink(missing_ok=True)
    write_json(
        stage.out / "render.json",
        {
            "frame_ids": held_out.astype(np.int64),
            "size_px": model.size_px,
            "fps": f"{dataset.fps.numerator}/{dataset.fps.denominator}",
            "videos": {name: protocol for name, (_, protocol) in _VIDEOS.items()},
            "protocol": {
                "head": "head field in the head region over the clean plate; ground truth outside it and on "
                "clothes that the face does not reach; poses, eyes and brows from tracking",
                "portrait": "head field inside the face oval of the posed model, with a soft edge, ground truth outside it",
                "static_mouth": "as head, with the mean of the training frames' predicted lip codes",
                "full": "head field over the torso field over the clean plate",
                "lips": model.record.get("lips", {}),
            },
            "seconds_per_frame": (time.perf_counter() - started) / max(1, len(held_out)),
        },
    )


def _origin(stage: Stage) -> Origin:
    title = f"{stage.speaker}: held-out frames"
    return origin_of(stage, "render", title, {}, stage.consent(), composite=False, watermark=True)


if __name__ == "__main__":
    main(run)
