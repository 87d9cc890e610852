"""COCO's average precision of both models on a run's labelled pictures, and whether these are enough to decide."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlka.analysis.bootstrap import MEASURES, interval, replicates, resamples
from dlka.analysis.many.analyses import ManyAnalyses
from dlka.types import SMALL_AREA

# Percentiles of resampled means are too narrow by sqrt(1 - 1/n), and by the normal law where Student's would be right
# (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015): under ten pictures by a fifth and more.
FEWEST = 10
LEAST_SOUGHT = 0.01  # of AP: less is of no use to anybody


class Precision(NamedTuple):
    """AP, or AP of small objects, of detections down to LEAST, one class a box.

    pictures: labelled ones with such objects; values: of D-LKA, of the baseline and of their difference, in 0..1;
    intervals: 95 %, over pictures, of the same three; none where there are fewer than FEWEST; sought: the difference
    there is, LEAST_SOUGHT or more; needed: about how many pictures like these would tell it from none, see _needed.
    """

    small: bool
    pictures: int
    values: list[float]
    intervals: list[tuple[float, float]]
    sought: float = LEAST_SOUGHT
    needed: int = 0

    @property
    def decided(self) -> bool:
        """Whether the interval of the difference is clear of zero."""
        return bool(self.intervals) and not self.intervals[2][0] <= 0 <= self.intervals[2][1]


def precisions(many: ManyAnalyses) -> list[Precision]:
    """Both, as far as there are such objects."""
    labelled, made = sum(row.truth is not None for row in many.rows), []
    if not labelled:
        return []
    # The first row is the pictures as they are; the others are the same for both models, which makes pairs of them.
    drawn = np.vstack([np.ones((1, labelled), np.int32), resamples(labelled)])
    dlka, baseline = (replicates(many.objects, found, drawn) for found in many.found)
    for small, measure in ((False, "AP"), (True, "AP_S")):
        real = [row for row in many.objects if not row["iscrowd"] and (not small or row["area"] < SMALL_AREA)]
        if pictures := len({row["image_id"] for row in real}):
            every = [values[:, MEASURES.index(measure)] for values in (dlka, baseline, dlka - baseline)]
            intervals = [interval(values[1:]) for values in every] if pictures >= FEWEST else []
            values = [float(drawn[0]) for drawn in every]
            sought = max(abs(values[2]), LEAST_SOUGHT)
            made.append(Precision(small, pictures, values, intervals, sought, _needed(every[2][1:], pictures, sought)))
    return made


def _needed(differences: np.ndarray, pictures: int, sought: float) -> int:
    """About how many pictures have a 95 % interval as narrow as what is sought, to one digit; 0 if these are enough. An
    interval narrows with the root of the number of pictures; fewer than FEWEST say nothing of that: 0."""
    if pictures < FEWEST:
        return 0
    spread = float(np.nanstd(differences)) * (pictures / max(pictures - 1, 1)) ** 0.5
    needed = pictures * (1.96 * spread / sought) ** 2
    return int(round(needed, -int(np.log10(needed)))) if needed > pictures else 0
