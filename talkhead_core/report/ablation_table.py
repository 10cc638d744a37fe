"""What parts of the method are worth: a table of variants beside the full method."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from talkhead_core.report.tables import Table

__all__ = ["ablation_table"]

_COLUMNS = (("psnr", "PSNR, dB", 2), ("ssim", "SSIM", 4), ("lpips", "LPIPS", 4), ("lmd_px512", "LMD, px at 512", 2))
_AHEAD = (("psnr", "full ahead by, dB", 3), ("ssim", "ahead by, SSIM", 5))


def ablation_table(results: Mapping[str, Any]) -> Table:
    """The table of ``ablation.json``, as ``benchmarks.wild_ablation`` writes it: a row a variant, the full method last."""
    settings, variants = results["settings"], results["variants"]
    first = next(iter(variants.values()))
    columns = [column for column in _COLUMNS if column[0] in first]
    rows = []
    for name, figures in variants.items():
        cells = [_interval(figures[key]["mean"], figures[key]["ci95"], digits) for key, _, digits in columns]
        ahead = [_ahead(figures[key].get("full_minus_this"), digits) for key, _, digits in _AHEAD]
        rows.append([name, *cells, *ahead])
    caption = (
        f"Temporal masks and inpainting on and off: {settings['held_out_frames']} held-out frames of {settings['frames']}, "
        f"protocol full/self, the whole frame at {settings['size_px']} px, {settings['seeds']} seeds of "
        f"{settings['torso_iterations']} steps a torso, scored outside the transient regions "
        f"({100 * settings['scored_share']:.0f} % of the picture); brackets are 95 % intervals over frames"
    )
    return Table(caption=caption, head=["Torso trained with", *(heading for _, heading, _ in (*columns, *_AHEAD))], rows=rows)


def _ahead(figure: Mapping[str, Any] | None, digits: int) -> str:
    return "–" if figure is None else _interval(figure["mean"], figure["ci95"], digits, sign="+")


def _interval(mean: float, interval: list[float] | None, digits: int, sign: str = "") -> str:
    return f"{mean:{sign}.{digits}f}" + (f" [{interval[0]:{sign}.{digits}f}, {interval[1]:{sign}.{digits}f}]" if interval else "")
