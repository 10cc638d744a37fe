"""Whether lips go with the sound, by themselves and in a dub: known answers, controls that say what they are worth, honest intervals."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from talkhead_core.demo.speaker import DemoSpeakerConfig, make_demo_speaker
from talkhead_core.footage.audio_video_offset import LIPS_LEAD_S, RHYTHM_RATE_HZ, speech_rhythms
from talkhead_core.metrics import bootstrap
from talkhead_core.metrics.bootstrap import BlockBootstrap, BootstrapConfig
from talkhead_core.metrics.lip_sync import correlation
from talkhead_core.metrics.mouth_and_sound import MouthSoundScores, mouth_sound_scores
from talkhead_core.report.dub_page import judge_dub
from tasks.evaluate_dub import MeasuredDub, dub_protocol, measure_dub
from tasks.report_dub import write_dub_page
from tests.footage_maker import FPS

RATE_HZ = 16_000
SECONDS = 8.0


def syllables(seed: int, seconds: float = SECONDS) -> np.ndarray:
    """Bursts of noise at random moments, three to six a second, ``[samples]``."""
    rng = np.random.default_rng(seed)
    loudness, at = np.zeros(round(seconds * RATE_HZ)), 0.1
    while at < seconds - 0.3:
        length = rng.uniform(0.1, 0.2)
        burst = slice(round(at * RATE_HZ), round((at + length) * RATE_HZ))
        loudness[burst] = rng.uniform(0.05, 0.2) * np.hanning(burst.stop - burst.start)
        at += length + rng.uniform(0.05, 0.2)
    return (loudness * rng.normal(0, 1, len(loudness))).astype(np.float32)


def openings(sound: np.ndarray) -> np.ndarray:
    """Of a mouth that follows the loudness, a little before it, ``[frames]``."""
    loudness = np.sqrt(np.convolve(sound**2, np.ones(1600) / 1600, mode="same"))
    frames = round(len(sound) / RATE_HZ * FPS)
    return np.asarray(loudness[np.clip(((np.arange(frames) + 0.5) / FPS + LIPS_LEAD_S) * RATE_HZ, 0, len(sound) - 1).astype(int)])


def scored(opening: np.ndarray, still: np.ndarray, sound: np.ndarray, resamples: int = 200) -> MouthSoundScores | None:
    times = np.arange(len(opening)) / FPS + LIPS_LEAD_S
    rhythms = [speech_rhythms(times, lips, sound, RATE_HZ) for lips in (opening, still)]
    assert rhythms[0] is not None and rhythms[1] is not None
    (lips, heard), (held, _) = rhythms
    return mouth_sound_scores(lips, held, heard, RHYTHM_RATE_HZ, BootstrapConfig(resamples=resamples))


def test_lips_that_follow_stand_above_their_controls() -> None:
    sound = syllables(0)
    head = np.sin(np.arange(round(SECONDS * FPS)) / 9)
    scores = scored(openings(sound), head, sound)
    assert scores is not None and scores.static_mouth is not None and scores.over_static_mouth is not None
    assert scores.own.value > 0.8 and abs(scores.wrong_sound.value) < 0.2 and abs(scores.static_mouth.value) < 0.3
    assert scores.over_wrong_sound.value == pytest.approx(scores.own.value - scores.wrong_sound.value)
    assert scores.certain and all(
        gain.interval is not None and gain.interval[0] > 0.3 for gain in (scores.over_wrong_sound, scores.over_static_mouth)
    )


def test_lips_of_other_speech_are_hardly_ever_called_certain() -> None:
    """Cut from the middle of speech: lips and sounds that begin and end together do have something in common."""
    still = np.sin(np.arange(round(SECONDS * FPS)) / 9)
    certain = 0
    for seed in range(60):
        sound, other = (syllables(number, SECONDS + 2)[RATE_HZ:-RATE_HZ] for number in (seed, 1000 + seed))
        scores = scored(openings(other), still, sound, resamples=100)
        assert scores is not None and scores.over_wrong_sound.interval is not None
        certain += scores.certain
    assert certain <= 6


def test_no_score_without_enough_to_go_by() -> None:
    short = syllables(0, 3.0)
    assert scored(openings(short), openings(short), short) is None
    sound = syllables(0)
    still = np.full(round(SECONDS * FPS), 0.05)
    assert scored(still, still, sound) is None, "lips that never move have no rhythm"
    scores = scored(openings(sound), still, sound)
    assert scores is not None and scores.static_mouth is None and scores.over_static_mouth is None


def test_intervals_do_not_depend_on_how_many_resamples_fit_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, 300))

    def intervals() -> list[tuple[float, float] | None]:
        resampled = BlockBootstrap(300, 25.0)
        return [resampled.mean_interval(first), resampled.interval(lambda at: correlation(first[at], second[at]))]

    at_once = intervals()
    monkeypatch.setattr(bootstrap, "_INDICES_AT_ONCE", 700)
    assert intervals() == at_once and None not in at_once


@pytest.fixture(scope="module")
def dub(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, MeasuredDub]:
    """The demo speaker, whose lips are drawn to its speech, in place of a dub."""
    speaker = make_demo_speaker(tmp_path_factory.mktemp("dub"), DemoSpeakerConfig(size_px=192, duration_s=6.0))
    return speaker.video, measure_dub(speaker.video, dub_protocol(speaker.video.parent, None))


def test_a_dub_is_scored_beside_its_controls(dub: tuple[Path, MeasuredDub]) -> None:
    document = dub[1].document
    assert list(document["protocols"]) == ["video/cross", "cross/wrong_sound", "cross/static_mouth"] == list(document["protocol_says"])
    own, wrong, still = document["protocols"].values()
    assert own["mouth_sound_r"] > 0.25 > 0.15 > abs(wrong["mouth_sound_r"])
    assert abs(still["mouth_sound_r"]) < 0.25, "the chin's motion is none of a still mouth's"
    gain = document["comparisons"]["video/cross - cross/wrong_sound"]
    assert gain["ci95"]["mouth_sound_r"][0] > 0 and gain["mouth_sound_r"] == pytest.approx(own["mouth_sound_r"] - wrong["mouth_sound_r"])
    assert own["mouth_late_agreement"] >= 0.9 and abs(own["mouth_late_frames"]) < 2.5
    assert wrong["mouth_late_agreement"] < 0.9 and "mouth_late_frames" not in wrong
    told = {statement.text.partition(":")[0]: statement.level for statement in judge_dub(dub[1].figures, FPS).statements}
    assert told["The lips go with the sound"] == "ok"


def test_what_a_dub_has_a_mean_of_has_an_interval(dub: tuple[Path, MeasuredDub]) -> None:
    own = dub[1].document["protocols"]["video/cross"]
    averaged = {"mouth_opening_in_speech", "mouth_opening_in_silence", "jitter_px512", "mouth_sound_r", "brisque"}
    assert set(own["ci95"]) == averaged, "NIQE's weights are not here"
    for name in averaged:
        low, high = own["ci95"][name]
        assert low <= own[name] <= high and low < high, name


def test_the_page_shows_controls_and_says_why_there_is_no_retrieval(dub: tuple[Path, MeasuredDub]) -> None:
    video = dub[0]
    write_dub_page(video.parent, video, video.with_suffix(".html"))
    text = video.with_suffix(".html").read_text(encoding="utf-8")
    assert "The lips go with the sound: " in text and '<th scope="col">cross/wrong_sound</th>' in text
    assert "There is no retrieval control" in text and "control: the dub&#39;s lips against other parts of its sound" in text
