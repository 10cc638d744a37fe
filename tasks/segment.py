"""Label every pixel of the clip and gather the clean background plate."""

from __future__ import annotations

from dataclasses import asdict

import cv2
import numpy as np

from talkhead_core.artifacts import read_arrays, read_json, whole_file, write_json
from talkhead_core.compositing.background_plate import BackgroundPlate
from talkhead_core.errors import InputError
from talkhead_core.media.read_ahead import WriteBehind, read_ahead
from talkhead_core.media.video_reader import read_frames, video_info
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.segmentation.label_map import SegmentationConfig, label_frames
from talkhead_core.types import Label
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Write ``labels.mkv``, ``background.png`` and ``segment.json``."""
    config = stage.section(SegmentationConfig)
    clip = stage.inputs("ingest") / "clip.mkv"
    info = video_info(clip)
    landmarks = read_arrays(stage.inputs("landmarks") / "landmarks.safetensors")
    if not np.array_equal(landmarks["frame_id"], np.arange(info.frames)):
        raise InputError(f"landmarks: {len(landmarks['frame_id'])} rows for the {info.frames} frames of {clip}; rerun landmarks")
    cuts = {first for first, _ in read_json(stage.inputs("ingest") / "ingest.json")["shots"]}

    plate = BackgroundPlate(info.height, info.width, margin_px=config.plate_margin * info.height)
    pixels = np.zeros(len(Label), np.int64)
    with (
        VideoWriter(stage.out / "labels.mkv", width=info.width, height=info.height, fps=info.fps, encoding="lossless_gray") as video,
        WriteBehind(video.write) as write,
    ):
        labelled = label_frames(read_ahead(read_frames(clip)), landmarks["points"], landmarks["detected"], config)
        for index, (frame, labels) in enumerate(labelled):
            if index in cuts:
                plate.cut()
            plate.add(frame, labels == Label.BACKGROUND)
            pixels += cv2.calcHist([labels], [0], None, [len(Label)], [0, len(Label)])[:, 0].astype(np.int64)
            write(labels)
            stage.progress(index + 1, info.frames)
    background, coverage = plate.finish()
    with whole_file(stage.out / "background.png") as temporary:
        cv2.imwrite(str(temporary), cv2.cvtColor(background, cv2.COLOR_RGB2BGR))
    shares = {label.name.lower(): float(pixels[label] / max(1, pixels.sum())) for label in Label}
    write_json(stage.out / "segment.json", {"frames": info.frames, "shares": shares, "plate": asdict(coverage)})


if __name__ == "__main__":
    main(run)
