"""Labels of real and drawn people: person, head, neck, hands and arms; limbs between detections."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from talkhead_core.artifacts import read_json
from talkhead_core.compositing.background_plate import BackgroundPlate
from talkhead_core.demo.speaker import DemoSpeaker, DemoSpeakerConfig, make_demo_speaker
from talkhead_core.errors import InputError, ParameterError
from talkhead_core.face.landmarks import LandmarksConfig, build_landmarker
from talkhead_core.inpaint.hand_removal import InpaintConfig
from talkhead_core.inpaint.removal_mask import removal_mask
from talkhead_core.media.mask_morphology import grown
from talkhead_core.media.video_reader import read_frames, read_gray_frames
from talkhead_core.motion.temporal_mask import FlowMaskConfig, TemporalMask
from talkhead_core.segmentation.face_geometry import FaceGeometry
from talkhead_core.segmentation.hand_region import hand_region
from talkhead_core.segmentation.label_map import LabelMapper, SegmentationConfig, label_frames, nearest_detected
from talkhead_core.segmentation.limb_tracker import with_limbs
from talkhead_core.segmentation.limbs import NO_LIMBS, Limbs, limbs_between
from talkhead_core.segmentation.segmenter import SEGMENTERS
from talkhead_core.segmentation.skin_colour import SkinColour
from talkhead_core.types import Label
from tasks import segment
from tests.footage_maker import moving_portrait, portrait
from tests.official_weights import write_bisenet_weights
from tests.torso_scene import intersection_over_union, mask_stage


@cache
def landmarks_of(size_px: int) -> np.ndarray:
    return next(iter(build_landmarker(LandmarksConfig()).detect([portrait(size_px)], [(0, 1)]))).points


def hand_at(wrist: tuple[float, float], length: float = 60.0) -> np.ndarray:
    """An open hand ``[21, 2]`` that points up."""
    hand = np.zeros((21, 2), np.float32)
    for finger, angle in enumerate(np.radians([-50, -20, 0, 15, 35])):
        for joint in range(4):
            reach = length * (0.5 + 0.16 * joint)
            hand[1 + 4 * finger + joint] = reach * np.sin(angle), -reach * np.cos(angle)
    return hand + np.asarray(wrist, np.float32)


def arm_of(elbow: tuple[float, float], wrist: tuple[float, float], knuckles: tuple[float, float]) -> np.ndarray:
    arms = NO_LIMBS.arms.copy()
    arms[0] = elbow, wrist, knuckles
    return arms


# --- person ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", SEGMENTERS.names())
@pytest.mark.parametrize(("height", "width"), [(256, 256), (251, 199)])
def test_every_segmenter_finds_the_person(name: str, height: int, width: int, bisenet_weights: Path) -> None:
    image = cv2.resize(portrait(256), (width, height))
    weights = str(bisenet_weights) if name == "bisenet" else None
    probability = SEGMENTERS.get(name)(weights)(image)
    assert probability.shape == (height, width) and probability.dtype == np.float32
    assert probability.min() >= 0 and probability.max() <= 1
    assert np.array_equal(SEGMENTERS.get(name)(weights)(image), probability), "the same image, the same answer"
    if weights is not None:
        return  # random weights know no person
    x, y = (landmarks_of(256)[1, :2] * (width / 256, height / 256)).astype(int)
    assert probability[y, x] > 0.9, "the nose"
    assert probability[height // 20, width // 2 - width // 3] < 0.3, "the flag beside her head"


@pytest.fixture(scope="module")
def bisenet_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_bisenet_weights(tmp_path_factory.mktemp("bisenet"))


def test_head_neck_and_torso_of_a_portrait() -> None:
    image, points = portrait(256), landmarks_of(256)
    labels = LabelMapper(SegmentationConfig())(image, SEGMENTERS.get("selfie")()(image), points, NO_LIMBS)
    assert labels.dtype == np.uint8 and labels.shape == (256, 256)
    for index in (1, 33, 263, 10, 13, 152, 127, 356):
        x, y = points[index, :2] - (0, 2 if index == 152 else 0)
        assert labels[int(y), int(x)] == Label.HEAD, index
    chin, height = points[152, :2], np.linalg.norm(points[10, :2] - points[152, :2])
    crown = points[10, :2] + (points[10, :2] - chin) * 0.25
    assert labels[int(crown[1]), int(crown[0])] == Label.HEAD, "hair"
    below = labels[int(chin[1] + 0.08 * height), int(chin[0])]
    assert below == Label.NECK
    assert labels[-5, 128] == Label.TORSO
    assert not (labels == Label.HANDS).any()
    assert labels[int(chin[1] + 0.5 * height) :][labels[int(chin[1] + 0.5 * height) :] == Label.HEAD].size == 0


def test_without_a_face_the_person_is_torso() -> None:
    image = portrait(256)
    labels = LabelMapper(SegmentationConfig())(image, SEGMENTERS.get("selfie")()(image), None, NO_LIMBS)
    assert set(np.unique(labels)) == {int(Label.BACKGROUND), int(Label.TORSO)}


def test_specks_and_pinholes_are_not_kept() -> None:
    probability = np.zeros((200, 200), np.float32)
    probability[60:, 40:160] = 1
    probability[100:103, 100:103] = 0
    probability[10:13, 10:13] = 1
    probability[120:150, 60:80] = 0
    labels = LabelMapper(SegmentationConfig())(np.zeros((200, 200, 3), np.uint8), probability, None, NO_LIMBS)
    assert labels[101, 101] == Label.TORSO and labels[11, 11] == Label.BACKGROUND
    assert labels[135, 70] == Label.BACKGROUND, "the gap between arm and body is real"
    assert labels[60, 40] == Label.TORSO and labels[59, 40] == Label.BACKGROUND, "edges stay where they were"


def test_hand_that_passes_below_the_chin_is_no_neck() -> None:
    """A hand is skin, too; only what has been neck for a while is neck."""
    image, points = portrait(256).copy(), landmarks_of(256)
    chin, height = points[152, :2], float(np.linalg.norm(points[10, :2] - points[152, :2]))
    probability = np.ones((256, 256), np.float32)
    place = np.s_[int(chin[1] + 0.45 * height) : int(chin[1] + 0.7 * height), int(chin[0]) - 12 : int(chin[0]) + 12]
    image[int(chin[1] + 0.3 * height) :] = (20, 30, 120)
    with_hand = image.copy()
    cheek = image[int(points[50, 1]), int(points[50, 0])]
    with_hand[int(chin[1]) + 1 : place[0].stop, place[1]] = cheek
    mapper = LabelMapper(SegmentationConfig())
    for _ in range(5):
        mapper(image, probability, points, NO_LIMBS)
    assert not (mapper(with_hand, probability, points, NO_LIMBS)[place] == Label.NECK).any()
    fresh = LabelMapper(SegmentationConfig())
    assert (fresh(with_hand, probability, points, NO_LIMBS)[place] == Label.NECK).mean() > 0.5, "else this test shows nothing"


def test_what_a_lifted_chin_uncovers_is_neck() -> None:
    image, points = portrait(256), landmarks_of(256)
    probability = SEGMENTERS.get("selfie")(None)(image)
    mapper = LabelMapper(SegmentationConfig())
    lowered = points.copy()
    lowered[:, 1] += 0.1 * FaceGeometry.of(points).height_px
    for _ in range(40):  # long enough that the strip below the chin has been head, and never neck
        before = mapper(image, probability, lowered, NO_LIMBS)
    after = mapper(image, probability, points, NO_LIMBS)
    uncovered = (before == Label.HEAD) & (after != Label.HEAD) & (after != Label.BACKGROUND)
    middle = np.abs(np.arange(256) - points[152, 0]) < 15
    uncovered &= middle
    assert uncovered.sum() > 100
    assert (after[uncovered] == Label.NECK).mean() > 0.95


def test_long_hair_is_head_and_a_jacket_beside_the_neck_is_not() -> None:
    image, points = portrait(256).copy(), landmarks_of(256)
    geometry = FaceGeometry.of(points)
    chin, width, height = points[152, :2], geometry.width_px, geometry.height_px
    image[int(chin[1]) :] = (200, 90, 40)
    rows = slice(int(chin[1] - 0.7 * height), int(chin[1] + 0.5 * height))
    columns = slice(int(chin[0] - 0.75 * width), int(chin[0] - 0.48 * width))
    probability = np.maximum(SEGMENTERS.get("selfie")()(image), (np.arange(256) > chin[1])[:, None].astype(np.float32))
    probability[rows, columns] = 1
    lock = np.zeros((256, 256), bool)
    lock[int(chin[1]) + 5 : rows.stop - 5, columns.start + 3 : columns.stop - 3] = True
    forehead = geometry.brow[7]
    crown = image[int(forehead[1] - 0.3 * height) : int(forehead[1] - 0.15 * height), int(forehead[0]) - 20 : int(forehead[0]) + 20]
    colours = crown.reshape(-1, 3)[np.random.default_rng(0).integers(0, crown.size // 3, (256, 256))]
    long_haired = image.copy()
    long_haired[rows, columns] = colours[rows, columns]
    for picture, share in ((long_haired, 1.0), (image, 0.0)):
        labels = LabelMapper(SegmentationConfig())(picture, probability, points, NO_LIMBS)
        assert (labels[lock] == Label.HEAD).mean() == pytest.approx(share, abs=0.1)


def test_skin_in_shadow_is_skin_and_cloth_is_not() -> None:
    image = np.full((60, 120, 3), (200, 140, 110), np.uint8)
    image[:, 40:80] = (100, 70, 55)  # half the light
    image[:, 80:] = (240, 240, 245)  # a white collar
    skin = SkinColour()
    assert not skin.mask(image).any()
    skin.update(image, np.array([[15.0, 30.0]]), 4)
    mask = skin.mask(image)
    assert mask[:, :78].all() and not mask[:, 82:].any()


# --- hands and arms -------------------------------------------------------------------------------------------------------


def test_hand_region_covers_the_hand_and_the_arm_to_the_elbow() -> None:
    shape = (240, 320)
    skin, allowed = np.zeros(shape, bool), np.ones(shape, bool)
    hand = hand_at((160, 150))
    limbs = Limbs(hands=hand[None], arms=arm_of((60, 220), (155, 155), (160, 120)))
    region = hand_region(limbs, skin, allowed)
    assert all(region[int(y), int(x)] for x, y in hand)
    for share in np.linspace(0, 1, 9):
        x, y = (1 - share) * np.array([60, 220]) + share * np.array([155, 155])
        assert region[int(y), int(x)], "no forearm that ends in mid-air"
    assert not region[20:60, 20:100].any() and region.mean() < 0.25
    fenced = allowed.copy()
    fenced[:, :100] = False
    assert not hand_region(limbs, skin, fenced)[:, :100].any(), "an arm is drawn on the person only"


def test_bare_arm_is_followed_by_its_colour() -> None:
    shape = (240, 320)
    skin = np.zeros(shape, bool)
    skin[150:170, 60:165] = True  # the forearm
    skin[20:30, 20:30] = True  # something else of that colour
    region = hand_region(Limbs(hands=hand_at((160, 160))[None], arms=NO_LIMBS.arms), skin, np.ones(shape, bool))
    assert region[155:165, 70:160].all() and not region[20:30, 20:30].any()


def test_hands_win_over_head_and_background() -> None:
    image, points = portrait(256), landmarks_of(256)
    probability = SEGMENTERS.get("selfie")()(image)
    hand = hand_at((float(points[1, 0]), float(points[1, 1]) + 30), length=40)
    labels = LabelMapper(SegmentationConfig())(image, probability, points, Limbs(hands=hand[None], arms=NO_LIMBS.arms))
    assert all(labels[int(y), int(x)] == Label.HANDS for x, y in hand)


def test_limbs_between_two_detections() -> None:
    one, two = hand_at((100, 100)), hand_at((300, 100))
    before = Limbs(hands=np.stack([one, two]), arms=arm_of((0, 0), (10, 10), (20, 20)))
    after = Limbs(hands=np.stack([two + 10, one + (20, 0)]), arms=arm_of((10, 0), (20, 10), (30, 20)))
    middle = limbs_between(before, after, 0.5)
    assert np.allclose(middle.hands[0], one + (10, 0)) and np.allclose(middle.hands[1], two + 5), "matched by place, not by order"
    assert np.allclose(middle.arms[0], [(5, 0), (15, 10), (25, 20)]) and np.isnan(middle.arms[1]).all()
    for gone in (limbs_between(before, NO_LIMBS, 0.25), limbs_between(NO_LIMBS, before, 0.25)):
        assert np.allclose(gone.hands, before.hands) and np.allclose(gone.arms[0], before.arms[0]), "seen at one end: held"
    far = limbs_between(Limbs(hands=one[None], arms=NO_LIMBS.arms), Limbs(hands=one[None] + 900, arms=NO_LIMBS.arms), 0.5)
    assert len(far.hands) == 2, "another hand"
    assert not limbs_between(NO_LIMBS, NO_LIMBS, 0.5).any


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 7])
@pytest.mark.parametrize("stride", [1, 3])
def test_every_frame_gets_its_limbs_once_and_in_order(count: int, stride: int) -> None:
    frames = [np.full((4, 4, 3), index, np.uint8) for index in range(count)]
    seen: list[int] = []

    def detect(image: np.ndarray) -> Limbs:
        seen.append(int(image[0, 0, 0]))
        return Limbs(hands=hand_at((10.0 * seen[-1], 0))[None], arms=NO_LIMBS.arms)

    result = list(with_limbs(iter(frames), detect, stride))
    assert [int(frame[0, 0, 0]) for frame, _ in result] == list(range(count))
    assert seen == list(range(0, count, stride))
    last = seen[-1] if seen else 0
    for index, (_, limbs) in enumerate(result):
        assert limbs.hands[0, 0, 0] == pytest.approx(10.0 * min(index, last), abs=1e-3)


def test_a_hand_of_one_detection_alone_is_none() -> None:
    hand, elsewhere = hand_at((100, 100)), hand_at((700, 100))
    found = [NO_LIMBS, Limbs(hands=elsewhere[None], arms=NO_LIMBS.arms), NO_LIMBS, NO_LIMBS]
    found += [Limbs(hands=hand[None] + 10 * index, arms=NO_LIMBS.arms) for index in range(2)]
    hanging = Limbs(hands=hand[None], arms=arm_of(hand[0] + 200, hand[0], hand[9]))
    found += [NO_LIMBS, hanging, NO_LIMBS]
    frames = [np.full((4, 4, 3), index, np.uint8) for index in range(2 * len(found))]
    limbs = [limbs for _, limbs in with_limbs(iter(frames), lambda image: found[int(image[0, 0, 0]) // 2], 2)]
    assert [len(part.hands) for part in limbs[::2]] == [0, 0, 0, 0, 1, 1, 0, 1, 0]
    assert not any(part.any for part in limbs[:7]), "nor is it between"


def test_failing_detector_is_heard() -> None:
    def detect(image: np.ndarray) -> Limbs:
        raise RuntimeError("no model")

    with pytest.raises(RuntimeError, match="no model"):
        list(with_limbs(iter([np.zeros((4, 4, 3), np.uint8)] * 5), detect, 2))


# --- clips ----------------------------------------------------------------------------------------------------------------


def test_frames_without_a_face_take_the_nearest() -> None:
    assert nearest_detected(np.array([False, True, False, False, True, False])).tolist() == [1, 1, 1, 4, 4, 4]  # type: ignore[union-attr]
    assert nearest_detected(np.zeros(3, bool)) is None
    points = np.repeat(landmarks_of(256)[None], 3, axis=0)
    points[1] = np.nan
    labelled = list(label_frames(moving_portrait(3), points, np.array([True, False, True]), SegmentationConfig(hands=False)))
    areas = [int((labels == Label.HEAD).sum()) for _, labels in labelled]
    assert len(areas) == 3 and max(areas) < 1.1 * min(areas)


def test_settings_are_checked() -> None:
    for wrong in ({"segmenter": "selfy"}, {"person_threshold": 0.0}, {"hand_stride": 0}, {"plate_margin": 0.5}):
        with pytest.raises(ParameterError):
            SegmentationConfig(**wrong)  # type: ignore[arg-type]


def test_stage_labels_every_frame_and_leaves_a_plate(tmp_path: Path) -> None:
    frames = moving_portrait(11)
    points = np.repeat(landmarks_of(256)[None], 11, axis=0)
    stage = mask_stage(tmp_path, "segment", frames, points=points, shots=[[0, 6], [6, 11]], parameters={"hand_stride": 4})
    segment.run(stage)
    labels = list(read_gray_frames(stage.out / "labels.mkv"))
    assert len(labels) == 11 and set(np.unique(labels)) <= {int(label) for label in Label}
    plate = cv2.cvtColor(cv2.imread(str(stage.out / "background.png")), cv2.COLOR_BGR2RGB)
    assert plate.shape == (256, 256, 3)
    background = grown(labels[0] != Label.BACKGROUND, 12)
    assert np.abs(plate[~background].astype(int) - frames[0][~background]).mean() < 12
    report = read_json(stage.out / "segment.json")
    assert report["frames"] == 11 and sum(report["shares"].values()) == pytest.approx(1.0)
    assert report["shares"]["head"] == pytest.approx(np.mean([(frame == Label.HEAD).mean() for frame in labels]), abs=1e-6)


def test_stage_refuses_landmarks_of_another_clip(tmp_path: Path) -> None:
    points = np.repeat(landmarks_of(256)[None], 3, axis=0)
    stage = mask_stage(tmp_path, "segment", moving_portrait(5), points=points)
    with pytest.raises(InputError, match="3 rows for the 5 frames"):
        segment.run(stage)
    assert not (stage.out / "labels.mkv").exists()


# --- the demo speaker, whose truth is known ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> DemoSpeaker:
    return make_demo_speaker(tmp_path_factory.mktemp("demo"), DemoSpeakerConfig(size_px=256, duration_s=6.0))


@pytest.mark.slow
def test_demo_speaker_against_the_truth(demo: DemoSpeaker) -> None:
    frames = list(read_frames(demo.video))
    truth = list(read_gray_frames(demo.labels))
    rows = list(build_landmarker(LandmarksConfig()).detect(frames, [(0, len(frames))]))
    points, detected = np.stack([row.points for row in rows]), np.array([row.detected for row in rows])
    plate = BackgroundPlate(256, 256, margin_px=5)
    found = []
    for frame, labels in label_frames(iter(frames), points, detected, SegmentationConfig()):
        found.append(labels)
        plate.add(frame, labels == Label.BACKGROUND)
    mask = TemporalMask(FlowMaskConfig(), height=256, width=256, fps=Fraction(25))
    transient = list(mask.over(zip(frames, found, strict=True), cuts={0}))
    labels, known, moving = np.stack(found), np.stack(truth), np.stack(transient) > 127
    assert intersection_over_union(labels > 0, known > 0) > 0.95
    assert intersection_over_union(labels == Label.HEAD, known == Label.HEAD) > 0.93
    hand = known == Label.HANDS
    assert hand.any(axis=(1, 2)).sum() > 20
    assert intersection_over_union(moving, hand) > 0.7
    removed = np.stack([removal_mask(*pair, margin=InpaintConfig().margin) for pair in zip(found, transient, strict=True)])
    assert removed[hand].mean() > 0.99
    left_over = (hand & ~removed).sum(axis=(1, 2))
    assert left_over.max() < 0.002 * hand[0].size, f"a trace of the hand stays in frame {left_over.argmax()}"
    assert removed[~hand.any(axis=(1, 2))].mean() < 0.01, "nothing where there is no hand"
