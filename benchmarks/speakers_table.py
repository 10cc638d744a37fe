"""Write the table of ``docs/benchmark.md`` from ``benchmarks/results/speakers.json``: ``python -m benchmarks.speakers_table``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.document_section import empty_section, write_section
from talkhead_core.artifacts import read_json, write_text

__all__ = ["tables", "write_table"]

REPOSITORY = Path(__file__).resolve().parents[1]
_INTRODUCTION = f"""# Quality under equal time

`make benchmark CLIPS=folder CONSENT="who, what for"` makes this table on any folder of clips. Every figure stands under its protocol
([evaluation.md](evaluation.md)); brackets are 95 % intervals over frames, not over seeds.

{empty_section()}
"""
_HEAD_COLUMNS = (
    ("psnr_head", "PSNR head, dB", 2),
    ("psnr_face", "face, dB", 2),
    ("psnr_mouth", "mouth, dB", 2),
    ("ssim", "SSIM", 3),
    ("lmd_px512", "LMD, px at 512", 2),
    ("mouth_opening_r", "mouth r", 2),
    ("mouth_opening_sd_ratio", "mouth amplitude", 2),
)
_CONTROLS = (("head/wrong_audio", "psnr_mouth"), ("head/static_mouth", "psnr_mouth"), ("head/retrieval", "psnr_face"))


def tables(results: Mapping[str, Any]) -> str:
    """The Markdown of one result file."""
    machine, settings = results["machine"], results["settings"]
    place = machine["gpu"] or f"{machine['processor']}, {machine['cores']} cores"
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    lines = [
        f"{place}, {machine['memory_gib']} GiB, load {machine['load_before']} when it began; Python {machine['python']}, {versions}; code "
        f"`{settings['code_sha256'][:12]}`. {settings['minutes']:g} minutes of training steps each, profile `{settings['profile']}`.",
        "",
        "| clip | configuration | " + " | ".join(f"{heading} (head/self)" for _, heading, _ in _HEAD_COLUMNS) + " |",
        "|---|---|" + "---|" * len(_HEAD_COLUMNS),
    ]
    runs = [(clip, config, run) for clip, result in results["clips"].items() for config, run in result["runs"].items()]
    for clip, config, run in runs:
        own = run["protocols"]["head/self"]
        lines.append(f"| {clip} | {config} | " + " | ".join(_figure(own, key, digits) for key, _, digits in _HEAD_COLUMNS) + " |")
    heads = [f"{_region(key)} over {control}, dB" for control, key in _CONTROLS]
    lines += [
        "",
        "| clip | configuration | " + " | ".join(heads) + " | PSNR portrait/self, dB | PSNR full/self, dB |",
        "|---|---|" + "---|" * 5,
    ]
    for clip, config, run in runs:
        gains = [_figure(run["comparisons"].get(f"head/self - {control}", {}), key, 2) for control, key in _CONTROLS]
        whole = [_figure(run["protocols"].get(name, {}), "psnr_full", 2) for name in ("portrait/self", "full/self")]
        lines.append(f"| {clip} | {config} | " + " | ".join([*gains, *whole]) + " |")
    lines += [
        "",
        "| clip | configuration | source | frames | size, px | steps coarse / fine / torso | minutes of steps | of the training stages | "
        "of preparation | s a rendered frame (all protocols) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for clip, config, run in runs:
        about = results["clips"][clip]["clip"]
        steps = " / ".join(str(run["steps"][stage]) for stage in ("train_coarse", "train_fine", "train_torso"))
        lines.append(
            f"| {clip} | {config} | {about['source_px']} | {about['frames']} | {run['size_px']} | {steps} | {run['training_minutes']} "
            f"| {run['training_stages_wall_minutes']} | {run['preparation_wall_minutes']} | {run['render_seconds_a_frame']:.3f} |"
        )
    missing = {name: reason for _, _, run in runs for name, reason in run["not_available"].items()}
    lines += ["", "Not available: " + "; ".join(f"{name} ({reason})" for name, reason in sorted(missing.items())) + "."] if missing else []
    lines += [f"Failed: {name}: {error}" for name, error in results["failures"].items()]
    return "\n".join(lines)


def write_table(results: Mapping[str, Any], document: Path) -> None:
    """Rewrite the part between the markers; the rest of the document stays."""
    if not document.is_file():
        write_text(document, _INTRODUCTION)
    write_section(document, tables(results))


def _figure(figures: Mapping[str, Any], key: str, digits: int) -> str:
    if figures.get(key) is None:
        return "–"
    interval = figures.get("ci95", {}).get(key)
    return f"{figures[key]:.{digits}f}" + (f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]" if interval else "")


def _region(key: str) -> str:
    return key.removeprefix("psnr_")


if __name__ == "__main__":
    write_table(read_json(REPOSITORY / "benchmarks" / "results" / "speakers.json"), REPOSITORY / "docs" / "benchmark.md")
