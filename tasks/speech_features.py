"""Stage ``speech_features``: the denoised speech as a window of feature columns per video frame."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from talkhead_core.artifacts import read_json, write_arrays
from talkhead_core.audio.features import SpeechFeaturesConfig, channel_groups, channel_statistics, create_features, normalise
from talkhead_core.audio.loudness import normalise_loudness
from talkhead_core.audio.voice_activity import voice_activity
from talkhead_core.media.audio_file import read_audio
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Read ``denoise/audio.wav``, write ``features.safetensors``."""
    config = stage.section(SpeechFeaturesConfig)
    clip = read_json(stage.inputs("ingest") / "ingest.json")["clip"]
    fps, frames = Fraction(clip["fps"]), int(clip["frames"])
    audio = read_audio(stage.inputs("denoise") / "audio.wav")
    extractor = create_features(config)
    raw = extractor.extract(normalise_loudness(audio), fps, frames)
    active = voice_activity(audio, fps, frames)
    removed, speech = channel_statistics(raw), channel_statistics(raw, active)
    arrays = {
        "frame_id": np.arange(frames, dtype=np.int64),
        "features": normalise(raw, removed),
        "channel_mean": removed.mean,
        "channel_std": removed.std,
        "speech_mean": speech.mean,
        "speech_std": speech.std,
        "voice_active": active,
        "channel_groups": np.asarray(channel_groups(extractor), dtype=np.int64),
    }
    write_arrays(stage.out / "features.safetensors", arrays, metadata={"method": config.method})
    stage.progress(frames, frames, f"{config.method}, speech in {100 * active.mean():.0f} % of the frames")


if __name__ == "__main__":
    main(run)
