"""What every stage does around its own work: parameters in, progress out, outputs moved into place whole.

A stage module holds a function ``run(stage: Stage) -> None`` and ends with ``if __name__ == "__main__": main(run)``.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml

from talkhead_core.errors import InputError, ParameterError, TalkheadError
from talkhead_core.parameters import from_mapping, merged

C = TypeVar("C")

__all__ = ["Stage", "check_speaker_name", "main", "resolve_section"]

_SPEAKER_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def check_speaker_name(name: str) -> str:
    """``name`` if it is safe as a folder and stage name.

    Raises:
        InputError: anything but lower-case letters, digits, ``-`` and ``_``, starting with a letter or digit.
    """
    if not _SPEAKER_NAME.fullmatch(name):
        raise InputError(f"speaker name {name!r}: use 1 to 64 lower-case letters, digits, '-' or '_', starting with a letter or digit")
    return name


def resolve_section(root: Path, speaker: str, section: str) -> dict[str, Any]:
    """The parameters of one section for one speaker: ``params.yaml``, then its profile, then its configuration.

    Raises:
        ParameterError: the speaker is not registered, or its profile or configuration does not exist.
    """
    params = _yaml(root / "params.yaml")
    speakers = _yaml(root / "speakers.yaml").get("speakers") or {}
    if speaker not in speakers:
        raise ParameterError(f"speaker {speaker!r} is not registered; run 'talkhead run --speaker {speaker} --video FILE'")
    layers: list[Mapping[str, Any] | None] = [params.get(section)]
    for kind in ("profile", "config"):
        choices = params.get(f"{kind}s") or {}
        chosen = speakers[speaker][kind]
        if chosen not in choices:
            raise ParameterError(f"speaker {speaker!r}: no {kind} {chosen!r} in params.yaml; choose one of {', '.join(choices)}")
        layers.append((choices[chosen] or {}).get(section))
    return merged(*layers)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage at work on one speaker.

    Args:
        name: the stage's name, also of its section and module.
        speaker: the speaker's name.
        root: the workspace, which holds ``params.yaml``, ``speakers.yaml`` and ``data/``.
    """

    name: str
    speaker: str
    root: Path

    def inputs(self, stage: str) -> Path:
        """The folder that another stage of the same speaker wrote."""
        return self.root / "data" / self.speaker / stage

    @property
    def out(self) -> Path:
        """The folder this stage writes to, ``data/<speaker>/<stage>``; write with the core's whole-file writers."""
        folder = self.inputs(self.name)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @property
    def source_video(self) -> Path:
        """The raw video that the speaker was registered with."""
        speakers = _yaml(self.root / "speakers.yaml")["speakers"]
        return self.root / str(speakers[self.speaker]["video"])

    def section(self, config: type[C], name: str | None = None) -> C:
        """This stage's parameters (or those of another section) as its configuration dataclass."""
        section = name or self.name
        return from_mapping(config, resolve_section(self.root, self.speaker, section), where=section)

    def progress(self, done: int, total: int, note: str = "") -> None:
        """Print ``PROGRESS done/total seconds_left note`` for whoever runs the stage; at most a few lines a second."""
        _progress_line(self.name, done, total, note)


def main(run: Callable[[Stage], None]) -> None:
    """Entry point of ``python -m tasks.<stage> --speaker NAME``; errors for people become one line and exit code 1."""
    name = Path(sys.modules["__main__"].__file__ or "stage").stem
    parser = argparse.ArgumentParser(prog=f"python -m tasks.{name}")
    parser.add_argument("--speaker", required=True)
    parser.add_argument("--debug", action="store_true", help="show tracebacks")
    arguments = parser.parse_args()
    try:
        run(Stage(name=name, speaker=check_speaker_name(arguments.speaker), root=Path.cwd()))
    except TalkheadError as error:
        if arguments.debug:
            raise
        sys.stderr.write(f"{name}: {error}\n")
        raise SystemExit(1) from None


_started: dict[str, float] = {}
_last: dict[str, float] = {}


def _progress_line(name: str, done: int, total: int, note: str) -> None:
    now = time.monotonic()
    started = _started.setdefault(name, now)
    if done < total and now - _last.get(name, 0.0) < 0.5:
        return
    _last[name] = now
    left = (now - started) / done * (total - done) if done else 0.0
    sys.stdout.write(f"PROGRESS {done}/{total} {left:.0f}s {note}".rstrip() + "\n")
    sys.stdout.flush()


def _yaml(path: Path) -> dict[str, Any]:
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.safe_load(file) or {}
    except FileNotFoundError as error:
        raise InputError(f"{path.name} is not here ({os.fspath(path.parent)}); run from the talkhead workspace") from error
    except yaml.YAMLError as error:
        raise ParameterError(f"{path.name} is not valid YAML: {error}") from error
