"""Matplotlib figures as inline SVG whose colours follow the page's theme, light or dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

__all__ = ["SERIES", "themed_figure", "to_svg"]

# Colours that stand for a CSS variable: drawn by matplotlib, replaced in the SVG text.
_INK, _MUTED, _GRID = "#010101", "#020202", "#030303"
SERIES = ("#0a0a01", "#0a0a02", "#0a0a03", "#0a0a04", "#0a0a05")
"""Line colours in order; each becomes the page's ``--series-N``."""

_VARIABLES = {_INK: "--ink", _MUTED: "--muted", _GRID: "--line"} | {colour: f"--series-{index + 1}" for index, colour in enumerate(SERIES)}
_STYLE: Any = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10.0,
    "text.color": _INK,
    "axes.labelcolor": _MUTED,
    "axes.edgecolor": _GRID,
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 10.0,
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _MUTED,
    "ytick.color": _MUTED,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "legend.frameon": False,
    "legend.fontsize": 9.0,
    "lines.linewidth": 1.4,
    "path.simplify": True,
    "path.simplify_threshold": 0.5,
}


@contextmanager
def themed_figure(width_in: float = 5.0, height_in: float = 2.8) -> Iterator[Figure]:
    """A figure in the page's style, without pyplot's global state; an inch is 72 CSS pixels at full size."""
    with mpl.rc_context(_STYLE):
        yield Figure(figsize=(width_in, height_in), layout="constrained")


def to_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an ``<svg role="img">`` element; call it inside :func:`themed_figure`.

    Args:
        figure: the figure.
        name: unique in the page, so that its clip paths do not collide with another figure's.
        label: what it shows, for those who cannot see it.
    """
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Type": None, "Format": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    for colour, variable in _VARIABLES.items():
        text = text.replace(colour, f"var({variable})")
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.DOTALL)
    text = re.sub(r'(id="|#)((?:m|p|C|Line|Poly|Path)[0-9A-Za-z_]*?[0-9a-f]{6,})', rf"\1{name}-\2", text)
    text = re.sub(r' id="(?!' + name + r'-)[^"]*"', "", text)
    text = re.sub(r"\s*xmlns:xlink=\"[^\"]*\"|\s*version=\"1.1\"", "", text, count=2).replace("xlink:href", "href")
    size = re.compile(r'<svg\s+[^>]*?width="[^"]*"[^>]*>')
    box = re.search(r'viewBox="[^"]*"', text)
    assert box is not None
    opening = f'<svg role="img" aria-label="{_escaped(label)}" {box.group(0)} xmlns="http://www.w3.org/2000/svg">'
    return size.sub(lambda _: opening, text, count=1)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;").replace(">", "&gt;")
