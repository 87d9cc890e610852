"""The arithmetic of one tap as a small piece of HTML: from four neighbours to the block's output, in real numbers."""

from __future__ import annotations

import html
from collections.abc import Iterator

import numpy as np

from dlka.analysis.analysis import Analysis, block_values, get_analysis, whole
from dlka.analysis.report import table
from dlka.inference.block_values import TapSum, tap_sum
from dlka.types import Stage


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
    of_all = f"1x1 over {len(told.gate_terms)} channels, + bias"
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
