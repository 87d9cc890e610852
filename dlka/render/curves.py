"""How a training run went: losses, average precision and offsets by epoch, one panel each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dlka import palette
from dlka.render.canvas import PHONE
from dlka.render.chart import key, panel, sheet, write

HEIGHT, TITLE, FOOT, ENTRY = 120.0, 24.0, 38.0, 14.0  # points: axes, above and below them, a line of the legend
LEFT, RIGHT = 40.0, 10.0
DASHES = ("-", "--", ":", "-.")  # once all colours are used up
AVERAGES = ("AP", "AP50")

Lines = dict[str, tuple[list[float], list[float]]]


def curves_chart(curves: Sequence[Mapping[str, Any]], offsets: Sequence[Mapping[str, Any]] = ()) -> Figure:
    """Panels below each other: losses; AP and AP50, if `curves` has them; mean offset of every stage, if there are any.

    curves: a row an epoch, "epoch" and figures by name, AP in 0..1; losses that are zero all along are left out.
    offsets: rows with "epoch", "stage", "label" and "mean" (cells). ValueError for no epochs.
    """
    if not curves:
        raise ValueError("expected at least one epoch to draw, got none")
    epochs = [float(row["epoch"]) for row in curves]
    names = [name for name in curves[0] if name != "epoch" and name not in AVERAGES]
    losses: Lines = {n: (epochs, [float(row[n]) for row in curves]) for n in names if any(row[n] for row in curves)}
    measured: Lines = {n: (epochs, [100 * row[n] for row in curves]) for n in AVERAGES if n in curves[0]}
    panels = [("Losses", losses, "log"), ("Validation, %", measured, "linear")]
    panels.append(("Mean offset, cells", _by_stage(offsets), "linear"))
    panels = [one for one in panels if one[1]]
    heights = [TITLE + HEIGHT + FOOT + ENTRY * ((len(lines) + 2) // 3) for _, lines, _ in panels]
    figure = sheet(sum(heights) + 6)
    for number, (title, lines, scale) in enumerate(panels):
        top = sum(heights[:number])
        write(figure, LEFT, top + 14, title, fontweight="bold")
        axes = panel(figure, LEFT, top + TITLE, PHONE - LEFT - RIGHT, HEIGHT)
        axes.set_yscale(scale)
        axes.tick_params(which="minor", length=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.grid(axis="y", color=palette.OUTSIDE, linewidth=0.6)
        axes.set_xlabel("epoch", labelpad=1)
        entries = []
        for place, (name, (x, y)) in enumerate(lines.items()):
            style = _style(place)
            shown = [value if value > 0 or scale == "linear" else math.nan for value in y]
            axes.plot(x, shown, linewidth=1.2, marker="." if len(x) < 40 else "", markersize=4, **style)
            entries.append(Line2D([], [], label=name, linewidth=1.2, **style))
        key(figure, top + TITLE + HEIGHT + FOOT - 12, entries, columns=3, line=2)
    return figure


def _by_stage(offsets: Sequence[Mapping[str, Any]]) -> Lines:
    """A line a stage; where several stages have one label, they are numbered in the order they run."""
    labels = {row["stage"]: row["label"] for row in offsets}
    lines: Lines = {}
    for stage, label in labels.items():
        rows = [row for row in offsets if row["stage"] == stage]
        alike = [other for other, same in labels.items() if same == label]
        name = label if len(alike) == 1 else f"{label} ({alike.index(stage) + 1})"
        lines[name] = ([float(row["epoch"]) for row in rows], [float(row["mean"]) for row in rows])
    return lines


def _style(place: int) -> dict[str, Any]:
    colours = palette.FLOW_WHEEL
    return {"color": colours[place % len(colours)], "linestyle": DASHES[place // len(colours) % len(DASHES)]}
