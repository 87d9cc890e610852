"""Numbers of an analysis as small pieces of HTML and as rows for tables and files; and the arithmetic of one tap."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np

import dlka
from dlka import palette, render
from dlka.analysis import model_words
from dlka.analysis.analysis import Analysis, block_values, get_analysis, whole
from dlka.analysis.pairing import rows, summary
from dlka.inference.block_values import tap_sum
from dlka.inference.predictor import load_predictor
from dlka.types import BOTH, CLASS_CHANGED, KIND_NAMES, ONLY_FIRST, ONLY_SECOND, SIZES, Pair, count_pairs

OBJECT_COLUMNS = ["size", "area px", "object", "found by", "D-LKA score", "baseline score", "change", "D-LKA cell"]
COST_COLUMNS = ["cost", "D-LKA", "baseline"]
CARD = ("placement", "offsets", "scale", "data", "licence", "seed", "versions", "metrics")  # told in a report
GATE_COLUMNS = ["gate of block", "map", "least", "mean", "most", "cells below 0"]
TILE = 32  # pixels; the models' largest stride
STAGE_COLUMNS = ["stage", "map", "mean px", "95 % px", "max px", "mean cells", "moved", "varies", "outside"]


def chip(text: str, colour: str, title: str = "") -> str:
    """A small coloured mark with text beside it; title: what is told where a pointer rests on it."""
    told = f' title="{html.escape(title)}"' if title else ""
    return f'<span class="chip"{told}><i style="background:{colour}"></i>{html.escape(text)}</span>'


def table(columns: list[str], rows: list[list[Any]]) -> str:
    """A table that scrolls sideways by itself where the window is narrow."""
    head = "".join(f'<th scope="col">{html.escape(column)}</th>' for column in columns)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(str(value))}</td>" for value in row) + "</tr>" for row in rows)
    return f'<div class="sheet"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def headline(analysis: Analysis) -> str:
    """One sentence on what the two models found, and a table by size."""
    pairs, model = analysis.pairing.pairs, html.escape(analysis.settings.dlka)
    if analysis.alone:
        return f'<div class="headline"><p><b>{model}</b>, looked at alone, found <b>{len(pairs)}</b>.</p></div>'
    return found_by_size(pairs)


def found_by_size(pairs: Sequence[Pair]) -> str:
    """The same, for the pairs of one picture or of many."""
    sentence = "Neither model found what it knows at this confidence. Lower it, or try a larger input size."
    if pairs:
        sentence = f"Both show <b>{count_pairs(pairs, BOTH) + count_pairs(pairs, CLASS_CHANGED)}</b>."
        for side, name, kind in (("dlka", "D-LKA", ONLY_FIRST), ("baseline", "baseline", ONLY_SECOND)):
            only = f'<b style="color:var(--{side})">Only {name}: {count_pairs(pairs, kind)}</b>'
            sentence += f" {only} ({count_pairs(pairs, kind, 'S')} small)."
    rows = "<tr><th>px of the picture</th><th>S, under 32²</th><th>M, under 96²</th><th>L, above</th></tr>"
    for kind, name in KIND_NAMES.items():
        cells = "".join(f"<td>{count_pairs(pairs, kind, size)}</td>" for size in SIZES)
        rows += f"<tr><th>{chip(name, palette.KIND_COLOURS[kind])}</th>{cells}</tr>"
    return f'<div class="headline"><p>{sentence}</p><table>{rows}</table></div>'


def object_rows(analysis: Analysis) -> list[list[Any]]:
    """One row per object, smallest first, under OBJECT_COLUMNS."""
    table = []
    for row in rows(analysis.pairing, analysis.names):
        cell = f"{row['dlka_level']} ({row['dlka_cell'][0]}, {row['dlka_cell'][1]})" if row["dlka_cell"] else "-"
        scores = [f"{row[side]:.2f}" if row[side] is not None else "-" for side in ("dlka_score", "baseline_score")]
        found = [row["size"], round(row["area"]), row["class"], row["kind"]]
        table.append([*found, *scores, f"{row['score_change']:+.2f}", cell])
    return table


def stage_rows(analysis: Analysis) -> list[list[Any]]:
    """One row per deform stage under STAGE_COLUMNS."""
    table = []
    for label, s in zip(analysis.stage_labels, analysis.stats):
        lengths = [*(round(px, 2) for px in (s.mean_px, s.p95_px, s.maximum_px)), round(s.mean, 3)]
        outside = f"{s.outside:.0%} (regular {s.regular_outside:.0%})"
        table.append([label, f"{s.cells[1]} x {s.cells[0]}", *lengths, f"{s.moved:.0%}", round(s.varies, 3), outside])
    return table


def gate_rows(analysis: Analysis) -> list[list[Any]]:
    """One row per D-LKA block under GATE_COLUMNS, of the mean over channels."""
    table = []
    for label in analysis.gate_labels:
        reduced = render.reduce_gate(analysis.gate(label).values, "mean")
        low, mean, high = (f"{float(v):.3f}" for v in (reduced.min(), reduced.mean(), reduced.max()))
        size = f"{reduced.shape[1]} x {reduced.shape[0]}"
        table.append([label, size, low, mean, high, f"{float((reduced < 0).mean()):.0%}"])
    return table


def cost_rows(analysis: Analysis) -> list[list[Any]]:
    """Input and parameters of both models, and multiply-adds at this input by part, under COST_COLUMNS."""
    models = analysis.settings.dlka, analysis.settings.baseline
    padded = [side.letterbox.padded for side in (analysis.dlka, analysis.baseline)]
    counted = [multiply_adds(model, size) for model, size in zip(models, padded)]
    return [
        ["model", *models],
        [f"input, px, on {analysis.dlka.device}", *(f"{width} x {height}" for height, width in padded)],
        ["parameters", *(f"{load_predictor(model)[0].parameters:,}" for model in models)],
        *([f"G multiply-adds, {part}", *(f"{count[part] / 1e9:.2f}" for count in counted)] for part in counted[0]),
    ]


def multiply_adds(model: str, size: tuple[int, int]) -> dict[str, int]:
    """Multiply-adds of a model by part and in total for an input of (height, width) pixels, multiples of 32.

    Counting runs the model, so it is done once, for one tile of 32 x 32 pixels: the nets are convolutions throughout,
    and their work is in proportion to the pixels.
    """
    tiles = (size[0] // TILE) * (size[1] // TILE)
    return {part: tiles * count for part, count in _tile_cost(model).items()}


@lru_cache(maxsize=16)
def _tile_cost(model: str) -> dict[str, int]:
    return load_predictor(model)[0].multiply_adds((TILE, TILE))


def badge(analysis: Analysis) -> str:
    """Whether the D-LKA model uses its offsets, as its card says: a word, and behind it the figures."""
    if not analysis.stage_labels:
        return '<div class="badges">This model has no deform stages.</div>'
    word, why = model_words.offsets_in_use(analysis.settings.dlka, analysis.cards[0])
    mark = chip(f"Offsets: {word}", palette.USE_COLOURS[word], why)
    return f'<div class="badges">{mark}<span class="quiet">{html.escape(why)}</span></div>'


def report(analysis: Analysis) -> dict[str, Any]:
    """Everything in numbers, JSON-ready: settings, weights, objects, stages, versions."""
    told = [{name: getattr(card, name) for name in CARD} | {"classes": len(card.names)} for card in analysis.cards]
    return {
        "settings": vars(analysis.settings),
        "picture": dict(zip(("height", "width"), analysis.image.shape)),
        "device": analysis.dlka.device,
        "models": dict(zip(("dlka", "baseline"), told)),
        "offsets": dict(zip(("use", "why"), model_words.offsets_in_use(analysis.settings.dlka, analysis.cards[0]))),
        "summary": summary(analysis.pairing.pairs),
        "objects": rows(analysis.pairing, analysis.names),
        "stages": [asdict(s) for s in analysis.stats],
        "milliseconds": {"dlka": analysis.dlka.milliseconds, "baseline": analysis.baseline.milliseconds},
        "version": dlka.__version__,
    }


def report_text(analysis: Analysis) -> str:
    """The report as JSON text."""
    return json.dumps(report(analysis), indent=1)


def tap_card(key: str, label: str, row: str, column: str, channel: str, tap: str) -> str:
    """HTML for a cell of the stage with this label, in an analysis that was made before.

    channel: from 0; tap: from 1, row by row; empty: the channel that passes most through its gate there, and the
    tap that adds most in it. Raises DlkaError.
    """
    analysis = get_analysis(key)
    stage = analysis.capture(label).stage
    values = block_values(key, stage.block)
    channels, rows, columns = values.gate.shape
    cell = whole(row, "Row", 0, rows - 1), whole(column, "Column", 0, columns - 1)
    passed = np.abs(values.gate * values.gated)[:, cell[0], cell[1]]
    number = whole(channel, "Channel", 0, channels - 1) if channel else int(passed.argmax())
    products = tap_sum(values, stage, cell, number, 0).products
    chosen = whole(tap, "Tap", 1, stage.taps) - 1 if tap else int(np.abs(products).argmax())
    told = tap_sum(values, stage, cell, number, chosen)
    where = f"cell {cell}, channel {number}, tap {told.tap + 1} of {stage.taps}"
    reads = "it reads the map at row {:.3f}, column {:.3f}, between four cells".format(*told.place)
    corners = [[f"({r}, {c})", f"{share:.4f}", _figure(v), _figure(share * v)] for r, c, share, v in told.corners]
    corners.append(["sum: read", "", "", _figure(told.read)])
    of_all = f"1x1 over {told.channels} channels, + bias"
    steps = [
        [f"read {_figure(told.read)} x weight {_figure(told.weight)}", _figure(told.weight * told.read), ""],
        [f"sum over {stage.taps} taps", _figure(told.stage), _figure(told.stage_network)],
        [f"gate, from the last stage: {of_all}", _figure(told.gate), _figure(told.gate_network)],
        [f"gate x what it multiplies, {_figure(told.gated)}", _figure(told.product), ""],
        [f"what the block adds: {of_all}", _figure(told.added), ""],
        [f"+ the block's input, {_figure(told.input)}", _figure(told.output), _figure(told.output_network)],
    ]
    card = f"<p><b>{html.escape(label)}</b>, {where}: {reads}.</p>"
    card += table(["neighbour", "share", "value", "share x value"], corners)
    card += table(["step", "sum", "in the network"], steps)
    last = [c.stage for c in analysis.dlka.captures if c.stage.block == stage.block][-1]
    read = f"<p>The sum over its taps is one of the numbers that {last.label} reads.</p>"
    return card + (read if stage != last else "")


def _figure(value: float) -> str:
    return f"{round(value, 6) + 0.0:+.6f}"  # no negative zero
