"""Make the demo speaker's recording: ``python -m tasks.make_demo --out DIR [--profile demo]``."""

from __future__ import annotations

import argparse
from pathlib import Path

from talkhead_core.demo.speaker import DemoSpeakerConfig, make_demo_speaker
from talkhead_core.errors import ParameterError
from talkhead_core.parameters import from_mapping, merged
from talkhead_core.speakers import read_yaml
from tasks.stage import errors_in_one_line, print_progress


def demo_config(root: Path, profile: str) -> DemoSpeakerConfig:
    """The section ``demo`` of ``params.yaml`` with the profile's overrides.

    Raises:
        ParameterError: no such profile, or a value that cannot be used.
    """
    params = read_yaml(root / "params.yaml")
    if profile not in params["profiles"]:
        raise ParameterError(f"no profile called {profile!r} in params.yaml; choose one of {', '.join(params['profiles'])}")
    section = merged(params.get("demo"), (params["profiles"][profile] or {}).get("demo"))
    return from_mapping(DemoSpeakerConfig, section, where="demo")


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tasks.make_demo")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write to")
    parser.add_argument("--profile", default="demo")
    arguments = parser.parse_args()
    with errors_in_one_line("make_demo"):
        make_demo_speaker(arguments.out, demo_config(Path.cwd(), arguments.profile), print_progress)


if __name__ == "__main__":
    _main()
