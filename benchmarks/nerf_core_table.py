"""Write the tables of ``docs/kernels.md`` from ``benchmarks/results/nerf_core_*.json``: ``python -m benchmarks.nerf_core_table``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.document_section import write_section
from benchmarks.prepared_speaker import REPOSITORY
from talkhead_core.artifacts import read_json

__all__ = ["tables"]


def tables(results: dict[str, Any]) -> str:
    """The Markdown of one result file."""
    machine, settings = results["machine"], results["settings"]
    rays = settings["frames_per_step"] * settings["rays_per_frame"]
    place = machine["gpu"] or f"{machine['processor']}, {machine['cores']} cores"
    load = "" if machine["gpu"] else f", load {machine['load_before']} when it began"
    lines = [
        f"### {place}{load}",
        "",
        f"{settings['size_px']} x {settings['size_px']}, {settings['frames']} frames, {rays} rays a step. ms: median wall / least wall / "
        "processor time over cores.",
        "",
        "| training | ms a step | rays a second, by wall | by processor | times the reference, by wall | by processor |",
        "|---|---|---|---|---|---|",
    ]
    for name, row in results["training"].items():
        lines.append(
            f"| {name} | {_times(row)} | {row['rays_a_second_by_wall']:,} | {row['rays_a_second_by_processor']:,} "
            f"| {row['times_the_reference_by_wall']} | {row['times_the_reference_by_processor']} |"
        )
    lines += ["", "| rendering | kernels | ms a frame | frames a second, by wall | by processor |", "|---|---|---|---|---|"]
    for size, kernels in results["rendering"].items():
        for kernel, row in kernels.items():
            lines.append(
                f"| {size} x {size} | {kernel} | {_times(row)} | {row['frames_a_second_by_wall']} | {row['frames_a_second_by_processor']} |"
            )
    for name, reason in results.get("left_out", {}).items():
        lines += ["", f"{name} was not measured: {reason}."]
    if "held_out" in results:
        lines += ["", "| held-out PSNR in the head region | seconds of training | steps | dB |", "|---|---|---|---|"]
        for name, rows in results["held_out"].items():
            lines += [f"| {name} | {row['seconds']} | {row['steps']} | {row['psnr_head_db']} |" for row in rows]
    if "peak_memory" in results:
        memory = results["peak_memory"]
        lines += ["", f"Peak memory: training {memory['train_mib']:.0f} MiB, rendering {memory['render_mib']:.0f} MiB (data included)."]
    return "\n".join(lines)


def _times(row: dict[str, float]) -> str:
    return f"{row['wall_ms_median']} / {row['wall_ms_least']} / {row['processor_ms_over_cores_median']}"


def main(document: Path = REPOSITORY / "docs" / "kernels.md") -> None:
    """Rewrite the part between the markers."""
    found = sorted((REPOSITORY / "benchmarks" / "results").glob("nerf_core_*.json"))
    body = "\n\n".join(tables(read_json(path)) for path in found)
    write_section(document, body)


if __name__ == "__main__":
    main()
