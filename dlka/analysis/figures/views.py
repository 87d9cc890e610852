"""Figures of one analysis: boxes of both models, and where the D-LKA model reads and what its gates let through."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlka import render
from dlka.analysis.analysis import Analysis, pick, place_label, receptive_field
from dlka.analysis.boxes import SIDES, prediction
from dlka.analysis.figures import base, pictures
from dlka.analysis.figures.base import Arrays, Drawing, Figure
from dlka.errors import DlkaError
from dlka.inference.box_gradients import BLOCK
from dlka.render.geometry import Reads as ReadsAt
from dlka.render.legend import cells_and_pixels, number
from dlka.types import KIND_NAMES, SIZES, Capture, size_of

FEW = 6  # objects that are named one by one


@dataclass(frozen=True)
class Boxes(Figure, name="boxes"):
    """One model's boxes. side: "dlka" or "baseline"."""

    side: str

    def draw(self, analysis: Analysis) -> Drawing:
        base.one_of("Side", self.side, SIDES)
        return pictures.boxes(analysis, self.side)

    def caption(self, analysis: Analysis) -> str:
        sizes = [size_of(float(area)) for area in prediction(analysis, self.side).detections.areas]
        counts = ", ".join(f"{size} {sizes.count(size)}" for size in SIZES)
        least = f"{len(sizes)} of confidence {analysis.settings.confidence:g} or more"
        return f"Boxes of the {base.model_and_picture(analysis, self.side)}: {least} ({counts})."

    def arrays(self, analysis: Analysis) -> Arrays:
        return base.found_arrays(prediction(analysis, self.side).detections)


@dataclass(frozen=True)
class Difference(Figure, name="difference"):
    """What only one of the two found."""

    def draw(self, analysis: Analysis) -> Drawing:
        return render.draw_difference(analysis.image, analysis.pairing, analysis.names)

    def caption(self, analysis: Analysis) -> str:
        count = analysis.pairing.count
        kinds = "; ".join(f"{name} {count(kind)} ({count(kind, 'S')} small)" for kind, name in KIND_NAMES.items())
        return f"Objects found by {base.subject(analysis)}, against the baseline {analysis.settings.baseline}: {kinds}."

    def arrays(self, analysis: Analysis) -> Arrays:
        """Detections of both; pairs: D-LKA's index and the baseline's."""
        return {
            **base.found_arrays(analysis.dlka.detections, "dlka_"),
            **base.found_arrays(analysis.baseline.detections, "baseline_"),
            **base.pair_arrays(analysis.pairing),
        }


@dataclass(frozen=True)
class Crops(Figure, name="crops"):
    """Close-ups of the small objects that only one model found."""

    def draw(self, analysis: Analysis) -> Drawing:
        return render.contact_sheet(analysis.image, pictures.crops_of(analysis))

    def caption(self, analysis: Analysis) -> str:
        found = pictures.crops_of(analysis)
        named = ", ".join(crop.caption for crop in found[:FEW]) + (", ..." if len(found) > FEW else "")
        what = f"Close-ups of {len(found)} small objects that only one model found"
        return f"{what}, {base.subject(analysis)}: {named or 'none'}."

    def arrays(self, analysis: Analysis) -> Arrays:
        shown = np.array([crop.box for crop in pictures.crops_of(analysis)], np.float32).reshape(-1, 4)
        return {"shown_boxes": shown} | Difference().arrays(analysis)


@dataclass(frozen=True)
class Offsets(Figure, name="offsets"):
    """One stage's offset field, as in pictures.offset_overlay; (x, y), pixels of the picture: a point to mark."""

    stage: str
    overlay: str
    tap: int
    opacity: float
    scale: str | float
    x: float | None
    y: float | None

    @property
    def point(self) -> tuple[float, float] | None:
        """The point, where there is one. Raises DlkaError."""
        return None if self.x is None or self.y is None else _point(self.x, self.y)

    def draw(self, analysis: Analysis) -> Drawing:
        paper = pictures.offset_overlay(analysis, self.stage, self.overlay, self.tap, self.opacity, self.scale)
        if self.point is not None:
            render.mark_point(paper, self.point)
        return paper

    def caption(self, analysis: Analysis) -> str:
        stats = analysis.stats[analysis.stage_labels.index(self.stage)]
        of = f"mean over {analysis.capture(self.stage).stage.taps} taps" if not self.tap else f"tap {self.tap}"
        if self.overlay == "Sample density":
            of = "all samples against the regular grid"
        mean = f"{number(stats.mean)} cells = {number(stats.mean_px)} px on average"
        most = f"{number(stats.maximum)} cells = {number(stats.maximum_px)} px at most"
        said = (
            f"{self.overlay} of the offsets of {self.stage}, {of}, {base.subject(analysis)}: all taps of all cells are"
        )
        said = f"{said} moved by {mean}, by {most}."
        return said if self.point is None else f"{said} {_moved(analysis, self.stage, self.point)}."

    def arrays(self, analysis: Analysis) -> Arrays:
        capture, number = analysis.capture(self.stage), self.tap - 1 if self.tap else None
        arrays = {"offset": capture.offset}
        if self.overlay == "Sample density":
            arrays["samples"], arrays["regular"] = render.sample_density([capture], analysis.dlka.letterbox)
        elif self.overlay == "Magnitude":
            arrays["magnitude"] = render.magnitude(capture, number)
        else:
            arrays["mean_offset"] = render.mean_offset(capture, number)
        return arrays if self.point is None else arrays | _read_arrays(analysis, self.stage, self.point)


@dataclass(frozen=True)
class Samples(Figure, name="samples"):
    """Where every stage reads for the cell at a point (x, y), pixels of the picture, and both stages of each block
    composed."""

    x: float
    y: float

    def draw(self, analysis: Analysis) -> Drawing:
        captures, letterbox = analysis.dlka.captures, analysis.dlka.letterbox
        return render.draw_samples_grid(analysis.image, captures, letterbox, _point(self.x, self.y))

    def caption(self, analysis: Analysis) -> str:
        told = "; ".join(_moved(analysis, stage, (self.x, self.y)) for stage in analysis.stage_labels)
        point = f"({self.x:.0f}, {self.y:.0f})"
        return f"Where every deform stage reads for the point {point}, {base.subject(analysis)}. {told}."

    def arrays(self, analysis: Analysis) -> Arrays:
        every = {view: _read_arrays(analysis, view, (self.x, self.y)) for view in analysis.views}
        return {f"{view}/{name}": value for view, read in every.items() for name, value in read.items()}


@dataclass(frozen=True)
class Reads(Figure, name="reads"):
    """What one cell of a stage, or of both stages of a block composed, reads."""

    view: str
    row: int
    column: int

    def draw(self, analysis: Analysis) -> Drawing:
        shown, point = self._at(analysis)
        return render.draw_samples(analysis.image, shown, analysis.dlka.letterbox, point)

    def caption(self, analysis: Analysis) -> str:
        return f"Reads of {base.subject(analysis)}. {_moved(analysis, self.view, self._at(analysis)[1])}."

    def arrays(self, analysis: Analysis) -> Arrays:
        shown, point = self._at(analysis)
        arrays = _read_arrays(analysis, self.view, point)
        if len(shown) == 1:
            arrays["offset"] = shown[0].offset[:, self.row, self.column]
            arrays["tap_weights"] = analysis.tap_weights[shown[0].stage.name]
        return arrays

    def _at(self, analysis: Analysis) -> tuple[list[Capture], tuple[float, float]]:
        """What is read, and the middle of the cell (x, y) in pixels of the picture."""
        shown = pick("Stage", analysis.views, self.view, "none in this model")
        rows, columns = shown[-1].offset.shape[1:]
        if not (0 <= self.row < rows and 0 <= self.column < columns):
            wanted = f"expected (row, column) on a map of {rows} x {columns}"
            raise DlkaError(f"Cell: {wanted}; got ({self.row}, {self.column}).")
        x, y = map(float, render.cell_centres(shown[-1], analysis.dlka.letterbox)[self.row, self.column])
        return shown, (x, y)


@dataclass(frozen=True)
class Attention(Figure, name="attention"):
    """One block's attention map, as in pictures.gate_overlay."""

    block: str
    reduction: str
    channel: int
    opacity: float

    def draw(self, analysis: Analysis) -> Drawing:
        return pictures.gate_overlay(analysis, self.block, self.reduction, self.channel, self.opacity)

    def caption(self, analysis: Analysis) -> str:
        values, reduced = (self.arrays(analysis)[name] for name in ("gate", "map"))
        of = f"{self.reduction} over {len(values)} channels"
        if self.reduction == "channel":
            of = f"channel {self.channel}"
        low, mean, high = (number(float(v)) for v in (reduced.min(), reduced.mean(), reduced.max()))
        return (
            f"Attention gate of block {self.block}, {of}, {base.subject(analysis)}: from {low} to {high}, mean {mean}."
        )

    def arrays(self, analysis: Analysis) -> Arrays:
        gate = analysis.gate(self.block).values
        channel = self.channel if self.reduction == "channel" else None
        return {"gate": gate, "map": render.reduce_gate(gate, self.reduction, channel)}


@dataclass(frozen=True)
class ReceptiveField(Figure, name="receptive field"):
    """The effective receptive field of a cell of the block that a stage belongs to: the model runs once more."""

    stage: str
    row: int
    column: int

    def draw(self, analysis: Analysis) -> Drawing:
        field, through = self._seen(analysis)
        return render.receptive_field_overlay(analysis.image, field, BLOCK, analysis.dlka.letterbox, through)

    def caption(self, analysis: Analysis) -> str:
        field, through = self._seen(analysis)
        radius = render.influence_radius(field, BLOCK, analysis.dlka.letterbox, through.centre)
        cell = f"cell (row {self.row}, column {self.column})"
        place = f"the block at {place_label(self.stage, analysis.capture(self.stage))}, {base.subject(analysis)}"
        return f"What influences {cell} of {place}: {render.INFLUENCE:.0%} of it lies within {radius:.0f} px."

    def arrays(self, analysis: Analysis) -> Arrays:
        field, through = self._seen(analysis)
        return {"field": field, "composed_samples": through.samples}

    def _seen(self, analysis: Analysis) -> tuple[np.ndarray, ReadsAt]:
        field, block, cell = receptive_field(analysis, self.stage, str(self.row), str(self.column))
        return field, render.reads_of(block, cell, analysis.dlka.letterbox)


def summary(analysis: Analysis) -> Offsets:
    """Which offset field stands for an analysis among its downloads."""
    return Offsets(analysis.stage_labels[0], pictures.OVERLAYS[0], 0, 0.7, pictures.SCALES[0], None, None)


FIGURES: tuple[type[Figure], ...] = (Boxes, Difference, Crops, Offsets, Samples, Reads, Attention, ReceptiveField)


def _read_arrays(analysis: Analysis, view: str, point: tuple[float, float]) -> Arrays:
    return base.read_arrays(render.reads_at(analysis.views[view], point, analysis.dlka.letterbox))


def _point(x: float, y: float) -> tuple[float, float]:
    """Cells of the padding lie beyond the picture, so that a point may, too."""
    if not (abs(x) < 1e6 and abs(y) < 1e6):
        raise DlkaError(f"Point: expected pixels of the picture; got ({x:g}, {y:g}).")
    return x, y


def _moved(analysis: Analysis, view: str, point: tuple[float, float]) -> str:
    """Which cell of a stage or of a composed view is at a point, and how far its taps are moved."""
    found = render.reads_at(analysis.views[view], point, analysis.dlka.letterbox)
    where = f"{view}, cell (row {found.cell[0]}, column {found.cell[1]}):"
    outside = f", {found.zeros} outside the map" if found.zeros else ""
    if found.composed:
        return f"{where} {len(found.samples) + found.lost} paths{outside}"
    moved = np.hypot(*(found.samples - found.regular).T) / found.per_cell
    mean, most = (cells_and_pixels(float(v), found.per_cell) for v in (moved.mean(), moved.max()))
    return f"{where} {len(moved)} taps moved by {mean} on average, by {most} at most{outside}"
