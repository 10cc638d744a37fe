"""Let a video carry OpenFace's CSV: ``python -m tasks.attach_action_units --video V --csv C --out O.mkv``."""

from __future__ import annotations

import argparse
from pathlib import Path

from talkhead_core.errors import InputError
from talkhead_core.media.attachments import write_with_attachment
from talkhead_core.media.openface_csv import OPENFACE_FILE, read_action_units
from talkhead_core.media.probe import probe_video
from tasks.stage import errors_in_one_line


def attach_action_units(video: Path, csv: Path, out: Path) -> None:
    """Write ``out``, a Matroska file.

    Raises:
        InputError: the CSV is none of OpenFace's, or is of another video.
        FootageError: not a video that Matroska can hold as it is.
    """
    named, recorded = len(read_action_units(csv)), len(probe_video(video).timestamps_s)
    if abs(named - recorded) > 1:  # decoders differ by a frame at the end
        raise InputError(f"{csv}: names {named} frames and {video} has {recorded}; run OpenFace on this very video")
    write_with_attachment(video, out, OPENFACE_FILE, csv.read_bytes())


def _main() -> None:
    parser = argparse.ArgumentParser(prog="talkhead run")
    parser.add_argument("--video", type=Path, required=True)
    parser.add_argument("--csv", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    with errors_in_one_line("attach_action_units"):
        attach_action_units(arguments.video, arguments.csv, arguments.out)


if __name__ == "__main__":
    _main()
