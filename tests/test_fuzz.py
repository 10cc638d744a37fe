"""A short run of ``benchmarks.fuzz``: every parser of ours on spoiled files, the same ones every time."""

from __future__ import annotations

import json
import os
import resource
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.fuzz import MEMORY_BYTES, fuzz
from benchmarks.fuzz_mutations import bytes_changed, json_changed, lines_changed
from benchmarks.fuzz_targets import TARGETS
from talkhead_core.artifacts import read_json
from talkhead_core.errors import InputError, NotAvailableError
from talkhead_core.interop.ad_nerf_import import read_ad_nerf
from talkhead_core.safe_yaml import parse_yaml
from talkhead_core.weights.frozen_graph import frozen_constants
from talkhead_core.weights.official_file import read_state

CASES = 40


@pytest.fixture
def little_memory() -> Iterator[None]:
    """A gibibyte more than there is in use."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", TARGETS)
def test_spoiled_files_are_read_or_refused_in_one_line(name: str, little_memory: None) -> None:
    tally = fuzz(TARGETS[name], range(CASES), seed=1)
    assert tally.failures == {}
    assert tally.cases == CASES == tally.read + tally.refused


def test_a_parser_that_crashes_is_found() -> None:
    """The harness itself: an error that nobody promised is a failure, with its place."""
    careless = replace(TARGETS["consent record"], read=lambda folder: json.loads((folder / "consent.json").read_bytes())["who"].strip())
    tally = fuzz(careless, range(CASES), seed=1)
    assert len(tally.failures) > 5 and any("at test_fuzz.py" in told for told in tally.failures.values())


@pytest.mark.parametrize("mutate", [bytes_changed, json_changed, lines_changed])
def test_cases_come_back_by_their_seed(mutate: object) -> None:
    import random

    content = b'{"a": [1, 2.5],\n "b": {"c": "d"}}'
    once, again = ([mutate(content, random.Random(number)) for number in range(50)] for _ in range(2))
    assert once == again and len(set(once)) > 25


# ------------------------------------------------------------------------------------------------- what is meant to do harm


def test_archives_that_unpack_to_more_than_a_graph_may_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Very much nothing in very little, with the size stated, and with a size that lies."""
    monkeypatch.setattr("talkhead_core.weights.frozen_graph._MOST_BYTES", 1 << 22)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive, archive.open("graph.pb", "w") as graph:
        graph.write(bytes(1 << 24))
    with pytest.raises(ValueError, match="MiB"):
        frozen_constants(bomb)
    content = bomb.read_bytes()
    true_size = (1 << 24).to_bytes(4, "little")
    assert content.count(true_size) >= 1
    bomb.write_bytes(content.replace(true_size, (1000).to_bytes(4, "little")))
    with pytest.raises(ValueError):
        frozen_constants(bomb)


def test_a_tensor_that_claims_to_be_huge(tmp_path: Path, little_memory: None) -> None:
    """One value that stands for 2^40 of them."""
    side = b"\x08\x80\x80\x80\x80\x80\x20"
    tensor = b"\x08\x01\x12" + bytes([len(side) + 2]) + b"\x12" + bytes([len(side)]) + side + b"\x22\x04\0\0\x80?"
    value = b"\x42" + bytes([len(tensor)]) + tensor
    entry = b"\x0a\x05value\x12" + bytes([len(value)]) + value
    node = b"\x0a\x01w\x12\x05Const\x2a" + bytes([len(entry)]) + entry
    (tmp_path / "graph.pb").write_bytes(b"\x0a" + bytes([len(node)]) + node)
    with pytest.raises(ValueError, match="a tensor of"):
        frozen_constants(tmp_path / "graph.pb")


class Harmful:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def test_weights_that_would_run_a_command_do_not(tmp_path: Path) -> None:
    torch.save({"state_dict": Harmful(tmp_path / "was here")}, tmp_path / "w.pth")
    with pytest.raises(NotAvailableError, match="not a file of weights"):
        read_state(tmp_path / "w.pth", "hubert")
    assert not (tmp_path / "was here").exists()


@pytest.mark.parametrize("name", ["9" * 12, "²", "-1", "1e3"])
def test_names_of_images_do_not_ask_for_all_the_memory(name: str, tmp_path: Path, little_memory: None) -> None:
    target = TARGETS["AD-NeRF's transforms"]
    target.beside(tmp_path)
    (tmp_path / target.file).write_bytes(target.whole(tmp_path))
    image = tmp_path / "ori_imgs" / "0.jpg"
    (tmp_path / "ori_imgs" / f"{name}.jpg").write_bytes(image.read_bytes())
    if name.isascii() and name.isdecimal():
        with pytest.raises(InputError, match="numbered up to"):
            read_ad_nerf(tmp_path)
    else:
        assert len(read_ad_nerf(tmp_path).images) == 3


@pytest.mark.parametrize("text", ["[" * 100_000, '{"a":' * 100_000, "9" * 10_000])
def test_documents_nested_or_long_beyond_reason(text: str, tmp_path: Path) -> None:
    import yaml

    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match="a.json"):
        read_json(tmp_path / "a.json")
    if "9" not in text:
        text = text[:5000]
        with pytest.raises(yaml.YAMLError):
            parse_yaml(text)


def test_aliases_that_multiply_stay_small(little_memory: None) -> None:
    """The "billion laughs" document: its parts are shared, not copied."""
    names = "abcdefghij"
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip(names, names[1:], strict=False)]
    assert len(parse_yaml("\n".join(lines))) == 10
