"""Write tables and plots of ``docs/benchmark.md`` from ``benchmarks/results/speakers*.json``: ``python -m benchmarks.speakers_table``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.document_section import empty_section, write_section
from talkhead_core.artifacts import read_json, whole_file, write_text

__all__ = ["over_time_plot", "over_time_tables", "tables", "write_table"]

REPOSITORY = Path(__file__).resolve().parents[1]
_INTRODUCTION = """# Quality under equal time

`make benchmark CLIPS=folder CONSENT="who, what for"` makes these tables on any folder of clips: every configuration of `params.yaml` is
trained on every clip for the same time, rendered and evaluated on the clip's held-out last eleventh. The time is that of the training
stages from start to end, so that what a configuration learns before its first step (ours: the lips) counts as well; how many steps fit is
measured first, on the first clip. `python -m benchmarks.speakers --help` names the rest: frame size, the first seconds of long clips,
processor time instead of wall time, further lengths for quality against time. It keeps what is done and picks up where it stood.

Every figure stands under its protocol ([evaluation.md](evaluation.md)); brackets are 95 % intervals over frames, not over seeds.
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
_OVER_TIME = (("psnr_face", "face PSNR, dB", 2), ("psnr_mouth", "mouth PSNR, dB", 2), ("lmd_px512", "LMD, px at 512", 2))
_CONTROLS = (("head/wrong_audio", "psnr_mouth"), ("head/static_mouth", "psnr_mouth"), ("head/retrieval", "psnr_face"))


def tables(results: Mapping[str, Any]) -> str:
    """The Markdown of one result file."""
    machine, settings = results["machine"], results["settings"]
    place = machine["gpu"] or f"{machine['processor']}, {machine['cores']} cores"
    versions = ", ".join(f"{name} {version}" for name, version in machine["packages"].items())
    taken = f", the first {settings['seconds']:g} s of each clip" if settings["seconds"] else ""
    clock = "processor time over cores" if settings["clock"] == "processor" else "wall time"
    lines = [
        f"{place}, {machine['memory_gib']} GiB, load {machine['load_before']} when it began; Python {machine['python']}, {versions}; code "
        f"`{settings['code_sha256'][:12]}`. {settings['minutes']:g} minutes of training each ({clock}; "
        f"{settings['counted']}), profile `{settings['profile']}`{taken}.",
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
        "| clip | configuration | source | frames | size, px | steps coarse / fine / torso | minutes of training | of these, of steps "
        "| of preparation | s a rendered frame (all protocols) |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for clip, config, run in runs:
        about = results["clips"][clip]["clip"]
        steps = " / ".join(str(run["steps"][stage]) for stage in ("train_coarse", "train_fine", "train_torso"))
        lines.append(
            f"| {clip} | {config} | {about['source_px']} | {about['frames']} | {run['size_px']} | {steps} | {run['training_minutes']} "
            f"| {run['step_minutes']} | {run['preparation_minutes']} | {run['render_seconds_a_frame']:.3f} |"
        )
    lines += over_time_tables(results)
    missing = {name: reason for _, _, run in runs for name, reason in run["not_available"].items()}
    lines += ["", "Not available: " + "; ".join(f"{name} ({reason})" for name, reason in sorted(missing.items())) + "."] if missing else []
    lines += [f"Failed: {name}: {error}" for name, error in results["failures"].items()]
    return "\n".join(lines)


def over_time_tables(results: Mapping[str, Any]) -> list[str]:
    """Lines of Markdown: how good whole trainings of several lengths are, a table a clip; none where there was one length."""
    lines: list[str] = []
    for clip, curves in _curves(results).items():
        marks = sorted({mark for curve in curves.values() for mark in curve}, key=float)
        heads = [f"{heading}: {mark} min" for _, heading, _ in _OVER_TIME for mark in marks]
        lines += ["", f"{clip}, quality against minutes of training; each a whole training, its rates falling to their end (head/self):"]
        lines += ["", "| configuration | " + " | ".join(heads) + " |", "|---|" + "---|" * len(heads)]
        for config, curve in curves.items():
            cells = [_value(curve.get(mark, {}).get("head/self", {}), key, digits) for key, _, digits in _OVER_TIME for mark in marks]
            lines.append(f"| {config} | " + " | ".join(cells) + " |")
    return lines


def over_time_plot(results: Mapping[str, Any]) -> Figure | None:
    """Face PSNR against minutes of training, a panel a clip; None where there was one length."""
    curves_of = _curves(results)
    if not curves_of:
        return None
    figure = Figure(figsize=(6, 3.6 * len(curves_of)), layout="constrained", facecolor="white")
    for axes, (clip, curves) in zip(figure.subplots(len(curves_of), 1, squeeze=False)[:, 0], curves_of.items(), strict=True):
        for (config, curve), marker in zip(curves.items(), "osDv^Px*", strict=False):
            rows = sorted((row["training_minutes"], row["head/self"]["psnr_face"]) for row in curve.values())
            axes.plot(*zip(*rows, strict=True), marker=marker, markersize=5, linewidth=1.3, label=config)
        axes.set(title=clip, xlabel="minutes of training", ylabel="held-out face PSNR, dB (head/self)")
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return figure


def write_table(results: Mapping[str, Any], document: Path, section: str) -> None:
    """Rewrite one section of the document, and its plot beside it; the rest stays. A section that is not there goes to the end."""
    before = document.read_text(encoding="utf-8") if document.is_file() else _INTRODUCTION
    if empty_section(section).splitlines()[0] not in before:
        write_text(document, f"{before}\n{empty_section(section)}\n")
    text, plot = tables(results), over_time_plot(results)
    if plot is not None:
        with whole_file(document.with_name(f"{section}.svg")) as temporary:
            plot.savefig(temporary, format="svg", metadata={"Date": None})
        text += f"\n\n![Held-out face PSNR against minutes of training]({section}.svg)"
    write_section(document, text, section)


def _curves(results: Mapping[str, Any]) -> dict[str, dict[str, dict[str, Any]]]:
    """Clip -> configuration -> minutes -> figures, of clips with trainings of more than one length."""
    found = {clip: result.get("over_time", {}) for clip, result in results["clips"].items()}
    return {clip: curves for clip, curves in found.items() if any(len(curve) > 1 for curve in curves.values())}


def _value(figures: Mapping[str, Any], key: str, digits: int) -> str:
    return "–" if figures.get(key) is None else f"{figures[key]:.{digits}f}"


def _figure(figures: Mapping[str, Any], key: str, digits: int) -> str:
    interval = figures.get("ci95", {}).get(key)
    return _value(figures, key, digits) + (f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]" if interval else "")


def _region(key: str) -> str:
    return key.removeprefix("psnr_")


if __name__ == "__main__":
    for result in sorted((REPOSITORY / "benchmarks" / "results").glob("speakers*.json")):
        write_table(read_json(result), REPOSITORY / "docs" / "benchmark.md", result.stem)
