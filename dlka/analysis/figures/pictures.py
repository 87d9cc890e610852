"""Every picture of the page, drawn from an analysis. Scales are shared: between stages, or between both models."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dlka import palette, render
from dlka.analysis.analysis import Analysis, pick
from dlka.analysis.judging import judge_example
from dlka.analysis.pairing import interesting_object, interesting_point
from dlka.errors import DlkaError
from dlka.render import Canvas
from dlka.types import Capture

# Overlay -> what draws it from picture, capture, letterbox, cells of the scale, tap (from 0; None: mean) and opacity.
_DRAW: dict[str, Callable[..., Canvas]] = {
    "Magnitude": render.offset_magnitude,
    "Arrows": render.offset_arrows,
    "Flow colours": render.offset_flow,
    "Sample density": lambda image, capture, box, cells, tap, opacity: render.density_overlay(
        image, [capture], box, opacity=opacity
    ),
}
OVERLAYS = tuple(_DRAW)
SCALES = ("All stages", "This stage")
REDUCTIONS = (*render.REDUCTIONS, "channel")


def boxes(analysis: Analysis, side: str) -> Canvas:
    """All boxes of one model in its accent. side: "dlka" or "baseline"."""
    if side == "dlka":
        found, colour, title = analysis.dlka, palette.DLKA, f"D-LKA: {analysis.settings.dlka}{strength_note(analysis)}"
    else:
        found, colour, title = analysis.baseline, palette.BASELINE, f"Baseline: {analysis.settings.baseline}"
    return render.draw_boxes(analysis.image, found.detections, analysis.names, colour, title)


def both_boxes(analysis: Analysis) -> tuple[np.ndarray, np.ndarray]:
    """(baseline, D-LKA) pictures of equal size with all boxes in each model's accent."""
    first, second = render.same_size(*(boxes(analysis, side).to_array() for side in ("baseline", "dlka")))
    return first, second


def strength_note(analysis: Analysis) -> str:
    """Says it wherever the offsets are not the learned ones."""
    return "" if analysis.settings.strength == 1 else f", offsets x {analysis.settings.strength:g}"


def crops_of(analysis: Analysis) -> list[render.Crop]:
    """The small objects that only one model found, smallest first."""
    return render.disagreements(analysis.pairing, analysis.names)


def offset_overlay(analysis: Analysis, stage: str, kind: str, tap: int, opacity: float, scale: str | float) -> Canvas:
    """One stage's offset field. tap: 0 for the mean over taps, else the tap's number from 1, row-major. scale: "All
    stages" (one scale for all, so that they can be compared), "This stage", or a number of cells."""
    capture = analysis.capture(stage)
    if not 0 <= tap <= capture.stage.taps:
        raise DlkaError(f"Tap: expected 0 (mean) to {capture.stage.taps} for {stage}; got {tap}.")
    _check_opacity(opacity)
    draw, number = pick("Overlay", _DRAW, kind), tap - 1 if tap else None
    cells = scale_cells(analysis, capture, scale, number, kind == "Magnitude")
    return draw(analysis.image, capture, analysis.dlka.letterbox, cells, number, opacity)


def _check_opacity(opacity: float) -> None:
    if not 0 < opacity <= 1:
        raise DlkaError(f"Opacity: expected above 0 up to 1; got {opacity:g}.")


def scale_cells(analysis: Analysis, capture: Capture, scale: str | float, tap: int | None, of_magnitude: bool) -> float:
    if isinstance(scale, int | float):
        if not 1e-6 <= scale <= 100:
            raise DlkaError(f"Scale: expected 0.000001 to 100 cells; got {scale:g}.")
        return float(scale)
    if scale not in SCALES:
        raise DlkaError(f"Scale: expected one of {', '.join(SCALES)} or a number of cells; got {scale!r:.60}.")
    group = [capture]
    if scale == "All stages":
        group = [c for c in analysis.dlka.captures if tap is None or tap < c.stage.taps]
    return render.field_scale(group, tap, of_magnitude=of_magnitude)


def default_point(analysis: Analysis) -> tuple[float, float]:
    """Where to look first, (x, y): the middle of default_object, without any the picture's own."""
    return interesting_point(analysis.pairing, analysis.image.shape[:2], _hit_by_both(analysis))


def default_object(analysis: Analysis) -> int | None:
    """Which pair to look at first: pairing.interesting_object, where labels are there among those that both hit."""
    return interesting_object(analysis.pairing, analysis.image.shape[:2], _hit_by_both(analysis))


def _hit_by_both(analysis: Analysis) -> list[int]:
    judged = judge_example(analysis)
    if judged is None:
        return []
    dlka, baseline = (side.object_of for side in judged[1])
    both = [(n, p.first, p.second) for n, p in enumerate(analysis.pairing.pairs)]
    return [n for n, i, j in both if i is not None and j is not None and dlka[i] >= 0 and baseline[j] >= 0]


def gate_overlay(analysis: Analysis, block: str, reduction: str, channel: int, opacity: float) -> Canvas:
    """One block's attention map. reduction: one of REDUCTIONS; channel: from 0, used where reduction is "channel"."""
    gate = analysis.gate(block)
    if reduction not in REDUCTIONS:
        raise DlkaError(f"Reduction: expected one of {', '.join(REDUCTIONS)}; got {reduction!r:.60}.")
    if reduction == "channel" and not 0 <= channel < len(gate.values):
        raise DlkaError(f"Channel: expected 0 to {len(gate.values) - 1} for {block}; got {channel}.")
    _check_opacity(opacity)
    number = channel if reduction == "channel" else None
    scale = render.gate_scale([gate] if number is not None else analysis.dlka.gates, reduction, number)
    return render.gate_overlay(analysis.image, gate, analysis.dlka.letterbox, reduction, scale, number, opacity)
