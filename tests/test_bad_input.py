"""Every odd file a person may have: a right clip, or one clear line and nothing written."""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import pytest

from talkhead_core.errors import FootageError
from talkhead_core.footage.clip import IngestConfig, ingest_footage
from talkhead_core.media.audio_file import read_audio_span
from talkhead_core.media.video_reader import read_frames, video_info
from tests.footage_maker import FPS, SECONDS, SIZE_PX, babble, encode, ffmpeg, moving_portrait, plain_video, portrait

CLIP_PX = 128
Maker = Callable[[Path, Path], Path]  # plain video, empty folder -> the file


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_video(tmp_path_factory.mktemp("plain") / "plain.mp4")


def ingested(video: Path, folder: Path) -> dict:
    return ingest_footage(video, folder / "clip.mkv", IngestConfig(size_px=CLIP_PX))


@cache
def expected_picture() -> np.ndarray:
    return cv2.resize(portrait(), (CLIP_PX, CLIP_PX), interpolation=cv2.INTER_AREA)


# ---------------------------------------------------------------------------------------------- files that cannot work


def cut_off(share: float, *options: str, suffix: str = ".mp4") -> Maker:
    def make(plain: Path, folder: Path) -> Path:
        whole, part = folder / f"whole{suffix}", folder / f"part{suffix}"
        ffmpeg("-i", plain, "-c", "copy", *options, whole)
        data = whole.read_bytes()
        part.write_bytes(data[: int(len(data) * share)])
        whole.unlink()
        return part

    return make


def written(name: str, data: bytes) -> Maker:
    def make(plain: Path, folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def converted(name: str, *options: str) -> Maker:
    def make(plain: Path, folder: Path) -> Path:
        ffmpeg("-i", plain, *options, folder / name)
        return folder / name

    return make


def filmed(picture: Callable[[], np.ndarray]) -> Maker:
    def make(plain: Path, folder: Path) -> Path:
        still = picture()
        frames = [np.roll(still, index % 3, axis=1) for index in range(round(SECONDS * FPS))]
        return encode(folder / "filmed.mp4", frames, audio=babble(SECONDS))

    return make


def with_cover_art(plain: Path, folder: Path) -> Path:
    ffmpeg("-i", plain, "-frames:v", "1", folder / "cover.png")
    ffmpeg("-i", plain, "-i", folder / "cover.png", "-map", "0:a", "-map", "1", "-c:a", "copy", "-c:v", "png", "-disposition:v:0",
           "attached_pic", folder / "song.m4a")  # fmt: skip
    (folder / "cover.png").unlink()
    return folder / "song.m4a"


def not_numbers(plain: Path, folder: Path) -> Path:
    sound = babble(SECONDS)
    sound[20_000:20_010] = np.nan
    options = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-c:a", "pcm_f32le")
    return encode(folder / "nan.mkv", moving_portrait(round(SECONDS * FPS)), audio=sound, options=options)


def playlist(plain: Path, folder: Path) -> Path:
    path = folder / "list.m3u8"
    path.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n")
    return path


def two_people() -> np.ndarray:
    return np.concatenate([portrait(), portrait()[:, ::-1]], axis=1)


def small_person() -> np.ndarray:
    scene = np.full((SIZE_PX * 2, SIZE_PX * 2, 3), 90, np.uint8)
    scene[100:228, 200:328] = portrait(128)
    return scene


REFUSED: dict[str, tuple[Maker, str]] = {
    "missing": (lambda plain, folder: folder / "nothing.mp4", "does not exist"),
    "folder": (lambda plain, folder: folder, "is no file"),
    "zero bytes": (written("empty.mp4", b""), "zero bytes"),
    "text": (written("notes.mp4", b"a film about a speaker\n" * 200), "cannot be opened"),
    "noise": (written("noise.mov", np.random.default_rng(0).bytes(50_000)), "cannot be opened"),
    "playlist": (playlist, "cannot be opened"),
    "no index": (cut_off(0.7), "cut off"),
    "cut at 15 %": (cut_off(0.15, "-movflags", "+faststart"), "cut off"),
    "cut at 50 %": (cut_off(0.5, "-movflags", "+faststart"), "cut off"),
    "cut at 85 %": (cut_off(0.85, "-movflags", "+faststart"), "cut off"),
    "cut mkv": (cut_off(0.6, suffix=".mkv"), "cut off"),
    "cut fragments": (cut_off(0.6, "-movflags", "frag_keyframe+empty_moov", "-g", "10"), "cut off|lasts|no audio|cannot be opened"),
    "sound only": (converted("sound.m4a", "-vn", "-c:a", "copy"), "no video stream"),
    "cover art": (with_cover_art, "no video stream"),
    "no sound": (converted("mute.mp4", "-an", "-c:v", "copy"), "no audio track"),
    "silent": (converted("silent.mp4", "-c:v", "copy", "-af", "volume=0"), "silent"),
    "constant offset": (converted("dc.mkv", "-c:v", "copy", "-af", "volume=0,dcshift=0.5", "-c:a", "pcm_s16le"), "silent"),
    "one second": (converted("short.mp4", "-t", "1"), r"lasts 1\.\d+ s"),
    "still": (converted("still.png", "-frames:v", "1"), "picture"),
    "not numbers": (not_numbers, "not numbers"),
    "black": (filmed(lambda: np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)), "no face"),
    "no face": (filmed(lambda: np.random.default_rng(1).integers(0, 255, (SIZE_PX, SIZE_PX, 3)).astype(np.uint8)), "no face"),
    "two faces": (filmed(two_people), "two faces"),
    "small face": (filmed(small_person), r"face is \d+ px high"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_work_is_refused_in_one_line(name: str, plain: Path, tmp_path: Path) -> None:
    make, complaint = REFUSED[name]
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    out.mkdir()
    video = make(plain, source)
    with pytest.raises(FootageError) as caught:
        ingested(video, out)
    line = str(caught.value)
    assert re.search(complaint, line), line
    assert line.startswith(str(video))
    assert "\n" not in line
    assert "; " in line, "no advice"
    assert list(out.iterdir()) == []


# --------------------------------------------------------------------------------------------------- files that do work


def uneven(plain: Path, folder: Path) -> Path:
    """25 fps of which a third of the frames is missing, irregularly."""
    ffmpeg("-i", plain, "-vf", r"select=not(eq(mod(n\,7)\,2)+eq(mod(n\,5)\,3))", "-fps_mode", "vfr", "-c:v", "libx264", "-preset",
           "ultrafast", "-crf", "12", "-c:a", "copy", folder / "vfr.mp4")  # fmt: skip
    return folder / "vfr.mp4"


def at(fps: int, *options: str) -> Maker:
    def make(plain: Path, folder: Path) -> Path:
        frames = moving_portrait(round(SECONDS * fps), fps=fps)
        return encode(folder / "rate.mp4", frames, fps=fps, audio=babble(SECONDS))

    return make


def with_sound(channels: int, sample_rate_hz: int, codec: str, name: str) -> Maker:
    def make(plain: Path, folder: Path) -> Path:
        options = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12", "-pix_fmt", "yuv420p", "-c:a", codec)
        sound = babble(SECONDS, sample_rate_hz, channels)
        return encode(folder / name, moving_portrait(80), audio=sound, sample_rate_hz=sample_rate_hz, options=options)

    return make


def turned(degrees: int) -> Maker:
    """Stored lying on its side, with the flag that stands it up, as phones do."""

    def make(plain: Path, folder: Path) -> Path:
        frames = [np.rot90(frame, k=-degrees // 90) for frame in moving_portrait(80)]
        lying = encode(folder / "lying.mp4", frames, audio=babble(SECONDS))
        ffmpeg("-display_rotation", str(degrees), "-i", lying, "-c", "copy", folder / "turned.mp4")
        lying.unlink()
        return folder / "turned.mp4"

    return make


def named(name: str) -> Maker:
    def make(plain: Path, folder: Path) -> Path:
        (folder / name).write_bytes(plain.read_bytes())
        return folder / name

    return make


def late_sound(plain: Path, folder: Path) -> Path:
    ffmpeg("-i", plain, "-itsoffset", "0.4", "-i", plain, "-map", "0:v", "-map", "1:a", "-c", "copy", folder / "late.mp4")
    return folder / "late.mp4"


def stored(name: str, *options: str) -> Maker:
    return converted(name, "-c:a", "copy", *options)


def hdr(transfer: str) -> Maker:
    """The plain video as a phone would have filmed it in HDR, diffuse white at 203 cd/m2."""
    chain = (
        "setparams=colorspace=smpte170m:color_primaries=bt709:color_trc=bt709:range=tv,zscale=t=linear:npl=203,format=gbrpf32le,"
        f"zscale=p=2020:t={transfer}:m=2020_ncl:npl=203,format=yuv420p10le"
    )
    tags = ("-colorspace", "bt2020nc", "-color_primaries", "bt2020", "-color_trc", transfer)
    return stored("hdr.mkv", "-vf", chain, *X264, *tags)


X264 = ("-c:v", "libx264", "-preset", "ultrafast", "-crf", "12")

ACCEPTED: dict[str, tuple[Maker, Fraction, float]] = {  # maker, the clip's rate, tolerated mean difference in levels
    "plain": (named("plain.mp4"), Fraction(25), 2.6),
    "wrong extension": (named("video.txt"), Fraction(25), 2.6),
    "unicode": (named("Größe 演讲者 🎬.mp4"), Fraction(25), 2.6),
    "leading dash and spaces": (named("-i my film.mp4"), Fraction(25), 2.6),
    "colon and percent": (named("take:2 %03d.mp4"), Fraction(25), 2.6),
    "quotes": (named('it\'s "good" [1],2;3.mp4'), Fraction(25), 2.6),
    "variable rate": (uneven, Fraction(25), 2.6),
    "10 fps": (at(10), Fraction(25), 2.6),
    "30 fps": (at(30), Fraction(30), 2.6),
    "60 fps": (at(60), Fraction(30), 2.6),
    "120 fps": (at(120), Fraction(30), 2.6),
    "ntsc": (stored("ntsc.mov", "-r", "30000/1001", *X264), Fraction(30000, 1001), 2.6),
    "odd size": (stored("odd.mkv", "-vf", "scale=253:255", "-pix_fmt", "yuv444p", *X264), Fraction(25), 6),
    "turned 90": (turned(90), Fraction(25), 2.6),
    "turned 180": (turned(180), Fraction(25), 2.6),
    "turned 270": (turned(270), Fraction(25), 2.6),
    "10 bit": (stored("ten.mkv", *X264, "-pix_fmt", "yuv420p10le"), Fraction(25), 2.6),
    "hlg": (hdr("arib-std-b67"), Fraction(25), 3.5),
    "pq": (hdr("smpte2084"), Fraction(25), 3.5),
    "4:2:2": (stored("chroma.mkv", *X264, "-pix_fmt", "yuv422p"), Fraction(25), 2.6),
    "4:1:1": (stored("dv.mkv", "-c:v", "ffv1", "-pix_fmt", "yuv411p"), Fraction(25), 4),
    "rgb": (stored("rgb.mkv", "-c:v", "ffv1", "-pix_fmt", "bgr0"), Fraction(25), 4),
    "full range": (stored("full.mp4", "-vf", "scale=out_range=pc", "-color_range", "pc", *X264, "-pix_fmt", "yuvj420p"), Fraction(25), 2.6),
    "bt709": (stored("709.mp4", "-vf", "setparams=colorspace=smpte170m,zscale=m=709", *X264), Fraction(25), 2.6),
    "interlaced": (
        stored("fields.mkv", "-vf", "tinterlace=interleave_top,fieldorder=tff", "-flags", "+ilme+ildct", *X264),
        Fraction(25),
        4,
    ),
    "wide pixels": (stored("wide.mp4", "-vf", "scale=192:256,setsar=4/3", *X264), Fraction(25), 4),
    "mpeg-4 in avi": (converted("old.avi", "-c:v", "mpeg4", "-q:v", "2", "-c:a", "mp3"), Fraction(25), 3),
    "webm": (
        converted(
            "web.webm", "-c:v", "libvpx", "-b:v", "4M", "-deadline", "realtime", "-cpu-used", "8", "-threads", "2", "-c:a", "libopus"
        ),
        Fraction(25),
        3,
    ),
    "transport stream": (stored("stream.ts", "-c:v", "copy"), Fraction(25), 2.6),
    "mono 8 kHz": (with_sound(1, 8_000, "aac", "mono.mp4"), Fraction(25), 2.6),
    "5.1 48 kHz": (with_sound(6, 48_000, "aac", "surround.mp4"), Fraction(25), 2.6),
    "stereo 96 kHz": (with_sound(2, 96_000, "flac", "fine.mkv"), Fraction(25), 2.6),
    "late sound": (late_sound, Fraction(25), 2.6),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_can_work_gives_the_right_clip(name: str, plain: Path, tmp_path: Path) -> None:
    make, fps, tolerance = ACCEPTED[name]
    source, out = tmp_path / "source", tmp_path / "out"
    source.mkdir()
    video = make(plain, source)
    record = ingested(video, out)
    assert record["clip"]["fps"] == f"{fps.numerator}/{fps.denominator}"
    info = video_info(out / "clip.mkv")
    assert (info.width, info.height, info.fps) == (CLIP_PX, CLIP_PX, fps)
    assert info.frames == record["clip"]["frames"] == len(record["frame_source_timestamp_s"])
    assert abs(info.frames / fps - SECONDS) <= 0.15
    first = next(read_frames(out / "clip.mkv")).astype(int)
    crop = record["crop"]
    scale = record["source"]["width"] / SIZE_PX
    assert abs(crop["size"] / scale - SIZE_PX) <= 3, "the person fills the frame: nothing is cut away"
    difference = first - expected_picture()
    assert float(np.abs(difference).mean()) < tolerance, "fine chroma is lost in 4:2:0"
    assert float(np.abs(difference.mean(axis=(0, 1))).max()) < tolerance / 2
    audio = read_audio_span(video, record["source"]["start_s"], info.frames / float(fps))
    assert len(audio) == round(info.frames / fps * 16_000)
    assert 0.05 < np.abs(audio).max() <= 1.0


@pytest.mark.parametrize("seed", range(10))
def test_damaged_files_never_crash(seed: int, plain: Path, tmp_path: Path) -> None:
    """Bytes overwritten at random places: a clip or a clear line, never anything else."""
    random = np.random.default_rng(seed)
    data = bytearray(plain.read_bytes())
    for _ in range(int(random.integers(1, 6))):
        start, length = int(random.integers(len(data))), int(random.integers(1, 4000))
        data[start : start + length] = random.bytes(len(data[start : start + length]))
    (tmp_path / "damaged.mp4").write_bytes(data)
    out = tmp_path / "out"
    out.mkdir()
    try:
        record = ingested(tmp_path / "damaged.mp4", out)
    except FootageError as error:
        assert "\n" not in str(error)
        assert list(out.iterdir()) == []
    else:
        assert video_info(out / "clip.mkv").frames == record["clip"]["frames"]
