"""The whole frame around a dub: no hand is cut by the head, ends in mid-air or vanishes in mid-visit, and no frame is lost."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import yaml

from talkhead_core.artifacts import write_json
from talkhead_core.compositing.hand_visits import HandVisits, OpenSides, RemovedRegion, around_head
from talkhead_core.media.frame_rate import frame_sources, kept_frames_per_clip_frame
from talkhead_core.media.probe import probe_video
from talkhead_core.media.square_crop import SquareCrop
from talkhead_core.media.transcode import write_clip
from talkhead_core.media.video_reader import read_frames
from talkhead_core.rendering.pose_replay import finer_positions
from talkhead_core.rendering.recording_replay import RecordingReplay
from talkhead_core.types import Label
from tasks.full_frames import FullFrames, Recording, hand_visits
from tasks.stage import Stage
from tests.footage_maker import encode
from tests.torso_scene import texture, write_video

SIDE = 128
FPS = Fraction(25)
HEAD = np.s_[30:80, 44:84]
ALL_CLOSED = OpenSides(top=False, bottom=False, left=False, right=False)
BOTTOM_OPEN = OpenSides(top=False, bottom=True, left=False, right=False)


def labels_of_a_head() -> np.ndarray:
    labels = np.full((SIDE, SIDE), Label.BACKGROUND, np.uint8)
    labels[80:] = Label.TORSO
    labels[HEAD] = Label.HEAD
    return labels


def rectangle(rows: slice, columns: slice) -> np.ndarray:
    mask = np.zeros((SIDE, SIDE), bool)
    mask[rows, columns] = True
    return mask


def raised_arm(reach: int, left: int = 90) -> np.ndarray:
    """From the lower side up to the row ``reach``."""
    return rectangle(slice(reach, SIDE), slice(left, left + 14))


def followed(holes: list[np.ndarray], sides: OpenSides, first: int = 0) -> HandVisits:
    near = around_head(labels_of_a_head())
    return HandVisits.of((RemovedRegion(frame_id=first + index, hole=hole, rendered=near) for index, hole in enumerate(holes)), sides)


def told(visits: HandVisits, position: float, hole: np.ndarray) -> str:
    hands = visits.at(position)
    assert hands is not None
    gone, kept = (bool((mask[hole] == 1).all()) for mask in hands)
    assert gone != kept, "every part of the hand is one or the other"
    return "gone" if gone else "kept"


@pytest.mark.parametrize(
    ("reaches", "sides", "expected"),
    [
        ([110, 70, 40, 70, 110], ALL_CLOSED, "gone"),
        ([110, 70, 40, 70, 110], BOTTOM_OPEN, "kept"),
        ([120, 110, 105, 110, 120], ALL_CLOSED, "kept"),
    ],
)
def test_one_decision_for_the_whole_visit(reaches: list[int], sides: OpenSides, expected: str) -> None:
    holes = [raised_arm(reach, left=78) for reach in reaches]
    visits = followed(holes, sides, first=7)
    assert [told(visits, 7 + index, hole) for index, hole in enumerate(holes)] == [expected] * len(holes)
    assert visits.at(6) is None and visits.at(12) is None


def test_an_arm_that_leaves_the_crop_only_later_stays_from_the_beginning() -> None:
    floating = rectangle(slice(70, 110), slice(78, 92))
    visits = followed([floating, floating, raised_arm(70, left=78)], BOTTOM_OPEN)
    assert told(visits, 0, floating) == "kept"
    apart = HandVisits.of(
        [
            RemovedRegion(frame_id=n, hole=hole, rendered=around_head(labels_of_a_head()))
            for n, hole in ((0, floating), (5, raised_arm(70, left=78)))
        ],
        BOTTOM_OPEN,
    )
    assert told(apart, 0, floating) == "gone", "another visit"


def test_two_hands_in_one_frame_are_two() -> None:
    near, far = rectangle(slice(70, 100), slice(78, 92)), rectangle(slice(100, 120), slice(5, 25))
    visits = followed([near | far], ALL_CLOSED)
    assert told(visits, 0, near) == "gone" and told(visits, 0, far) == "kept"


def test_between_two_frames_both_hands_show() -> None:
    first, second = rectangle(slice(70, 90), slice(80, 90)), rectangle(slice(78, 98), slice(80, 90))
    assert told(followed([first, second], ALL_CLOSED), 0.5, first | second) == "gone"


@pytest.mark.parametrize(
    ("crop", "expected"),
    [
        (SquareCrop(x=0, y=0, size=100), (False, True, False, True)),
        (SquareCrop(x=20, y=50, size=100), (True, False, True, False)),
        (SquareCrop(x=19, y=50, size=100), (True, False, True, False)),
    ],
)
def test_open_sides_are_those_inside_the_source(crop: SquareCrop, expected: tuple[bool, ...]) -> None:
    sides = OpenSides.of(crop, 120, 150)
    assert (sides.top, sides.bottom, sides.left, sides.right) == expected


# --- in whole frames, from a speaker's files -------------------------------------------------------------------------------


class Footage:
    """A 160 x 200 source whose crop is 128 pixels wide; a hand in front of the chin and one far from it, on their frames."""

    frames = 12
    chin_frames, far_frames = range(3, 9), range(2, 11)

    def __init__(self, root: Path, crop: SquareCrop) -> None:
        self.crop = crop
        self.source = texture(200, 160, 3)
        self.hand = texture(200, 160, 4, low=180, high=255)
        self.chin = rectangle(slice(62, SIDE), slice(56, 70))  # an arm from the crop's lower side to the mouth
        self.far = rectangle(slice(100, 116), slice(6, 24))
        self.stage = Stage(name="dub", speaker="ada", root=root)
        self._write(root)

    def hole(self, frame: int) -> np.ndarray:
        return (self.chin & (frame in self.chin_frames)) | (self.far & (frame in self.far_frames))

    def shown(self, frame: int) -> np.ndarray:
        picture, place = self.source.copy(), self.place
        picture[place] = np.where(self.hole(frame)[..., None], self.hand[place], picture[place])
        if self.crop.y + self.crop.size < 200 and frame in self.chin_frames:
            below = np.s_[self.crop.y + SIDE :, self.crop.x + 56 : self.crop.x + 70]
            picture[below] = self.hand[below]
        return picture

    @property
    def place(self) -> tuple[slice, slice]:
        return np.s_[self.crop.y : self.crop.y + SIDE, self.crop.x : self.crop.x + SIDE]

    def _write(self, root: Path) -> None:
        (root / "params.yaml").write_text(
            yaml.safe_dump({"inpaint": {"margin": 0.0}, "profiles": {"demo": {}}, "configs": {"talkhead": {}}})
        )
        entry = {"video": "video.mp4", "profile": "demo", "config": "talkhead"}
        (root / "speakers.yaml").write_text(yaml.safe_dump({"speakers": {"ada": entry}}))
        lossless = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "2", "-pix_fmt", "yuv444p")
        encode(root / "video.mp4", [self.shown(frame) for frame in range(self.frames)], options=lossless)
        holes = [self.hole(frame) for frame in range(self.frames)]
        labels = [np.where(hole, np.uint8(Label.HANDS), labels_of_a_head()) for hole in holes]
        folders = {"segment": "labels.mkv", "flow_masks": "transient.mkv", "inpaint": "clean.mkv"}
        for folder in folders:
            self.stage.inputs(folder).mkdir(parents=True)
        write_video(self.stage.inputs("segment") / "labels.mkv", labels, "lossless_gray")
        write_video(self.stage.inputs("flow_masks") / "transient.mkv", [np.zeros((SIDE, SIDE), np.uint8)] * self.frames, "lossless_gray")
        write_video(self.stage.inputs("inpaint") / "clean.mkv", [self.source[self.place]] * self.frames, "near_lossless")
        write_json(self.stage.inputs("inpaint") / "coverage.json", {"removed": [float(hole.mean()) for hole in holes]})

    def dubbed(self, head_only: bool = True) -> list[np.ndarray]:
        """Grey heads in the whole frames."""
        clean = self.stage.inputs("inpaint") / "clean.mkv"
        recording = Recording(stage=self.stage, crop=self.crop, fps=FPS, clean_clip=clean)
        region = np.zeros((SIDE, SIDE), np.float32)
        region[HEAD] = 1
        grey = np.full((SIDE, SIDE, 3), 90, np.uint8)
        visits = hand_visits(recording, (0, self.frames), head_only=head_only)
        with FullFrames(recording, self.stage.root / "full.mkv", visits) as whole:
            rendered = ((grey, region) for _ in range(self.frames))
            return [frame for frame, _ in whole.pasted(rendered, np.arange(self.frames, dtype=float), head_only=head_only)]


def levels(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def test_a_hand_that_can_be_taken_out_leaves_nothing_behind(tmp_path: Path) -> None:
    """The crop ends where the source does, so the arm ends there, too."""
    footage = Footage(tmp_path, SquareCrop(x=16, y=72, size=SIDE))
    below_head = footage.chin.copy()
    below_head[HEAD] = False
    for frame, dubbed in enumerate(footage.dubbed()):
        inside, recorded = dubbed[footage.place], footage.shown(frame)
        assert levels(inside[below_head], footage.source[footage.place][below_head]) < 8, f"frame {frame}: an arm is left of the hand"
        assert levels(inside[HEAD], 90) < 14, f"frame {frame}: the head is covered"
        assert levels(inside[footage.far], recorded[footage.place][footage.far]) < 8, f"frame {frame}: the other hand plays as recorded"
        assert levels(dubbed[:60], recorded[:60]) < 8


def test_a_hand_whose_arm_leaves_the_crop_stays_in_front_of_the_head(tmp_path: Path) -> None:
    footage = Footage(tmp_path, SquareCrop(x=16, y=40, size=SIDE))
    arm = np.s_[40 + 62 :, 16 + 58 : 16 + 68]
    for frame, dubbed in enumerate(footage.dubbed()):
        recorded = footage.shown(frame)
        if frame in footage.chin_frames:
            assert levels(dubbed[arm], recorded[arm]) < 8, f"frame {frame}: the arm is cut"
        inside = dubbed[footage.place]
        assert levels(inside[32:58, 46:82], 90) < 14, f"frame {frame}: what no hand covers is the head"
        assert levels(inside[footage.far], recorded[footage.place][footage.far]) < 8


def test_a_trained_torso_takes_the_other_hand_away_too(tmp_path: Path) -> None:
    footage = Footage(tmp_path, SquareCrop(x=16, y=72, size=SIDE))
    for frame in footage.dubbed(head_only=False)[:1] + footage.dubbed(head_only=False)[5:6]:
        assert levels(frame[footage.place][footage.far], 90) < 14


# --- frame rates ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "constant", "clip", "kept"),
    [(50, True, 25, 2), (60, True, 30, 2), (Fraction(60000, 1001), True, Fraction(30000, 1001), 2), (25, True, 25, 1)]
    + [(50, False, 25, 1), (40, True, 25, 1), (120, True, 30, 1), (15, True, 25, 1)],
)
def test_frames_that_a_dub_can_keep(source: int | Fraction, constant: bool, clip: int | Fraction, kept: int) -> None:
    assert kept_frames_per_clip_frame(Fraction(source), constant, Fraction(clip)) == kept


def test_a_source_of_50_frames_a_second_keeps_them(tmp_path: Path) -> None:
    """Source frame ``n`` is grey of level ``40 + 3 n``; the clip has every second one."""
    crop = SquareCrop(x=0, y=0, size=64)
    encode(tmp_path / "video.mp4", [np.full((96, 64, 3), 40 + 3 * index, np.uint8) for index in range(40)], fps=50)
    entry = {"video": "video.mp4", "profile": "demo", "config": "talkhead"}
    (tmp_path / "speakers.yaml").write_text(yaml.safe_dump({"speakers": {"ada": entry}}))
    stage = Stage(name="dub", speaker="ada", root=tmp_path)
    record = write_clip_of(stage, crop, tmp_path / "clip.mkv")
    recording = Recording(stage=stage, crop=crop, fps=FPS, clean_clip=tmp_path / "clip.mkv", first_frame_s=record)
    assert recording.frames_per_clip_frame == 2
    clip = [float(frame.mean()) for frame in read_frames(tmp_path / "clip.mkv")]
    positions = finer_positions(len(clip), 2)
    with FullFrames(recording, tmp_path / "full.mkv", HandVisits(), steps=2) as whole:
        black = ((np.zeros((64, 64, 3), np.uint8), np.zeros((64, 64), np.float32)) for _ in positions)
        shown = [float(frame.mean()) for frame, _ in whole.pasted(black, positions, head_only=True)]
    assert np.allclose(shown[::2], clip, atol=1), "each of the clip's frames stays where it is"
    assert np.allclose(np.diff(shown)[:-1], 3, atol=1), "and between them lies the frame that the clip left out"


def write_clip_of(stage: Stage, crop: SquareCrop, path: Path) -> float:
    """The clip at 25 frames a second; the source's time of its first frame."""
    probe = probe_video(stage.source_video)
    write_clip(probe, crop, path, size_px=64, fps=FPS, crf=6, preset="ultrafast")
    return float(probe.timestamps_s[frame_sources(probe.timestamps_s, FPS, 1)[0]])


def test_a_replay_in_twice_as_many_frames_passes_through_the_same_places() -> None:
    angles = np.radians(np.linspace(0, 30, 21))
    rotation = np.stack([[[np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]] for a in angles])
    values = np.arange(63.0).reshape(21, 3)
    replay = RecordingReplay(positions=np.arange(21.0), rotation=rotation, translation_cm=values, expression=values)
    finer = replay.refined(2)
    np.testing.assert_allclose(finer.positions, [*np.arange(0, 20.5, 0.5), 20])
    np.testing.assert_allclose(finer.rotation[::2], rotation, atol=1e-6)
    np.testing.assert_allclose(finer.expression[1], values[:2].mean(axis=0))
    turned = np.degrees(np.arccos((np.trace(np.swapaxes(finer.rotation[:-2], 1, 2) @ finer.rotation[1:-1], axis1=1, axis2=2) - 1) / 2))
    np.testing.assert_allclose(turned, 0.75, atol=0.05)
    assert replay.refined(1) is replay
