"""Hits, misses and false alarms by size, for one picture or many."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from dlka.truth.judge import FALSE_ALARM, Judgement
from dlka.truth.labels import Truth
from dlka.types import Detections, size_of

AGREEMENTS = ("hit by both", "hit only by D-LKA", "hit only by baseline", "missed by both")


@dataclass(frozen=True)
class Counts:
    """Numbers by size bin ("S", "M", "L"): hits and misses by the area of the labelled box, false alarms by the area
    of the detection's own. Hits and misses add up to the labelled objects; crowds are in neither.
    """

    hits: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    false_alarms: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: Counts) -> Counts:
        return Counts(
            self.hits + other.hits, self.misses + other.misses, self.false_alarms + other.false_alarms
        )  # Counter's sum leaves out zeros, which read as zero all the same

    def objects(self, size: str | None = None) -> int:
        """Labelled objects of a size, or of all."""
        return of(self.hits, size) + of(self.misses, size)

    def recall(self, size: str | None = None) -> float | None:
        """Hits / labelled objects, 0..1; None without any."""
        return _share(of(self.hits, size), self.objects(size))

    def precision(self, size: str | None = None) -> float | None:
        """Hits / (hits + false alarms), 0..1; None without any."""
        return _share(of(self.hits, size), of(self.hits, size) + of(self.false_alarms, size))


def of(counter: Counter[str], size: str | None) -> int:
    """The number of one size, or of all."""
    return counter.total() if size is None else counter[size]


def count(found: Detections, truth: Truth, judged: Judgement) -> Counts:
    """What one model did on one picture."""
    real = np.flatnonzero(~truth.crowd)
    hits = Counter(size_of(float(truth.areas[i])) for i in real if judged.found_by[i] >= 0)
    misses = Counter(size_of(float(truth.areas[i])) for i in real if judged.found_by[i] < 0)
    wrong = [i for i, verdict in enumerate(judged.verdicts) if verdict == FALSE_ALARM]
    return Counts(hits, misses, Counter(size_of(float(found.areas[i])) for i in wrong))


def agreement(truth: Truth, dlka: Judgement, baseline: Judgement) -> Counter[tuple[str, str]]:
    """(one of AGREEMENTS, size) -> labelled objects of one picture: who hit them."""
    found: Counter[tuple[str, str]] = Counter()
    for i in np.flatnonzero(~truth.crowd):
        missed = 2 * bool(dlka.found_by[i] < 0) + bool(baseline.found_by[i] < 0)
        found[AGREEMENTS[missed], size_of(float(truth.areas[i]))] += 1
    return found


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
