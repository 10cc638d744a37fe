"""A ``metrics.json`` document for the terminal and for spreadsheets: every figure beside its protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["document_lines", "document_rows"]

_NAME_WIDTH = 36


def document_lines(document: Mapping[str, Any]) -> list[str]:
    """Lines for a person: protocol by protocol the figures with their intervals, then what is not available and why."""
    lines: list[str] = []
    alignment = document.get("alignment")
    if alignment:
        certain = "" if alignment["offset_certain"] else " (the two hardly correlate: taken as in step)"
        lines.append(f"aligned: {alignment['frames']} frames at {alignment['fps']} fps, offset {alignment['offset_frames']}{certain}")
    for name, figures in document["protocols"].items():
        says = document.get("protocol_says", {}).get(name, "")
        lines.append(f"protocol {name}: {says}" if says else f"protocol {name}")
        lines += _figures(figures)
    for name, figures in document.get("comparisons", {}).items():
        lines.append(f"difference {name}, frame by frame")
        lines += _figures(figures)
    if document.get("landmarker"):
        lines.append(f"landmarks of both videos: {document['landmarker']}")
    return lines + [f"{name:<{_NAME_WIDTH}}not available: {reason}" for name, reason in document.get("not_available", {}).items()]


def document_rows(document: Mapping[str, Any]) -> list[dict[str, Any]]:
    """One flat row a protocol: its name, the figures, the ends of their intervals, and the alignment where there is one."""
    rows = []
    for name, figures in document["protocols"].items():
        row: dict[str, Any] = {"protocol": name} | {key: value for key, value in figures.items() if key != "ci95"}
        for key, (low, high) in figures.get("ci95", {}).items():
            row |= {f"{key}_ci95_low": low, f"{key}_ci95_high": high}
        rows.append(row | {f"alignment_{key}": value for key, value in document.get("alignment", {}).items()})
    return rows


def _figures(figures: Mapping[str, Any]) -> list[str]:
    lines = []
    for name, value in figures.items():
        if name == "ci95" or value is None:
            continue
        interval = figures.get("ci95", {}).get(name)
        shown = f"{value:>12d}" if isinstance(value, int) else f"{value:>12.4f}"
        lines.append(f"  {name:<{_NAME_WIDTH - 2}}{shown}" + (f"   [{interval[0]:.4f}, {interval[1]:.4f}]" if interval else ""))
    return lines
