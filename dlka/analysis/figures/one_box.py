"""The figures of the tab "Boxes" by their kinds, with captions and numbers. Knows nothing of gradio.

box: a box by its name, "dlka 0" or "baseline 2": the side and the box's place among that model's detections.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from dlka.analysis import box_evidence, box_figures, condensation
from dlka.analysis.analysis import Look, Refused
from dlka.analysis.boxes import SIDES, Trace, find, prediction
from dlka.analysis.figures.captions import subject
from dlka.analysis.figures.figure import Arrays, Figure
from dlka.render.box_evidence import share_inside
from dlka.render.box_samples import BoxSamples, inside, shares_inside
from dlka.render.density import composed_density, log_ratio, sample_density
from dlka.render.legend import number


def cells(look: Look, box: str) -> Figure:
    """The cells behind a box, in both models."""
    traces = find(look, box)
    arrays = {f"{t.side}/{name}": value for t in traces for name, value in _traced(t).items()}
    return Figure(box_figures.cells_picture(look, traces), cells_caption(look, box), arrays)


def cells_caption(look: Look, box: str) -> str:
    of_both = sorted(find(look, box), key=lambda t: list(SIDES).index(t.side))
    return f"Cells behind a box, {_both(look)}. {'; '.join(_answer(look, t) for t in of_both)}."


def samples(look: Look, box: str) -> Figure:
    """Where the deform stages of the box's level read for its cell."""
    own, seen = _samples(look, box)
    arrays = {f"{view}/{name}": value for view, s in seen.items() for name, value in _sampled(s, own.box).items()}
    paper = box_figures.samples_picture(look, own, seen)
    return Figure(paper, samples_caption(look, box), arrays | {"box": own.box})


def samples_caption(look: Look, box: str) -> str:
    own, seen = _samples(look, box)
    told = "; ".join(f"{view} {s.share:.1%}, regular grid {s.regular_share:.1%}" for view, s in seen.items())
    against = f"the {SIDES[own.side]} box of a {_object(look, own)}"
    return f"Where D-LKA reads for {_cell(own)}, {subject(look)}. Reads inside {against}: {told}."


def evidence(look: Look, box: str, side: str, of: str) -> Figure:
    """What the class of a box depends on in one model. side: "dlka" or "baseline"; of: "layercam" or "gradient"."""
    maps, i = _maps(look, box, side, of)
    trace = maps.traces[i]
    arrays = {
        "map": maps.values[i],
        "stride": np.array([maps.strides[i]]),
        "scale": np.array([maps.largest]),
        "logit": np.array([maps.logits[i]]),
        "box": trace.box,
        "level": np.array([trace.level]),
        "cell": np.array(trace.cell),
    }
    return Figure(box_evidence.picture(look, maps, side), evidence_caption(look, box, side, of), arrays)


def evidence_caption(look: Look, box: str, side: str, of: str) -> str:
    maps, i = _maps(look, box, side, of)
    trace = maps.traces[i]
    part = share_inside(maps.values[i], maps.strides[i], prediction(look, side).letterbox, trace.box)
    where = f"{_cell(trace)} of {'D-LKA' if side == 'dlka' else 'the baseline'}"
    where += "" if trace.found else ", which has no box there"
    return (
        f"{'LayerCAM' if of == 'layercam' else 'Gradient on the picture'}, class {look.names[trace.number]} at "
        f"{where}, {_both(look)}: logit {maps.logits[i]:+.2f}; {'nothing' if part is None else f'{part:.0%}'} of it is "
        f"inside the box; the scale of both models ends at {number(maps.largest)} {box_evidence.UNIT}."
    )


def landing(look: Look, stage: str) -> Figure:
    """Where all samples land. stage: its label, or that of both stages of a block composed."""
    paper = condensation.condensation(look, stage)
    captures, letterbox = condensation.field(look, stage), look.dlka.letterbox
    first, last = captures[0], captures[-1]
    counts = sample_density(last, letterbox) if first is last else composed_density(first, last, letterbox)
    arrays = {"samples": counts[0], "regular": counts[1], "doublings": log_ratio(*counts)}
    arrays["scale"] = np.array([condensation.SCALE])
    found = {f"{side}_boxes": prediction(look, side).detections.boxes for side in SIDES}
    return Figure(paper, condensation_caption(look, stage), arrays | found)


def condensation_caption(look: Look, stage: str) -> str:
    learned, regular = shares_inside(condensation.field(look, stage), condensation.all_boxes(look), look.dlka.letterbox)
    return (
        f"Where all samples of {stage} land against the regular grid, {_both(look)}: {learned:.2%} of the samples are "
        f"inside a box of either model, {regular:.2%} of the grid's."
    )


def spread(look: Look) -> Figure:
    """How far apart the samples behind every box lie, against its size."""
    charted = condensation.chart(look)
    if charted is None:
        raise Refused("Spread of samples: this look has no box, or its D-LKA model does not deform.")
    arrays = {
        f"{kind}/{name}": np.array([getattr(p, name) for p in points])
        for kind, points in condensation.spread_points(look).items()
        for name in ("side", "learned", "regular", "ours")
    }
    return Figure(charted[0], spread_caption(look), arrays)


def spread_caption(look: Look) -> str:
    said = condensation.agreement(look, condensation.spread_points(look))
    return f"{condensation.SPREAD}, {_both(look)}: {said}"


KINDS: dict[str, Callable[..., Figure]] = {
    "box cells": cells,
    "box samples": samples,
    "box evidence": evidence,
    "condensation": landing,
    "spread": spread,
}
CAPTIONS: dict[str, Callable[..., str]] = {
    "box cells": cells_caption,
    "box samples": samples_caption,
    "box evidence": evidence_caption,
    "condensation": condensation_caption,
    "spread": spread_caption,
}


def _samples(look: Look, box: str) -> tuple[Trace, dict[str, BoxSamples]]:
    own = find(look, box)[0]
    seen = box_figures.samples_of(look, own)
    if not seen:
        raise Refused(f"Samples of a box: this D-LKA model has no deform stage on P{own.level}, where the box is from.")
    return own, seen


def _maps(look: Look, box: str, side: str, of: str) -> tuple[box_evidence.Maps, int]:
    """The maps of both models, and the place of the one of this side."""
    if side not in SIDES:
        raise Refused(f"Side: expected {' or '.join(SIDES)}; got {side!r:.60}.")
    if of not in box_evidence.KINDS:
        raise Refused(f"Evidence: expected {' or '.join(box_evidence.KINDS)}; got {of!r:.60}.")
    return box_evidence.maps(look, find(look, box), of), list(SIDES).index(side)


def _traced(trace: Trace) -> Arrays:
    """box [4], score [1], found [1] bool, level [1], cell [2]; of the n cells merged into it levels [n], cells [n, 2],
    scores [n], overlaps [n]."""
    own = {name: np.array([getattr(trace, name)]) for name in ("score", "found", "level")}
    merged = {f"merged_{name}": getattr(trace, name) for name in ("levels", "cells", "scores", "overlaps")}
    return {"box": trace.box, "cell": np.array(trace.cell), **own, **merged}


def _sampled(seen: BoxSamples, box: np.ndarray) -> Arrays:
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


def _both(look: Look) -> str:
    return f"{subject(look)}, and the baseline {look.settings.baseline}"


def _cell(trace: Trace) -> str:
    return f"cell P{trace.level} (row {trace.cell[0]}, column {trace.cell[1]})"


def _object(look: Look, trace: Trace) -> str:
    across, down = trace.box[2:] - trace.box[:2]
    return f"{look.names[trace.number]} {trace.score:.2f}, {across:.0f} x {down:.0f} px"


def _answer(look: Look, trace: Trace) -> str:
    who = f"{SIDES[trace.side]}: "
    if not trace.found:
        return f"{who}no box, {_cell(trace)} has a score of {trace.score:.3f} for {look.names[trace.number]}"
    more = f", {len(trace.cells)} more merged into it" if len(trace.cells) else ""
    return f"{who}{_object(look, trace)}, from {_cell(trace)}{more}"
