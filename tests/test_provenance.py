"""Videos say where they come from: signed credentials, and a mark that survives what happens to videos."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from skimage.color import deltaE_ciede2000, rgb2lab

from talkhead_core.errors import FootageError, InputError, ParameterError, TalkheadError
from talkhead_core.media.video_reader import read_frames
from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.provenance.credentials import Origin, read_credentials, sign_file, signed
from talkhead_core.provenance.signer import Signer, local_signer, read_signer
from talkhead_core.provenance.verification import verify_file
from talkhead_core.provenance.watermark import Watermark, key_pattern
from talkhead_core.provenance.watermark_detector import THRESHOLD, WatermarkDetector, watermark_in
from talkhead_core.report.comparison_video import as_uri
from talkhead_core.types import Image
from tests.footage_maker import ffmpeg, moving_portrait
from tests.toy_workspace import talkhead

FRAMES = 25
ORIGIN = Origin(
    title="dub.mp4",
    kind="dub",
    model="ada",
    model_sha256="0" * 64,
    data_sha256={"speech": "1" * 64},
    composite=True,
    synthetic_speaker=False,
    consent_sha256="2" * 64,
    watermark=True,
)


@cache
def pictures() -> tuple[Image, ...]:
    return tuple(moving_portrait(FRAMES))


@cache
def marked() -> tuple[Image, ...]:
    watermark = Watermark(256, 256)
    return tuple(watermark.marked(frame) for frame in pictures())


def write(path: Path, frames: tuple[Image, ...]) -> Path:
    height, width = frames[0].shape[:2]
    with VideoWriter(path, width=width, height=height, fps=Fraction(25), encoding="delivery") as writer:
        for frame in frames:
            writer.write(frame)
    return path


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("video") / "video.mp4", marked())


@pytest.fixture(scope="module")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return local_signer(tmp_path_factory.mktemp("signer") / "signer.pem")


# ------------------------------------------------------------------------------------------------------------ the mark


def test_the_mark_cannot_be_seen() -> None:
    difference = np.stack(marked()).astype(int) - np.stack(pictures())
    assert np.abs(difference).max() <= 3
    seen = deltaE_ciede2000(*(rgb2lab(np.stack(each)) for each in (pictures(), marked())))
    assert np.percentile(seen, 99) < 2.3  # a difference that is just noticed where two colours touch
    mark_db = 10 * np.log10(255**2 / np.mean(difference**2.0))
    assert mark_db > 48
    render_db = 36.5  # a good render against its recording: the mark's own error adds to its error
    cost_db = 10 * np.log10(1 + 10 ** ((render_db - mark_db) / 10))
    assert cost_db < 0.3


ATTACKS = {
    "encoded as delivered": (),
    "crf 28": ("-crf", "28"),
    "half the size": ("-vf", "scale=iw/2:ih/2", "-crf", "20"),
    "five per cent cropped": ("-vf", "crop=iw*0.95:ih*0.95:iw*0.03:ih*0.01", "-crf", "20"),
    "cropped and brought back": ("-vf", "crop=iw*0.95:ih*0.95,scale=256:256", "-crf", "20"),
    "cropped, halved, crf 28": ("-vf", "crop=244:244:8:3,scale=122:122", "-crf", "28"),
    "another shape": ("-vf", "scale=320:180", "-crf", "20"),
    "brighter": ("-vf", "eq=brightness=0.1:contrast=1.1", "-crf", "20"),
    "half the rate": ("-r", "12.5", "-crf", "20"),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_the_mark_survives(attack: str, video: Path, tmp_path: Path) -> None:
    ffmpeg("-i", video, "-c:v", "libx264", "-pix_fmt", "yuv420p", *ATTACKS[attack], tmp_path / "attacked.mp4")
    frames = list(read_frames(tmp_path / "attacked.mp4"))
    assert watermark_in(frames).found
    assert not watermark_in(frames, key="somebody else").found


def test_a_crop_is_measured(video: Path, tmp_path: Path) -> None:
    ffmpeg("-i", video, "-vf", "crop=iw*0.9:ih,pad=iw+0:ih", "-c:v", "libx264", "-crf", "18", tmp_path / "cropped.mp4")
    assert watermark_in(read_frames(tmp_path / "cropped.mp4")).kept == (0.9, 1.0)


def test_what_bears_no_mark_is_not_accused() -> None:
    """Against keys that did not mark it, neither a plain nor a marked picture reaches the threshold."""
    for frames in (pictures(), marked()):
        detector = WatermarkDetector()
        for frame in frames[::5]:
            detector.add(frame)
        assert max(detector.verdict(f"key {number}").score for number in range(8)) < THRESHOLD


def test_the_mark_is_where_the_picture_is_smooth_and_keeps_its_energy() -> None:
    """What is busy is marked less, what is smooth more; and the strengths follow when the picture changes."""
    busy = np.random.default_rng(0).integers(0, 256, (256, 128, 3)).astype(np.uint8)
    left = np.hstack([busy, np.full_like(busy, 128)])
    watermark, energies = Watermark(256, 256), []
    for frame in [left] * 3 + [left[:, ::-1]] * 200:
        difference = np.square(watermark.marked(frame).astype(int) - frame)
        assert 0.9 < difference.mean() <= 1.4
        energies.append((difference[:, :128].mean(), difference[:, 128:].mean()))
    assert energies[0][1] > 3 * energies[0][0] and energies[-1][0] > 3 * energies[-1][1]


@pytest.mark.parametrize("level", [0, 128, 255])
def test_empty_pictures_bear_no_mark(level: int) -> None:
    assert not watermark_in([np.full((64, 64, 3), level, np.uint8)] * 3).found
    assert not watermark_in([]).found


@pytest.mark.parametrize(("width", "height"), [(64, 64), (130, 98), (1920, 1080)])
def test_the_mark_fits_every_size(width: int, height: int) -> None:
    frame = np.asarray(cv2.resize(pictures()[0], (width, height)), dtype=np.uint8)
    once = Watermark(width, height).marked(frame)
    assert once.shape == frame.shape and once.dtype == np.uint8
    assert watermark_in([once] * 2).found
    black = Watermark(width, height).marked(np.zeros_like(frame))
    assert black.max() <= 2, "levels neither wrap round at black"
    assert Watermark(width, height).marked(np.full_like(frame, 255)).min() >= 253, "nor at white"


def test_patterns_are_those_of_their_keys() -> None:
    mine, again, other = key_pattern("a"), key_pattern("a"), key_pattern("b")
    assert np.array_equal(mine, again)
    assert abs(float((mine * other).mean() / (mine.std() * other.std()))) < 0.05
    assert mine.shape == (256, 256) and 0.7 < abs(mine).max() <= 1
    with pytest.raises(ParameterError):
        Watermark(64, 64, key="")


# ----------------------------------------------------------------------------------------------------- the credentials


def test_credentials_are_read_back_and_trusted_by_their_root(video: Path, signer: Signer, tmp_path: Path) -> None:
    sign_file(video, tmp_path / "signed.mp4", ORIGIN, signer)
    stranger, friend = read_credentials(tmp_path / "signed.mp4"), read_credentials(tmp_path / "signed.mp4", signer.root)
    assert stranger is not None and friend is not None
    assert (stranger.state, friend.state) == ("valid", "trusted")
    assert friend.ai_generated and friend.problems == () and friend.origin is not None
    assert friend.origin["model"] == "ada" and friend.origin["data_sha256"] == {"speech": "1" * 64}
    assert friend.origin["software"]["name"] == "talkhead" and len(friend.origin["software"]["code_sha256"]) == 64
    assert "self-signed" in friend.signed_by
    with av.open(str(tmp_path / "signed.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == FRAMES
    assert read_credentials(video) is None


@pytest.mark.parametrize("seed", range(6))
def test_a_change_after_signing_is_seen(seed: int, video: Path, signer: Signer, tmp_path: Path) -> None:
    data = bytearray(signed(video.read_bytes(), ORIGIN, signer))
    start = data.index(b"mdat") + 8
    place = int(np.random.default_rng(seed).integers(start, len(data)))
    data[place] ^= 0xFF
    (tmp_path / "changed.mp4").write_bytes(data)
    found = read_credentials(tmp_path / "changed.mp4", signer.root)
    assert found is not None and found.state == "invalid" and found.problems


def test_what_was_switched_off_is_said(video: Path, signer: Signer, tmp_path: Path) -> None:
    origin = replace(ORIGIN, watermark=False, remarks={"watermark": "switched off by --no-watermark"})
    sign_file(video, tmp_path / "signed.mp4", origin, signer)
    found = read_credentials(tmp_path / "signed.mp4")
    assert found is not None and found.origin is not None
    assert found.origin["watermark"] is False and found.origin["remarks"] == origin.remarks
    assert "c2pa.watermarked" not in json.dumps(origin.manifest()) and "c2pa.watermarked" in json.dumps(ORIGIN.manifest())


def test_the_local_signer_is_kept_and_private(tmp_path: Path) -> None:
    first, second = local_signer(tmp_path / "a" / "signer.pem"), local_signer(tmp_path / "a" / "signer.pem")
    assert first == second
    assert (tmp_path / "a" / "signer.pem").stat().st_mode & 0o077 == 0
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["signer.pem"]
    assert b"PRIVATE" not in repr(first).encode() and "BEGIN" not in repr(first)


def test_files_that_are_no_signer(tmp_path: Path, signer: Signer) -> None:
    other = local_signer(tmp_path / "other.pem")
    cases = {
        "missing": None,
        "empty": b"",
        "no key": signer.certificates,
        "no certificate": signer.private_key,
        "another's certificate": signer.private_key + other.certificates,
        "noise": bytes(range(256)),
    }
    for name, content in cases.items():
        path = tmp_path / f"{name}.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(InputError, match="PEM"):
            read_signer(path)


def test_a_file_that_cannot_be_signed_leaves_nothing(signer: Signer, tmp_path: Path) -> None:
    (tmp_path / "no.mp4").write_bytes(b"no video at all, but long enough to be looked at")
    with pytest.raises(TalkheadError, match="cannot be signed"):
        sign_file(tmp_path / "no.mp4", tmp_path / "out.mp4", ORIGIN, signer)
    assert [path.name for path in tmp_path.iterdir()] == ["no.mp4"]


# -------------------------------------------------------------------------------------------------------- verification


def test_verdicts(video: Path, signer: Signer, tmp_path: Path) -> None:
    both = tmp_path / "both.mp4"
    sign_file(video, both, ORIGIN, signer)
    plain = write(tmp_path / "plain.mp4", pictures())
    changed = tmp_path / "changed.mp4"
    data = bytearray(both.read_bytes())
    data[-2000] ^= 0xFF
    changed.write_bytes(data)
    expected = {both: (True, False, True), video: (True, False, True), plain: (False, False, False), changed: (True, True, True)}
    for path, (generated, tampered, found) in expected.items():
        (evidence,) = verify_file(path, roots=signer.root)
        assert (evidence.ai_generated, evidence.tampered, evidence.watermark.found) == (generated, tampered, found), path.name
        assert json.loads(json.dumps(evidence.as_json()))["verdict"] == evidence.sentence()


def test_credentials_that_cannot_be_read_are_a_change_and_the_mark_is_read_all_the_same(
    video: Path, signer: Signer, tmp_path: Path
) -> None:
    data = bytearray(signed(video.read_bytes(), ORIGIN, signer))
    box = data.index(bytes.fromhex("d8fec3d61b0e483c92975828877ec481"))
    data[box + 40 : box + 3000] = bytes(2960)
    (tmp_path / "spoiled.mp4").write_bytes(data)
    (evidence,) = verify_file(tmp_path / "spoiled.mp4")
    assert evidence.tampered and evidence.ai_generated and evidence.watermark.found
    assert evidence.credentials is not None and "cannot be read" in evidence.credentials.problems[0]


def test_what_never_had_credentials_is_not_said_to_be_changed(video: Path, tmp_path: Path) -> None:
    """Another container under the name of an MP4."""
    ffmpeg("-i", video, "-c", "copy", "-f", "matroska", tmp_path / "renamed.mp4")
    (evidence,) = verify_file(tmp_path / "renamed.mp4")
    assert evidence.credentials is None and not evidence.tampered and evidence.watermark.found


def test_a_damaged_video_is_looked_at_up_to_the_damage(video: Path, tmp_path: Path) -> None:
    data = bytearray(video.read_bytes())
    start = data.index(b"mdat")
    end = start - 4 + int.from_bytes(data[start - 4 : start], "big")
    for place in range(start + (end - start) * 3 // 5, end, 97):
        data[place] ^= 0x5A
    (tmp_path / "damaged.mp4").write_bytes(data)
    (evidence,) = verify_file(tmp_path / "damaged.mp4")
    assert evidence.watermark.found and evidence.watermark.frames > 5
    data[start + 4 : end] = bytes(end - start - 4)
    (tmp_path / "damaged.mp4").write_bytes(data)
    with pytest.raises(FootageError) as caught:
        verify_file(tmp_path / "damaged.mp4")
    assert "\n" not in str(caught.value) and "damaged.mp4" in str(caught.value)


def test_every_video_of_a_report_is_looked_at(video: Path, signer: Signer, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text("".join(f'<video src="{as_uri(data)}">' for data in (signed(video.read_bytes(), ORIGIN, signer), video.read_bytes())))
    first, second = verify_file(page)
    assert first.credentials is not None and second.credentials is None and first.watermark.found
    (tmp_path / "empty.html").write_text("<p>nothing</p>")
    with pytest.raises(InputError, match="embeds no video"):
        verify_file(tmp_path / "empty.html")


@pytest.fixture
def workspace(tmp_path: Path) -> Iterator[Path]:
    repository = Path(__file__).resolve().parents[1]
    for name in ("tasks", "talkhead_core", "flows", "dvc.yaml", "params.yaml"):
        (tmp_path / name).symlink_to(repository / name)
    (tmp_path / "speakers.yaml").write_text("speakers: {}\n")
    yield tmp_path


def test_the_command_tells_programs_and_people(video: Path, workspace: Path) -> None:
    signer = local_signer(workspace / ".talkhead" / "signer.pem")
    sign_file(video, workspace / "dub.mp4", ORIGIN, signer)
    told = talkhead(workspace, "verify", "dub.mp4", "--json")
    assert told.returncode == 0, told.stderr
    (found,) = json.loads(told.stdout)
    assert found["credentials"]["state"] == "trusted" and found["watermark"]["found"] and found["ai_generated"]
    write(workspace / "plain.mp4", pictures())
    nothing = talkhead(workspace, "verify", "plain.mp4")
    assert nothing.returncode == 1 and "no credentials" in nothing.stdout and "Traceback" not in nothing.stderr
    (workspace / "text.mp4").write_text("no video")
    refused = talkhead(workspace, "verify", "text.mp4")
    assert refused.returncode == 1 and refused.stderr.count("\n") == 1 and refused.stderr.startswith("verify: ")
