"""Finds the Conv rows that should halve their map but have stride 1.

A Conv row that lost its kernel and stride (``Conv [128]`` for ``Conv [128, 3, 2]``) does not fail at that row: the
maps stop fitting together later, where a Concat joins two of them or a Detect row gets other strides than 8, 16, 32.
So the search goes back from there: which fewest rows, given stride 2, make all Concat and Detect rows fit?
"""

from __future__ import annotations

from itertools import combinations

from dlka.models.module_names import DETECTORS
from dlka.models.row_tracking import Gains, Row, argument, detector_strides, sources, track

# Strides of the maps that a Detect row of 3 or 4 maps reads: P3-P5, and YOLOv8's P2 and P6 variants.
DETECT_STRIDES: dict[int, tuple[tuple[float, ...], ...]] = {
    3: ((8, 16, 32),),
    4: ((4, 8, 16, 32), (8, 16, 32, 64)),
}
MAX_STEPS = 300_000  # rows looked at in all; about a second


def wanted_strides(count: int) -> tuple[tuple[float, ...], ...]:
    """The stride lists a Detect row with so many maps may have; P3-P5 where the count itself is wrong."""
    return DETECT_STRIDES.get(count, DETECT_STRIDES[3])


def halving(row: Row) -> Row:
    """A Conv row with stride 2, with a 3x3 kernel where it had none or 1x1."""
    kernel = argument(row, 1, 1)
    kernel = 3 if kernel in (1, None, [1, 1]) else kernel
    return [*row[:3], [row[3][0], kernel, 2, *row[3][3:]]]


def rows_to_halve(rows: list[Row], gains: Gains) -> list[int]:
    """The Conv rows that need stride 2, ascending; empty if all fits, nothing helps or several answers are as good.

    Best is what leaves the fewest misfits, then changes the fewest rows, then the fewest that spell out stride 1.
    """
    suspects = [i for i, row in enumerate(rows) if row[2] == "Conv" and row[3] and argument(row, 2, 1) == 1]
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


def _misfits(rows: list[Row], gains: Gains) -> int:
    """How many maps do not fit where they are joined or detected on."""
    states = track(rows, gains)
    found = 0
    for index, row in enumerate(rows):
        if row[2] == "Concat":
            joined = {states[s].stride for s in sources(index, row[0]) if s is not None and s >= 0}
            found += max(len(joined - {None}) - 1, 0)
        elif row[2] in DETECTORS:
            strides = detector_strides(row, index, states)
            found += min(sum(a != b for a, b in zip(strides, wanted)) for wanted in wanted_strides(len(strides)))
    return found
