"""COCO's average precision of both models on a run's labelled pictures, and whether these are enough to decide."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlka.analysis.bootstrap import MEASURES, interval, replicates, resamples
from dlka.analysis.many.analyses import ManyAnalyses
from dlka.types import SMALL_AREA

# Percentiles of resampled means are too narrow by sqrt(1 - 1/n), and by the normal law where Student's would be right
# (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015): under ten pictures by more than a fifth.
FEWEST = 10
NAMES = {"AP": "AP", "AP_S": "AP of small objects"}


class Estimate(NamedTuple):
    """A value, and the 95 % interval over pictures around it, None where too few pictures have such objects."""

    value: float
    interval: tuple[float, float] | None


class Precision(NamedTuple):
    """A measure (of NAMES) in 0..1, of the pictures that are labelled; pictures: of these with objects that it is
    about; difference: D-LKA minus baseline."""

    name: str
    pictures: int
    dlka: Estimate
    baseline: Estimate
    difference: Estimate

    @property
    def decided(self) -> bool:
        """Whether pictures like these would most likely show the same model ahead."""
        around = self.difference.interval
        return around is not None and not around[0] <= 0 <= around[1]


def precisions(many: ManyAnalyses) -> list[Precision]:
    """AP, and AP of small objects where there are any, of detections down to LEAST, a class a box."""
    real = [row for row in many.objects if not row["iscrowd"]]
    labelled = sum(row.truth is not None for row in many.rows)
    if not real:
        return []
    # The first row is the pictures as they are; the others are the same for both models, which makes pairs of them.
    drawn = np.vstack([np.ones((1, labelled), np.int32), resamples(labelled)])
    dlka, baseline = (replicates(many.objects, found, drawn) for found in many.found)
    made = []
    for name in NAMES:
        pictures = len({row["image_id"] for row in real if name == "AP" or row["area"] < SMALL_AREA})
        column = MEASURES.index(name)
        if pictures:
            values = (dlka[:, column], baseline[:, column], (dlka - baseline)[:, column])
            enough = pictures >= FEWEST
            made.append(
                Precision(name, pictures, *(Estimate(float(v[0]), interval(v[1:]) if enough else None) for v in values))
            )
    return made
