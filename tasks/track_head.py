"""Stage ``track_head``: head pose, the person's shape and every frame's face in the head frame.

Where the recording carries poses of its own (a dataset that was imported), they are taken.
"""

from __future__ import annotations

from talkhead_core.artifacts import read_arrays, read_json, write_arrays, write_json
from talkhead_core.errors import InputError
from talkhead_core.face.action_units import upper_face_units
from talkhead_core.face.frame_landmarks import shot_of_frames
from talkhead_core.face.given_poses import track_given_poses
from talkhead_core.face.head_poses import attached_poses
from talkhead_core.face.head_tracking import TrackHeadConfig, track_head
from talkhead_core.media.video_reader import read_gray_frames, video_info
from tasks.stage import Stage, main


def run(stage: Stage) -> None:
    """Read the recording, ``clip.mkv``, ``ingest.json`` and ``landmarks.safetensors``; write ``track.safetensors`` and ``track.json``."""
    config = stage.section(TrackHeadConfig)
    landmarks = read_arrays(stage.inputs("landmarks") / "landmarks.safetensors")
    path = stage.inputs("ingest") / "clip.mkv"
    clip = video_info(path)
    if clip.frames != len(landmarks["frame_id"]):
        raise InputError(f"{path} has {clip.frames} frames but its landmarks {len(landmarks['frame_id'])}; rerun the stage landmarks")
    ingest = read_json(stage.inputs("ingest") / "ingest.json")
    if config.expression.source == "action_units":
        landmarks["action_units"] = upper_face_units(stage.source_video, ingest)
    shot = shot_of_frames(ingest["shots"], len(landmarks["frame_id"]))
    poses = attached_poses(stage.source_video)
    if poses is None:
        track = track_head(
            landmarks, shot, width=clip.width, height=clip.height, frames=read_gray_frames(path), config=config, progress=stage.progress
        )
    else:
        track = track_given_poses(landmarks, shot, poses.of_clip(ingest), config)
    write_arrays(stage.out / "track.safetensors", track.arrays())
    write_json(stage.out / "track.json", track.summary())


if __name__ == "__main__":
    main(run)
