"""Write a prepared speaker in another program's layout: ``python -m tasks.export_dataset --speaker S --out DIR``."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from talkhead_core.artifacts import read_arrays, read_json
from talkhead_core.errors import InputError
from talkhead_core.face.source_frames import source_frames
from talkhead_core.interop.ad_nerf_export import AdNerfExportConfig, PreparedSpeaker, export_ad_nerf
from talkhead_core.media.openface_csv import attached_openface
from talkhead_core.progress import Progress, silent
from talkhead_core.speakers import check_speaker_name, registered_speaker
from tasks.stage import errors_in_one_line, print_progress

_ARTIFACTS = {
    "clip": "ingest/clip.mkv",
    "ingest": "ingest/ingest.json",
    "labels": "segment/labels.mkv",
    "plate": "segment/background.png",
    "audio": "denoise/audio.wav",
    "landmarks": "landmarks/landmarks.safetensors",
    "track": "track_head/track.safetensors",
}


def export_dataset(root: Path, speaker: str, out: Path, config: AdNerfExportConfig, progress: Progress = silent) -> dict[str, Any]:
    """Write ``out``; returns what it holds.

    Raises:
        InputError: the speaker is not prepared, or ``out`` holds something.
    """
    recording = root / registered_speaker(root / "speakers.yaml", check_speaker_name(speaker)).video
    folder = root / "data" / speaker
    paths = {name: folder / path for name, path in _ARTIFACTS.items()}
    missing = [str(path.relative_to(root)) for path in paths.values() if not path.is_file()]
    if missing:
        raise InputError(
            f"speaker {speaker!r} is not prepared ({', '.join(missing)} missing); run 'talkhead run --speaker {speaker}' first"
        )
    landmarks = read_arrays(paths["landmarks"])
    prepared = PreparedSpeaker(
        clip=paths["clip"],
        labels=paths["labels"],
        plate=paths["plate"],
        audio=paths["audio"],
        landmarks=landmarks,
        track=read_arrays(paths["track"]),
        blendshapes=landmarks.get("blendshapes"),
        action_units=attached_openface(recording) if recording.is_file() else None,
        source_frames=source_frames(read_json(folder / "ingest" / "ingest.json")),
        weights=root / "weights",
    )
    return {"folder": str(out), **export_ad_nerf(prepared, out, config, progress)}


def _main() -> None:
    parser = argparse.ArgumentParser(prog="talkhead export")
    parser.add_argument("--speaker", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--size", type=int)
    arguments = parser.parse_args()
    with errors_in_one_line("export_dataset"):
        config = AdNerfExportConfig(size_px=arguments.size)
        result = export_dataset(Path.cwd(), arguments.speaker, arguments.out, config, print_progress)
        sys.stdout.write(json.dumps(result) + "\n")


if __name__ == "__main__":
    _main()
