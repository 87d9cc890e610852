"""Figures of one box and of the same object in the other model, and of all samples against all boxes.

box: a box by its name, "dlka 0" or "baseline 2": the side and the box's place among that model's detections.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from dlka.analysis import box_figures, condensation
from dlka.analysis.analysis import Analysis
from dlka.analysis.boxes import SIDES, Trace, find, in_order, prediction
from dlka.analysis.figures.base import Arrays, Drawing, Figure, one_of, subject
from dlka.errors import DlkaError
from dlka.render.box_samples import BoxSamples as SeenSamples
from dlka.render.box_samples import inside, shares_inside
from dlka.render.legend import number
from dlka.render.offsets import log_ratio, sample_density


@dataclass(frozen=True)
class BoxCells(Figure, name="box cells"):
    """The cells behind a box, in both models."""

    box: str

    def draw(self, analysis: Analysis) -> Drawing:
        return box_figures.cells_picture(analysis, find(analysis, self.box))

    def caption(self, analysis: Analysis) -> str:
        of_both = in_order(find(analysis, self.box))
        return f"Cells behind a box, {_both(analysis)}. {'; '.join(_answer(analysis, t) for t in of_both)}."

    def arrays(self, analysis: Analysis) -> Arrays:
        return {f"{t.side}/{name}": value for t in find(analysis, self.box) for name, value in _traced(t).items()}


@dataclass(frozen=True)
class BoxSamples(Figure, name="box samples"):
    """Where the deform stages of the box's level read for its cell."""

    box: str

    def draw(self, analysis: Analysis) -> Drawing:
        return box_figures.samples_picture(analysis, *_samples(analysis, self.box))

    def caption(self, analysis: Analysis) -> str:
        own, seen = _samples(analysis, self.box)
        told = "; ".join(f"{view} {s.share:.1%}, regular grid {s.regular_share:.1%}" for view, s in seen.items())
        against = f"the {SIDES[own.side]} box of a {_object(analysis, own)}"
        return f"Where D-LKA reads for {_cell(own)}, {subject(analysis)}. Reads inside {against}: {told}."

    def arrays(self, analysis: Analysis) -> Arrays:
        own, seen = _samples(analysis, self.box)
        every = {f"{view}/{name}": value for view, s in seen.items() for name, value in _sampled(s, own.box).items()}
        return every | {"box": own.box}


@dataclass(frozen=True)
class BoxEvidence(Figure, name="box evidence"):
    """What the class of a box depends on in one model. side: "dlka" or "baseline"; of: "layercam" or "gradient"."""

    box: str
    side: str
    of: str

    def draw(self, analysis: Analysis) -> Drawing:
        return box_figures.picture(analysis, self._map(analysis))

    def caption(self, analysis: Analysis) -> str:
        shown = self._map(analysis)
        trace, share = shown.trace, box_figures.percent(shown.share, "nothing")
        where = f"{_cell(trace)} of {'D-LKA' if self.side == 'dlka' else 'the baseline'}"
        where += "" if trace.found else ", which has no box there"
        what = "LayerCAM" if self.of == "layercam" else "Gradient on the picture"
        return (
            f"{what}, class {analysis.names[trace.number]} at {where}, {_both(analysis)}: logit {shown.logit:+.2f}; "
            f"{share} of it is inside the box; the scale of both models ends at {number(shown.largest)} "
            f"{box_figures.UNIT}."
        )

    def arrays(self, analysis: Analysis) -> Arrays:
        shown = self._map(analysis)
        arrays: Any = {"map": shown.values, "stride": shown.stride, "scale": shown.largest, "logit": shown.logit}
        arrays |= {"box": shown.trace.box, "level": shown.trace.level, "cell": shown.trace.cell}
        return {name: np.atleast_1d(value) for name, value in arrays.items()}

    def _map(self, analysis: Analysis) -> box_figures.Map:
        one_of("Side", self.side, SIDES)
        one_of("Evidence", self.of, box_figures.KINDS)
        return box_figures.maps(analysis, find(analysis, self.box), self.of)[self.side]


@dataclass(frozen=True)
class Condensation(Figure, name="condensation"):
    """Where all samples land. stage: its label, or that of both stages of a block composed."""

    stage: str

    def draw(self, analysis: Analysis) -> Drawing:
        return condensation.condensation(analysis, self.stage)

    def caption(self, analysis: Analysis) -> str:
        captures, boxes = condensation.field(analysis, self.stage), condensation.all_boxes(analysis)
        learned, regular = shares_inside(captures, boxes, analysis.dlka.letterbox)
        return (
            f"Where all samples of {self.stage} land against the regular grid, {_both(analysis)}: {learned:.2%} of the "
            f"samples are inside a box of either model, {regular:.2%} of the grid's."
        )

    def arrays(self, analysis: Analysis) -> Arrays:
        captures, letterbox = condensation.field(analysis, self.stage), analysis.dlka.letterbox
        counts = sample_density(captures, letterbox)
        arrays = {"samples": counts[0], "regular": counts[1], "doublings": log_ratio(*counts)}
        arrays["scale"] = np.array([condensation.SCALE])
        return arrays | {f"{side}_boxes": prediction(analysis, side).detections.boxes for side in SIDES}


@dataclass(frozen=True)
class Spread(Figure, name="spread"):
    """How far apart the samples behind every box lie, against its size."""

    def draw(self, analysis: Analysis) -> Drawing:
        charted = condensation.chart(analysis)
        if charted is None:
            raise DlkaError("Spread of samples: this analysis has no box, or its D-LKA model does not deform.")
        return charted[0]

    def caption(self, analysis: Analysis) -> str:
        said = condensation.agreement(analysis, condensation.spread_points(analysis))
        return f"{condensation.SPREAD}, {_both(analysis)}: {said}"

    def arrays(self, analysis: Analysis) -> Arrays:
        return {
            f"{kind}/{name}": np.array([getattr(p, name) for p in points])
            for kind, points in condensation.spread_points(analysis).items()
            for name in ("side", "learned", "regular", "ours")
        }


FIGURES: tuple[type[Figure], ...] = (BoxCells, BoxSamples, BoxEvidence, Condensation, Spread)


def _samples(analysis: Analysis, box: str) -> tuple[Trace, dict[str, SeenSamples]]:
    own = find(analysis, box)[0]
    if seen := box_figures.samples_of(analysis, own):
        return own, seen
    raise DlkaError(f"Samples of a box: this D-LKA model has no deform stage on P{own.level}, where the box is from.")


def _traced(trace: Trace) -> Arrays:
    """box [4], score [1], found [1] bool, level [1], cell [2]; of the n cells merged into it levels [n], cells [n, 2],
    scores [n], overlaps [n]."""
    own = {name: np.atleast_1d(getattr(trace, name)) for name in ("box", "cell", "score", "found", "level")}
    return own | {f"merged_{name}": getattr(trace, name) for name in ("levels", "cells", "scores", "overlaps")}


def _sampled(seen: SeenSamples, box: np.ndarray) -> Arrays:
    """cell [2]; samples [n, 2] and regular [m, 2], (x, y) in pixels of the picture; inside [n] and zero [n] bool;
    lost [1]: paths that are not among them; share, spread [2]: learned, regular; the parts of KernelShape."""
    reads = seen.reads
    arrays = {
        "cell": reads.cell,
        "samples": reads.samples,
        "regular": reads.regular,
        "inside": inside(reads.samples, box[None]) & ~reads.zero,
        "zero": reads.zero,
        "lost": reads.lost,
        "share": (seen.share, seen.regular_share),
        "spread": (seen.spread, seen.regular_spread),
        **asdict(seen.shape),
    }
    return {name: np.atleast_1d(value) for name, value in arrays.items()}


def _both(analysis: Analysis) -> str:
    return f"{subject(analysis)}, and the baseline {analysis.settings.baseline}"


def _cell(trace: Trace) -> str:
    return f"cell P{trace.level} (row {trace.cell[0]}, column {trace.cell[1]})"


def _object(analysis: Analysis, trace: Trace) -> str:
    across, down = trace.box[2:] - trace.box[:2]
    return f"{analysis.names[trace.number]} {trace.score:.2f}, {across:.0f} x {down:.0f} px"


def _answer(analysis: Analysis, trace: Trace) -> str:
    who = f"{SIDES[trace.side]}: "
    if not trace.found:
        return f"{who}no box, {_cell(trace)} has a score of {trace.score:.3f} for {analysis.names[trace.number]}"
    more = f", {len(trace.cells)} more merged into it" if len(trace.cells) else ""
    return f"{who}{_object(analysis, trace)}, from {_cell(trace)}{more}"
