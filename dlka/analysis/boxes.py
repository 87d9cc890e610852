"""From a box back to the cells and the samples behind it, as plain functions that know nothing of gradio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from dlka.analysis.analysis import Analysis, get_analysis
from dlka.analysis.cache import kept
from dlka.errors import DlkaError
from dlka.inference.box_gradients import BoxGradients
from dlka.inference.box_origin import BoxOrigins, best_cell
from dlka.inference.predictor import Prediction

SIDES = {"dlka": "D-LKA", "baseline": "baseline"}
TITLES = {"dlka": "D-LKA", "baseline": "Baseline"}
OTHER = {"dlka": "baseline", "baseline": "dlka"}


@dataclass(frozen=True)
class Trace:
    """Where one model's answer about an object comes from.

    side      "dlka" or "baseline"; found: whether the model has a box there; index: its place among the detections
    number    class id; score of that class at the cell
    box       [4] x1 y1 x2 y2 in original pixels: the model's own, or the other model's where it found none
    level     3, 4, 5 for P3, ...; cell: (row, column) of the winning cell; where nothing was found, of the cell that
              scores best for the class among those whose boxes overlap the other model's, or of the same cell
    levels [n], cells [n, 2], scores [n], overlaps [n]  of the cells that were merged into it, best first
    """

    side: str
    found: bool
    index: int | None
    number: int
    score: float
    box: np.ndarray
    level: int
    cell: tuple[int, int]
    levels: np.ndarray
    cells: np.ndarray
    scores: np.ndarray
    overlaps: np.ndarray

    @property
    def where(self) -> str:
        """The cell for people, for example "P3 (12, 40)"."""
        return f"P{self.level} {self.cell}"

    @property
    def owner(self) -> str:
        """The side that the box is of."""
        return self.side if self.found else OTHER[self.side]


def in_order(traces: Sequence[Trace]) -> tuple[Trace, ...]:
    """D-LKA's first, as in SIDES."""
    return tuple(sorted(traces, key=lambda trace: list(SIDES).index(trace.side)))


def prediction(analysis: Analysis, side: str) -> Prediction:
    """What one of the two models saw."""
    return analysis.dlka if side == "dlka" else analysis.baseline


def listed(analysis: Analysis) -> list[tuple[str, str]]:
    """(label, name) of every box of both models, smallest first; the name is what `find` takes."""
    rows = []
    for side, title in TITLES.items():
        found = prediction(analysis, side).detections
        for i, (box, area) in enumerate(zip(found.boxes, found.areas)):
            across, down = box[2:] - box[:2]
            what = f"{analysis.names[int(found.classes[i])]} {found.scores[i]:.2f}"
            cell = f"P{found.levels[i]} ({found.cells[i, 0]}, {found.cells[i, 1]})"
            label = f"{title}: {what}, {across:.0f}x{down:.0f} px, {cell}"
            rows.append((float(area), label, f"{side} {i}"))
    return [(label, name) for _, label, name in sorted(rows, key=lambda row: row[0])]


def at_point(analysis: Analysis, point: tuple[float, float]) -> str | None:
    """The name of the smallest box under a point (x, y) of the picture, at pixel centres; None where there is none."""
    place = np.array(point) + 0.5
    for _, name in listed(analysis):
        side, index = name.split()
        box = prediction(analysis, side).detections.boxes[int(index)]
        if (box[:2] <= place).all() and (place <= box[2:]).all():
            return name
    return None


def find(analysis: Analysis, name: str) -> tuple[Trace, Trace]:
    """(the box of this name, the same object in the other model). Raises DlkaError for a name that is not listed."""
    if name not in [known for _, known in listed(analysis)]:
        raise DlkaError("This box is not one of the picture that is shown; choose another one.")
    side, index = name.split()[0], int(name.split()[1])
    own = _found(analysis, side, index)
    ends = [(p.first, p.second) if side == "dlka" else (p.second, p.first) for p in analysis.pairing.pairs]
    twin = next(twin for own_index, twin in ends if own_index == index)
    return own, _missed(analysis, OTHER[side], own) if twin is None else _found(analysis, OTHER[side], twin)


@kept
def origins(key: str, side: str) -> BoxOrigins:
    """Where the boxes of an analysis that was made before come from: the model looks once more. Raises DlkaError."""
    analysis = get_analysis(key)
    return analysis.predictor(side).box_origins(analysis.image, **analysis.asked(side))


@kept
def gradients(key: str, side: str, level: int, cell: tuple[int, int], number: int) -> BoxGradients:
    """What a class depends on at one cell of an analysis that was made before. Raises DlkaError."""
    analysis = get_analysis(key)
    asked = analysis.asked_again(side)
    return analysis.predictor(side).box_gradients(analysis.image, level, cell, number, **asked)


def _found(analysis: Analysis, side: str, index: int) -> Trace:
    found, origin = prediction(analysis, side).detections, origins(analysis.key, side)
    number, score, box = int(found.classes[index]), float(found.scores[index]), found.boxes[index]
    level, (row, column) = int(found.levels[index]), found.cells[index].tolist()
    others = origin.merged(origin.index(level, (row, column)))
    behind, merged = origin.candidates.index[others], origin.candidates
    cells = origin.levels[behind], origin.places[behind], merged.scores[others], merged.overlap[others]
    return Trace(side, True, index, number, score, box, level, (row, column), *cells)


def _missed(analysis: Analysis, side: str, other: Trace) -> Trace:
    """How a model that has no box there answers to the other model's box."""
    origin, letterbox = origins(analysis.key, side), prediction(analysis, side).letterbox
    box = letterbox.boxes_forward(other.box[None].astype(np.float64))[0]
    best = best_cell(origin.output, other.number, box)
    index = best[0] if best else origin.index(other.level, other.cell)
    return replace(
        other,
        side=side,
        found=False,
        index=None,
        score=float(origin.output[4 + other.number, index]),
        level=int(origin.levels[index]),
        cell=(int(origin.places[index, 0]), int(origin.places[index, 1])),
        **{name: getattr(other, name)[:0] for name in ("levels", "cells", "scores", "overlaps")},
    )
