"""A workspace with the real graph and toy stages: each stage writes a hash of what it read, in milliseconds.

Everything about order, caching, killing and reporting is the same as with the real stages, which take minutes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import yaml

from flows.stage_graph import read_stage_graph
from talkhead_core.consent import Consent, statement_hash, write_consent
from talkhead_core.speakers import Speaker, read_speakers, write_speakers

REPOSITORY = Path(__file__).resolve().parents[1]

# imports nothing heavy: fifteen of these run in every test
_TOY = """
import hashlib, json, os, pathlib, sys, time, yaml

def run(name, speaker, inputs, outputs):
    params = yaml.load(pathlib.Path("params.yaml").read_text(), Loader=yaml.CSafeLoader)
    entry = yaml.load(pathlib.Path("speakers.yaml").read_text(), Loader=yaml.CSafeLoader)["speakers"][speaker]
    chosen = (params["profiles"][entry["profile"]][name], params["configs"][entry["config"]][name])
    with open("ran.txt", "a") as log:
        log.write(f"{name}@{speaker}\\n")
    digest = hashlib.sha256(repr((params[name], *chosen)).encode())
    for path in inputs:
        digest.update(pathlib.Path(path.replace("SPEAKER", speaker).replace("VIDEO", entry["video"])).read_bytes())
    slow = pathlib.Path(f"toy_{name}_seconds.txt")
    seconds = float(slow.read_text() if slow.exists() else os.environ.get(f"TOY_{name.upper()}_SECONDS", "0"))
    for step in range(4):
        print(f"PROGRESS {step + 1}/4 0s toy", flush=True)
        time.sleep(seconds / 4)
    if os.environ.get("TOY_CRASHES") == name:
        raise ZeroDivisionError("a toy bug")
    for path in outputs:
        target = pathlib.Path(path.replace("SPEAKER", speaker))
        target.parent.mkdir(parents=True, exist_ok=True)
        text = f'"{digest.hexdigest()}"'
        if target.name == "metrics.json":
            text = _scores(speaker, digest)
        elif target.name == "model.safetensors":
            text += f" of {_recording(speaker)}"
        target.write_text(text)

def _recording(speaker):
    return next(pathlib.Path("data", speaker, "raw").glob("video.*")).read_text()

def _scores(speaker, digest):
    # on a recording "good 31.5 others 29" its own model scores 31.5 dB, one of another recording 29
    words = _recording(speaker).split()
    psnr = float(words[1]) if len(words) > 1 and words[1][0].isdigit() else 30.0
    model = pathlib.Path("data", speaker, "train_torso", "model.safetensors").read_text()
    if len(words) > 3 and not model.endswith(_recording(speaker)):
        psnr = float(words[3])
    scores = {"psnr_face": psnr, "lmd_px512": 2.0}
    return json.dumps({"protocols": {"head/self": scores}, "toy": digest.hexdigest()})
"""

_STAGE = """
import sys
from tasks.toy import run

run({name!r}, sys.argv[2], {inputs!r}, {outputs!r})
"""

# goes through the real tasks.stage, for its locks, its errors and its end with DVC's
_REAL_STAGE = """
import os
from talkhead_core.errors import InputError
from tasks.stage import Stage, main
from tasks.toy import run as toy

def run(stage: Stage) -> None:
    if os.environ.get("TOY_FAILS") == stage.name:
        raise InputError("data/x.mp4: the toy was asked to fail; ask it not to")
    toy({name!r}, stage.speaker, {inputs!r}, {outputs!r})

if __name__ == "__main__":
    main(run)
"""
_REAL_STAGES = ("ingest", "landmarks", "segment", "track_head", "train_coarse", "render")

_DUB_REQUESTS = """
import argparse, json, os, pathlib, sys
from talkhead_core.artifacts import write_text
p = argparse.ArgumentParser()
p.add_argument("--speaker", required=True)
p.add_argument("--frame")
a = p.parse_args()
model = pathlib.Path("data", a.speaker, "train_torso", "model.safetensors").read_text()
with open("loaded.txt", "a") as log:
    log.write(f"{a.speaker}\\n")
for line in sys.stdin:
    request = json.loads(line)
    speech = pathlib.Path(request["audio"]).read_bytes()
    if speech.startswith(b"fatal"):
        os._exit(9)
    if not speech:
        print(f"dub: {request['audio']}: holds no audio; give a sound file\\nFAILED dub", flush=True)
        continue
    with open("ran.txt", "a") as log:
        log.write(f"dub@{a.speaker}\\n")
    out = pathlib.Path(request["out"])
    write_text(out, model + request["audio"] + (a.frame or ""))
    print("PROGRESS 1/1 0s\\nENDED dub", flush=True)
    write_text(out.with_suffix(".html"), request["audio"])
    print("ENDED report_dub", flush=True)
"""

_EVALUATE_SPEAKER = """
import argparse, pathlib
p = argparse.ArgumentParser()
p.add_argument("--speaker", action="append")
p.add_argument("--csv", type=pathlib.Path)
a = p.parse_args()
for name in a.speaker:
    print(name, pathlib.Path("data", name, "evaluate", "metrics.json").read_text())
if a.csv:
    a.csv.write_text("name")
"""

_DOCTOR = """
import argparse, pathlib, sys
p = argparse.ArgumentParser()
p.add_argument("--video"); p.add_argument("--progress", action="store_true")
a = p.parse_args()
if pathlib.Path(a.video).read_bytes()[:4] != b"good":
    sys.exit(f"doctor: {a.video}: holds no face; film one person")
"""

_MAKE_DEMO = """
import argparse, pathlib
from talkhead_core.artifacts import write_text
p = argparse.ArgumentParser()
p.add_argument("--out", type=pathlib.Path); p.add_argument("--profile")
a = p.parse_args()
with open("ran.txt", "a") as log:
    log.write("make_demo\\n")
write_text(a.out / "video.mp4", "good demo")
write_text(a.out / "speech.wav", "speech")
write_text(a.out / "consent.txt", "no real person")
"""


def make_toy_workspace(folder: Path) -> Path:
    """A git repository with DVC, the real ``dvc.yaml`` and toy stages; returns its root."""
    root = folder / "workspace"
    root.mkdir(parents=True)
    for name in ("dvc.yaml", "prefect.yaml", ".dvcignore", ".gitignore"):
        if (REPOSITORY / name).exists():
            shutil.copy(REPOSITORY / name, root / name)
    (root / "params.yaml").write_text(_toy_params(root))
    shutil.copytree(REPOSITORY / ".dvc", root / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache", "config.local"))
    skip = shutil.ignore_patterns("*.nb[ic]", "*.tmp.*", "*.pyc.*")  # what Python has compiled is as good here
    shutil.copytree(REPOSITORY / "talkhead_core", root / "talkhead_core", ignore=skip)
    shutil.copytree(REPOSITORY / "flows", root / "flows", ignore=skip)
    (root / "tasks").mkdir()
    (root / "tasks" / "__init__.py").write_text("")
    shutil.copy(REPOSITORY / "tasks" / "stage.py", root / "tasks" / "stage.py")
    for node in read_stage_graph(root):
        template = _REAL_STAGE if node.name in _REAL_STAGES else _STAGE
        inputs = [path.replace("${key}", "SPEAKER").replace("${item.video}", "VIDEO") for path in node.inputs]
        inputs = [path for path in inputs if path.startswith(("data/", "VIDEO"))]
        outputs = [path.replace("${key}", "SPEAKER") for path in node.outputs]
        (root / "tasks" / f"{node.name}.py").write_text(template.format(name=node.name, inputs=inputs, outputs=outputs))
        for path in node.inputs:  # parts of the core that are still to be written
            if not path.startswith(("$", "data/")) and not (root / path).exists():
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_text("")
    for name, text in (
        ("toy", _TOY),
        ("dub_requests", _DUB_REQUESTS),
        ("evaluate_speaker", _EVALUATE_SPEAKER),
        ("doctor", _DOCTOR),
        ("make_demo", _MAKE_DEMO),
    ):
        (root / "tasks" / f"{name}.py").write_text(text)
    (root / "speakers.yaml").write_text("speakers: {}\n")
    commit_all(root)
    return root


def commit_all(root: Path) -> None:
    """Make ``root`` a git repository that holds everything in it."""
    identity = ["-c", "user.name=talkhead", "-c", "user.email=talkhead@localhost"]
    for command in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "workspace"]):
        subprocess.run(["git", *command], cwd=root, check=True)


def add_speaker(root: Path, name: str, *, profile: str = "smoke", video: bytes = b"good") -> None:
    """Register a speaker by hand, with consent."""
    raw = root / "data" / name / "raw"
    raw.mkdir(parents=True)
    (raw / "video.mp4").write_bytes(video)
    consent = Consent(who="Ada", purpose="tests", given_on="2020-01-01", statement_sha256=statement_hash("yes"))
    write_consent(raw / "consent.json", consent)
    path = root / "speakers.yaml"
    speaker = Speaker(video=f"data/{name}/raw/video.mp4", profile=profile, config="talkhead")
    write_speakers(path, {**read_speakers(path), name: speaker})


def ran(root: Path) -> list[str]:
    """What has run since the last call."""
    path = root / "ran.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return lines


def talkhead(root: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in the workspace, as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "flows.command_line", *arguments],
        cwd=root,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def set_parameter(root: Path, section: str, key: str, value: object) -> None:
    """Set one parameter in the workspace's params.yaml."""
    params = yaml.safe_load((root / "params.yaml").read_text())
    params[section][key] = value
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))


def _toy_params(root: Path) -> str:
    names = [*(node.name for node in read_stage_graph(root)), "provenance"]
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    for name in names:
        params[name] = {**params[name], "x": 1}
    for kind in ("profiles", "configs"):
        params[kind] = {choice: {name: {} for name in names} for choice in params[kind]}
    return yaml.safe_dump(params, sort_keys=False)
