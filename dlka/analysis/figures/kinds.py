"""Every figure of the page by its kind: what is drawn, its caption, and the numbers behind it. Knows nothing of gradio.

The table KINDS is what the page, its endpoints and `python -m dlka replay` draw from: a figure is a finished look, a
kind and arguments, and so it can be drawn again anywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import signature
from typing import Any

import numpy as np

from dlka import render
from dlka.analysis import analysis
from dlka.analysis.analysis import Look, Refused
from dlka.analysis.checked import checked
from dlka.analysis.figures import captions, changes, one_box, pictures
from dlka.analysis.figures.figure import Arrays, Figure
from dlka.inference.receptive_field import BLOCK
from dlka.types import Detections

SIDES = ("dlka", "baseline")


def figure(look: Look, kind: str, arguments: dict[str, Any]) -> Figure:
    """Draw a figure of a finished look. Raises Refused for a kind or arguments that do not exist."""
    if kind not in KINDS:
        raise Refused(f"Figure: expected one of {', '.join(KINDS)}; got {kind!r:.60}.")
    _check(kind, arguments)
    return KINDS[kind](look, **arguments)


def caption(look: Look, kind: str, arguments: dict[str, Any]) -> str:
    """What a figure shows and its key numbers; nothing is drawn."""
    return CAPTIONS[kind](look, **arguments)


def boxes(look: Look, side: str) -> Figure:
    """One model's boxes. side: "dlka" or "baseline"."""
    if side not in SIDES:
        raise Refused(f"Side: expected dlka or baseline; got {side!r:.60}.")
    paper = pictures.boxes(look, side)
    detections = (look.dlka if side == "dlka" else look.baseline).detections
    return Figure(paper, captions.boxes(look, side), _found(detections))


def difference(look: Look) -> Figure:
    """What only one of the two found."""
    return Figure(pictures.difference(look), captions.difference(look), _both(look))


def crops(look: Look) -> Figure:
    """Close-ups of the small objects that only one model found."""
    found = pictures.crops_of(look)
    shown = np.array([crop.box for crop in found], np.float32).reshape(-1, 4)
    return Figure(render.contact_sheet(look.image, found), captions.crops(look), {"shown_boxes": shown} | _both(look))


def offsets(
    look: Look,
    stage: str,
    overlay: str,
    tap: int,
    opacity: float,
    scale: str | float,
    x: float | None,
    y: float | None,
) -> Figure:
    """One stage's offset field, as in pictures.offset_overlay; (x, y), pixels of the picture: a point to mark."""
    paper = pictures.offset_overlay(look, stage, overlay, tap, opacity, scale)
    capture, number = look.capture(stage), tap - 1 if tap else None
    arrays = {"offset": capture.offset}
    if overlay == "Sample density":
        arrays["samples"], arrays["regular"] = render.sample_density(capture, look.dlka.letterbox)
    elif overlay == "Magnitude":
        arrays["magnitude"] = render.magnitude(capture, number)
    else:
        arrays["mean_offset"] = render.mean_offset(capture, number)
    if x is not None and y is not None:
        _check_point(x, y)
        render.mark_point(paper, (x, y))
        arrays |= _reads(look, stage, (x, y))
    return Figure(paper, captions.offsets(look, stage, overlay, tap, opacity, scale, x, y), arrays)


def samples(look: Look, x: float, y: float) -> Figure:
    """Where every stage reads for the cell at a point, and both stages of each block composed."""
    _check_point(x, y)
    arrays = {f"{view}/{name}": value for view in look.views for name, value in _reads(look, view, (x, y)).items()}
    return Figure(pictures.sample_panels(look, (x, y)), captions.samples(look, x, y), arrays)


def reads(look: Look, view: str, row: int, column: int) -> Figure:
    """What one cell of a stage, or of both stages of a block composed, reads."""
    if view not in look.views:
        raise Refused(f"Stage: expected one of {', '.join(look.views) or 'none in this model'}; got {view!r:.60}.")
    shown = look.views[view]
    _on_map(shown[-1].offset, row, column)
    x, y = map(float, render.cell_centres(shown[-1], look.dlka.letterbox)[row, column])
    paper = render.draw_samples(look.image, shown, look.dlka.letterbox, (x, y))
    arrays = _reads(look, view, (x, y))
    if len(shown) == 1:
        arrays["offset"] = shown[0].offset[:, row, column]
        arrays["tap_weights"] = look.tap_weights[shown[0].stage.name]
    return Figure(paper, captions.reads(look, view, row, column), arrays)


def attention(look: Look, block: str, reduction: str, channel: int, opacity: float) -> Figure:
    """One block's attention map, as in pictures.gate_overlay."""
    paper = pictures.gate_overlay(look, block, reduction, channel, opacity)
    gate = look.gate(block).values
    reduced = render.reduce_gate(gate, reduction, channel if reduction == "channel" else None)
    caption = captions.attention(look, block, reduction, channel, opacity)
    return Figure(paper, caption, {"gate": gate, "map": reduced})


def receptive_field(look: Look, stage: str, row: int, column: int) -> Figure:
    """The effective receptive field of a cell of the block that a stage belongs to: the model runs once more."""
    field, block, cell = analysis.receptive_field(look, stage, str(row), str(column))
    letterbox = look.dlka.letterbox
    x, y = map(float, render.cell_centres(block[-1], letterbox)[cell])
    through = render.reads_at(block, (x, y), letterbox)
    radius = render.influence_radius(field, BLOCK, letterbox, through.centre)
    place = analysis.place_label(stage, look.capture(stage))
    caption = (
        f"What influences cell (row {row}, column {column}) of the block at {place}, "
        f"{captions.subject(look)}: {render.INFLUENCE:.0%} of it lies within {radius:.0f} px."
    )
    paper = render.receptive_field_overlay(look.image, field, BLOCK, letterbox, through)
    return Figure(paper, caption, {"field": field, "composed_samples": through.samples})


KINDS: dict[str, Callable[..., Figure]] = {
    "boxes": boxes,
    "difference": difference,
    "crops": crops,
    "offsets": offsets,
    "samples": samples,
    "reads": reads,
    "attention": attention,
    "receptive field": receptive_field,
    **one_box.KINDS,
    **changes.KINDS,
}
CAPTIONS: dict[str, Callable[..., str]] = {
    **captions.CAPTIONS,
    **one_box.CAPTIONS,
    **changes.CAPTIONS,
}


def _check(kind: str, arguments: dict[str, Any]) -> None:
    """Refuse arguments whose names or types are not those of the function that draws this kind."""
    names = list(signature(KINDS[kind]).parameters)[1:]
    if sorted(arguments) != sorted(names):
        raise Refused(
            f"Figure {kind}: expected {', '.join(names) or 'no arguments'}; got {', '.join(arguments)!s:.100}."
        )
    checked(KINDS[kind], arguments, f"Figure {kind}, ")


def _found(detections: Detections, before: str = "") -> Arrays:
    names = ("boxes", "scores", "classes", "levels", "cells")
    return {f"{before}{name}": getattr(detections, name) for name in names}


def _both(look: Look) -> Arrays:
    """Detections of both; pairs [N, 2]: D-LKA's index and the baseline's, -1 for none; ious [N]."""
    pairs = [[-1 if i is None else i for i in (p.dlka, p.baseline)] for p in look.comparison.pairs]
    return {
        **_found(look.dlka.detections, "dlka_"),
        **_found(look.baseline.detections, "baseline_"),
        "pairs": np.array(pairs, np.int64).reshape(-1, 2),
        "ious": np.array([p.iou for p in look.comparison.pairs], np.float64),
    }


def _reads(look: Look, view: str, point: tuple[float, float]) -> Arrays:
    """cell [2] (row, column); samples and regular [n, 2] (x, y) in pixels of the picture; zero [n] bool."""
    found = render.reads_at(look.views[view], point, look.dlka.letterbox)
    cell = np.array(found.cell, np.int64)
    return {"cell": cell, "samples": found.samples, "regular": found.regular, "zero": found.zero}


def _check_point(x: float, y: float) -> None:
    """Cells of the padding lie beyond the picture, so that a point may, too."""
    if not (abs(x) < 1e6 and abs(y) < 1e6):
        raise Refused(f"Point: expected pixels of the picture; got ({x:g}, {y:g}).")


def _on_map(offset: np.ndarray, row: int, column: int) -> None:
    rows, columns = offset.shape[1:]
    if not (0 <= row < rows and 0 <= column < columns):
        raise Refused(f"Cell: expected (row, column) on a map of {rows} x {columns}; got ({row}, {column}).")
