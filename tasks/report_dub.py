"""One page about one dub: ``python -m tasks.report_dub --video DUB.mp4 [--speaker NAME] [--audio A] [--out PAGE.html]``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from talkhead_core.artifacts import write_text
from talkhead_core.errors import TalkheadError
from talkhead_core.media.probe import probe_video
from talkhead_core.media.resampled_frames import resampled_frames
from talkhead_core.metrics.dub import frames_to_look_at
from talkhead_core.provenance.credentials import read_credentials
from talkhead_core.provenance.page_statement import page_statement
from talkhead_core.report.dub_page import dub_page
from talkhead_core.report.pictures import frame_picture, poster_uri
from talkhead_core.speakers import check_speaker_name
from talkhead_core.types import Image
from tasks.evaluate_dub import dub_protocol, measure_dub
from tasks.provenance import provenance_config, workspace_origin

__all__ = ["write_dub_page"]


def write_dub_page(root: Path, video: Path, page: Path, speaker: str | None = None, audio: Path | None = None) -> None:
    """Measure a dub and write its page.

    Args:
        root: the workspace, whose parameters say how the speaker's dubs are made.
        video: the dub.
        page: the file to write.
        speaker: whose dub it is, where that is known.
        audio: the speech it was made from; the dub's own sound when None.
    """
    dub = measure_dub(video, dub_protocol(root, speaker), audio)
    made_from = {"video": video.name, "frames": dub.figures.frames, "fps": str(dub.fps)}
    made_from |= {"speaker": speaker} if speaker else {}
    made_from |= {"audio": audio.name} if audio else {}
    link = Path(os.path.relpath(video.resolve(), page.resolve().parent)).as_posix()
    looked_at = frames_to_look_at(dub.figures, dub.change, float(dub.fps))
    images = _frames(video, [0, *(frame for frame, _ in looked_at)])
    origin = _origin(root, video, speaker)
    key = provenance_config(root).watermark_key if origin else None  # what may be a recording is not marked as made
    pictures = [frame_picture(images[frame], frame, float(dub.fps), why, key) for frame, why in looked_at]
    text = dub_page(
        video,
        link,
        dub.figures,
        dub.document,
        dub.level_dbfs,
        float(dub.fps),
        made_from,
        pictures,
        poster=poster_uri(images[0], key),
        statement=page_statement([origin]) if origin else None,
    )
    write_text(page, text)


def _origin(root: Path, video: Path, speaker: str | None) -> Mapping[str, Any] | None:
    """What the video's own credentials say; without them, what the workspace knows of the speaker; None without either."""
    credentials = read_credentials(video) if video.suffix.lower() == ".mp4" else None
    if credentials is not None and credentials.origin is not None:
        return credentials.origin
    if speaker is None:
        return None
    facts = workspace_origin(root, speaker, "dub", video.name).facts()
    return facts | {"remarks": {"credentials": "the video bears none: this is what the workspace knows of its speaker"}}


def _frames(video: Path, wanted: list[int]) -> dict[int, Image]:
    probe = probe_video(video)
    frames = islice(resampled_frames(probe, probe.width, probe.height, probe.fps), max(wanted) + 1)
    return {index: frame for index, frame in enumerate(frames) if index in wanted}


def main(argv: list[str] | None = None) -> int:
    """Entry point; prints the page's path, 1 when the dub cannot be read."""
    parser = argparse.ArgumentParser(prog="python -m tasks.report_dub", description=__doc__)
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--audio", type=Path, help="the speech it was made from; the dub's own sound by default")
    parser.add_argument("--speaker")
    parser.add_argument("--out", type=Path, help="the page; beside the video by default")
    arguments = parser.parse_args(argv)
    page = arguments.out or arguments.video.with_suffix(".html")
    try:
        speaker = check_speaker_name(arguments.speaker) if arguments.speaker else None
        write_dub_page(Path.cwd(), arguments.video, page, speaker, arguments.audio)
    except TalkheadError as error:
        sys.stderr.write(f"report_dub: {error}\n")
        return 1
    sys.stdout.write(f"{page}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
