"""Figures of one box and of the same object in the other model, and of all samples against all boxes.

box: a box by its name, "dlka 0" or "baseline 2": the side and the box's place among that model's detections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np

from dlka.analysis import box_figures, condensation
from dlka.analysis.analysis import Analysis
from dlka.analysis.boxes import SIDES, Trace, find, in_order, prediction
from dlka.analysis.figures.figure import Arrays, Drawing, Figure, one_of, subject
from dlka.errors import DlkaError
from dlka.render.box_cells import BoxSamples as SeenSamples
from dlka.render.box_cells import inside, share_inside, shares_inside
from dlka.render.legend import number
from dlka.render.offsets import log_ratio, sample_density


@dataclass(frozen=True)
class BoxCells(Figure):
    """The cells behind a box, in both models."""

    box: str
    name: ClassVar[str] = "box cells"

    def draw(self, analysis: Analysis) -> Drawing:
        return box_figures.cells_picture(analysis, find(analysis, self.box))

    def caption(self, analysis: Analysis) -> str:
        of_both = in_order(find(analysis, self.box))
        return f"Cells behind a box, {_both(analysis)}. {'; '.join(_answer(analysis, t) for t in of_both)}."

    def arrays(self, analysis: Analysis) -> Arrays:
        return {f"{t.side}/{name}": value for t in find(analysis, self.box) for name, value in _traced(t).items()}


@dataclass(frozen=True)
class BoxSamples(Figure):
    """Where the deform stages of the box's level read for its cell."""

    box: str
    name: ClassVar[str] = "box samples"

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
class BoxEvidence(Figure):
    """What the class of a box depends on in one model. side: "dlka" or "baseline"; of: "layercam" or "gradient"."""

    box: str
    side: str
    of: str
    name: ClassVar[str] = "box evidence"

    def draw(self, analysis: Analysis) -> Drawing:
        return box_figures.picture(analysis, self._maps(analysis)[0], self.side)

    def caption(self, analysis: Analysis) -> str:
        maps, i = self._maps(analysis)
        trace = maps.traces[i]
        part = share_inside(maps.values[i], maps.strides[i], prediction(analysis, self.side).letterbox, trace.box)
        where = f"{_cell(trace)} of {'D-LKA' if self.side == 'dlka' else 'the baseline'}"
        where += "" if trace.found else ", which has no box there"
        what = "LayerCAM" if self.of == "layercam" else "Gradient on the picture"
        share = "nothing" if part is None else f"{part:.0%}"
        return (
            f"{what}, class {analysis.names[trace.number]} at {where}, {_both(analysis)}: logit {maps.logits[i]:+.2f}; "
            f"{share} of it is inside the box; the scale of both models ends at {number(maps.largest)} "
            f"{box_figures.UNIT}."
        )

    def arrays(self, analysis: Analysis) -> Arrays:
        maps, i = self._maps(analysis)
        trace = maps.traces[i]
        return {
            "map": maps.values[i],
            "stride": np.array([maps.strides[i]]),
            "scale": np.array([maps.largest]),
            "logit": np.array([maps.logits[i]]),
            "box": trace.box,
            "level": np.array([trace.level]),
            "cell": np.array(trace.cell),
        }

    def _maps(self, analysis: Analysis) -> tuple[box_figures.Maps, int]:
        """The maps of both models, and the place of the one of this side."""
        one_of("Side", self.side, SIDES)
        one_of("Evidence", self.of, box_figures.KINDS)
        return box_figures.maps(analysis, find(analysis, self.box), self.of), list(SIDES).index(self.side)


@dataclass(frozen=True)
class Condensation(Figure):
    """Where all samples land. stage: its label, or that of both stages of a block composed."""

    stage: str
    name: ClassVar[str] = "condensation"

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
class Spread(Figure):
    """How far apart the samples behind every box lie, against its size."""

    name: ClassVar[str] = "spread"

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


FIGURES: Mapping[str, type[Figure]] = {
    figure.name: figure for figure in (BoxCells, BoxSamples, BoxEvidence, Condensation, Spread)
}


def _samples(analysis: Analysis, box: str) -> tuple[Trace, dict[str, SeenSamples]]:
    own = find(analysis, box)[0]
    seen = box_figures.samples_of(analysis, own)
    if not seen:
        raise DlkaError(
            f"Samples of a box: this D-LKA model has no deform stage on P{own.level}, where the box is from."
        )
    return own, seen


def _traced(trace: Trace) -> Arrays:
    """box [4], score [1], found [1] bool, level [1], cell [2]; of the n cells merged into it levels [n], cells [n, 2],
    scores [n], overlaps [n]."""
    own = {name: np.array([getattr(trace, name)]) for name in ("score", "found", "level")}
    merged = {f"merged_{name}": getattr(trace, name) for name in ("levels", "cells", "scores", "overlaps")}
    return {"box": trace.box, "cell": np.array(trace.cell), **own, **merged}


def _sampled(seen: SeenSamples, box: np.ndarray) -> Arrays:
    """cell [2]; samples [n, 2] and regular [m, 2], (x, y) in pixels of the picture; inside [n] and zero [n] bool;
    lost [1]: paths that are not among them; share, spread [2]: learned, regular; the parts of KernelShape."""
    reads = seen.reads
    shape = {name: np.atleast_1d(value) for name, value in asdict(seen.shape).items()}
    return {
        "cell": np.array(reads.cell),
        "samples": reads.samples,
        "regular": reads.regular,
        "inside": inside(reads.samples, box[None]) & ~reads.zero,
        "zero": reads.zero,
        "lost": np.array([reads.lost]),
        "share": np.array([seen.share, seen.regular_share]),
        "spread": np.array([seen.spread, seen.regular_spread]),
        **shape,
    }


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
