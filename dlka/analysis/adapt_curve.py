"""Score of one object against its size: the picture is shrunk step by step, and both models look every time."""

from __future__ import annotations

import html
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote

import numpy as np
from matplotlib.figure import Figure

from dlka.analysis import report
from dlka.analysis.adapt import Target, target
from dlka.analysis.analysis import Analysis
from dlka.analysis.boxes import SIDES, TITLES
from dlka.analysis.figures.pictures import strength_note
from dlka.analysis.pairing import best_score, expected_boxes
from dlka.analysis.transforms import Change, apply
from dlka.csv_text import csv_text
from dlka.errors import DlkaError
from dlka.render.recall import score_chart

STEPS = 16
LEAST = 4.0  # px: the last size
OVERLAP = 0.3  # IoU; of a box of 6 px, one that is off by 1 px both ways keeps little more than a half
CONFIDENCE = 0.01  # scores below count as none; far under what is shown, so that a curve does not end there
COLUMNS = ["size px", "shrunk to", "D-LKA score", "baseline score"]


@dataclass(frozen=True)
class Step:
    """factor: how far the picture was shrunk; side: the object's size then, square root of its box area in px; the two
    scores in 0..1, 0 where no box of its class lies there."""

    factor: float
    side: float
    dlka: float
    baseline: float


def factors(side: float) -> np.ndarray:
    """[STEPS] factors from 1 on, evenly spread on a logarithmic axis, that bring an object of this size to LEAST px."""
    if side <= LEAST:
        raise DlkaError(f"The object is only {side:.1f} px large: the curve goes down to {LEAST:g} px.")
    return np.geomspace(1, LEAST / side, STEPS)


def chosen(analysis: Analysis, number: int | None) -> Target:
    """The object that a curve is about; number: which of adapt.targets(analysis). Raises DlkaError where there is none,
    or it is too small."""
    found = target(analysis, number)
    if found is None:
        raise DlkaError("There is no object to follow: neither model found one in the picture as it is.")
    factors(found.side)
    return found


def measure(analysis: Analysis, chosen: Target) -> Iterator[Step]:
    """One step after the other, largest first. The looks are not kept."""
    changed = {"confidence": CONFIDENCE, "classes": [chosen.class_id]}
    for factor in factors(chosen.side):
        image, moved = apply(analysis.image, Change(shrink=float(factor)))
        boxes, _ = expected_boxes(chosen.box[None], moved, (image.shape[0], image.shape[1]))
        scores = []
        for side in ("dlka", "baseline"):
            found = analysis.predictor(side).predict(image, **analysis.asked(side) | changed)
            scores.append(best_score(found.detections, boxes[0], chosen.class_id, OVERLAP))
        yield Step(float(factor), chosen.side * float(factor), *scores)


def chart(analysis: Analysis, chosen: Target, steps: list[Step]) -> Figure:
    """The curve as far as it was measured."""
    settings, scale = analysis.settings, float(analysis.dlka.letterbox.scale_xy.mean())
    dlka = f"D-LKA: {settings.dlka}{strength_note(analysis)}", [s.dlka for s in steps]
    baseline = f"baseline: {settings.baseline}", [s.baseline for s in steps]
    return score_chart(
        f"{chosen.name}, {chosen.side:.0f} px: score against size",
        [s.side for s in steps],
        {"dlka": dlka, "control": baseline},
        settings.confidence,
        (LEAST, chosen.side),
        f"Best box of the class with IoU {OVERLAP:g} or more; 0: none above {CONFIDENCE:g}.\n"
        f"1 px of the picture is {scale:.2f} px of the models' input.",
    )


def described(analysis: Analysis, chosen: Target, steps: list[Step]) -> str:
    """The chart for those who do not see it: where each model's score first falls below the confidence."""
    parts = [f"{name}: {last_seen(analysis, steps, side)}." for side, name in SIDES.items()]
    return " ".join([f"{chosen.name}: score against size, {len(steps)} of {STEPS} sizes.", *parts])


def last_seen(analysis: Analysis, steps: list[Step], side: str) -> str:
    """Down to which size a model ("dlka" or "baseline") shows the object at every step so far."""
    below = [i for i, step in enumerate(steps) if getattr(step, side) < analysis.settings.confidence]
    if not below:
        return f"found at every size down to {steps[-1].side:.0f} px"
    if below[0] == 0:
        return f"not found at its own size of {steps[0].side:.0f} px"
    return f"found down to {steps[below[0] - 1].side:.0f} px, not at {steps[below[0]].side:.0f} px"


def told(analysis: Analysis, steps: list[Step]) -> str:
    """How far the curve got, as a bar and in words, and what it says."""
    if not steps:
        return f'<div class="adapt-told"><progress value="0" max="{STEPS}"></progress> The first size …</div>'
    far = f"{len(steps)} of {STEPS} sizes, down to {steps[-1].side:.0f} px."
    words = " ".join(
        f'<b style="color:var(--{side})">{name}</b>: {html.escape(last_seen(analysis, steps, side))}.'
        for side, name in TITLES.items()
    )
    if len(steps) == STEPS:
        words += " One object decides nothing about two models; Many pictures does."
    bar = f'<progress value="{len(steps)}" max="{STEPS}" aria-label="sizes measured"></progress>'
    return f'<div class="adapt-told">{bar} {far} {words}</div>'


def table(steps: list[Step]) -> str:
    """The curve in numbers, and a link to take them along."""
    rows = [[f"{s.side:.1f}", f"{s.factor:.3f}", f"{s.dlka:.3f}", f"{s.baseline:.3f}"] for s in steps]
    text = quote(csv_text([COLUMNS, *rows]))
    link = f'<a href="data:text/csv,{text}" download="score-against-size.csv">Download as CSV</a>'
    return report.table(COLUMNS, rows) + f"<p>{link}</p>"
