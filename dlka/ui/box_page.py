"""The parts of the tab "Objects" as HTML: pictures with their words, and tables."""

from __future__ import annotations

import html
from collections.abc import Sequence

from dlka import render
from dlka.analysis import box_figures, condensation
from dlka.analysis.analysis import Analysis
from dlka.analysis.boxes import SIDES, Trace
from dlka.analysis.report import table
from dlka.analysis.stages import NO_STAGES
from dlka.ui import files


def cells_part(analysis: Analysis, traces: Sequence[Trace]) -> str:
    """The chosen box first among the traces: its cells, its samples, and their tables."""
    own, other = traces
    parts = [
        table(box_figures.BOX_COLUMNS, box_figures.box_rows(analysis, traces)),
        _notes(analysis, own, other),
        _figure(box_figures.cells_picture(analysis, traces), "box-cells.jpg"),
    ]
    seen = box_figures.samples_of(analysis, own)
    if seen:
        parts.append(_figure(box_figures.samples_picture(analysis, own, seen), "box-samples.jpg"))
    if seen:
        parts.append(table(box_figures.SAMPLE_COLUMNS, box_figures.sample_rows(own, seen)))
        parts.append(table(box_figures.SHAPE_COLUMNS, box_figures.shape_rows(seen)))
    cells = table(box_figures.CELL_COLUMNS, box_figures.cell_rows(own))
    behind = f"All {len(own.cells) + 1} cells" if len(own.cells) else "The one cell"
    parts.append(f"<details><summary>{behind} behind this box</summary>{cells}</details>")
    return "".join(parts)


def _notes(analysis: Analysis, own: Trace, other: Trace) -> str:
    """What has to be said about whose samples these are, and about a model that found nothing."""
    told = []
    if not analysis.stage_labels:
        told.append(NO_STAGES)
    elif not box_figures.samples_of(analysis, own):
        told.append(f"The D-LKA model has no deform stage on P{own.level}, where this box comes from.")
    elif own.side == "baseline":
        told.append(
            "The baseline does not deform: the samples are those of the D-LKA model at the same cell "
            f"{own.where}, against the baseline's box."
        )
    if not other.found:
        same = (other.level, other.cell) == (own.level, own.cell)
        limit = analysis.settings.confidence
        under = f", under the confidence of {limit:g}" if other.score <= limit else ""
        told.append(
            f"The {SIDES[other.side]} model has no box of this object. Shown is "
            f"{'the same cell' if same else 'its best cell for the class there'}, {other.where}, with a score of "
            f"{other.score:.3f}{under}."
        )
    return "".join(f'<p class="quiet">{html.escape(sentence)}</p>' for sentence in told)


def evidence_part(analysis: Analysis, traces: Sequence[Trace]) -> str:
    """LayerCAM and the gradient on the picture, of both models."""
    drawn, rows = box_figures.evidence(analysis, traces)
    figures = "".join(_figure(canvas, "box-evidence.jpg") for canvas in drawn)
    return f'<div class="box-pair">{figures}</div>{table(box_figures.EVIDENCE_COLUMNS, rows)}'


def tables_part(analysis: Analysis) -> str:
    """What all samples and kernels of the picture come to, in and beside its boxes."""
    if not analysis.stage_labels:
        return ""
    return (
        f"<p>{html.escape(condensation.pooled(analysis))}</p>"
        + table(condensation.BOXES_COLUMNS, condensation.boxes_rows(analysis))
        + table(condensation.SHAPES_COLUMNS, condensation.shapes_rows(analysis))
    )


def chart_part(analysis: Analysis) -> str:
    """Spread against box size, over all boxes; empty without boxes or stages."""
    charted = condensation.chart(analysis)
    if charted is None:
        return ""
    drawn, sentence = charted
    path = files.picture(drawn, "spread.jpg")
    text = f"{condensation.SPREAD}: {sentence}"
    return f'{_image(path, text)}<p class="quiet">{html.escape(text)}</p>'


def condensation_part(analysis: Analysis, label: str | None) -> str:
    """The condensation map of one stage or composed field."""
    if label is None:
        return f'<p class="quiet">{html.escape(NO_STAGES)}</p>'
    return _figure(condensation.condensation(analysis, label), "condensation.jpg")


def _figure(paper: render.Paper, name: str) -> str:
    return _image(files.picture(paper, name), paper.legend_text)


def _image(path: str, text: str) -> str:
    return f'<figure><img src="{files.address(path)}" alt="{html.escape(text)}"></figure>'
