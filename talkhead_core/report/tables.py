"""The report's tables as rows of text, for HTML and for the papers' formats alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

from talkhead_core.metrics.protocol import PROTOCOLS
from talkhead_core.weights.usage import bundled_in_use, sets_in_use

__all__ = [
    "COLUMNS",
    "Column",
    "Table",
    "comparison_table",
    "flat_rows",
    "interval_text",
    "licence_table",
    "metrics_table",
    "weights_table",
]

_ARROWS = {"higher": "↑", "lower": "↓", "nearer 1": "→1", "nearer 0": "→0"}


@dataclass(frozen=True, kw_only=True)
class Column:
    """One figure of ``metrics.json``.

    Args:
        key: its name there.
        heading: its name in a table.
        unit: its unit.
        better: ``higher``, ``lower``, ``nearer 1`` or ``nearer 0``; empty where neither is better.
        digits: after the point.
    """

    key: str
    heading: str
    unit: str = ""
    better: str = ""
    digits: int = 2

    @property
    def title(self) -> str:
        """Heading, unit, and an arrow to the better side."""
        unit = f", {self.unit}" if self.unit else ""
        return f"{self.heading}{unit}" + (f" {_ARROWS[self.better]}" if self.better else "")


COLUMNS = (
    Column(key="psnr_full", heading="PSNR full", unit="dB", better="higher"),
    Column(key="psnr_head", heading="PSNR head", unit="dB", better="higher"),
    Column(key="psnr_face", heading="PSNR face", unit="dB", better="higher"),
    Column(key="psnr_mouth", heading="PSNR mouth", unit="dB", better="higher"),
    Column(key="psnr_torso", heading="PSNR torso", unit="dB", better="higher"),
    Column(key="psnr_outside_transient", heading="PSNR outside the transient mask", unit="dB", better="higher"),
    Column(key="ssim", heading="SSIM", better="higher", digits=3),
    Column(key="ssim_head", heading="SSIM head", better="higher", digits=3),
    Column(key="ssim_face", heading="SSIM face", better="higher", digits=3),
    Column(key="ssim_mouth", heading="SSIM mouth", better="higher", digits=3),
    Column(key="ssim_torso", heading="SSIM torso", better="higher", digits=3),
    Column(key="ms_ssim", heading="MS-SSIM", better="higher", digits=3),
    Column(key="lpips", heading="LPIPS", better="lower", digits=4),
    Column(key="fid", heading="FID", better="lower", digits=1),
    Column(key="niqe", heading="NIQE", better="lower"),
    Column(key="brisque", heading="BRISQUE", better="lower", digits=1),
    Column(key="lmd_px512", heading="LMD", unit="px at 512", better="lower"),
    Column(key="lmd_percent", heading="LMD", unit="% of the eye distance", better="lower"),
    Column(key="lmd_uncentred_px512", heading="LMD, not centred", unit="px at 512", better="lower"),
    Column(key="lse_c", heading="LSE-C", better="higher"),
    Column(key="lse_d", heading="LSE-D", better="lower"),
    Column(key="aue", heading="AUE", better="lower", digits=3),
    Column(key="mouth_opening_r", heading="Mouth r", better="higher"),
    Column(key="mouth_opening_sd_ratio", heading="Mouth amplitude", unit="ratio", better="nearer 1"),
    Column(key="mouth_opening_lag_frames", heading="Mouth late by", unit="frames", better="nearer 0", digits=0),
    Column(key="jitter_px512", heading="Jitter", unit="px at 512", better="lower"),
    Column(key="flicker_levels", heading="Flicker", unit="levels", better="lower"),
    Column(key="seam_levels", heading="Seam", unit="levels", better="lower"),
    Column(key="seam_ratio", heading="Neck gradient", unit="of the recording's", better="nearer 1"),
    Column(key="join_ratio", heading="Gradient where head meets torso", unit="of the recording's", better="nearer 1"),
    Column(key="blinks_per_min", heading="Blinks", unit="per min", digits=1),
)


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table as text.

    Args:
        caption: what it holds, with the protocol named.
        head: the headings; the first column names the row.
        rows: each as long as ``head``.
        notes: per row, a sentence for its first cell, or empty.
    """

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    notes: Sequence[str] = ()


def metrics_table(metrics: Mapping[str, Any]) -> Table:
    """Every figure of every protocol with its interval; figures run down, protocols across, so that it fits a phone."""
    protocols = sorted((p for p in PROTOCOLS if p.name in metrics["protocols"]), key=lambda protocol: protocol.control)
    known = {p.name for p in protocols}
    names = [p.name for p in protocols] + [name for name in metrics["protocols"] if name not in known]
    rows = []
    for column in COLUMNS:
        cells = [interval_text(metrics["protocols"][name], column) for name in names]
        if any(cells):
            rows.append([column.title, *(cell or "–" for cell in cells)])
    controls = {p.name for p in protocols if p.control}
    head = ["Figure", *(f"{name} (control)" if name in controls else name for name in names)]
    arrows = "↑ higher is better, ↓ lower is better, →1 nearer 1, →0 nearer 0"
    lips = f"; lips as {metrics['landmarker']} finds them" if metrics.get("landmarker") else ""
    caption = f"Figures by protocol, with 95 % intervals from a block bootstrap over frames ({arrows}){lips}"
    return Table(caption=caption, head=head, rows=rows)


def comparison_table(metrics: Mapping[str, Any]) -> Table | None:
    """Paired differences to the controls."""
    comparisons = {name: figures for name, figures in metrics.get("comparisons", {}).items() if figures}
    if not comparisons:
        return None
    columns = [column for column in COLUMNS if any(column.key in figures for figures in comparisons.values())]
    rows = [
        [f"{column.heading} ({column.unit})" if column.unit else column.heading]
        + [interval_text(figures, column, signed=True) or "–" for figures in comparisons.values()]
        for column in columns
    ]
    return Table(caption="Difference to the controls, frame by frame, with 95 % intervals", head=["Figure", *comparisons], rows=rows)


def flat_rows(value: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A nested mapping as ``(dotted key, text)`` rows; long lists are shortened."""
    if isinstance(value, Mapping):
        return [row for key, item in value.items() for row in flat_rows(item, f"{prefix}.{key}" if prefix else str(key))]
    if isinstance(value, list) and len(value) > 8:
        return [(prefix, f"{', '.join(_plain(item) for item in value[:4])}, … ({len(value)} values)")]
    if isinstance(value, list):
        return [(prefix, ", ".join(_plain(item) for item in value) or "none")]
    return [(prefix, _plain(value))]


def licence_table(
    packages: Sequence[str] = ("torch", "numpy", "mediapipe", "opencv-contrib-python", "av", "numba", "scipy", "librosa", "scikit-image"),
) -> Table:
    """The libraries that the result rests on: name, version and licence as they declare it."""
    rows = []
    for package in packages:
        try:
            about = metadata.metadata(package).json
        except metadata.PackageNotFoundError:
            continue
        classifiers = [str(c).rsplit(" :: ", 1)[-1] for c in about.get("classifier", []) if str(c).startswith("License ::")]
        named = about.get("license_expression") or ", ".join(c for c in classifiers if c != "OSI Approved") or about.get("license")
        rows.append([package, str(about["version"]), str(named or "see package").strip().splitlines()[0][:60]])
    return Table(caption="Software", head=["Package", "Version", "Licence"], rows=rows)


def weights_table(parameters: Mapping[str, Mapping[str, Any]]) -> Table:
    """Every set of weights that touched the output, with its licence.

    Args:
        parameters: section -> the speaker's resolved parameters.
    """
    used = [[each.name, each.licence, "yes" if each.commercial else "no"] for each in sets_in_use(parameters)]
    bundled = [[each.what, each.licence, "yes" if each.commercial else "no"] for each in bundled_in_use(parameters)]
    own = ["the speaker's own model, trained here", "the speaker's consent", "as consented"]
    return Table(caption="Weights that touched the output", head=["Weights", "Licence", "Commercial use"], rows=[own, *bundled, *used])


def interval_text(figures: Mapping[str, Any], column: Column, *, signed: bool = False) -> str:
    """A figure with its 95 % interval; empty where there is none."""
    value = figures.get(column.key)
    if value is None:
        return ""
    text = f"{value:+.{column.digits}f}" if signed else f"{value:.{column.digits}f}"
    interval = figures.get("ci95", {}).get(column.key)
    return f"{text} [{interval[0]:.{column.digits}f}, {interval[1]:.{column.digits}f}]" if interval else text


def _plain(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "–", True: "yes", False: "no"}[value]
    return f"{value:.6g}" if isinstance(value, float) else str(value)
