"""Which objects are in both of two sets of detections, which in one of them: pairing, counts, table rows; and by the
same pairs what became of one model's objects when its picture was changed.

Plain numpy: knows neither a model nor drawing. Boxes are (x1, y1, x2, y2) in pixels of the original picture.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlka import types
from dlka.analysis.transforms import map_boxes
from dlka.errors import DlkaError
from dlka.types import Detections, Pair, Pairing

_SCORE = 4  # place of the score in what _contents returns

_Contents = list[tuple[Any, ...]]  # what each detection of a set says


def box_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of every box of a [N, 4] with every box of b [M, 4]: [N, M] float64 in 0..1.

    Computed so that ``box_iou(a, b)`` equals ``box_iou(b, a).T`` bit by bit and a box has exactly 1 with itself;
    a box without area has 0 with everything.
    """
    a, b = np.asarray(a, np.float64)[:, None], np.asarray(b, np.float64)[None]  # [N, 1, 4], [1, M, 4]
    overlap = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=-1)
    union = (a[..., 2:] - a[..., :2]).prod(axis=-1) + (b[..., 2:] - b[..., :2]).prod(axis=-1) - overlap
    return np.divide(overlap, union, out=np.zeros_like(overlap), where=union > 0)


def match_detections(first: Detections, second: Detections, iou_threshold: float = 0.5) -> Pairing:
    """Pair two sets of detections on one picture, one to one.

    Boxes of one class with IoU >= iou_threshold (0 < threshold <= 1) become BOTH, then the left-over ones that overlap
    as much CLASS_CHANGED, the rest is ONLY_FIRST or ONLY_SECOND. Pairs come by area, smallest first.

    Pairing is greedy by IoU, not the assignment of greatest total IoU: the best-fitting pair must be one object, and
    the total would tear it apart whenever two worse pairs add up to more (0.9 against 0.6 + 0.6). The greedy result is
    stable, no two boxes fit each other better than their partners. Ties go to the nearer scores, then to what the
    detections say (box, score, class, cell), never to their place in the list: the order of the inputs and the order
    of the sets change nothing.

    Raises DlkaError for a threshold outside (0, 1].
    """
    if not 0 < iou_threshold <= 1:
        raise DlkaError(f"match_detections: expected 0 < iou_threshold <= 1, got {iou_threshold}")
    contents = _contents(first), _contents(second)
    # Boxes of one class first: one of another class must not take a partner away that agrees.
    iou = box_iou(first.boxes, second.boxes)  # [N, M]
    same = first.classes[:, None] == second.classes[None]
    matched = _greedy(iou, (iou >= iou_threshold) & same, contents)
    # Of those that are left, two that overlap as much are one object that the two sets call differently.
    free = np.ones(iou.shape, bool)
    for i, j in matched:
        free[i], free[:, j] = False, False
    changed = _greedy(iou, (iou >= iou_threshold) & free & ~same, contents)

    pairs = [_pair(types.BOTH, first, second, i, j, iou[i, j]) for i, j in matched]
    pairs += [_pair(types.CLASS_CHANGED, first, second, i, j, iou[i, j]) for i, j in changed]
    for i in sorted(set(range(len(first))) - {i for i, _ in matched + changed}):
        pairs.append(_pair(types.ONLY_FIRST, first, second, i, None))
    for j in sorted(set(range(len(second))) - {j for _, j in matched + changed}):
        pairs.append(_pair(types.ONLY_SECOND, first, second, None, j))

    def order(pair: Pair) -> tuple[Any, ...]:
        left = () if pair.first is None else contents[0][pair.first]
        right = () if pair.second is None else contents[1][pair.second]
        return pair.area, types.KINDS.index(pair.kind), left, right

    return Pairing(first, second, tuple(sorted(pairs, key=order)))


# Counts and rows of a D-LKA model against a baseline.


def summary(pairs: Sequence[Pair]) -> dict[str, Any]:
    """Counts for people and JSON: objects in all, per kind, per size bin and kind, and the mean score change.
    ``mean_score_change`` is D-LKA minus baseline over the "both" pairs, None where there is none."""
    changes = [pair.score_change for pair in pairs if pair.kind == types.BOTH]

    def kinds(size: str | None = None) -> dict[str, int]:
        return {name: types.count_pairs(pairs, kind, size) for kind, name in types.KIND_NAMES.items()}

    return {
        "objects": len(pairs),
        "kinds": kinds(),
        "sizes": {size: kinds(size) for size in types.SIZES},
        "mean_score_change": math.fsum(changes) / len(changes) if changes else None,
    }


def rows(pairing: Pairing, names: Mapping[int, str]) -> list[dict[str, Any]]:
    """One JSON-ready row per pair, smallest object first.

    size, area (square pixels), kind, class (as class_words has it), iou (None for one box), score_change, and for each
    model, None where it has no box: dlka_class, dlka_score, dlka_box [x1, y1, x2, y2], dlka_level ("P3"), dlka_cell
    [row, column], baseline_class and so on.
    """
    return [
        {
            "size": pair.size,
            "area": pair.area,
            "kind": types.KIND_NAMES[pair.kind],
            "class": class_words(pairing, pair, names),
            "iou": None if pair.first is None or pair.second is None else pair.iou,
            "score_change": pair.score_change,
        }
        | _side("dlka", pairing.first, pair.first, names)
        | _side("baseline", pairing.second, pair.second, names)
        for pair in pairing.pairs
    ]


def class_words(pairing: Pairing, pair: Pair, names: Mapping[int, str]) -> str:
    """The class of an object; "second's -> first's" where it changed."""
    found = [
        _name(int(detections.classes[index]), names)
        for detections, index in ((pairing.second, pair.second), (pairing.first, pair.first))
        if index is not None
    ]
    return " -> ".join(found if pair.kind == types.CLASS_CHANGED else found[:1])


def _name(number: int, names: Mapping[int, str]) -> str:
    return names.get(number, f"class {number}")


def _contents(detections: Detections) -> _Contents:
    """What each detection says, as a sortable tuple that does not depend on its place in the list."""
    columns = (detections.boxes, detections.scores, detections.classes, detections.levels, detections.cells)
    return [(*b, s, c, level, *cell) for b, s, c, level, cell in zip(*(column.tolist() for column in columns))]


def _greedy(iou: np.ndarray, allowed: np.ndarray, contents: tuple[_Contents, _Contents]) -> list[tuple[int, int]]:
    """One-to-one pairs (i, j) among the allowed ones, best IoU first; ties as match_detections has them."""
    first, second = contents

    def order(pair: tuple[int, int]) -> tuple[Any, ...]:
        i, j = pair
        # The contents favour neither set: greedy compares rivals only, and these share one of the two.
        return -iou[i, j], abs(first[i][_SCORE] - second[j][_SCORE]), first[i], second[j]

    pairs: list[tuple[int, int]] = []
    left, right = set(), set()
    # Best first, and a box that has its partner is out for all that follow.
    for i, j in sorted(((int(i), int(j)) for i, j in np.argwhere(allowed)), key=order):
        if i not in left and j not in right:
            pairs.append((i, j))
            left.add(i)
            right.add(j)
    return pairs


def _pair(kind: str, first: Detections, second: Detections, i: int | None, j: int | None, iou: float = 0.0) -> Pair:
    area = float(second.areas[j] if i is None else first.areas[i])
    change = (0.0 if i is None else float(first.scores[i])) - (0.0 if j is None else float(second.scores[j]))
    return Pair(kind, i, j, float(iou), area, types.size_of(area), change)


def _side(prefix: str, detections: Detections, index: int | None, names: Mapping[int, str]) -> dict[str, Any]:
    """The columns of one model in a row; all None without a box."""
    columns: dict[str, Any] = dict.fromkeys(("class", "score", "box", "level", "cell"))
    if index is not None:
        name, score = _name(int(detections.classes[index]), names), float(detections.scores[index])
        box, cell = detections.boxes[index].tolist(), detections.cells[index].tolist()
        columns = dict(zip(columns, (name, score, box, f"P{detections.levels[index]}", cell)))
    return {f"{prefix}_{column}": value for column, value in columns.items()}


BORDER = 0.05  # of the picture's shorter side: what is nearer to an edge may be cut, and kernels there see padding


def interesting_object(
    pairing: Pairing, image_size: tuple[int, int], among: Collection[int] | None = None
) -> int | None:
    """Which pair to look at first: the smallest object that stands clear of the picture's edges by BORDER.

    One that the models call by different names comes after all others, one at the edge after these; None without any.
    image_size: (height, width), pixels; among: numbers of pairs, None or empty for all.
    """
    high, wide = image_size

    def last(number: int) -> tuple[bool, bool]:
        found, index = pairing.shown(pairing.pairs[number])
        left, top, right, bottom = found.boxes[index].tolist()
        at_edge = min(left, top, wide - right, high - bottom) < BORDER * min(high, wide)
        return at_edge, pairing.pairs[number].kind == types.CLASS_CHANGED

    return min(among or range(len(pairing.pairs)), key=last, default=None)  # pairs come smallest first


def interesting_point(
    pairing: Pairing, image_size: tuple[int, int], among: Collection[int] | None = None
) -> tuple[float, float]:
    """The centre (x, y) of the object to look at first, at pixel centres; without any the picture's own. image_size,
    among: as of interesting_object."""
    box = np.array([0, 0, image_size[1], image_size[0]], np.float64)
    number = interesting_object(pairing, image_size, among)
    if number is not None:
        found, index = pairing.shown(pairing.pairs[number])
        box = found.boxes[index]
    x, y = (box[:2].astype(np.float64) + box[2:]) / 2 - 0.5
    return float(x), float(y)


# What became of a model's objects when the picture was changed: kept, lost, new, or out of the picture.


LEAST_VISIBLE = 0.5  # share of an object's box that must still be on the picture, or it has left


@dataclass(frozen=True)
class Tracked:
    """Indices into the detections before and after; every detection of either is in exactly one of these.

    expected       [N, 4] float64: where the boxes of before must be now, clipped to the picture
    kept           pairs (before, after) of one class
    class_changed  pairs (before, after) whose class is another one now
    lost           before, on the picture still
    left_frame     before, out of the picture
    new            after
    """

    expected: np.ndarray
    kept: tuple[tuple[int, int], ...]
    class_changed: tuple[tuple[int, int], ...]
    lost: tuple[int, ...]
    left_frame: tuple[int, ...]
    new: tuple[int, ...]


def expected_boxes(boxes: np.ndarray, moved: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """Where boxes [N, 4] must be after a change, clipped to the picture of (height, width), and [N] bool: still seen.
    moved: the matrix of the change (transforms.py)."""
    mapped = map_boxes(boxes, moved)
    clipped = mapped.clip(0, [size[1], size[0], size[1], size[0]])
    left, whole = ((b[:, 2:] - b[:, :2]).prod(axis=1) for b in (clipped, mapped))
    return clipped, left >= LEAST_VISIBLE * whole


def track(before: Detections, after: Detections, moved: np.ndarray, size: tuple[int, int]) -> Tracked:
    """Match the boxes of the unchanged picture, mapped, with those of the changed one, one to one, at IoU 0.5."""
    expected, seen = expected_boxes(before.boxes, moved, size)
    # What has left the picture cannot be found on it: pairs are made of the rest, whose places are in `here`.
    here = np.flatnonzero(seen)
    rest = {name: values[here] for name, values in vars(before).items()}
    mapped = Detections(**rest | {"boxes": expected[here].astype(np.float32)})
    ends: dict[str, list[Any]] = {kind: [] for kind in types.KINDS}
    for pair in match_detections(mapped, after).pairs:
        ends[pair.kind].append((None if pair.first is None else int(here[pair.first]), pair.second))
    return Tracked(
        expected=expected,
        kept=tuple(ends[types.BOTH]),
        class_changed=tuple(ends[types.CLASS_CHANGED]),
        lost=tuple(first for first, _ in ends[types.ONLY_FIRST]),
        left_frame=tuple(np.flatnonzero(~seen).tolist()),
        new=tuple(second for _, second in ends[types.ONLY_SECOND]),
    )


def best_score(found: Detections, box: np.ndarray, class_id: int, least_iou: float) -> float:
    """The best score of a box of this class that overlaps `box` [4] by least_iou or more; 0 if there is none."""
    fits = (box_iou(found.boxes, box[None])[:, 0] >= least_iou) & (found.classes == class_id)
    return float(found.scores[fits].max(initial=0.0))
