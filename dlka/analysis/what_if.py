"""What a D-LKA model finds when its offsets or gates are changed, as plain functions that know nothing of gradio.

"Learned" is always the model as it was trained, every offset times 1, whatever deformation the analysis was made with.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlka import palette, render
from dlka.analysis.analysis import Analysis, get_analysis, place_label
from dlka.analysis.cache import kept
from dlka.analysis.examples import examples
from dlka.analysis.judging import FALSE_ALARM, judge, judge_example
from dlka.analysis.pairing import box_iou, class_words, match_detections
from dlka.analysis.stages import NO_STAGES
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.inference.interventions import GATE_OFF, GIVEN, LEARNED, SHUFFLED, Intervention
from dlka.inference.predictor import Prediction, load_predictor
from dlka.render import Canvas
from dlka.types import BOTH, CLASS_CHANGED, ONLY_FIRST, ONLY_SECOND, Detections, Pair, Pairing
from dlka.types import KINDS as PAIRS

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
    if kind == LEARNED and strength == 1:
        return AS_LEARNED
    return Change(kind, strength, where, seed if kind == SHUFFLED else 0, other if kind == GIVEN else "")


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
    """Run the analysis's D-LKA model once more with a change done to it. Raises DlkaError or PredictionFailed."""
    learned, changed, rigid = (detections(analysis, c) for c in (AS_LEARNED, change, RIGID))
    faint = _faint(analysis.key, RIGID)
    there = box_iou(learned.boxes, faint.boxes) >= SAME_PLACE
    there &= (learned.classes[:, None] == faint.classes) & (faint.scores < analysis.settings.confidence)
    at_zero = np.where(there, faint.scores, -1).max(axis=1, initial=-1).astype(np.float32)
    at_zero[at_zero < 0] = np.nan
    lost = set(range(len(learned)))
    for pair in match_detections(rigid, learned).pairs:
        if pair.second is not None and pair.first is not None:
            at_zero[pair.second] = rigid.scores[pair.first]
            lost.remove(pair.second)
    return WhatIf(change, match_detections(changed, learned), frozenset(lost), at_zero)


def detections(analysis: Analysis, change: Change) -> Detections:
    """What the D-LKA model finds with a change done to it, with the analysis's own settings; kept in memory."""
    if change == AS_LEARNED and analysis.settings.strength == 1:
        return analysis.dlka.detections
    if not LOW <= change.strength <= HIGH:
        raise DlkaError(f"Strength: expected {LOW:g} to {HIGH:g}; got {change.strength:g}.")
    return _faint(analysis.key, change).above(analysis.settings.confidence)  # no worse box displaces a better


def offsets_used(analysis: Analysis, change: Change) -> dict[str, np.ndarray]:
    """The offsets [2K, H, W] that a changed model samples by, by the labels of its stages: the model runs once more."""
    return dict(zip(analysis.stage_labels, (capture.offset for capture in _predict(analysis, change).captures)))


@kept
def _faint(key: str, change: Change) -> Detections:
    """All that a changed model finds down to the score FLOOR, or to the analysis's confidence if that is less."""
    return _predict(get_analysis(key), change).detections


def _predict(analysis: Analysis, change: Change) -> Prediction:
    asked = analysis.asked("dlka") | {"intervention": _intervention(analysis, change)}
    asked["confidence"] = min(FLOOR, analysis.settings.confidence)
    return analysis.predictor("dlka").predict(analysis.image, **asked)


def _intervention(analysis: Analysis, change: Change) -> Intervention:
    where = tuple(analysis.capture(label).stage.name for label in change.stages) or None
    if change.kind == GATE_OFF:
        return Intervention(GATE_OFF, where=where)
    if change.kind != GIVEN:
        return Intervention(change.kind, change.strength, where, change.seed)
    if not change.other:
        raise DlkaError("There is no other picture yet: drop one, or choose an example.")
    fields = offsets_of(analysis.settings.dlka, analysis.settings.size, change.other)
    return Intervention(GIVEN, change.strength, where, fields=fields)


@kept
def offsets_of(model: str, size: int, picture: str) -> Mapping[str, np.ndarray]:
    """The offset fields [2K, H, W] that a model predicts for a picture file, by the names of its stages."""
    seen = load_predictor(model)[0].predict(read_image(picture), size=size)
    return {capture.stage.name: capture.offset for capture in seen.captures}


COLUMNS = ["size", "area px", "object", "learned score", "changed score", "change", "has it", "all at zero"]
LOST = "\u2605"  # as it is drawn
HAS_IT = dict(zip(PAIRS, ("both", "both, as another class", "only changed", "only learned")))


def title(change: Change, analysis: Analysis) -> str:
    """What is done to the model, for example "Shuffled offsets (seed 0) x 2 in P3 5x5"."""
    where = f" in {', '.join(change.stages)}" if 0 < len(change.stages) < len(analysis.stage_labels) else ""
    if change.kind == GATE_OFF:
        blocks = dict.fromkeys(place_label(label, analysis.capture(label)) for label in change.stages)
        return f"Gate off in {', '.join(blocks)}" if where else "Gate off"
    if change.strength == 0:
        return f"Offsets at zero, the rigid large kernel{where}"
    pictures = {str(path): label for label, path in examples().items()}
    given = f"Offsets of {pictures.get(change.other, Path(change.other).stem)}"
    source = {LEARNED: "The model's own offsets", SHUFFLED: f"Shuffled offsets (seed {change.seed})", GIVEN: given}
    return f"{source[change.kind]} x {change.strength:g}{where}"


def headline(analysis: Analysis, seen: WhatIf) -> str:
    """One sentence or two on what the change does, as HTML."""
    pairing, said = seen.pairing, [f"<b>{html.escape(title(seen.change, analysis))}.</b>"]
    if not analysis.stage_labels and seen.change.kind != GATE_OFF:
        return f'<div class="headline"><p>{NO_STAGES}</p></div>'
    if not pairing.pairs:
        said.append("Neither the learned nor the changed model found anything at this confidence. Lower it.")
    elif seen.change == AS_LEARNED:
        said.append(
            f"Nothing is changed yet: both have the same {len(seen.learned)}. Move the slider, or choose other offsets."
        )
    else:
        both = pairing.count(BOTH) + pairing.count(CLASS_CHANGED)
        only_learned, only_changed = pairing.count(ONLY_SECOND), pairing.count(ONLY_FIRST)
        said.append(f"Both have <b>{both}</b>.")
        said.append(f'<b style="color:var(--dlka)">Only learned: {only_learned}</b>.')
        said.append(f'<b style="color:var(--what-if)">Only changed: {only_changed}</b>.')
        if (judged := judge_example(analysis)) and only_changed:
            verdicts = judge(seen.changed, judged[0]).verdicts
            wrong = sum(p.kind == ONLY_FIRST and verdicts[p.first or 0] == FALSE_ALARM for p in pairing.pairs)
            said.append(f"By the labels, {wrong} of these {'is a false alarm' if wrong == 1 else 'are false alarms'}.")
        if kept := [pair for pair in pairing.pairs if pair.kind in (BOTH, CLASS_CHANGED)]:
            said.append(_moved(analysis, seen, max(kept, key=lambda pair: abs(pair.score_change))))
    if seen.learned.scores.size and analysis.stage_labels:
        said.append(lost_at_zero(seen, f" ({LOST})"))
    note = ""
    if analysis.settings.strength != 1:
        note = (
            f'<p class="quiet">The page\'s own deformation stands at {analysis.settings.strength:g}. Here, "learned" '
            "is the model as it was trained, at 1, and the strength counts from there.</p>"
        )
    return f'<div class="headline"><p>{" ".join(said)}</p>{note}</div>'


def lost_at_zero(seen: WhatIf, mark: str = "") -> str:
    """A sentence on how many learned boxes are lost with all offsets at zero; mark: after the verb, where some are."""
    lost, learned = len(seen.lost), len(seen.learned)
    if learned == 1:
        return f"With all offsets at zero, the only learned box {f'vanishes{mark}' if lost else 'stays'}."
    verb = "vanish" if lost > 1 else "vanishes"
    return f"With all offsets at zero, {lost or 'none'} of the {learned} learned boxes {verb}{mark if lost else ''}."


def _moved(analysis: Analysis, seen: WhatIf, pair: Pair) -> str:
    """The score that moved most, of the boxes that stayed."""
    if abs(pair.score_change) < 0.005:
        return "No score moved by 0.01."
    name = html.escape(analysis.names[int(seen.learned.classes[pair.second])])
    before, after = seen.learned.scores[pair.second], seen.changed.scores[pair.first]
    return f"Biggest change of a score: {name} {before:.3f} to {after:.3f}."


def object_rows(analysis: Analysis, seen: WhatIf) -> list[list[object]]:
    """One row per object, smallest first, under COLUMNS."""
    out: list[list[object]] = []
    for pair in seen.pairing.pairs:
        learned, at_zero, changed = "-", "-", "-" if pair.first is None else f"{seen.changed.scores[pair.first]:.2f}"
        if pair.second is not None:
            learned, score = f"{seen.learned.scores[pair.second]:.2f}", seen.at_zero[pair.second]
            at_zero = "nothing there" if np.isnan(score) else f"{score:.2f}"
            at_zero += f" {LOST}" if pair.second in seen.lost else ""
        sizes = [pair.size, round(pair.area), class_words(seen.pairing, pair, analysis.names)]
        out.append([*sizes, learned, changed, f"{pair.score_change:+.2f}", HAS_IT[pair.kind], at_zero])
    return out


# The pictures of a changed model. Plain functions.


DIFFERENCE, LEFT, RIGHT = PICTURES = ("difference", "learned", "changed")


def drawing(analysis: Analysis, seen: WhatIf, picture: str) -> Canvas:
    """One of PICTURES: what the change does to the boxes, or those of one of the two models."""
    image, names, model, what = analysis.image, analysis.names, analysis.settings.dlka, title(seen.change, analysis)
    if picture == LEFT:
        return render.draw_boxes(image, seen.learned, names, palette.DLKA, f"Learned: {model}")
    if picture == RIGHT:
        return render.draw_boxes(image, seen.changed, names, palette.WHAT_IF, f"Changed. {what}")
    return render.draw_change(image, seen.pairing, names, f"{model}. {what}", lost=seen.lost)
