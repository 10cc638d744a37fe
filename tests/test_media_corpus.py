"""Hundreds of small files, made on the spot: what a probe and a sound reader say of them is right, or one clear line.

What the whole of ``ingest`` makes of odd footage is in ``test_bad_input`` and ``test_hard_footage``; these are the many variations
that need no face and no encoder of minutes.
"""

from __future__ import annotations

import itertools
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile

from talkhead_core.errors import FootageError
from talkhead_core.media.audio_file import read_audio
from talkhead_core.media.probe import probe_video
from talkhead_core.media.video_reader import read_frames
from tests.footage_maker import ffmpeg

RATES = [10, 12, 15, 20, Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 48, 50, Fraction(60000, 1001), 60, 90, 100, 120]
SIZES = [(64, 64), (66, 98), (720, 576), (854, 480), (1280, 720), (1080, 1920)]
ODD_SIZES = [(65, 64), (64, 67), (333, 187), (1919, 1079)]


def video(path: Path, *, fps: Fraction | int = 25, count: int = 12, size: tuple[int, int] = (64, 64), tone_hz: int = 0) -> Path:
    """A grey wedge, brighter to the right, whose level rises by one a frame; with a tone where asked for."""
    width, height = size
    wedge = np.broadcast_to(np.linspace(20, 180, width)[None], (height, width))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=Fraction(fps), options={"preset": "ultrafast", "crf": "8"})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p" if width % 2 == height % 2 == 0 else "yuv444p"
        sound = container.add_stream("aac", rate=16_000, layout="mono") if tone_hz else None
        for index in range(count):
            grey = np.repeat((wedge + index)[..., None], 3, axis=2).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="rgb24")))
        container.mux(stream.encode(None))
        if sound is not None:
            samples = np.sin(2 * np.pi * tone_hz * np.arange(round(count / fps * 16_000)) / 16_000).astype(np.float32) / 2
            frame = av.AudioFrame.from_ndarray(samples[None], format="fltp", layout="mono")
            frame.sample_rate = 16_000
            container.mux(sound.encode(frame))
            container.mux(sound.encode(None))
    return path


def pitch_hz(audio: np.ndarray, sample_rate_hz: int = 16_000) -> float:
    """The strongest frequency of the middle."""
    middle = audio[len(audio) // 5 : -len(audio) // 5]
    return float(np.argmax(np.abs(np.fft.rfft(middle * np.hanning(len(middle)), 1 << 16)))) * sample_rate_hz / (1 << 16)


# ------------------------------------------------------------------------------------------------------ what a video is


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".mov"])
def test_every_rate_is_read_as_it_is(suffix: str, tmp_path: Path) -> None:
    for fps in RATES:
        probe = probe_video(video(tmp_path / f"rate{suffix}", fps=fps, count=24))
        assert probe.fps == fps and probe.constant_rate and probe.frames == 24, fps
        assert probe.duration_s == pytest.approx(24 / fps, rel=0.01) and probe.start_s == pytest.approx(0, abs=0.09)


@pytest.mark.parametrize("size", SIZES + ODD_SIZES, ids=str)
def test_every_size_is_read_as_it_is(size: tuple[int, int], tmp_path: Path) -> None:
    probe = probe_video(video(tmp_path / "size.mkv", size=size, count=2))
    assert (probe.width, probe.height, probe.frames) == (*size, 2)


def test_pictures_larger_than_any_camera_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few kilobytes may decode to gigabytes."""
    monkeypatch.setattr("talkhead_core.media.probe._MOST_PIXELS", 640 * 480)
    assert probe_video(video(tmp_path / "large.mkv", size=(640, 480), count=2)).width == 640
    with pytest.raises(FootageError, match="640 x 482 px; scale it"):
        probe_video(video(tmp_path / "large.mkv", size=(640, 482), count=2))


@pytest.mark.parametrize(("turn", "aspect"), list(itertools.product([0, 90, 180, 270], ["1/1", "4/3", "8/9"])))
def test_turned_pictures_with_odd_pixels_have_the_size_that_is_shown(turn: int, aspect: str, tmp_path: Path) -> None:
    plain = video(tmp_path / "plain.mp4", size=(96, 64), count=4)
    ffmpeg("-display_rotation", str(turn), "-i", plain, "-c", "copy", "-bsf:v", f"h264_metadata=sample_aspect_ratio={aspect}",
           tmp_path / "turned.mp4")  # fmt: skip
    probe = probe_video(tmp_path / "turned.mp4")
    shown = (round(96 * Fraction(aspect)), 64)
    assert (probe.width, probe.height) == (shown if turn % 180 == 0 else shown[::-1])
    assert probe.rotation_deg == -turn % 360 and probe.pixel_aspect == Fraction(aspect)


def test_an_edit_list_that_hides_the_beginning(tmp_path: Path) -> None:
    """Cut without encoding, players start at the cut, not at the key frame before it."""
    plain = video(tmp_path / "plain.mp4", count=50, tone_hz=440)
    ffmpeg("-ss", "0.6", "-i", plain, "-c", "copy", tmp_path / "cut.mp4")
    probe = probe_video(tmp_path / "cut.mp4")
    assert probe.fps == 25 and abs(probe.frames - 35) <= 1 and probe.timestamps_s[0] == 0


# ------------------------------------------------------------------------------------------------------- what a sound is


@pytest.mark.parametrize("sample_rate_hz", [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 88_200, 96_000])
def test_every_sound_is_heard_as_it_is(sample_rate_hz: int, tmp_path: Path) -> None:
    """One to eight channels, every WAV sample format, FLAC and Vorbis: the tone keeps its pitch, length and level."""
    time_s = np.arange(sample_rate_hz // 2) / sample_rate_hz
    tone = 0.5 * np.sin(2 * np.pi * 660 * time_s)
    kinds = [(".wav", subtype) for subtype in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ALAW", "ULAW")]
    for suffix, subtype in [*kinds, (".flac", "PCM_16"), (".flac", "PCM_24"), (".aiff", "PCM_16")]:
        for channels in (1, 2, 6) if subtype == "PCM_16" else (1, 2):
            path = tmp_path / f"tone{suffix}"
            soundfile.write(path, np.repeat(tone[:, None], channels, axis=1), sample_rate_hz, subtype=subtype)
            audio = read_audio(path)
            case = f"{suffix} {subtype} {channels}"
            assert audio.dtype == np.float32 and len(audio) == pytest.approx(8_000, abs=20), case
            assert pitch_hz(audio) == pytest.approx(660, abs=3), case
            assert np.sqrt(2 * np.mean(audio[1000:-1000] ** 2)) == pytest.approx(0.5, abs=0.02), case


def test_samples_that_are_no_sound(tmp_path: Path) -> None:
    """NaN and infinity are refused with their time; clipped, silent, offset and faint sounds are read as they are."""
    tone = 0.5 * np.sin(np.arange(16_000) / 9)
    for wrong in (np.nan, np.inf, -np.inf):
        for place in (0, 8_000, 15_999):
            spoiled = tone.copy()
            spoiled[place] = wrong
            soundfile.write(tmp_path / "spoiled.wav", spoiled, 16_000, subtype="FLOAT")
            with pytest.raises(FootageError, match=rf"\({place / 16_000:.2f} s\).*not numbers; export the sound again"):
                read_audio(tmp_path / "spoiled.wav")
    for sound in (np.clip(tone * 40, -1, 1), tone * 0, tone * 0 + 0.25, tone + 0.4, tone * 1e-6, tone * 30):
        soundfile.write(tmp_path / "odd.wav", sound, 16_000, subtype="FLOAT")
        assert np.allclose(read_audio(tmp_path / "odd.wav"), sound, atol=1e-4)


# --------------------------------------------------------------------------------------------------- what is cut off, or empty

CONTAINERS = {  # suffix -> ffmpeg's options
    ".mp4": (), "fast.mp4": ("-movflags", "+faststart"), "fragments.mp4": ("-movflags", "frag_keyframe+empty_moov", "-g", "5"), ".mov": (),
    ".mkv": (), ".ts": (), ".avi": (), ".webm": ("-c:v", "libvpx", "-c:a", "libopus", "-deadline", "realtime"),
    ".flv": ("-c:v", "libx264", "-ar", "44100"), ".3gp": ("-c:v", "libx264", "-c:a", "aac"),
}  # fmt: skip
SOUNDS = {".wav": (), ".flac": (), ".mp3": (), ".ogg": ("-c:a", "libvorbis"), ".opus": (), ".m4a": (), ".aac": ()}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return video(tmp_path_factory.mktemp("source") / "source.mkv", count=25, tone_hz=440)


@pytest.mark.parametrize("kind", [*CONTAINERS, *SOUNDS])
def test_cut_off_at_every_twentieth(kind: str, source: Path, tmp_path: Path) -> None:
    """Read up to where it ends, or one line that names the file; never more than was there, and never another error."""
    options, reader = (CONTAINERS[kind], probe_video) if kind in CONTAINERS else ((*SOUNDS[kind], "-vn"), read_audio)
    whole, part = tmp_path / f"whole-{kind}", tmp_path / f"part-{kind}"
    ffmpeg("-i", source, *options, whole)
    data, complete = whole.read_bytes(), reader(whole)
    length = complete.frames if kind in CONTAINERS else len(complete)
    assert length == 25 if kind in CONTAINERS else abs(length - 16_000) < 3_000
    for twentieth in range(20):
        part.write_bytes(data[: len(data) * twentieth // 20])
        try:
            found = reader(part)
        except FootageError as error:
            assert str(error).startswith(str(part)) and "\n" not in str(error) and "; " in str(error)
        else:
            assert (found.frames if kind in CONTAINERS else len(found)) <= length
            if kind in CONTAINERS:
                assert sum(1 for _ in itertools.islice(read_frames(part), 3)) <= 3


BEGINNINGS = (
    b"", b"\0", b"\0" * 4096, b"RIFF", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"\x1aE\xdf\xa3", b"ID3", b"fLaC" * 9, b"OggS" * 9,
    b"\0\0\0\x18ftypmp42", b"%PDF-1.7\n", b"PK\x03\x04", b"<html>", b"#EXTM3U\n/etc/passwd\n", b"ffconcat version 1.0\nfile /etc/passwd\n",
)  # fmt: skip


@pytest.mark.parametrize("content", BEGINNINGS)
def test_beginnings_without_a_file(content: bytes, tmp_path: Path) -> None:
    """Whatever its first bytes promise, and whatever its name: no sound, no video, and no other file is read in its place."""
    for name in ("a.mp4", "a.wav", "a.m3u8", "a"):
        (tmp_path / name).write_bytes(content)
        for reader in (probe_video, read_audio):
            with pytest.raises(FootageError) as caught:
                reader(tmp_path / name)
            assert "\n" not in str(caught.value) and "root:" not in str(caught.value)


NAMES = (
    "-i.mp4", "--help.mp4", "a b.mp4", " .mp4", "take:2.mp4", "http:x.mp4", "file:x.mp4", "concat:a|b.mp4", "%03d.mp4", "*.mp4", "[1].mp4",
    "a'b.mp4", 'a"b.mp4', "a;b|c.mp4", "$(id).mp4", "a\\b.mp4", "a\nb.mp4", "a\tb.mp4", "ä ß é.mp4", "e\u0301.mp4", "演讲.mp4", "🎬.mp4",
    "x" * 240 + ".mp4", ".hidden.mp4",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_names_are_names(name: str, source: Path, tmp_path: Path) -> None:
    """No part of a name is an option, a pattern, a protocol or a command."""
    shutil.copyfile(source, tmp_path / name)
    assert probe_video(tmp_path / name).frames == 25
    assert abs(len(read_audio(tmp_path / name)) - 16_000) < 3_000
    assert [path.name for path in tmp_path.iterdir()] == [name]
