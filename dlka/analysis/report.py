"""Numbers of an analysis as small pieces of HTML and as rows for tables and files; and the arithmetic of one tap."""

from __future__ import annotations

import html
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import lru_cache
from typing import Any

import numpy as np

import dlka
from dlka import palette, render
from dlka.analysis import model_words
from dlka.analysis.analysis import Analysis, block_values, get_analysis, whole
from dlka.analysis.pairing import rows, summary
from dlka.inference.block_values import TapSum, tap_sum
from dlka.inference.predictor import load_predictor
from dlka.types import BOTH, CLASS_CHANGED, KIND_NAMES, KINDS, ONLY_FIRST, ONLY_SECOND, SIZES, Pair, Stage, count_pairs

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
    if analysis.alone:
        model, number = html.escape(analysis.settings.dlka), len(analysis.pairing.pairs)
        told = f"<b>{model}</b>, looked at alone, found <b>{number}</b>."
        return f'<div class="headline"><p>{told}</p></div>'
    return found(analysis.pairing.pairs)


def found(pairs: Sequence[Pair]) -> str:
    """The same, for the pairs of one picture or of many."""
    kinds = {kind: count_pairs(pairs, kind) for kind in KINDS}
    if not pairs:
        sentence = "Neither model found what it knows at this confidence. Lower it, or try a larger input size."
    else:
        small = {kind: count_pairs(pairs, kind, "S") for kind in KINDS}
        sentence = (
            f"Both show <b>{kinds[BOTH] + kinds[CLASS_CHANGED]}</b>. "
            f'<b style="color:var(--dlka)">Only D-LKA: {kinds[ONLY_FIRST]}</b> ({small[ONLY_FIRST]} small). '
            f'<b style="color:var(--baseline)">Only baseline: {kinds[ONLY_SECOND]}</b> '
            f"({small[ONLY_SECOND]} small)."
        )
    bins = {"S": "S, under 32²", "M": "M, under 96²", "L": "L, above"}
    header = "".join(f"<th>{bins[size]}</th>" for size in SIZES)
    body = "".join(
        f"<tr><th>{chip(name, palette.KIND_COLOURS[kind])}</th>"
        + "".join(f"<td>{count_pairs(pairs, kind, size)}</td>" for size in SIZES)
        + "</tr>"
        for kind, name in KIND_NAMES.items()
    )
    return (
        f'<div class="headline"><p>{sentence}</p><table><tr><th>px of the picture</th>{header}</tr>{body}</table></div>'
    )


def object_rows(analysis: Analysis) -> list[list[Any]]:
    """One row per object, smallest first, under OBJECT_COLUMNS."""
    table = []
    for row in rows(analysis.pairing, analysis.names):
        cell = f"{row['dlka_level']} ({row['dlka_cell'][0]}, {row['dlka_cell'][1]})" if row["dlka_cell"] else "-"
        scores = [f"{row[side]:.2f}" if row[side] is not None else "-" for side in ("dlka_score", "baseline_score")]
        table.append(
            [row["size"], round(row["area"]), row["class"], row["kind"], *scores, f"{row['score_change']:+.2f}", cell]
        )
    return table


def stage_rows(analysis: Analysis) -> list[list[Any]]:
    """One row per deform stage under STAGE_COLUMNS."""
    return [
        [
            label,
            f"{s.cells[1]} x {s.cells[0]}",
            round(s.mean_px, 2),
            round(s.p95_px, 2),
            round(s.maximum_px, 2),
            round(s.mean, 3),
            f"{s.moved:.0%}",
            round(s.varies, 3),
            f"{s.outside:.0%} (regular {s.regular_outside:.0%})",
        ]
        for label, s in zip(analysis.stage_labels, analysis.stats)
    ]


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
    sides = [(analysis.dlka, analysis.settings.dlka), (analysis.baseline, analysis.settings.baseline)]
    predictors = [load_predictor(model)[0] for _, model in sides]
    counted = [multiply_adds(model, side.letterbox.padded) for side, model in sides]
    table: list[list[Any]] = [["model", analysis.settings.dlka, analysis.settings.baseline]]
    sizes = [f"{width} x {height}" for height, width in (side.letterbox.padded for side, _ in sides)]
    table.append([f"input, px, on {analysis.dlka.device}", *sizes])
    table.append(["parameters", *(f"{predictor.parameters:,}" for predictor in predictors)])
    table.extend(
        [f"G multiply-adds, {part}", *(f"{count[part] / 1e9:.2f}" for count in counted)] for part in counted[0]
    )
    return table


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
    return {
        "settings": analysis.settings.__dict__,
        "picture": {"height": analysis.image.shape[0], "width": analysis.image.shape[1]},
        "device": analysis.dlka.device,
        "models": {
            side: {name: getattr(card, name) for name in CARD} | {"classes": len(card.names)}
            for side, card in zip(("dlka", "baseline"), analysis.cards)
        },
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
    return "".join(_parts(analysis, label, stage, cell, number, told))


def _parts(
    analysis: Analysis, label: str, stage: Stage, cell: tuple[int, int], channel: int, told: TapSum
) -> Iterator[str]:
    y, x = told.place
    where = f"cell ({cell[0]}, {cell[1]}), channel {channel}, tap {told.tap + 1} of {stage.taps}"
    reads = f"it reads the map at row {y:.3f}, column {x:.3f}, between four cells"
    yield f"<p><b>{html.escape(label)}</b>, {where}: {reads}.</p>"
    corners = [[f"({r}, {c})", f"{share:.4f}", _figure(v), _figure(share * v)] for r, c, share, v in told.corners]
    yield table(["neighbour", "share", "value", "share x value"], [*corners, ["sum: read", "", "", _figure(told.read)]])
    last = [c.stage for c in analysis.dlka.captures if c.stage.block == stage.block][-1]
    of_all = f"1x1 over {told.channels} channels, + bias"
    yield table(
        ["step", "sum", "in the network"],
        [
            [f"read {_figure(told.read)} x weight {_figure(told.weight)}", _figure(told.weight * told.read), ""],
            [f"sum over {stage.taps} taps", _figure(told.stage), _figure(told.stage_network)],
            [f"gate, from the last stage: {of_all}", _figure(told.gate), _figure(told.gate_network)],
            [f"gate x what it multiplies, {_figure(told.gated)}", _figure(told.product), ""],
            [f"what the block adds: {of_all}", _figure(told.added), ""],
            [f"+ the block's input, {_figure(told.input)}", _figure(told.output), _figure(told.output_network)],
        ],
    )
    if stage != last:
        yield f"<p>The sum over its taps is one of the numbers that {last.label} reads.</p>"


def _figure(value: float) -> str:
    return f"{round(value, 6) + 0.0:+.6f}"  # no negative zero
