"""What a batch consists of: manifests, folders, shares for the machines. (Prefixes of a store: test_shared_store.)"""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.dub_batch import BatchRow, batch_rows, grouped
from flows.object_store import ObjectStore
from talkhead_core.errors import InputError

STORE = ObjectStore()


def _rows(root: Path, **asked: object) -> list[tuple[str, str, str]]:
    options = {"manifest": None, "audio": None, "speakers": [], "out": "out", **asked}
    rows = batch_rows(STORE, root, **options)  # type: ignore[arg-type]
    return [(row.speaker, row.audio.removeprefix(f"{root}/"), row.out.removeprefix(f"{root}/")) for row in rows]


def _speech(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"speech")


def test_manifest(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    text = "speaker,audio,out\nada,one.wav,a/one.mp4\nbob,s3://bucket/two.wav,two.mp4\n"
    (tmp_path / "in/batch.csv").write_text("\ufeff" + text, encoding="utf-8")
    assert _rows(tmp_path, manifest="in/batch.csv") == [
        ("ada", "in/one.wav", "out/a/one.mp4"),
        ("bob", "s3://bucket/two.wav", "out/two.mp4"),
    ]
    assert [row[2] for row in _rows(tmp_path, manifest="in/batch.csv", out="s3://bucket/dubs/")] == [
        "s3://bucket/dubs/a/one.mp4",
        "s3://bucket/dubs/two.mp4",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("speaker,audio\na,b\n", "lacks out"),
        ("speaker,audio,out\nada,,x.mp4\n", "line 2: audio is empty"),
        ("speaker,audio,out\nada,a.wav,../x.mp4\n", "leaves the output folder"),
        ("speaker,audio,out\nada,a.wav,x.avi\n", "must end with .mp4"),
        ("speaker,audio,out\nada,a.wav,x.mp4\nada,b.wav,x.mp4\n", "would both be written"),
        ("speaker,audio,out\n../ada,a.wav,x.mp4\n", "speaker name"),
        ("speaker,audio,out\n", "nothing to dub"),
    ],
)
def test_manifests_that_cannot_be(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "batch.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        _rows(tmp_path, manifest="batch.csv")


def test_folder_of_speakers(tmp_path: Path) -> None:
    _speech(tmp_path, "in/ada/one.wav", "in/ada/deep/two.mp3", "in/bob/one.wav", "in/bob/notes.txt")
    assert _rows(tmp_path, audio="in") == [
        ("ada", "in/ada/deep/two.mp3", "out/ada/deep/two.mp4"),
        ("ada", "in/ada/one.wav", "out/ada/one.mp4"),
        ("bob", "in/bob/one.wav", "out/bob/one.mp4"),
    ]


def test_each_speaker_says_everything(tmp_path: Path) -> None:
    _speech(tmp_path, "in/one.wav", "in/two.wav")
    assert _rows(tmp_path, audio="in", speakers=["ada", "bob"]) == [
        (speaker, f"in/{name}.wav", f"out/{speaker}/{name}.mp4") for name in ("one", "two") for speaker in ("ada", "bob")
    ]
    with pytest.raises(InputError, match="lies in no speaker's folder"):
        _rows(tmp_path, audio="in")


@pytest.mark.parametrize("asked", [{}, {"manifest": "a.csv", "audio": "in"}, {"audio": "nowhere"}, {"manifest": "nowhere.csv"}])
def test_questions_without_an_answer(tmp_path: Path, asked: dict[str, str]) -> None:
    with pytest.raises(InputError):
        _rows(tmp_path, **asked)


def test_shares_hold_one_speaker_each() -> None:
    rows = [BatchRow(speaker="ada" if i % 3 else "bob", audio=f"{i}.wav", out=f"{i}.mp4") for i in range(10)]
    shares = grouped(rows, 4)
    assert {name: len(share) for name, share in shares.items()} == {"bob-1": 4, "ada-1": 4, "ada-2": 2}
    assert sorted(row.out for share in shares.values() for row in share) == sorted(row.out for row in rows)
