"""Values to colours, and maps of cells laid over a picture with sharp and exact cell edges: gates, receptive fields.

A gate, the attention map of a D-LKA block, is signed and without bounds. The effective receptive field is that of one
cell; the reads of the block's composed field lie on top of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.patches import Circle

from dlka import palette
from dlka.errors import DlkaError
from dlka.inference.letterbox import Letterbox
from dlka.render import geometry, legend
from dlka.render.canvas import WIDTH, Canvas
from dlka.render.geometry import Reads, pixels_per_cell, to_picture
from dlka.render.legend import CELL, SAMPLE, draw_marks
from dlka.render.picture import View, grey
from dlka.types import Capture, Gate


def check_scale(scale: float, unit: str) -> float:
    """The scale itself; ValueError unless it is a positive finite number."""
    if not (np.isfinite(scale) and scale > 0):
        raise DlkaError(f"expected a positive, finite colour scale in {unit}, got {scale}")
    return float(scale)


def sequential(values: np.ndarray, scale: float, name: str = palette.MAGNITUDE_MAP) -> np.ndarray:
    """values [...] from 0 (first colour) to scale (last colour, and beyond) -> [..., 3] uint8; NaN as zero."""
    # Bins of equal width; the tables have 256 colours.
    table = colour_table(name)
    share = np.clip(np.nan_to_num(values, nan=0.0) / scale, 0, 1)
    return table[np.minimum((share * 256).astype(int), 255)]


def diverging(values: np.ndarray, scale: float, name: str) -> np.ndarray:
    """values [...] in -scale..scale (the ends and beyond take the last colours) -> [..., 3] uint8; zero is neutral."""
    # The 256 colours have no middle one: mix between neighbours, so that zero is exactly the neutral colour.
    place = (np.clip(np.nan_to_num(values, nan=0.0) / scale, -1, 1) + 1) * 127.5
    below = np.floor(place).astype(int)
    table = colour_table(name).astype(np.float64)
    mixed = table[below] + (table[np.minimum(below + 1, 255)] - table[below]) * (place - below)[..., None]
    return mixed.round().astype(np.uint8)


def colour_table(name: str) -> np.ndarray:
    """[256, 3] uint8, a matplotlib colour map by name."""
    return (matplotlib.colormaps[name](np.arange(256))[:, :3] * 255).round().astype(np.uint8)


def hex_colours(name: str, count: int) -> list[str]:
    """So many colours of a map from its first to its last, as #rrggbb."""
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in colour_table(name)[np.linspace(0, 255, count).astype(int)]]


def wheel(offset: np.ndarray, scale: float) -> np.ndarray:
    """Offsets [2, ...] (dy, dx) in cells -> [..., 3] uint8: hue by direction, paler towards zero."""
    dy, dx = np.nan_to_num(offset)
    stops = np.array([to_rgb(c) for c in (*palette.FLOW_WHEEL, palette.FLOW_WHEEL[0])])
    turn = np.arctan2(dy, dx) / (2 * np.pi) % 1 * (len(stops) - 1)
    below = np.minimum(np.floor(turn).astype(int), len(stops) - 2)
    hue = stops[below] + (stops[below + 1] - stops[below]) * (turn - below)[..., None]
    length = np.clip(np.hypot(dy, dx) / scale, 0, 1)[..., None]
    return ((hue * length + np.array(to_rgb(palette.FLOW_ZERO)) * (1 - length)) * 255).round().astype(np.uint8)


def map_canvas(
    image: np.ndarray,
    colours: np.ndarray,
    stride: float,
    letterbox: Letterbox,
    opacity: float,
    capture: Capture | None = None,
    view: View | None = None,
    width: int = WIDTH,
) -> Canvas:
    """The grey picture under a map of colours [H, W, 3] uint8, each cell over its own square of letterboxed pixels.

    With a capture the map is that of the stage's output cells, whose step may be larger than one cell. view: the part
    of the picture that is shown, all of it by default.
    """
    geometry.check_picture(image, letterbox)
    canvas = Canvas(grey(image), width, view)
    # (y, x) of the first cell's centre and the distance of neighbours, in cells of the sampled map.
    first, step = (geometry.cell_positions(capture)[:, 0, 0], capture.stage.step) if capture else (np.zeros(2), (1, 1))
    x, y = canvas.columns_and_rows()
    rows = geometry.cells_under(y, colours.shape[0], stride, letterbox, 1, first[0], step[0])
    columns = geometry.cells_under(x, colours.shape[1], stride, letterbox, 0, first[1], step[1])
    canvas.tint(colours, rows, columns, opacity)
    return canvas


# Name -> [C, H, W] to [H, W]. "channel" takes one channel as it is.
REDUCTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "mean": lambda values: values.mean(axis=0),
    "mean abs": lambda values: np.abs(values).mean(axis=0),
    "max abs": lambda values: np.abs(values).max(axis=0),
}
NAMES = {"mean": "mean", "mean abs": "mean of absolute values", "max abs": "largest absolute value"}


def reduce_gate(values: np.ndarray, reduction: str = "mean", channel: int | None = None) -> np.ndarray:
    """Gate values [C, H, W] -> [H, W], by a name from REDUCTIONS or by "channel" with the channel's index."""
    if reduction == "channel":
        if channel is None or not 0 <= channel < len(values):
            raise DlkaError(f'reduction "channel": expected a channel in 0..{len(values) - 1}, got {channel}')
        return values[channel]
    if reduction not in REDUCTIONS:
        raise DlkaError(f"expected a reduction out of {', '.join(REDUCTIONS)} or channel, got {reduction!r:.60}")
    return REDUCTIONS[reduction](values)


def gate_scale(
    gates: Iterable[Gate], reduction: str = "mean", channel: int | None = None, percentile: float = 99
) -> tuple[float, float]:
    """(low, high): one colour scale for several gates together, which covers the reduced values that are there.

    All but the least and the largest hundredth of them, with the percentile as it is; (0, 1) where there are none, and
    a range around it where all are the same.
    """
    values = [reduce_gate(g.values, reduction, channel).ravel() for g in gates]
    pool = np.concatenate(values) if values else np.zeros(0)
    pool = pool[np.isfinite(pool)]
    if not pool.size:
        return 0.0, 1.0
    low, high = (float(value) for value in np.percentile(pool, (100 - percentile, percentile)))
    return (low, high) if high - low > 1e-6 else (low - 0.5, high + 0.5)


def gate_colours(values: np.ndarray, scale: tuple[float, float]) -> np.ndarray:
    """Reduced gate values [...] -> [..., 3] uint8. scale: (low, high); values beyond take the colours of its ends.

    With both signs on the scale colours are centred on zero; with one sign they go from end to end, so that what varies
    is seen.
    """
    low, high = scale
    if low < 0 < high:
        return diverging(values, max(-low, high), palette.GATE_MAP)
    return sequential(np.nan_to_num(values, nan=low) - low, high - low, palette.ONE_SIGN_MAP)


def gate_overlay(
    image: np.ndarray,
    gate: Gate,
    letterbox: Letterbox,
    reduction: str,
    scale: tuple[float, float],
    channel: int | None = None,
    opacity: float = 0.65,
) -> Canvas:
    """The reduced gate in the colours of gate_colours. scale: (low, high), in the gate's own units."""
    low, high = scale
    check_scale(high - low, "the gate's own units")
    expected = geometry.map_size(gate.stride, letterbox)
    if gate.values.shape[1:] != expected:
        raise ValueError(
            f"{gate.block}: expected a gate [C, {expected[0]}, {expected[1]}], got {list(gate.values.shape)}"
        )
    reduced = reduce_gate(gate.values, reduction, channel)
    canvas = map_canvas(image, gate_colours(reduced, scale), gate.stride, letterbox, opacity)
    channels, height, across = gate.values.shape
    what = f"channel {channel}" if reduction == "channel" else f"{NAMES[reduction]} over {channels} channels"
    cell = legend.number(pixels_per_cell(gate.stride, letterbox))
    legend.title(canvas, f"Attention gate, {what}", f"{gate.level} · map {across}x{height} · 1 cell = {cell} px")
    ticks = [f"{value:.2f}" for value in (low, (low + high) / 2, high)]
    legend.colour_bar(canvas, gate_colours(np.linspace(low, high, 255), scale), [ticks])
    least, most = legend.number(reduced.min()), legend.number(reduced.max())
    centred = f" White: {'nothing passes' if reduction == 'channel' else 'zero on average'}." if low < 0 < high else ""
    legend.note(canvas, f"The gate multiplies its input. This map runs from {least} to {most}.{centred}")
    return legend.finish(canvas)


INFLUENCE = 0.9  # share of all of it, for the radius that is told


def influence_radius(field: np.ndarray, patch: float, letterbox: Letterbox, centre: np.ndarray) -> float:
    """Radius in original pixels around a point [2] (x, y) that holds INFLUENCE of a field's sum; 0 where all is zero.

    field [H, W] on patches of so many letterboxed pixels, not negative.
    """
    rows, columns = np.indices(field.shape)
    places = to_picture(np.stack([rows, columns], axis=-1), patch, letterbox)
    distance = np.hypot(*(places - centre).reshape(-1, 2).T)
    # [H * W]: from the point outwards, until the sum has reached its share.
    order = distance.argsort()
    mass = field.ravel()[order].cumsum(dtype=np.float64)
    return float(distance[order][np.searchsorted(mass, INFLUENCE * mass[-1])]) if mass[-1] > 0 else 0.0


def receptive_field_overlay(
    image: np.ndarray, field: np.ndarray, patch: float, letterbox: Letterbox, reads: Reads
) -> Canvas:
    """The field in sequential colours, the square root of its share of the largest value, under the composed reads."""
    largest = float(field.max())
    shares = np.sqrt(field / largest) if largest > 0 else np.zeros_like(field)
    canvas = map_canvas(image, sequential(shares, 1.0), patch, letterbox, 0.75)
    small = 1.8 * canvas.line
    draw_marks(canvas.axes, reads.samples[~reads.zero], SAMPLE._replace(alpha=0.5), small, 0.4 * canvas.line)
    draw_marks(canvas.axes, reads.centre[None], CELL, 1.2 * canvas.font, canvas.line)
    radius = influence_radius(field, patch, letterbox, reads.centre)
    for colour, line in ((palette.RIM, 2.2), (palette.PAPER, 1.0)):
        canvas.axes.add_patch(
            Circle(tuple(reads.centre), radius, fill=False, edgecolor=colour, linewidth=line * canvas.line)
        )
    row, column = reads.cell
    title = f"What changes cell (row {row}, column {column}) of the block at {reads.stage.level}"
    legend.title(canvas, title, "effective receptive field: gradient of its output on this picture")
    colours = sequential(np.linspace(0, 1, 255), 1.0)
    legend.colour_bar(canvas, colours, [["0", "25 %", "100 % of the largest"]])
    legend.key(canvas, [legend.Entry("chosen cell", CELL), legend.Entry("composed reads of the block", SAMPLE)])
    reach = float(np.hypot(*(reads.samples - reads.centre).T).max(initial=0.0))
    legend.note(
        canvas,
        f"{INFLUENCE:.0%} of the influence comes from within {legend.number(radius)} px of the cell (the circle); the "
        f"block itself reads up to {legend.number(reach)} px away. The rest is the work of all layers before it.",
    )
    if largest == 0:
        legend.note(canvas, "No pixel changes this cell.", warn=True)
    return legend.finish(canvas)
