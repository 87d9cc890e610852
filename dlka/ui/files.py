"""Files that the page hands out: pictures and downloads."""

from __future__ import annotations

import numpy as np

from dlka import render
from dlka.analysis import recipes, report
from dlka.analysis.analysis import Analysis
from dlka.analysis.figures.base import Drawing, Figure
from dlka.analysis.figures.views import Difference, summary
from dlka.analysis.see import canvas_value
from dlka.csv_text import csv_text
from dlka.temporary import write


def address(path: str) -> str:
    """Where the page's server hands out a file, relative to the page."""
    return f"gradio_api/file={path}"


def see_value(analysis: Analysis, point: tuple[float, float], kept: bool = False) -> str:
    """The canvas's value as of `canvas_value`, its files beside it; kept: as in `temporary.write`."""
    return canvas_value(analysis, point, lambda content, name: address(write(content, name, kept)))


def picture(paper: Drawing | np.ndarray, name: str = "picture.jpg", kept: bool = False) -> str:
    """A drawing, or pixels [H, W, 3] uint8, as a JPEG file for the page; kept: as in `temporary.write`."""
    return write(render.jpeg(_pixels(paper)), name, kept)


def png(paper: Drawing | np.ndarray, name: str = "picture.png") -> str:
    """The same as a PNG file to take along, every pixel as it is."""
    return write(render.png(_pixels(paper)), name)


def _pixels(paper: Drawing | np.ndarray) -> np.ndarray:
    return paper if isinstance(paper, np.ndarray) else paper.to_array()


def downloads(analysis: Analysis) -> list[str]:
    """All about an analysis: objects and stages as CSV, the report as JSON, offsets and gates as NPZ, two figures.

    Those are the difference, and the first stage's offsets where there are any: drawing, numbers, caption, recipe.
    """
    made = [
        write(_csv(report.OBJECT_COLUMNS, report.object_rows(analysis)), "objects.csv"),
        write(_csv(report.STAGE_COLUMNS, report.stage_rows(analysis)), "stages.csv"),
        write(report.report_text(analysis).encode(), "report.json"),
        write(_arrays(analysis), "offsets-and-gates.npz"),
    ]
    shown: list[Figure] = [Difference()]
    if analysis.stage_labels:
        shown.append(summary(analysis))
    for figure in shown:
        drawn = figure.drawn(analysis)
        recipe = recipes.recipe_of(analysis, figure, drawn)
        made += [write(data, f"{figure.name}.{form}") for form, data in recipes.files(drawn, recipe).items()]
    return made


def _csv(columns: list[str], rows: list[list[object]]) -> bytes:
    return csv_text([columns, *rows]).encode("utf-8-sig")


def _arrays(analysis: Analysis) -> bytes:
    """offset/STAGE [2K, H, W] in cells, interleaved dy, dx; gate/BLOCK [C, H, W]."""
    arrays = {f"offset/{c.stage.name}": c.offset for c in analysis.dlka.captures}
    return recipes.npz(arrays | {f"gate/{g.block}": g.values for g in analysis.dlka.gates})
