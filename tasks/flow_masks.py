"""Mark what moves in front of the torso, frame by frame."""

from __future__ import annotations

from itertools import tee

import numpy as np

from talkhead_core.artifacts import read_json, write_json
from talkhead_core.media.read_ahead import WriteBehind, read_ahead
from talkhead_core.media.video_reader import read_frames, read_gray_frames, video_info
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.motion.temporal_mask import FlowMaskConfig, TemporalMask
from talkhead_core.types import Label
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Write ``transient.mkv`` and ``coverage.json``."""
    config = stage.section(FlowMaskConfig)
    clip, labels_file = stage.inputs("ingest") / "clip.mkv", stage.inputs("segment") / "labels.mkv"
    info = video_info(clip)
    cuts = {first for first, _ in read_json(stage.inputs("ingest") / "ingest.json")["shots"]}
    mask = TemporalMask(config, height=info.height, width=info.width, fps=info.fps)
    transient_share, hands_share = [], []
    with (
        VideoWriter(stage.out / "transient.mkv", width=info.width, height=info.height, fps=info.fps, encoding="lossless_gray") as video,
        WriteBehind(video.write) as write,
    ):
        pairs, labelled = tee(zip(read_ahead(read_frames(clip)), read_ahead(read_gray_frames(labels_file)), strict=True))
        for index, (transient, (_, labels)) in enumerate(zip(mask.over(pairs, cuts), labelled, strict=True)):
            transient_share.append(float(np.count_nonzero(transient > 127) / transient.size))
            hands_share.append(float(np.count_nonzero(labels == Label.HANDS) / labels.size))
            write(transient)
            stage.progress(index + 1, info.frames)
    write_json(
        stage.out / "coverage.json",
        {
            "method": config.method,
            "frame_id": list(range(len(transient_share))),
            "transient": transient_share,
            "hands": hands_share,
            "transient_mean": float(np.mean(transient_share)),
            "frames_with_transient": int(np.count_nonzero(np.asarray(transient_share) > 0)),
        },
    )


if __name__ == "__main__":
    main(run)
