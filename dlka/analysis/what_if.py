"""What a D-LKA model finds when its offsets or gates are changed, as plain functions that know nothing of gradio.

"Learned" is always the model as it was trained, every offset times 1, whatever deformation the analysis was made with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dlka.analysis.analysis import Analysis, Refused, class_ids, get_analysis
from dlka.analysis.cache import kept
from dlka.analysis.pairing import box_iou, match_detections
from dlka.images import read_image
from dlka.inference.interventions import GATE_OFF, GIVEN, LEARNED, SHUFFLED, Intervention
from dlka.inference.predictor import Prediction, load_predictor
from dlka.types import Detections, Pairing

LOW, HIGH = -1.0, 2.0  # of the strength
FLOOR = 0.01  # least score of what is kept, so that a box that fell under the analysis's confidence still has one
SAME_PLACE = 0.5  # least IoU, as where two sets of boxes are compared
# What the page calls the kinds of an intervention.
KINDS = {"The model's own": LEARNED, "Shuffled": SHUFFLED, "Another picture's": GIVEN, "Gate off": GATE_OFF}


@dataclass(frozen=True)
class Change:
    """What is done to the model; by default nothing.

    kind      one of KINDS' values, as Intervention tells them
    strength  LOW..HIGH, factor on every offset; means nothing where the gate is off
    stages    labels of the deform stages that it is done to; empty for all. A gate is off for its whole block
    seed      of the shuffling, from 0
    other     path of the picture whose offsets are used, for the kind "given"
    """

    kind: str = LEARNED
    strength: float = 1.0
    stages: tuple[str, ...] = ()
    seed: int = 0
    other: str = ""


AS_LEARNED = Change()
RIGID = Change(strength=0.0)  # the large kernel with the same weights on its regular grid


def asked(analysis: Analysis, kind: str, strength: float, stages: Sequence[str], seed: int, other: str) -> Change:
    """The change that the page's controls ask for, without what means nothing for its kind."""
    labels = analysis.stage_labels
    some = tuple(label for label in labels if label in stages)
    where = () if len(some) == len(labels) else some
    if kind == GATE_OFF:
        return Change(GATE_OFF, stages=where)
    if kind == SHUFFLED:
        return Change(SHUFFLED, strength, where, seed=seed)
    if kind == GIVEN:
        return Change(GIVEN, strength, where, other=other)
    return AS_LEARNED if strength == 1 else Change(kind, strength, where)


@dataclass(frozen=True)
class WhatIf:
    """The learned model and the changed one on the same picture.

    pairing  the changed model (first) against the learned one (second)
    lost     index into learned of every box that has no partner once all offsets are zero: only with deformation
    at_zero  [N] float32, score of each learned box's partner with all offsets at zero; of a lost box that of the best
             box of its class in its place that is under the analysis's confidence, NaN where there is none
    """

    change: Change
    pairing: Pairing
    lost: frozenset[int]
    at_zero: np.ndarray

    @property
    def learned(self) -> Detections:
        """What the learned model finds."""
        return self.pairing.second

    @property
    def changed(self) -> Detections:
        """What the changed one finds."""
        return self.pairing.first


def what_if(analysis: Analysis, change: Change) -> WhatIf:
    """Run the analysis's D-LKA model once more with a change done to it. Raises Refused or PredictionFailed."""
    learned, changed, rigid = (detections(analysis, c) for c in (AS_LEARNED, change, RIGID))
    at_zero = np.full(len(learned), np.nan, np.float32)
    lost = []
    for pair in match_detections(rigid, learned).pairs:
        if pair.second is not None and pair.first is not None:
            at_zero[pair.second] = rigid.scores[pair.first]
        elif pair.second is not None:
            lost.append(pair.second)
    faint = _faint(analysis.key, RIGID)
    there = box_iou(learned.boxes, faint.boxes) >= SAME_PLACE
    there &= (learned.classes[:, None] == faint.classes) & (faint.scores < analysis.settings.confidence)
    for index in lost:
        if there[index].any():
            at_zero[index] = faint.scores[there[index]].max()
    return WhatIf(change, match_detections(changed, learned), frozenset(lost), at_zero)


def detections(analysis: Analysis, change: Change) -> Detections:
    """What the D-LKA model finds with a change done to it, with the analysis's own settings; kept in memory."""
    if change == AS_LEARNED and analysis.settings.strength == 1:
        return analysis.dlka.detections
    if not LOW <= change.strength <= HIGH:
        raise Refused(f"Strength: expected {LOW:g} to {HIGH:g}; got {change.strength:g}.")
    faint = _faint(analysis.key, change)
    n = int(
        (faint.scores > analysis.settings.confidence).sum()
    )  # they come best first, and no worse box displaces a better
    return Detections(faint.boxes[:n], faint.scores[:n], faint.classes[:n], faint.levels[:n], faint.cells[:n])


def offsets_used(analysis: Analysis, change: Change) -> dict[str, np.ndarray]:
    """The offsets [2K, H, W] that a changed model samples by, by the labels of its stages: the model runs once more."""
    return dict(zip(analysis.stage_labels, (capture.offset for capture in _predict(analysis, change).captures)))


@kept
def _faint(key: str, change: Change) -> Detections:
    """All that a changed model finds down to the score FLOOR, or to the analysis's confidence if that is less."""
    return _predict(get_analysis(key), change).detections


def _predict(analysis: Analysis, change: Change) -> Prediction:
    settings, predictor = analysis.settings, load_predictor(analysis.settings.dlka)[0]
    return predictor.predict(
        analysis.image,
        confidence=min(FLOOR, settings.confidence),
        iou=settings.iou,
        size=settings.size,
        classes=class_ids(settings.classes, analysis.names),
        intervention=_intervention(analysis, change),
    )


def _intervention(analysis: Analysis, change: Change) -> Intervention:
    where = tuple(analysis.capture(label).stage.name for label in change.stages) or None
    if change.kind == GATE_OFF:
        return Intervention(GATE_OFF, where=where)
    if change.kind != GIVEN:
        return Intervention(change.kind, change.strength, where, change.seed)
    if not change.other:
        raise Refused("There is no other picture yet: drop one, or choose an example.")
    fields = offsets_of(analysis.settings.dlka, analysis.settings.size, change.other)
    return Intervention(GIVEN, change.strength, where, fields=fields)


@kept
def offsets_of(model: str, size: int, picture: str) -> Mapping[str, np.ndarray]:
    """The offset fields [2K, H, W] that a model predicts for a picture file, by the names of its stages."""
    seen = load_predictor(model)[0].predict(read_image(picture), size=size)
    return {capture.stage.name: capture.offset for capture in seen.captures}
