"""What the tab "What if" says in words, numbers and pictures about a changed model. Plain functions."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np

from dlka import palette, render
from dlka.analysis.analysis import Analysis, place_label
from dlka.analysis.examples import examples
from dlka.analysis.pairing import class_words
from dlka.analysis.stages import NO_STAGES
from dlka.analysis.what_if import AS_LEARNED, Change, WhatIf
from dlka.inference.interventions import GATE_OFF, GIVEN, LEARNED, SHUFFLED
from dlka.render import Canvas
from dlka.types import BOTH, CLASS_CHANGED, ONLY_FIRST, ONLY_SECOND, Pair

COLUMNS = ["size", "area px", "object", "learned score", "changed score", "change", "has it", "all at zero"]
LOST = "\u2605"  # as it is drawn
HAS_IT = {
    BOTH: "both",
    CLASS_CHANGED: "both, as another class",
    ONLY_FIRST: "only changed",
    ONLY_SECOND: "only learned",
}


def title(change: Change, analysis: Analysis) -> str:
    """What is done to the model, for example "Shuffled offsets (seed 0) x 2 in P3 5x5"."""
    where = f" in {', '.join(change.stages)}" if 0 < len(change.stages) < len(analysis.stage_labels) else ""
    if change.kind == GATE_OFF:
        blocks = dict.fromkeys(place_label(label, analysis.capture(label)) for label in change.stages)
        return f"Gate off in {', '.join(blocks)}" if where else "Gate off"
    if change.strength == 0:
        return f"Offsets at zero, the rigid large kernel{where}"
    pictures = {str(path): label for label, path in examples().items()}
    source = {
        LEARNED: "The model's own offsets",
        SHUFFLED: f"Shuffled offsets (seed {change.seed})",
        GIVEN: f"Offsets of {pictures.get(change.other, Path(change.other).stem)}",
    }[change.kind]
    return f"{source} x {change.strength:g}{where}"


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
        kept = [pair for pair in pairing.pairs if pair.kind in (BOTH, CLASS_CHANGED)]
        if kept:
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
        learned = "-" if pair.second is None else f"{seen.learned.scores[pair.second]:.2f}"
        changed = "-" if pair.first is None else f"{seen.changed.scores[pair.first]:.2f}"
        at_zero = "-" if pair.second is None else _at_zero(seen, pair.second)
        sizes = [pair.size, round(pair.area), class_words(seen.pairing, pair, analysis.names)]
        out.append([*sizes, learned, changed, f"{pair.score_change:+.2f}", HAS_IT[pair.kind], at_zero])
    return out


def _at_zero(seen: WhatIf, index: int) -> str:
    """The score of a learned box with all offsets at zero, and whether it is lost then."""
    score = seen.at_zero[index]
    return ("nothing there" if np.isnan(score) else f"{score:.2f}") + (f" {LOST}" if index in seen.lost else "")


# The pictures of a changed model. Plain functions.


DIFFERENCE, LEFT, RIGHT = PICTURES = ("difference", "learned", "changed")


def drawing(analysis: Analysis, seen: WhatIf, picture: str) -> Canvas:
    """One of PICTURES: what the change does to the boxes, or those of one of the two models."""
    what = title(seen.change, analysis)
    if picture == LEFT:
        return render.draw_boxes(
            analysis.image, seen.learned, analysis.names, palette.DLKA, f"Learned: {analysis.settings.dlka}"
        )
    if picture == RIGHT:
        return render.draw_boxes(analysis.image, seen.changed, analysis.names, palette.WHAT_IF, f"Changed. {what}")
    given = (analysis.image, seen.pairing, analysis.names, f"{analysis.settings.dlka}. {what}")
    return render.draw_change(*given, lost=seen.lost)
