"""Stage ``ingest``: the raw video, examined, as an upright square clip at a constant rate."""

from __future__ import annotations

from talkhead_core.artifacts import write_json
from talkhead_core.footage.clip import IngestConfig, ingest_footage
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Read the registered raw video, write ``clip.mkv`` and ``ingest.json``."""
    config, consent = stage.section(IngestConfig), stage.consent()
    record = ingest_footage(stage.source_video, stage.out / "clip.mkv", config, stage.progress)
    write_json(stage.out / "ingest.json", record | {"consent": consent.as_json()})


if __name__ == "__main__":
    main(run)
