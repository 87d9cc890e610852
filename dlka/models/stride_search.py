"""Finds the Conv rows that should halve their map but have stride 1.

A Conv row that lost its kernel and stride (``Conv [128]`` for ``Conv [128, 3, 2]``) does not fail at that row: the
maps stop fitting together later, where a Concat joins two of them. So the search goes back from there: which fewest
rows, given stride 2, make all Concat rows fit, and a Detect row read strides that are usual?
"""

from __future__ import annotations

from itertools import combinations

from dlka.models.module_names import DETECTORS
from dlka.models.row_tracking import Gains, Row, State, argument, detector_strides, sources, track

# Strides of the maps of a Detect row, by their number: YOLOv8's own and that of one-level, and ones that are right but
# less likely meant.
USUAL: dict[int, tuple[tuple[float, ...], ...]] = {
    1: ((8,),),
    3: ((8, 16, 32),),
    4: ((4, 8, 16, 32), (8, 16, 32, 64)),
}
LESS_USUAL: dict[int, tuple[tuple[float, ...], ...]] = {1: ((4,), (16,), (32,)), 3: ((4, 8, 16), (16, 32, 64))}
MAX_STEPS = 300_000  # rows looked at in all; about a second


def halving(row: Row) -> Row:
    """A Conv row with stride 2, with a 3x3 kernel where it had none or 1x1."""
    kernel = argument(row, 1, 1)
    kernel = 3 if kernel in (1, None, [1, 1]) else kernel
    return [*row[:3], [row[3][0], kernel, 2, *row[3][3:]]]


def rows_to_halve(rows: list[Row], gains: Gains) -> list[int]:
    """The Conv rows that need stride 2 for the Concat rows to fit, ascending.

    Empty if these fit, nothing helps or several answers are as good. Best is what leaves the fewest misfits, then
    changes the fewest rows, then the fewest that spell out stride 1.
    """
    if not _unjoined(rows, track(rows, gains)):
        return []
    return _best(rows, gains, [i for i, row in enumerate(rows) if _has_stride_one(row)])


def rows_without_stride(rows: list[Row], gains: Gains) -> list[int]:
    """In a model that builds: the Conv rows with channels alone that would give the usual strides if they halved."""
    return _best(rows, gains, [i for i, row in enumerate(rows) if _has_stride_one(row) and len(row[3]) == 1])


def _has_stride_one(row: Row) -> bool:
    return row[2] == "Conv" and bool(row[3]) and argument(row, 2, 1) == 1


def _best(rows: list[Row], gains: Gains, suspects: list[int]) -> list[int]:
    best, budget = _misfits(rows, gains), MAX_STEPS
    answers: list[tuple[int, ...]] = [()]
    for count in range(1, len(suspects) + 1):
        if best == 0:
            break
        for chosen in combinations(suspects, count):
            budget -= len(rows)
            if budget < 0:
                return []
            misfits = _misfits([halving(row) if i in chosen else row for i, row in enumerate(rows)], gains)
            if misfits < best:
                best, answers = misfits, [chosen]
            elif misfits == best and len(answers[0]) == count:
                answers.append(chosen)
    spelled = [sum(len(rows[i][3]) > 2 for i in answer) for answer in answers]
    best_answers = [answer for answer, score in zip(answers, spelled) if score == min(spelled)]
    return list(best_answers[0]) if len(best_answers) == 1 else []


def _misfits(rows: list[Row], gains: Gains) -> float:
    """How many maps do not fit where they are joined, or are unusual where they are detected on."""
    states = track(rows, gains)
    found = _unjoined(rows, states)
    strides = detector_strides(rows[-1], len(rows) - 1, states) if rows[-1][2] in DETECTORS else []
    unusual = [_apart(strides, wanted) for wanted in USUAL.get(len(strides), ())]
    unusual += [_apart(strides, wanted) + 0.5 for wanted in LESS_USUAL.get(len(strides), ())]
    return found + min(unusual, default=0)


def _apart(strides: list[float | None], wanted: tuple[float, ...]) -> float:
    return sum(a != b for a, b in zip(strides, wanted, strict=True))


def _unjoined(rows: list[Row], states: list[State]) -> int:
    found = 0
    for index, row in enumerate(rows):
        if row[2] == "Concat":
            joined = {states[s].stride for s in sources(index, row[0]) if s is not None and s >= 0}
            found += max(len(joined - {None}) - 1, 0)
    return found
