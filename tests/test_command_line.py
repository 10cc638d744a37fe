"""The command ``talkhead`` as a user meets it: results, exit codes, one line for every error, nothing written on refusal."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from talkhead_core.media.video_writer import VideoWriter
from talkhead_core.speakers import read_speakers
from tests.real_workspace import make_workspace
from tests.toy_workspace import REPOSITORY, add_speaker, make_toy_workspace, ran, talkhead

CONSENT = ("--i-have-consent", "Ada Lovelace, tests")
SPEAKERS = REPOSITORY.parent / "shared" / "data" / "speakers"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A toy workspace with two trained speakers."""
    root = make_toy_workspace(tmp_path_factory.mktemp("command_line"))
    (root / "good.mp4").write_bytes(b"good")
    (root / "speech.wav").write_bytes(b"speech")
    result = talkhead(root, "run", "--speaker", "ada", "--video", "good.mp4", "--audio", "speech.wav", "--profile", "smoke", *CONSENT)
    assert result.returncode == 0, result.stderr
    add_speaker(root, "bob")
    assert talkhead(root, "run", "--speaker", "bob").returncode == 0
    ran(root)
    return root


def _files(root: Path) -> dict[str, bytes]:
    skip = (".git", ".dvc", ".talkhead", "__pycache__")
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not any(part in skip for part in path.relative_to(root).parts)
    }


def _one_line(stderr: str) -> str:
    """The error, which is all that there is."""
    lines = stderr.splitlines()
    assert len(lines) == 1, stderr
    return lines[0]


def test_run_says_where_the_results_are(toy: Path) -> None:
    result = talkhead(toy, "run", "--speaker", "ada", "--audio", "speech.wav", "--json")
    told = json.loads(result.stdout)
    assert told == {
        "speaker": "ada",
        "report": str(toy / "data/ada/report/report.html"),
        "dubs": [str(toy / "out/ada/speech.mp4")],
    }
    assert all(Path(path).is_file() for path in [told["report"], *told["dubs"]])
    assert result.stderr == "" and ran(toy) == []


def test_registering_keeps_what_it_was_given(toy: Path) -> None:
    assert (toy / "data/ada/raw/video.mp4").read_bytes() == b"good"
    ada = read_speakers(toy / "speakers.yaml")["ada"]
    assert (ada.video, ada.profile, ada.config) == ("data/ada/raw/video.mp4", "smoke", "talkhead")
    consent = json.loads((toy / "data/ada/raw/consent.json").read_text())
    assert (consent["who"], consent["purpose"], consent["synthetic"]) == ("Ada Lovelace", "tests", False)


def test_same_video_again_runs_nothing_and_another_is_refused(toy: Path) -> None:
    assert talkhead(toy, "run", "--speaker", "ada", "--video", "good.mp4").returncode == 0
    assert ran(toy) == []
    (toy / "other.mp4").write_bytes(b"good but different")
    before = _files(toy)
    result = talkhead(toy, "run", "--speaker", "ada", "--video", "other.mp4")
    assert result.returncode == 1 and "registered with another video" in _one_line(result.stderr)
    assert _files(toy) == before


def test_two_audios_of_one_name_are_two_dubs(toy: Path) -> None:
    for folder in ("a", "b"):
        (toy / folder).mkdir(exist_ok=True)
        (toy / folder / "same.wav").write_text(folder)
    result = talkhead(toy, "run", "--speaker", "ada", "--audio", "a/same.wav", "--audio", "b/same.wav", "--out", "dubs", "--json")
    assert [Path(path).name for path in json.loads(result.stdout)["dubs"]] == ["same.mp4", "same-2.mp4"]
    assert ran(toy) == ["dub@ada", "dub@ada"]


def test_demo_runs_once(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    first = talkhead(root, "demo", "--json")
    assert first.returncode == 0, first.stderr
    assert Path(json.loads(first.stdout)["dubs"][0]) == root / "out/demo/speech.mp4"
    assert ran(root)[0] == "make_demo"
    assert json.loads((root / "data/demo/raw/consent.json").read_text())["synthetic"] is True
    assert read_speakers(root / "speakers.yaml")["demo"].profile == "demo"
    assert talkhead(root, "demo", "--json").stdout == first.stdout
    assert ran(root) == []
    (root / "speakers.yaml").write_text("speakers: {}\n")
    assert talkhead(root, "demo", "--json").stdout == first.stdout, "registered again, by the record that there is"
    assert ran(root) == []
    (root / "out/demo/speech.mp4").write_text("spoiled")
    assert talkhead(root, "demo").returncode == 0
    assert ran(root) == ["dub@demo"]


def test_dub_and_manifest(toy: Path) -> None:
    single = talkhead(toy, "dub", "--speaker", "ada", "--audio", "speech.wav", "--out", "single.mp4")
    assert single.returncode == 0 and single.stdout.strip() == "single.mp4" and (toy / "single.mp4").is_file()
    (toy / "empty.wav").write_bytes(b"")
    (toy / "batch.csv").write_text(
        "speaker,audio,out\nada,speech.wav,x/1.mp4\nbob,empty.wav,2.mp4\nbob,speech.wav,3.mp4\neve,speech.wav,4.mp4\n"
    )
    batch = talkhead(toy, "dub", "--manifest", "batch.csv", "--out", "batch", "--json")
    assert batch.returncode == 1 and "2 of 4 dubs failed" in _one_line(batch.stderr)
    errors = [row["error"] for row in json.loads(batch.stdout)["dubs"]]
    assert errors[0] is None and errors[2] is None
    assert "empty.wav: holds no audio" in errors[1] and "'eve' is not registered" in errors[3]
    assert (toy / "batch/x/1.mp4").is_file() and (toy / "batch/3.mp4").is_file() and not (toy / "batch/2.mp4").exists()
    ran(toy)
    talkhead(toy, "dub", "--manifest", "batch.csv", "--out", "batch")
    assert ran(toy) == [], "what worked is not made again; what failed did not get to run"


def test_a_batch_loads_each_speaker_once_and_goes_on_after_a_process_that_died(toy: Path) -> None:
    (toy / "fatal.wav").write_bytes(b"fatal")
    rows = ["ada,speech.wav,1.mp4", "bob,speech.wav,2.mp4", "ada,fatal.wav,3.mp4", "ada,speech.wav,4.mp4", "bob,speech.wav,5.mp4"]
    (toy / "warm.csv").write_text("\n".join(["speaker,audio,out", *rows]) + "\n")
    (toy / "loaded.txt").unlink(missing_ok=True)
    batch = talkhead(toy, "dub", "--manifest", "warm.csv", "--out", "warm", "--json")
    told = json.loads(batch.stdout)["dubs"]
    assert [Path(row["out"]).name for row in told] == ["1.mp4", "2.mp4", "3.mp4", "4.mp4", "5.mp4"], "in the manifest's order"
    assert [row["error"] for row in told] == [None, None, "dub: stopped unexpectedly (exit code 9)", None, None]
    assert (toy / "loaded.txt").read_text().split() == ["ada", "ada", "bob"], "again only after the death"
    assert all((toy / "warm" / f"{name}.html").is_file() for name in (1, 2, 4, 5))
    assert ran(toy) == ["dub@ada", "dub@ada", "dub@bob", "dub@bob"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("speaker,audio\nada,speech.wav\n", "the header lacks out"),
        ("speaker,audio,out\nada,speech.wav,../../x.mp4\n", "leaves the output folder"),
        ("speaker,audio,out\nada,speech.wav,/tmp/x.mp4\n", "leaves the output folder"),
        ("speaker,audio,out\nada,,x.mp4\n", "line 2: audio is empty"),
        ("speaker,audio,out\nada,speech.wav,x.mp4\nada,good.mp4,x.mp4\n", "two rows write the same file"),
        ("\x00\xff", "header lacks"),
    ],
)
def test_bad_manifest_is_refused_whole(toy: Path, content: str, message: str) -> None:
    (toy / "bad.csv").write_text(content)
    result = talkhead(toy, "dub", "--manifest", "bad.csv", "--out", "bad")
    assert result.returncode == 1 and message in _one_line(result.stderr)
    assert not (toy / "bad").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("run", "--speaker", "../x", "--video", "good.mp4", *CONSENT), "speaker name '../x'"),
        (("run", "--speaker", "-x", "--video", "good.mp4", *CONSENT), "speaker name '-x'"),
        (("run", "--speaker", "Ada", "--video", "good.mp4", *CONSENT), "speaker name 'Ada'"),
        (("run", "--speaker", "new", "--video", "missing.mp4", *CONSENT), "missing.mp4: does not exist"),
        (("run", "--speaker", "new", "--video", "data", *CONSENT), "data: is not a file"),
        (("run", "--speaker", "new", "--video", "speech.wav", *CONSENT), "holds no face; film one person"),
        (("run", "--speaker", "new", "--video", "good.mp4", "--audio", "missing.wav", *CONSENT), "missing.wav: does not exist"),
        (
            ("run", "--speaker", "new", "--video", "good.mp4", "--profile", "huge", *CONSENT),
            "no profile called 'huge'; choose one of smoke",
        ),
        (("run", "--speaker", "new", "--video", "good.mp4", "--config", "x", *CONSENT), "no config called 'x'"),
        (("run", "--speaker", "new", "--video", "good.mp4"), "needs a consent record"),
        (("run", "--speaker", "new"), "'new' is not registered; give --video"),
        (("dub", "--speaker", "new", "--audio", "speech.wav", "--out", "x.mp4"), "'new' is not registered"),
        (("status", "--speaker", "new"), "'new' is not registered"),
        (("doctor", "--video", "missing.mp4"), "missing.mp4: does not exist"),
        (("evaluate", "--reference", "missing.mp4", "--rendered", "good.mp4"), "missing.mp4: does not exist"),
        (("denoise", "missing.wav", "x.wav"), "missing.wav: does not exist"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(toy: Path, arguments: tuple[str, ...], message: str) -> None:
    before = _files(toy)
    result = talkhead(toy, *arguments)
    assert result.returncode == 1
    assert message in _one_line(result.stderr) and _one_line(result.stderr).startswith("talkhead: ")
    assert _files(toy) == before


@pytest.mark.parametrize(
    "arguments", [("run",), ("nonsense",), ("run", "--speaker"), ("dub",), ("stages", "--nonsense"), ("dub", "--manifest", "x")]
)
def test_bad_usage_exits_with_2(toy: Path, arguments: tuple[str, ...]) -> None:
    result = talkhead(toy, *arguments)
    assert result.returncode == 2 and _one_line(result.stderr).startswith("talkhead: ") and "--help" in result.stderr


def test_evaluate_says_which_pairs_it_refuses(toy: Path) -> None:
    said = " ".join(talkhead(toy, "evaluate", "--help", COLUMNS="160").stdout.split())
    assert "aspect ratios differ by more than 2 %" in said


def test_traceback_only_with_debug(toy: Path) -> None:
    assert "Traceback" not in talkhead(toy, "status", "--speaker", "new").stderr
    assert "Traceback" in talkhead(toy, "status", "--speaker", "new", "--debug").stderr


def test_spoiled_settings_are_one_line(tmp_path: Path) -> None:
    root = make_toy_workspace(tmp_path)
    add_speaker(root, "ada")
    for name, text, message in (
        ("speakers.yaml", "speakers: {ada: {video: x}}\n", "needs exactly the keys video, profile and config"),
        ("speakers.yaml", "speakers: {ada: {video: ../x, profile: smoke, config: talkhead}}\n", "must lie inside the workspace"),
        ("speakers.yaml", "speakers: [\n", "speakers.yaml is not valid YAML"),
    ):
        (root / name).write_text(text)
        result = talkhead(root, "status", "--speaker", "ada")
        assert result.returncode == 1 and message in _one_line(result.stderr)


def test_outside_a_workspace_the_installed_clone_is_used(tmp_path: Path) -> None:
    result = talkhead(tmp_path, "stages", "--json", PYTHONPATH=str(REPOSITORY))
    assert [row["stage"] for row in json.loads(result.stdout)][0] == "ingest"
    result = talkhead(tmp_path, "stages", PYTHONPATH=str(REPOSITORY), TALKHEAD_ROOT=str(tmp_path))
    assert result.returncode == 1 and "no talkhead workspace" in result.stderr


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The working tree in a folder of its own, with the real doctor."""
    return make_workspace(tmp_path_factory.mktemp("real"))


def _blank_video(path: Path, seconds: float) -> None:
    with VideoWriter(path, width=128, height=128, fps=Fraction(25), encoding="delivery") as video:
        for index in range(round(25 * seconds)):
            video.write(np.full((128, 128, 3), index % 256, np.uint8))


@pytest.mark.parametrize(
    ("name", "message"),
    [("text.mp4", "not a media file"), ("short.mp4", "at least 3 s are needed"), ("silent.mp4", "has no audio track")],
)
def test_footage_that_cannot_work_is_refused_before_anything_is_written(real: Path, tmp_path: Path, name: str, message: str) -> None:
    video = tmp_path / name
    if name == "text.mp4":
        video.write_text("this is no video")
    else:
        _blank_video(video, 1 if name == "short.mp4" else 4)
    before = _files(real)
    result = talkhead(real, "run", "--speaker", "new", "--video", str(video), *CONSENT)
    assert result.returncode == 1
    assert message in _one_line(result.stderr) and name in _one_line(result.stderr)
    assert _files(real) == before
    told = talkhead(real, "doctor", "--video", str(video), "--json")
    assert told.returncode == 1
    if told.stdout:
        assert json.loads(told.stdout)["verdict"] == "no_go"


def test_doctor_finds_this_installation_whole(real: Path) -> None:
    result = talkhead(real, "doctor", "--json")
    told = json.loads(result.stdout)
    assert result.returncode == 0, result.stderr
    assert told["verdict"] in ("go", "go_with_care")
    assert {"python", "package", "ffmpeg", "disk", "cores", "gpu"} == {finding["code"] for finding in told["findings"]}


def test_doctor_passes_good_footage(real: Path) -> None:
    video = SPEAKERS / "newsreader_512.mp4"
    if not video.exists():
        pytest.skip("the shared clips are not here")
    result = talkhead(real, "doctor", "--video", str(video))
    assert result.returncode == 0 and "verdict: go" in result.stdout and result.stderr == ""


def test_denoise_writes_a_file_or_says_why_not(real: Path, tmp_path: Path) -> None:
    import soundfile

    noise = np.random.default_rng(0).normal(0, 0.01, 16_000)
    soundfile.write(tmp_path / "in.wav", noise, 16_000)
    result = talkhead(real, "denoise", str(tmp_path / "in.wav"), str(tmp_path / "out.wav"), "--method", "mss")
    assert result.returncode == 0, result.stderr
    assert soundfile.info(tmp_path / "out.wav").frames == 16_000
    result = talkhead(real, "denoise", str(tmp_path / "in.wav"), str(tmp_path / "no.wav"), "--method", "nonsense")
    assert result.returncode == 1 and "choose one of" in _one_line(result.stderr) and not (tmp_path / "no.wav").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "give --reference and --rendered"),
        (("--reference", "good.mp4"), "--reference goes with --rendered"),
        (("--reference", "good.mp4", "--rendered", "good.mp4", "--speaker", "ada"), "with nothing else to score"),
        (("--reference-audio", "speech.wav"), "go together"),
        (("--speaker", "ada", "--per-frame", "x.csv"), "--per-frame goes with"),
        (("--rendered", "good.mp4", "--speaker", "ada", "--speaker", "bob"), "one --speaker"),
        (("--speaker", "ada", "--audio", "speech.wav"), "give --reference and --rendered"),
    ],
)
def test_evaluate_says_what_goes_together(toy: Path, words: tuple[str, ...], said: str) -> None:
    result = talkhead(toy, "evaluate", *words)
    assert result.returncode == 2 and said in _one_line(result.stderr)


def test_evaluate_and_report_bring_a_speaker_up_to_date_and_train_nothing(toy: Path) -> None:
    add_speaker(toy, "untrained")
    for command in ("evaluate", "report"):
        result = talkhead(toy, command, "--speaker", "untrained")
        assert result.returncode == 1 and "is not trained yet" in _one_line(result.stderr)
    assert ran(toy) == []
    (toy / "data/ada/evaluate/metrics.json").unlink()
    result = talkhead(toy, "evaluate", "--speaker", "ada", "--speaker", "bob", "--csv", "scores.csv")
    assert result.returncode == 0, result.stderr
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["ada", "bob"] and (toy / "scores.csv").is_file()
    assert set(ran(toy)) <= {"evaluate@ada"}
    result = talkhead(toy, "report", "--speaker", "ada")
    assert result.returncode == 0 and result.stdout.strip() == str(toy / "data/ada/report/report.html")


def test_a_dub_has_its_page_and_its_frame(toy: Path) -> None:
    result = talkhead(toy, "dub", "--speaker", "ada", "--audio", "speech.wav", "--out", "whole.mp4", "--frame", "full", "--json")
    told = json.loads(result.stdout)
    assert told == {"video": "whole.mp4", "report": "whole.html"} and (toy / "whole.html").is_file()
    assert (toy / "whole.mp4").read_text().endswith("full"), "the task was told"
    (toy / "frames.csv").write_text("speaker,audio,out\nada,speech.wav,1.mp4\n")
    ran(toy)
    for frame, expected in (("crop", ["dub@ada"]), ("crop", []), ("full", ["dub@ada"])):
        result = talkhead(toy, "dub", "--manifest", "frames.csv", "--out", "frames", "--frame", frame)
        assert result.returncode == 0, result.stderr
        assert ran(toy) == expected, "another frame is another dub"
    result = talkhead(toy, "run", "--speaker", "ada", "--audio", "speech.wav", "--out", "whole", "--frame", "full")
    assert result.returncode == 0, result.stderr
    assert (toy / "whole" / "speech.mp4").read_text().endswith("full")


@pytest.mark.parametrize("revision", ["no-such", "--all", "HEAD"])
def test_compare_names_a_revision_that_holds_no_run(toy: Path, revision: str) -> None:
    result = talkhead(toy, "compare", f"ada@{revision}", "ada")
    said = "holds no rendered run" if revision == "HEAD" else "is no commit, tag or experiment here"
    assert result.returncode == 1 and said in _one_line(result.stderr)
