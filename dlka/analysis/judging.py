"""Detections against labels by COCO's rule: hits, misses and false alarms, their counts, who of two models is right.

faster-coco-eval, which gives the AP figures, hands out matches of one overlap and one size range (eval["matched"]; of
several it mixes them), and the bootstrap needs forty such, at ten times the time that `match` below takes for all.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from dlka.analysis.examples import truth_of
from dlka.analysis.labels import Truth
from dlka.types import SIZES, Detections, Pair, size_of

if TYPE_CHECKING:
    from dlka.analysis.analysis import Analysis

HIT, FALSE_ALARM, UNCOUNTED = "hit", "false alarm", "not counted"
IOU = 0.5  # least overlap of a hit


@dataclass(frozen=True)
class Judgement:
    """Detections of one model on one picture against its truth.

    verdicts  one of HIT, FALSE_ALARM, UNCOUNTED for each detection; uncounted are those of classes that nobody
              labelled, and those that lie in a crowd
    object_of [D] int64, index of the object that each detection hits, -1 for none
    found_by  [G] int64, index of the detection that hits each object, -1 for none; always -1 for a crowd
    """

    verdicts: tuple[str, ...]
    object_of: np.ndarray
    found_by: np.ndarray


def judge(found: Detections, truth: Truth, iou: float = IOU) -> Judgement:
    """One to one, class by class: detections take objects by score, each the free one that it overlaps most.

    A detection that is left over lies in a crowd of its class where at least `iou` of its own area does, as COCO has
    it; any number may.
    """
    object_of, found_by = np.full(len(found), -1), np.full(len(truth), -1)
    verdicts = np.full(len(found), FALSE_ALARM, dtype=object)
    verdicts[~np.isin(found.classes, list(truth.labelled))] = UNCOUNTED
    by_score = np.argsort(-found.scores, kind="stable")
    for number in set(found.classes.tolist()) & set(truth.classes.tolist()):
        ours = by_score[found.classes[by_score] == number]
        there = np.flatnonzero((truth.classes == number) & ~truth.crowd)
        nobody = np.zeros((1, len(there)), bool)
        pairs = match(xywh(found.boxes[ours]), xywh(truth.boxes[there]), np.array([iou]), nobody)[0, 0]
        hits, objects = ours[pairs >= 0], there[pairs[pairs >= 0]]
        object_of[hits], found_by[objects], verdicts[hits] = objects, hits, HIT
        rest = ours[pairs < 0]
        crowds = truth.boxes[(truth.classes == number) & truth.crowd]
        verdicts[rest[share_inside(found.boxes[rest], crowds) >= iou]] = UNCOUNTED
    return Judgement(tuple(verdicts.tolist()), object_of, found_by)


def xywh(boxes: np.ndarray) -> np.ndarray:
    """Boxes [N, 4] x1 y1 x2 y2 as x, y (upper left), width, height, float64."""
    boxes = boxes.astype(np.float64)
    return np.hstack([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]])


def share_inside(boxes: np.ndarray, regions: np.ndarray) -> np.ndarray:
    """The share 0..1 of each box [D, 4] that lies in the region [R, 4] which holds most of it: [D]."""
    a, b = boxes[:, None].astype(np.float64), regions[None]
    common = np.clip(np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2]), 0, None).prod(axis=-1)
    area = (a[..., 2:] - a[..., :2]).prod(axis=-1)
    return np.divide(common, area, out=np.zeros_like(common), where=area > 0).max(axis=1, initial=0)


def judge_example(analysis: Analysis) -> tuple[Truth, tuple[Judgement, Judgement]] | None:
    """What there was to find in an example, of the classes that were looked for, and both models against it, D-LKA
    first; None where the picture has no labels."""
    example, names, wanted = analysis.source and analysis.source.example, analysis.names, analysis.settings.classes
    truth = truth_of(example, names, (analysis.image.shape[0], analysis.image.shape[1])) if example else None
    if truth is None:
        return None
    truth = truth.only([number for number, name in names.items() if name in wanted]) if wanted else truth
    return truth, (judge(analysis.dlka.detections, truth), judge(analysis.baseline.detections, truth))


# Hits, misses and false alarms by size, for one picture or many.


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
        # Counter's sum leaves out zeros, which read as zero all the same.
        return Counts(*(one + two for one, two in zip(vars(self).values(), vars(other).values())))

    def by_size(self) -> dict[str, dict[str, int]]:
        """The numbers for a JSON file, without zeros."""
        return {name: dict(counter) for name, counter in vars(self).items()}

    def row(self) -> dict[str, float | None]:
        """All sizes as a row of a table; recall in per cent of each size and precision."""
        numbers = {"labelled": self.objects(), "hits": self.hits.total(), "false alarms": self.false_alarms.total()}
        shares = {f"recall {size} (%)": self.recall(size) for size in SIZES} | {"precision (%)": self.precision()}
        return numbers | {name: share and 100 * share for name, share in shares.items()}

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
    hit, missed = ~truth.crowd & (judged.found_by >= 0), ~truth.crowd & (judged.found_by < 0)
    wrong = np.array([verdict == FALSE_ALARM for verdict in judged.verdicts], bool)
    areas = truth.areas[hit], truth.areas[missed], found.areas[wrong]
    return Counts(*(Counter(map(size_of, each.tolist())) for each in areas))


def agreement(truth: Truth, dlka: Judgement, baseline: Judgement) -> Counter[tuple[str, str]]:
    """(one of AGREEMENTS, size) -> labelled objects of one picture: who hit them."""
    found: Counter[tuple[str, str]] = Counter()
    for i in np.flatnonzero(~truth.crowd):
        missed = 2 * bool(dlka.found_by[i] < 0) + bool(baseline.found_by[i] < 0)
        found[AGREEMENTS[missed], size_of(float(truth.areas[i]))] += 1
    return found


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


# Who of two models is right where they disagree.


DLKA, BASELINE, BOTH, NEITHER, OPEN = "D-LKA", "baseline", "both", "neither", "open"
RIGHT = (DLKA, BASELINE, BOTH, NEITHER, OPEN)


class Verdict(NamedTuple):
    """right: one of RIGHT; told: why, in a few words."""

    right: str
    told: str


def verdict(pair: Pair, dlka: Judgement, baseline: Judgement) -> Verdict:
    """What truth says about an object: a pair of D-LKA (first) and the baseline (second). A false alarm of one model
    makes the other one, which is silent there, right."""
    if pair.first is not None and pair.second is not None:
        ours, theirs = dlka.verdicts[pair.first], baseline.verdicts[pair.second]
        right = {(HIT, FALSE_ALARM): DLKA, (FALSE_ALARM, HIT): BASELINE, (HIT, HIT): BOTH}
        default = OPEN if UNCOUNTED in (ours, theirs) else NEITHER
        return Verdict(right.get((ours, theirs), default), f"D-LKA: {ours}; baseline: {theirs}")
    if pair.first is not None:
        return _alone(pair.first, DLKA, dlka, BASELINE, baseline)
    assert pair.second is not None
    return _alone(pair.second, BASELINE, baseline, DLKA, dlka)


def _alone(index: int, name: str, own: Judgement, other_name: str, other: Judgement) -> Verdict:
    """One model's box, without one of the other model's beside it."""
    if own.verdicts[index] == HIT:
        if other.found_by[own.object_of[index]] >= 0:
            return Verdict(BOTH, f"hit; {other_name} hits the same object by another box")
        return Verdict(name, f"hit; {other_name} misses it")
    if own.verdicts[index] == FALSE_ALARM:
        return Verdict(other_name, "false alarm")
    return Verdict(OPEN, "not counted: in a crowd, or of a class that is not labelled")


MISSED_BY_ONE, FALSE_ALARMS = "missed by one", "false alarms"


def failings(pair: Pair, dlka: Judgement, baseline: Judgement) -> tuple[str, ...]:
    """What truth says against a model about an object: MISSED_BY_ONE where one box hits what the other model misses,
    FALSE_ALARMS where a box is one. pair: as for verdict."""
    sides = ((pair.first, dlka, baseline), (pair.second, baseline, dlka))
    missed = any(i is not None and own.object_of[i] >= 0 > other.found_by[own.object_of[i]] for i, own, other in sides)
    wrong = any(i is not None and own.verdicts[i] == FALSE_ALARM for i, own, _ in sides)
    return (MISSED_BY_ONE,) * missed + (FALSE_ALARMS,) * wrong


# Which detections find an object, and which object: COCO's rule for one picture and one class.


AREAS = {"all": (0.0, 1e10), "S": (0.0, 32.0**2), "M": (32.0**2, 96.0**2), "L": (96.0**2, 1e10)}  # both ends belong
IOUS = np.linspace(0.5, 0.95, 10)


def match(found: np.ndarray, truth: np.ndarray, ious: np.ndarray, ignored: np.ndarray) -> np.ndarray:
    """The object of every detection: [A, T, D] int64, an index into truth, or -1.

    found [D, 4], best score first, and truth [G, 4]: boxes x, y (upper left), width, height; ious [T]: least overlap
    in 0..1; ignored [A, G] bool: objects that are not asked for, once for each of A questions (such as size ranges).

    One detection after the other takes the free object that it overlaps most, the last of several; an ignored object
    only where no other one is left (pycocotools, COCOeval.evaluateImg).
    """
    pairs = np.full((len(ignored), len(ious), len(found)), -1)
    if not len(truth):
        return pairs
    overlap = box_iou(found, truth)
    least = np.minimum(ious, 1 - 1e-10)
    rank = np.where(ignored, 0.0, 2.0)[:, None]  # [A, 1, G]: above any overlap of an ignored object
    free = np.ones((len(ignored), len(ious), len(truth)), bool)
    last = len(truth) - 1
    for d in np.flatnonzero(overlap.max(axis=1) >= least.min()):
        allowed = free & (overlap[d] >= least[:, None])
        value = np.where(allowed, rank + overlap[d], -1.0)
        best = last - value[..., ::-1].argmax(axis=-1)  # argmax gives the first of equals, COCO's loop the last
        hit = np.take_along_axis(allowed, best[..., None], -1)[..., 0]
        pairs[..., d] = np.where(hit, best, -1)
        a, t = np.nonzero(hit)
        free[a, t, best[a, t]] = False
    return pairs


def box_iou(found: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Overlap of boxes [D, 4] and [G, 4] (x, y, width, height): [D, G] float64, rounded as COCO rounds it."""
    a, b = found[:, None].astype(np.float64), truth[None].astype(np.float64)
    sides = np.minimum(a[..., :2] + a[..., 2:], b[..., :2] + b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = sides.clip(0).prod(axis=-1)
    return common / (a[..., 2] * a[..., 3] + b[..., 2] * b[..., 3] - common)
