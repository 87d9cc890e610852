"""Whether the samples of deformable kernels follow objects: their spread, its aspect, and how many lie in the box.

Everything is measured in the network's own frame, in cells and in pixels of its input: in pixels of the pictures, where
those are scaled differently, both objects and kernels would grow with the scale, and seem to belong together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlka.analysis.bootstrap import SEED, interval
from dlka.inference.kernel_shape import axis_spreads
from dlka.ops.sampling import tap_grid
from dlka.types import Capture, Stage

CHANCE = 20  # random cells a picture, whose offsets are tried at an object's cell
REACH = (0.3, 1.0)  # objects that are judged by what lies in their box: root of its area over the kernel's width
FEWEST = 10  # objects; of fewer nothing is said
DIGITS = 5
_BLOCK = 100  # resamples that are worked on at once


class Following:
    """What the kernels of every deform stage do at the middle of labelled objects, over many pictures."""

    def __init__(self) -> None:
        self._stages: dict[str, Stage] = {}
        self._seen: dict[str, list[dict[str, np.ndarray]]] = {}  # module path -> what a picture gives

    def add(self, number: int, captures: Sequence[Capture], boxes: np.ndarray) -> None:
        """Take in the offsets of one picture (its number) and its objects: boxes [n, 4] x1 y1 x2 y2 in pixels of the
        network's input."""
        for order, capture in enumerate(captures):
            self._stages[capture.stage.name] = capture.stage
            draw = np.random.default_rng([SEED, number, order])
            rows = self._seen.setdefault(capture.stage.name, [])
            rows.append(_at_objects(number, capture, boxes.astype(np.float64), draw))

    def rows(self, resamples: np.ndarray) -> list[dict[str, Any]]:
        """One row a stage, in the order they run. resamples [R, P]: how often each picture counts in each of them.

        stage, label    module path, which no other stage has, and the short name
        objects         those whose middle cell is away from the map's border
        size_rho        Spearman's rank correlation of the samples' spread with the root of the box's area
        aspect_rho      of their spread across x over that along y with the box's width over its height
        spread_small, spread_large    mean spread over the regular grid's, of the smaller and the larger half
        in_box_objects  of the objects those that are 0.3 to 1.0 times as wide as the undeformed kernel; of these
        in_box, in_box_grid, in_box_chance    mean share of samples inside the box, with the learned offsets, with none,
                        and with the offsets of random cells of the same picture; in 0..1
        in_box_minus_grid, in_box_minus_chance    differences of these

        With _95 what stands beside it is a 95 % interval [low, high] over pictures. None where there are fewer than 10
        objects, or nothing varies.
        """
        return [_row(stage, self._seen[name], resamples) for name, stage in self._stages.items()]


def _at_objects(number: int, capture: Capture, boxes: np.ndarray, draw: np.random.Generator) -> dict[str, np.ndarray]:
    """What is measured [n] of the objects [N, 4] of one picture whose middle cell is away from the border, by name."""
    stage = capture.stage
    size = capture.offset.shape[1:]
    # [K, 2] (y, x): the kernel of cell (0, 0); that of every other cell is the same, moved by the step.
    taps = tap_grid((1, 1), stage.kernel, stage.step, stage.padding, stage.dilation)[:, :, 0, 0].astype(np.float64)
    first, step = taps.mean(axis=0), np.array(stage.step)  # (y, x) of the first cell, in cells of the sampled map
    # Box edges in pixels to cells, whose middles lie half a stride from their edges; then the nearest kernel's cell.
    centre = (boxes[:, [1, 0]] + boxes[:, [3, 2]]) / 2 / stage.stride - 0.5
    cells = np.floor((centre - first) / step + 0.5).astype(int)
    # Left out at each end of an axis are cells from which the grid leaves the map, where offset nets see padding; of a
    # map that is small for the kernel the middle half is kept.
    low = np.minimum(-(-np.array(stage.padding) // step), np.array(size) // 4)
    kept = ((cells >= low) & (cells < np.array(size) - low)).all(axis=1)
    boxes, cells = boxes[kept], cells[kept]

    offset = capture.offset.reshape(-1, 2, *size).astype(np.float64)  # [K, 2, H, W], (dy, dx)
    own = offset[:, :, cells[:, 0], cells[:, 1]].transpose(2, 0, 1)  # [n, K, 2]
    # Offsets of other cells of the same picture: kernels that are large everywhere must not pass for following objects.
    random = [draw.integers(low[axis], size[axis] - low[axis], CHANCE) for axis in (0, 1)]
    others = offset[:, :, random[0], random[1]].transpose(2, 0, 1)  # [CHANCE, K, 2]

    down, across = np.moveaxis(axis_spreads(taps + own), -1, 0)
    wide, high = boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1]
    side = np.sqrt(wide * high)
    # Over the pixels that the undeformed kernel covers, from the first tap's cell to the last one's; mean of both axes.
    ratio = side / (stage.stride * np.mean((np.array(stage.kernel) - 1) * stage.dilation + 1))
    corners = boxes[:, [[1, 0], [3, 2]]] / stage.stride - 0.5  # [n, 2, 2]: upper left, lower right, (y, x) in cells
    at = taps + cells[:, None] * step  # [n, K, 2]
    return {
        "picture": np.full(len(cells), number),
        "size": side,
        "shape": wide / high,
        # Rounded, so that kernels which differ by the rounding of float32 alone are of one rank.
        "spread": (np.hypot(down, across) / np.hypot(*axis_spreads(taps))).round(6),
        "aspect": np.divide(across, down, out=np.full_like(down, np.inf), where=down > 0).round(6),
        "judged": (ratio >= REACH[0]) & (ratio <= REACH[1]),
        "learned": _share(at + own, corners),
        "grid": _share(at, corners),
        "chance": _share(at[:, None] + others, corners[:, None]).mean(axis=1),
    }


def _share(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Share 0..1 of points [..., K, 2] between the two corners [..., 2, 2] of a box, all (y, x) in cells: [...]."""
    low, high = corners[..., None, 0, :], corners[..., None, 1, :]
    return ((points >= low) & (points < high)).all(axis=-1).mean(axis=-1)


def _row(stage: Stage, pictures: list[dict[str, np.ndarray]], resamples: np.ndarray) -> dict[str, Any]:
    seen = {name: np.concatenate([objects[name] for objects in pictures]) for name in pictures[0]}
    count = len(seen["picture"])
    # An object counts as often as its picture was drawn: those of one picture are not independent.
    weights = resamples[:, seen["picture"]].astype(np.float64)  # [R, n]
    row: dict[str, Any] = {"stage": stage.name, "label": stage.label, "objects": count}
    for name, kernel, box in (("size_rho", "spread", "size"), ("aspect_rho", "aspect", "shape")):
        row |= _estimate(name, lambda w, k=kernel, b=box: rank_correlation(seen[k], seen[b], w), weights)
    small = seen["size"] <= np.median(seen["size"]) if count else np.zeros(0, bool)
    for name, half in (("spread_small", small), ("spread_large", ~small)):
        row[name] = rounded(seen["spread"][half].mean()) if count >= FEWEST and half.any() else None
    # In a box far smaller or larger than the kernel, nearly no or nearly all samples lie whatever the offsets are.
    judged = seen["judged"]
    weights = weights[:, judged]
    row["in_box_objects"] = int(judged.sum())
    learned, grid, chance = (seen[name][judged] for name in ("learned", "grid", "chance"))
    for name, values in (("in_box", learned), ("in_box_grid", grid), ("in_box_chance", chance)):
        row[name] = rounded(values.mean()) if len(values) >= FEWEST else None
    for name, values in (("in_box_minus_grid", learned - grid), ("in_box_minus_chance", learned - chance)):
        row |= _estimate(name, lambda w, v=values: _mean(v, w), weights)
    return row


def _estimate(name: str, measure: Any, weights: np.ndarray) -> dict[str, Any]:
    """A measure of weighted objects ([R, n] -> [R]) of all of them once, and its interval over resamples [R, n]."""
    count = weights.shape[1]
    if count < FEWEST:
        return {name: None, f"{name}_95": None}
    value = rounded(measure(np.ones((1, count)))[0])
    # Ranks are made anew for every resample, [R, n] each: in blocks, or they would fill the memory.
    blocks = [measure(weights[i : i + _BLOCK]) for i in range(0, len(weights), _BLOCK)]
    return {name: value, f"{name}_95": ends_of(*interval(np.concatenate(blocks)))}


def rounded(value: float | None) -> float | None:
    """To DIGITS; None for what is not defined, as None or nan."""
    return None if value is None or not np.isfinite(value) else round(float(value), DIGITS)


def ends_of(low: float, high: float) -> list[float | None] | None:
    """An interval for JSON; None for one that is not defined."""
    return None if np.isnan(low) else [rounded(low), rounded(high)]


def _mean(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Weighted means [R] of values [n]; nan where nothing weighs."""
    total = weights.sum(axis=1)
    return np.divide(weights @ values, total, out=np.full(len(total), np.nan), where=total > 0)


def rank_correlation(first: np.ndarray, second: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Spearman's rank correlation of two measures [n], of which each stands as often as weights [R, n] say: [R].

    Equal values share the mean of their ranks. nan where one of the two does not vary.
    """
    total = weights.sum(axis=1, keepdims=True)
    ranks = []
    for values in (first, second):
        rank = _ranks(values, weights)
        mean = np.divide((weights * rank).sum(axis=1, keepdims=True), total, out=np.zeros(total.shape), where=total > 0)
        ranks.append(rank - mean)
    # Pearson's correlation of the ranks, [R, n] each and centred by their weighted means.
    a, b = ranks
    both, left, right = ((weights * x * y).sum(axis=1) for x, y in ((a, b), (a, a), (b, b)))
    scale = np.sqrt(left * right)
    return np.divide(both, scale, out=np.full(len(weights), np.nan), where=scale > 1e-9)


def _ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Mean ranks, but for a constant, of values [n] that stand as often as weights [R, n] say: [R, n]."""
    order = np.argsort(values, kind="stable")
    starts = np.flatnonzero(np.concatenate([[True], np.diff(values[order]) != 0]))  # the first of each group of equals
    # [R, G]: how many objects each group of equal values has in a resample; it takes the middle of their ranks.
    counts = np.add.reduceat(weights[:, order], starts, axis=1)
    middle = counts.cumsum(axis=1) - counts / 2
    group = np.empty(len(values), int)
    group[order] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(values))))
    return middle[:, group]
