"""A checkpoint that the disk has damaged is set aside, and training goes on from the one before it to the very same result."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from talkhead_core.training.checkpoints import CheckpointStore
from tests.test_training import trainer

STATE = {"history": [{"step": 50, "loss": 0.25}], "seconds": 1.5, "rate_factor": 1.0}
SHORT = {"iterations": 12, "checkpoint_every": 4}


def store_of(folder: Path, steps: int = 2) -> CheckpointStore:
    """A store with checkpoints of steps 1 to ``steps``; every tensor holds its step's number."""
    store = CheckpointStore(folder)
    for step in range(1, steps + 1):
        store.save(step, {"head.weight": torch.full((16, 16), float(step)), "adam.step": torch.tensor(step)}, {**STATE, "seconds": step})
    return store


def cut_short(content: bytes, chance: random.Random) -> bytes:
    return content[: chance.randrange(len(content))]


def one_bit_flipped(content: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(content) - 1)  # the last byte of the record is a newline, which may be any space
    return content[:place] + bytes([content[place] ^ (1 << chance.randrange(8))]) + content[place + 1 :]


def emptied(content: bytes, chance: random.Random) -> bytes:
    return b""


@pytest.mark.parametrize("damage", [cut_short, one_bit_flipped, emptied])
@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_damage_anywhere_falls_back_to_the_checkpoint_before(
    suffix: str, damage: Callable[[bytes, random.Random], bytes], tmp_path: Path
) -> None:
    chance, fell_back = random.Random(f"{suffix} {damage.__name__}"), 0
    for trial in range(40 if damage is not emptied else 1):
        store = store_of(tmp_path / str(trial))
        path = store.folder / f"000000002{suffix}"
        path.write_bytes(damage(path.read_bytes(), chance))
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            found = store.latest()
        assert found is not None
        step, tensors, state = found
        assert torch.equal(tensors["head.weight"], torch.full((16, 16), float(step))), "never another checkpoint's or a changed number"
        assert state == {**STATE, "seconds": step}
        fell_back += step == 1
        assert ["000000002." in str(one.message) for one in told] == [True] * (step == 1)
        if step == 1:
            assert path.with_name(f"{path.name}.damaged").exists() and not path.exists()
            again = store.latest()
            assert again is not None and again[0] == 1
    assert fell_back >= 0.9 * (trial + 1), "a flip in the record's white space alone does no harm"


def test_without_a_whole_checkpoint_training_starts_afresh(tmp_path: Path) -> None:
    store = store_of(tmp_path)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1])
    with pytest.warns(UserWarning, match=r"\.safetensors"):
        assert store.latest() is None
    store.save(3, {"head.weight": torch.zeros(2)}, STATE)
    found = store.latest()
    assert found is not None and found[0] == 3


def test_what_a_kill_leaves_while_a_checkpoint_is_written_is_no_checkpoint(tmp_path: Path) -> None:
    store = store_of(tmp_path, steps=3)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        f"00000000{step}.{kind}" for step in (2, 3) for kind in ("json", "safetensors")
    ]
    (tmp_path / ".writing-a1b2.json").write_text("{")
    (tmp_path / "000000004.safetensors").write_bytes(b"whole, but its record was never written")
    found = store.latest()
    assert found is not None and found[0] == 3
    store.save(4, {"head.weight": torch.zeros(2)}, STATE)
    assert not (tmp_path / ".writing-a1b2.json").exists()


def test_training_ends_with_the_same_bits_when_its_last_checkpoint_is_damaged(tmp_path: Path) -> None:
    whole = trainer(tmp_path / "whole", **SHORT)
    whole.train()
    killed = trainer(tmp_path / "killed", **SHORT)

    def kill(done: int, total: int, note: str = "") -> None:
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        killed.train(kill)
    last = max((tmp_path / "killed").glob("*.safetensors"))
    content = bytearray(last.read_bytes())
    content[len(content) // 2] ^= 1
    last.write_bytes(content)
    again = trainer(tmp_path / "killed", **SHORT)
    with pytest.warns(UserWarning, match=last.name):
        again.train()
    for (name, expected), actual in zip(whole.head.state_dict().items(), again.head.state_dict().values(), strict=True):
        assert torch.equal(expected, actual), name
