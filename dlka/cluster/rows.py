"""What two models see in a picture, as rows of a table: the one place that knows the columns, and the way back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from dlka.analysis.analysis import Analysis
from dlka.analysis.many.analyses import above
from dlka.analysis.pairing import rows as pair_rows
from dlka.inference.kernel_shape import kernel_shape
from dlka.ops.sampling import split_offset, tap_grid
from dlka.types import (
    ONLY_FIRST,
    ONLY_SECOND,
    Capture,
    Detections,
    Pair,
    Pairing,
    size_of,
    stage_labels,
)

BELOW = "below confidence"  # a kind beside KIND_NAMES: a box that only AP is taken from
SIDES = ("dlka", "baseline")
CELL, BOX = pl.List(pl.Int32), pl.List(pl.Float32)
# Offsets of the winning cell in one stage of its level, in cells: mean and greatest length, how far the middle of the
# taps moves, and the kernel's zoom (1: as it is) and rotation (degrees), see dlka.inference.kernel_shape.
STAGE = pl.Struct(
    {"stage": pl.String} | dict.fromkeys(("mean", "maximum", "shift_y", "shift_x", "zoom", "rotation"), pl.Float32)
)
# picture: its address; problem: why it was not compared; height, width: pixels. What follows is one object, as
# dlka.analysis.pairing.rows has it, None for a picture without any; index: of a model's box among its own, best first.
SCHEMA: dict[str, Any] = {
    **{"picture": pl.String, "problem": pl.String, "height": pl.Int32, "width": pl.Int32},
    **{"kind": pl.String, "size": pl.String, "area": pl.Float64, "class": pl.String, "iou": pl.Float64},
    "score_change": pl.Float64,
    **{
        f"{side}_{name}": kind
        for side in SIDES
        for name, kind in {
            **{"index": pl.Int32, "class": pl.String, "score": pl.Float32, "box": BOX, "level": pl.String, "cell": CELL}
        }.items()
    },
    "stages": pl.List(STAGE),
}


def picture_rows(picture: str, every: Analysis, confidence: float) -> list[dict[str, Any]]:
    """One row an object of a comparison, smallest first; one without an object where there is none.

    picture: its address; every: the comparison, down to a confidence that may be lower: what is below `confidence`
    comes behind, one row a box.
    """
    seen = above(every, confidence)
    height, width = every.image.shape[:2]
    shared = {"picture": picture, "height": height, "width": width}
    found = every.dlka.detections, every.baseline.detections
    first, second = len(seen.dlka.detections), len(seen.baseline.detections)
    rest = [_alone(ONLY_FIRST, found[0], i) for i in range(first, len(found[0]))]
    rest += [_alone(ONLY_SECOND, found[1], i) for i in range(second, len(found[1]))]
    below = _rows(Pairing(*found, tuple(rest)), every.names)
    return [
        shared | row
        for row in (
            *(row | {"stages": own} for row, own in zip(_rows(seen.pairing, seen.names), _cells(seen))),
            *(row | {"kind": BELOW} for row in below),
        )
    ] or [shared]


def detections(rows: pl.DataFrame, names: Mapping[int, str]) -> tuple[Detections, Detections]:
    """What both models found in the picture of these rows, bit by bit as it was. names: class id -> name."""
    return _side(rows, "dlka", names), _side(rows, "baseline", names)


def _side(rows: pl.DataFrame, side: str, names: Mapping[int, str]) -> Detections:
    own = rows.filter(pl.col(f"{side}_index").is_not_null()).sort(f"{side}_index")
    numbers = {name: number for number, name in names.items()}
    return Detections(
        np.array(own[f"{side}_box"].to_list(), np.float32).reshape(-1, 4),
        own[f"{side}_score"].to_numpy().astype(np.float32),
        np.array([numbers[name] for name in own[f"{side}_class"]], np.int64),
        np.array([int(level.removeprefix("P")) for level in own[f"{side}_level"]], np.int64),
        np.array(own[f"{side}_cell"].to_list(), np.int64).reshape(-1, 2),
    )


def _rows(pairing: Pairing, names: Mapping[int, str]) -> list[dict[str, Any]]:
    indices = ({"dlka_index": pair.first, "baseline_index": pair.second} for pair in pairing.pairs)
    return [row | index for row, index in zip(pair_rows(pairing, names), indices)]


def _alone(kind: str, found: Detections, index: int) -> Pair:
    first, second, sign = (index, None, 1) if kind == ONLY_FIRST else (None, index, -1)
    area = float(found.areas[index])
    return Pair(kind, first, second, 0.0, area, size_of(area), sign * float(found.scores[index]))


def _cells(seen: Analysis) -> list[list[dict[str, Any]]]:
    """For every pair the offsets of its winning cell, a STAGE for each deform stage of the cell's level."""
    told: list[list[dict[str, Any]]] = [[] for _ in seen.pairing.pairs]
    shown = [seen.pairing.shown(pair) for pair in seen.pairing.pairs]
    captures = seen.dlka.captures
    for label, capture in zip(stage_labels([capture.stage for capture in captures]), captures):
        own = [i for i, (found, index) in enumerate(shown) if f"P{found.levels[index]}" == capture.stage.level]
        cells = np.array([shown[i][0].cells[shown[i][1]] for i in own], np.int64).reshape(-1, 2)
        for i, numbers in zip(own, _numbers(capture, cells)):
            told[i].append({"stage": label} | numbers)
    return told


def _numbers(capture: Capture, cells: np.ndarray) -> list[dict[str, Any]]:
    """A STAGE for each of the cells [n, 2] (row, column), without its label."""
    stage = capture.stage
    offsets = np.stack(split_offset(capture.offset[:, cells[:, 0], cells[:, 1]]), axis=1).astype(
        np.float64
    )  # [K, 2, n]
    grid = tap_grid((1, 1), stage.kernel, stage.step, stage.padding, stage.dilation)[:, :, 0, 0]
    shape, length = kernel_shape(grid, grid[..., None] + offsets), np.hypot(offsets[:, 0], offsets[:, 1])
    columns = {"mean": length.mean(axis=0), "maximum": length.max(axis=0), "zoom": shape.zoom}
    columns |= {"rotation": shape.rotation, "shift_y": shape.shift[..., 0], "shift_x": shape.shift[..., 1]}
    return [{name: float(values[i]) for name, values in columns.items()} for i in range(len(cells))]
