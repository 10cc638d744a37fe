"""The register of speakers: a YAML file that says which raw video, profile and configuration each has.

The file is also what ``dvc.yaml`` maps its stages over, so it stays plain::

    speakers:
      demo: {video: data/demo/raw/video.mp4, profile: demo, config: talkhead}
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from talkhead_core.artifacts import write_text
from talkhead_core.errors import InputError, ParameterError
from talkhead_core.parameters import merged
from talkhead_core.safe_yaml import parse_yaml

__all__ = ["Speaker", "check_speaker_name", "read_speakers", "read_yaml", "registered_speaker", "speaker_parameters", "write_speakers"]

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_KEYS = {"video", "profile", "config"}
_HEADER = "# Registered speakers; `talkhead run` adds an entry. profile: size and budget; config: architecture.\n"


@dataclass(frozen=True, kw_only=True)
class Speaker:
    """One registered speaker.

    Args:
        video: the raw video, relative to the workspace.
        profile: size and budget, a key of ``profiles`` in ``params.yaml``.
        config: architecture, a key of ``configs`` in ``params.yaml``.
    """

    video: str
    profile: str
    config: str

    def __post_init__(self) -> None:
        path = PurePosixPath(self.video)
        if path.is_absolute() or ".." in path.parts:
            raise ParameterError(f"speakers.yaml: video {self.video!r} must lie inside the workspace")


def check_speaker_name(name: str) -> str:
    """``name`` if it is safe as a folder and stage name.

    Raises:
        InputError: anything but lower-case letters, digits, ``-`` and ``_``, starting with a letter or digit.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"speaker name {name!r}: use 1 to 64 lower-case letters, digits, '-' or '_', starting with a letter or digit")
    return name


def read_speakers(path: Path) -> dict[str, Speaker]:
    """All registered speakers by name, in the order of the file.

    Raises:
        InputError: the file is missing, or an entry is not a speaker.
    """
    entries = read_yaml(path).get("speakers") or {}
    if not isinstance(entries, Mapping):
        raise ParameterError(f"{path.name}: speakers must hold names and entries, not {entries!r}")
    speakers = {}
    for name, entry in entries.items():
        if not isinstance(entry, Mapping) or set(entry) != _KEYS or not all(isinstance(value, str) for value in entry.values()):
            needed = "exactly the keys video, profile and config, each a text"
            raise ParameterError(f"{path.name}: speaker {name!r} needs {needed}, not {entry!r}")
        speakers[check_speaker_name(str(name))] = Speaker(**entry)
    return speakers


def registered_speaker(path: Path, name: str) -> Speaker:
    """The speaker called ``name``.

    Raises:
        ParameterError: no such speaker; the message says how to register one.
    """
    speakers = read_speakers(path)
    if name not in speakers:
        known = f"; registered: {', '.join(speakers)}" if speakers else ""
        raise ParameterError(f"speaker {name!r} is not registered; run 'talkhead run --speaker {name} --video FILE'{known}")
    return speakers[name]


def speaker_parameters(root: Path, name: str, section: str) -> dict[str, Any]:
    """The parameters of one section for one speaker: ``params.yaml``, then its profile, then its configuration.

    Args:
        root: the folder with ``params.yaml`` and ``speakers.yaml``.
        name: the speaker.
        section: a section of ``params.yaml``.

    Raises:
        ParameterError: the speaker is not registered, its profile or configuration does not exist, or a section is no mapping.
    """
    chosen = registered_speaker(root / "speakers.yaml", name)
    params = read_yaml(root / "params.yaml")
    layers = [_section(params, section, section)]
    for kind, choice in (("profile", chosen.profile), ("config", chosen.config)):
        choices = _section(params, f"{kind}s", f"{kind}s")
        if choice not in choices:
            known = ", ".join(" ".join(str(key).split()) for key in choices)
            raise ParameterError(f"speaker {name!r}: no {kind} {choice!r} in params.yaml; choose one of {known}")
        layers.append(_section(_section(choices, choice, f"{kind}s.{choice}"), section, f"{kind}s.{choice}.{section}"))
    return merged(*layers)


def _section(values: Mapping[str, Any], key: str, where: str) -> Mapping[str, Any]:
    section = values.get(key)
    if section is not None and not isinstance(section, Mapping):
        raise ParameterError(f"params.yaml: {where} must hold keys and values, not {section!r}")
    return section or {}


def write_speakers(path: Path, speakers: Mapping[str, Speaker]) -> None:
    """Write the register, whole."""
    body = {"speakers": {name: asdict(speaker) for name, speaker in speakers.items()}}
    write_text(path, _HEADER + yaml.safe_dump(body, sort_keys=False, width=140))


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file.

    Raises:
        InputError: the file is missing.
        ParameterError: it is not a YAML mapping.
    """
    try:
        content = parse_yaml(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path.name} is not in {path.parent}; run from the talkhead workspace") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ParameterError(f"{path.name} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content or {}, dict):
        raise ParameterError(f"{path.name} must hold a mapping")
    return content or {}
