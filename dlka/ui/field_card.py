"""The effective receptive field of one cell, drawn for the probe's page: an image with its text."""

from __future__ import annotations

import html

from dlka import render
from dlka.analysis.analysis import get_analysis, place_label, receptive_field
from dlka.inference.box_gradients import BLOCK
from dlka.ui import files


def field_card(key: str, label: str, row: str, column: str) -> str:
    """HTML for a cell of the block that the stage with this label belongs to, in an analysis that was made before.

    Raises DlkaError.
    """
    analysis = get_analysis(key)
    field, captures, cell = receptive_field(analysis, label, row, column)
    letterbox = analysis.dlka.letterbox
    point = render.cell_centres(captures[-1], letterbox)[cell]
    reads = render.reads_at(captures, (float(point[0]), float(point[1])), letterbox)
    drawn = render.receptive_field_overlay(analysis.image, field, BLOCK, letterbox, reads)
    radius = render.influence_radius(field, BLOCK, letterbox, reads.centre)
    within = f"{render.INFLUENCE:.0%} of its influence lies within {radius:.0f} px of it"
    text = f"{place_label(label, analysis.capture(label))}, cell {cell}: {within}."
    return f'<img src="{files.address(files.picture(drawn, "receptive-field.jpg"))}" alt="{html.escape(text)}">'
