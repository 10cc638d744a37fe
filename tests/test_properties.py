"""Whatever stands in parameters, manifests, registers and artifacts: a right value or one clear error, never anything else.

Examples are drawn with fixed seeds, so that a failure comes back.
"""

from __future__ import annotations

import base64
import csv
import dataclasses
import io
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows.dubbing import read_manifest
from flows.dvc_locks import kept_dvc_lock, release_dead_holders
from flows.dvc_stores import lock_references
from flows.stage_runs import StageEvent, _Transcript
from flows.workspace import Workspace
from talkhead_core.artifacts import read_arrays, read_json, write_arrays, write_json
from talkhead_core.audio.denoise.denoiser import DenoiseConfig
from talkhead_core.audio.features.speech_features import SpeechFeaturesConfig
from talkhead_core.consent import Consent, read_consent, statement_hash
from talkhead_core.errors import InputError, ParameterError, TalkheadError
from talkhead_core.face.landmarks.selection import LandmarksConfig
from talkhead_core.footage.clip import IngestConfig
from talkhead_core.inpaint.hand_removal import InpaintConfig
from talkhead_core.motion.temporal_mask import FlowMaskConfig
from talkhead_core.parameters import from_mapping, merged
from talkhead_core.provenance.verification import verify_file
from talkhead_core.speakers import Speaker, check_speaker_name, read_speakers, write_speakers
from tasks.provenance import ProvenanceConfig
from tasks.stage import resolve_section
from tests.toy_workspace import REPOSITORY

CONFIGS = (DenoiseConfig, SpeechFeaturesConfig, LandmarksConfig, IngestConfig, InpaintConfig, FlowMaskConfig, ProvenanceConfig)
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.integers(-3, 3), st.floats(), st.floats(0, 1), st.text(max_size=12), st.just("auto")
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3))
)
some = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def mutated(content: bytes) -> st.SearchStrategy[bytes]:
    """``content`` cut, flipped, doubled or with something foreign in it."""

    def cut(place: int) -> bytes:
        return content[:place]

    def flipped(place: int, bit: int) -> bytes:
        return content[:place] + bytes([content[place] ^ (1 << bit)]) + content[place + 1 :]

    def foreign(place: int, data: bytes) -> bytes:
        return content[:place] + data + content[place:]

    places = st.integers(0, len(content) - 1)
    return st.one_of(
        places.map(cut), st.builds(flipped, places, st.integers(0, 7)), st.builds(foreign, places, st.binary(min_size=1, max_size=9))
    )


# ----------------------------------------------------------------------------------------------------------- parameters


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.__name__)
def test_a_section_is_right_or_refused(config: type) -> None:
    names = [field.name for field in dataclasses.fields(config)]

    @some
    @given(st.dictionaries(st.one_of(st.sampled_from(names), st.text(max_size=8)), VALUES, max_size=4))
    def check(values: dict[str, Any]) -> None:
        try:
            built = from_mapping(config, values, where="section")
        except ParameterError as error:
            assert str(error)
        else:
            assert set(values) <= set(names)
            hints = {name: getattr(built, name) for name in values}
            assert all(value == hints[name] or not isinstance(value, int | str | bool) for name, value in values.items())

    check()


@some
@given(VALUES, VALUES, VALUES)
def test_merging_layers_is_associative_and_keeps_the_last(one: Any, two: Any, three: Any) -> None:
    layers = [{"a": one, "b": {"c": two}}, {"a": two, "b": {"d": three}}, {"b": {"c": three}}]
    assert repr(merged(*layers)) == repr(merged(merged(*layers[:2]), layers[2])) == repr(merged(layers[0], merged(*layers[1:])))
    assert repr(merged(*layers)["b"]["c"]) == repr(merged({"c": two}, {"c": three})["c"])


@some
@given(VALUES, VALUES)
def test_params_yaml_of_any_content(section: Any, profile: Any) -> None:
    with folder() as root:
        write_speakers(root / "speakers.yaml", {"ada": Speaker(video="data/ada/raw/v.mp4", profile="p", config="c")})
        content = {"denoise": section, "profiles": {"p": {"denoise": profile}}, "configs": {"c": {}}}
        (root / "params.yaml").write_text(yaml.safe_dump(content, allow_unicode=True))
        try:
            from_mapping(DenoiseConfig, resolve_section(root, "ada", "denoise"), where="denoise")
        except TalkheadError as error:
            assert str(error)


# ---------------------------------------------------------------------------------------------- names, registers, paths


@some
@given(st.one_of(st.text(), st.sampled_from(["..", ".", "a/b", "a\\b", "-a", "a b", "a\n", "a\0", "CON", "ä", "a" * 65, "%2e%2e", "~"])))
def test_a_name_that_passes_is_one_folder_and_no_option(name: str) -> None:
    try:
        assert check_speaker_name(name) == name
    except InputError:
        return
    assert Path("data", name).parent == Path("data") and name.isascii() and not name.startswith(("-", ".")) and len(name) <= 64
    assert not set(name) & set("/\\ \n\t\0$`'\"*?;&|<>(){}[]~!#%=")


@some
@given(st.one_of(st.text(max_size=30), st.sampled_from(["/etc/passwd", "../x", "a/../../x", "data/ada/raw/v.mp4", "./x", "a/.."])))
def test_a_registered_video_lies_in_the_workspace(video: str) -> None:
    try:
        speaker = Speaker(video=video, profile="p", config="c")
    except ParameterError:
        return
    with folder() as root:
        joined = Path(root, *Path(speaker.video).parts)
        assert root.resolve() in [joined.resolve() if "\0" not in video else root.resolve(), *(joined.parents if "\0" not in video else [])]


@some
@given(
    mutated(
        b"speakers:\n  ada: {video: data/ada/raw/video.mp4, profile: cpu, config: talkhead}\n  bob: {video: a.mp4, profile: b, config: c}\n"
    )
)
def test_a_register_that_was_damaged(content: bytes) -> None:
    with folder() as root:
        (root / "speakers.yaml").write_bytes(content)
        try:
            speakers = read_speakers(root / "speakers.yaml")
        except TalkheadError as error:
            assert str(error)
        else:
            assert all(check_speaker_name(name) and isinstance(entry, Speaker) for name, entry in speakers.items())


CELLS = st.one_of(
    st.text(max_size=12), st.sampled_from(["../x.mp4", "/x.mp4", "a/b.mp4", "a/../../b.mp4", "", "ada", "x.mp4", "..", "~/x.mp4"])
)


@some
@given(st.lists(st.tuples(CELLS, CELLS, CELLS), max_size=4), st.permutations(["speaker", "audio", "out"]))
def test_a_manifest_writes_only_into_its_folder(rows: list[tuple[str, str, str]], header: list[str]) -> None:
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows(rows)
    with folder() as root:
        (root / "batch.csv").write_text(text.getvalue(), encoding="utf-8", errors="replace", newline="")
        try:
            read = read_manifest(root / "batch.csv", root / "out")
        except InputError as error:
            assert "batch.csv" in str(error)
            return
        for row in read:
            assert row.out.is_relative_to(root / "out") and ".." not in row.out.relative_to(root / "out").parts and row.speaker


@some
@given(st.binary(max_size=200))
def test_a_manifest_of_any_bytes(content: bytes) -> None:
    with folder() as root:
        (root / "batch.csv").write_bytes(content)
        try:
            read_manifest(root / "batch.csv", root / "out")
        except InputError as error:
            assert "batch.csv" in str(error)


CONSENT = Consent(who="Ada", purpose="tests", given_on="2020-01-01", statement_sha256=statement_hash("yes"), until="2999-12-31")


@some
@given(st.one_of(mutated(json.dumps(CONSENT.as_json()).encode()), VALUES.map(lambda value: json.dumps(value).encode())))
def test_a_consent_record_is_whole_or_none(content: bytes) -> None:
    with folder() as root:
        (root / "consent.json").write_bytes(content)
        try:
            record = read_consent(root / "consent.json", "ada")
        except TalkheadError as error:
            assert "ada" in str(error)
        else:
            assert record.who.strip() and record.purpose.strip() and len(record.statement_sha256) == 64


# --------------------------------------------------------------------------------------------------- artifacts and logs


def arrays() -> bytes:
    with folder() as root:
        write_arrays(root / "a.safetensors", {"frame_id": np.arange(3), "points": np.ones((3, 2), np.float32)})
        return (root / "a.safetensors").read_bytes()


@settings(some, max_examples=150)
@given(mutated(arrays()))
def test_damaged_arrays_are_named(content: bytes) -> None:
    with folder() as root:
        (root / "a.safetensors").write_bytes(content)
        try:
            read = read_arrays(root / "a.safetensors")
        except InputError as error:
            assert "a.safetensors" in str(error)
        else:
            assert all(isinstance(array, np.ndarray) for array in read.values())


@some
@given(mutated(b'{"clip": {"fps": "25/1", "frames": 502}, "shots": [[0, 175]]}'))
def test_damaged_json_is_named(content: bytes) -> None:
    with folder() as root:
        (root / "a.json").write_bytes(content)
        try:
            read_json(root / "a.json")
        except InputError as error:
            assert "a.json" in str(error)


@some
@given(VALUES)
def test_json_comes_back_as_it_was(value: Any) -> None:
    with folder() as root:
        try:
            write_json(root / "a.json", value)
        except ValueError:  # NaN and infinity are not JSON, and no half of a file is left of them
            assert list(root.iterdir()) == []
        else:
            assert read_json(root / "a.json") == json.loads(json.dumps(value))


@some
@given(st.lists(st.one_of(st.text(max_size=40), st.sampled_from([
    "Running stage 'ingest@ada':", "PROGRESS 1/2 3s x", "PROGRESS 9999999999999999999/0 0s", "Stage 'ingest@ada' didn't change, skipping",
    "ERROR: no", "ingest: bad; do better", "Running stage '../../x@ada':", "ValueError: x"])), max_size=12))  # fmt: skip
def test_any_output_of_stages_is_told_as_events(lines: list[str]) -> None:
    with folder() as root, _Transcript(Workspace(root), "ada") as transcript:
        for line in lines:
            assert all(isinstance(event, StageEvent) for event in transcript.read(line))
        assert transcript.failure(1) and "\n" not in transcript.failure(1).strip()
        assert {path.parent for path in root.rglob("*.log")} <= {root / ".talkhead" / "logs" / "ada"}


LOCK = (
    b"schema: '2.0'\nstages:\n  ingest@ada:\n    cmd: exec python\n    deps:\n    - path: a\n      hash: md5\n      md5: "
    + b"a" * 32
    + b"\n"
)


@some
@given(mutated(LOCK), mutated(b'{"write": {"a": {"pid": 1, "cmd": "dvc repro"}}, "read": {"b": [{"pid": 2, "cmd": "dvc"}]}}'))
def test_damaged_locks_of_dvc_never_stop_a_run(lock: bytes, holders: bytes) -> None:
    with folder() as root:
        (root / "dvc.lock").write_bytes(lock)
        (root / ".dvc" / "tmp").mkdir(parents=True)
        (root / ".dvc" / "tmp" / "rwlock").write_bytes(holders)
        workspace = Workspace(root)
        release_dead_holders(workspace)
        json.loads((root / ".dvc" / "tmp" / "rwlock").read_text())
        with kept_dvc_lock(workspace):
            pass
        assert not (root / "dvc.lock").exists() or yaml.safe_load((root / "dvc.lock").read_text())
        lock_references(workspace, "ada")


@some
@given(st.one_of(st.binary(max_size=60), st.binary(max_size=60).map(lambda data: b"data:video/mp4;base64," + base64.b64encode(data))))
def test_a_page_of_any_content_is_no_report(content: bytes) -> None:
    with folder() as root:
        (root / "page.html").write_bytes(content)
        with pytest.raises(InputError):
            verify_file(root / "page.html")


def test_the_parameters_of_the_repository_are_right() -> None:
    params = yaml.safe_load((REPOSITORY / "params.yaml").read_text())
    assert from_mapping(ProvenanceConfig, params["provenance"], where="provenance") == ProvenanceConfig()
