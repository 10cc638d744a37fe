"""Stage ``landmarks``: the face mesh of every frame of the clip."""

from __future__ import annotations

from talkhead_core.artifacts import read_json, write_arrays
from talkhead_core.errors import FootageError
from talkhead_core.face.frame_landmarks import gather
from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.media.read_ahead import read_ahead
from talkhead_core.media.video_reader import read_frames, video_info
from talkhead_core.progress import tracked
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Read ``clip.mkv`` and ``ingest.json``; write ``landmarks.safetensors``."""
    config = stage.section(LandmarksConfig)
    clip = stage.inputs("ingest") / "clip.mkv"
    shots = read_json(stage.inputs("ingest") / "ingest.json")["shots"]
    frames = video_info(clip).frames
    rows = build_landmarker(config).detect(read_ahead(read_frames(clip)), shots)
    arrays = gather(tracked(rows, frames, stage.progress))
    if not arrays["detected"].any():
        raise FootageError(clip, "no face in any frame", "give a video of one person facing the camera, the face at least 60 pixels wide")
    write_arrays(stage.out / "landmarks.safetensors", arrays, {"landmarker": config.landmarker})


if __name__ == "__main__":
    main(run)
