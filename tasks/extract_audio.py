"""Stage ``extract_audio``: the sound of the raw video, sample-aligned with the clip's first frame."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from talkhead_core.artifacts import read_json
from talkhead_core.media.audio_file import read_audio_span, write_audio
from tasks.stage import Stage, main


@dataclass(frozen=True, kw_only=True)
class ExtractAudioConfig:
    """Nothing to choose: 16 kHz mono is what every later stage takes."""


def run(stage: Stage) -> None:
    """Read the registered raw video and ``ingest.json``, write ``audio.wav``."""
    stage.section(ExtractAudioConfig)
    record = read_json(stage.inputs("ingest") / "ingest.json")
    duration_s = record["clip"]["frames"] / float(Fraction(record["clip"]["fps"]))
    audio = read_audio_span(stage.source_video, record["source"]["start_s"], duration_s)
    write_audio(stage.out / "audio.wav", audio)
    stage.progress(1, 1, f"{duration_s:.2f} s")


if __name__ == "__main__":
    main(run)
