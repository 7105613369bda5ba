"""Plots of the class report: SVG that reads in black and white, with numbers at the bars and text as text."""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

WIDTH = 7.2  # inches; 72 points each
STYLE = {
    "font.family": ["DejaVu Sans", "sans-serif"],
    "font.size": 10,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
    "text.parse_math": False,
    "hatch.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
# Told apart by brightness and by hatching.
FILLS: list[dict[str, Any]] = [
    {"facecolor": "0.25", "edgecolor": "black"},
    {"facecolor": "white", "edgecolor": "black", "hatch": "////"},
    {"facecolor": "0.85", "edgecolor": "black", "hatch": ".."},
]
LONGEST = 46  # characters of a label


def histogram(labels: Sequence[str], counts: Sequence[int]) -> str:
    """Vertical bars: how many students have how many points. → SVG"""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 2.8), layout="constrained")
        axes = figure.add_subplot()
        bars = axes.bar(range(len(counts)), counts, width=0.85, **FILLS[0])
        axes.bar_label(bars, [str(count) if count else "" for count in counts], padding=2)
        axes.set_xticks(
            range(len(labels)), [label.replace(" to under ", " to <").replace(", full marks", "") for label in labels]
        )
        axes.set_xlabel("points")
        axes.set_ylabel("students")
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
        axes.margins(y=0.15)
        return svg(figure)


def stacked(labels: Sequence[str], parts: Mapping[str, Sequence[int]]) -> str:
    """Horizontal bars, the first on top, each made of several parts. → SVG"""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(WIDTH, 0.9 + 0.32 * max(len(labels), 1)), layout="constrained")
        axes = figure.add_subplot()
        left = [0] * len(labels)
        for fill, (name, counts) in zip(FILLS, parts.items(), strict=False):
            bars = axes.barh(range(len(labels)), counts, left=left, height=0.7, label=name, **fill)
            inside(axes, bars, counts, dark=fill is FILLS[0])
            left = [start + count for start, count in zip(left, counts, strict=True)]
        axes.set_yticks(range(len(labels)), [shortened(label) for label in labels])
        axes.invert_yaxis()
        axes.set_xlabel("students")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if len(parts) > 1:
            figure.legend(loc="outside upper right", ncols=len(parts), frameon=False)
        return svg(figure)


def inside(axes: Axes, bars: BarContainer, counts: Sequence[int], dark: bool) -> None:
    """Numbers in the middle of bars, on white where the bar is hatched."""
    for text in axes.bar_label(bars, [str(count) if count else "" for count in counts], label_type="center"):
        text.set_color("white" if dark else "black")
        if not dark and text.get_text():
            text.set_bbox({"facecolor": "white", "edgecolor": "none", "pad": 1})


def shortened(label: str) -> str:
    return label if len(label) <= LONGEST else label[: LONGEST - 1] + "…"


def svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()
