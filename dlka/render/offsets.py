"""The offset field of one deform stage over its picture: arrows, wheel colours, magnitude.

Every scale is in feature-map cells and chosen outside, so that pictures side by side mean the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from dlka import palette
from dlka.errors import DlkaError
from dlka.inference.letterbox import Letterbox
from dlka.ops.sampling import split_offset
from dlka.render import legend
from dlka.render.canvas import Canvas
from dlka.render.geometry import cell_centres, check_picture, pixels_per_cell, sampled_size
from dlka.render.maps import check_scale, map_canvas, sequential, wheel
from dlka.render.picture import muted
from dlka.types import Capture

ARROWS = 34  # at most about this many along the longer side
NEAR_ZERO = 0.05  # cells; offsets below it everywhere are noise, and the legend says so
SMALLEST_SCALE = 0.25  # cells; an automatic scale never goes below, so that noise stays pale
STEPS = (1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10)  # friendly numbers for the ends of scales


def _taps(capture: Capture, tap: int | None) -> tuple[np.ndarray, np.ndarray]:
    """dy, dx [T, H, W]: all taps, or only one."""
    if tap is not None and not 0 <= tap < capture.stage.taps:
        raise DlkaError(f"{capture.stage.label}: expected a tap in 0..{capture.stage.taps - 1}, got {tap}")
    dy, dx = split_offset(capture.offset)
    return (dy, dx) if tap is None else (dy[tap : tap + 1], dx[tap : tap + 1])


def mean_offset(capture: Capture, tap: int | None = None) -> np.ndarray:
    """[2, H, W] (dy, dx) in cells: the mean over all taps, or the offset of one tap (row-major index)."""
    dy, dx = _taps(capture, tap)
    return np.stack([dy.mean(axis=0), dx.mean(axis=0)])


def magnitude(capture: Capture, tap: int | None = None) -> np.ndarray:
    """[H, W] in cells: the mean over taps of each tap's offset length, or the length of one tap's offset."""
    dy, dx = _taps(capture, tap)
    return np.hypot(dy, dx).mean(axis=0)


def friendly(value: float) -> float:
    """The next number up that reads well on a legend: 1, 1.2, 1.5, 2, 2.5, ... times a power of ten."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(next(s for s in STEPS if s * power >= value * (1 - 1e-9)) * power)


def field_scale(captures: Iterable[Capture], tap: int | None = None, of_magnitude: bool = False) -> float:
    """One colour and arrow scale in cells for several captures together.

    The 99th percentile over all their cells of what is drawn: the length of the mean offset (arrows, wheel colours), or
    with of_magnitude the mean length. Rounded up to a friendly number; never below SMALLEST_SCALE.
    """
    fields = [magnitude(c, tap) if of_magnitude else np.hypot(*mean_offset(c, tap)) for c in captures]
    values = np.concatenate([f.ravel() for f in fields]) if fields else np.zeros(0)
    values = values[np.isfinite(values)]
    return friendly(max(float(np.percentile(values, 99)) if values.size else 0.0, SMALLEST_SCALE))


def near_zero(capture: Capture) -> bool:
    """Whether no tap of any cell is moved by as much as NEAR_ZERO cells."""
    return not (np.abs(capture.offset) >= NEAR_ZERO).any()


def _what(tap: int | None, capture: Capture, mean: str) -> str:
    if tap is None:
        return f"{mean} over {capture.stage.taps} taps"
    row, column = divmod(tap, capture.stage.kernel[1])
    return f"tap {tap} (row {row + 1}, column {column + 1} of the kernel)"


def _close(canvas: Canvas, capture: Capture) -> Canvas:
    if not np.isfinite(capture.offset).all():
        legend.note(canvas, "Some offsets are not finite: this model cannot be trusted.", warn=True)
    elif near_zero(capture):
        legend.note(canvas, "Offsets are near zero: untrained or switched off.", warn=True)
    return legend.finish(canvas)


def _ticks(scale: float, per_cell: float) -> list[list[str]]:
    """Two rows of labels from zero to the scale: in cells and in pixels of the picture."""
    cells, pixels = ([f"{share * unit:.3g}" for share in (0.5, 1)] for unit in (scale, scale * per_cell))
    return [["0", cells[0], f"{cells[1]} cells"], ["0", pixels[0], f"{pixels[1]} px"]]


def offset_magnitude(
    image: np.ndarray,
    capture: Capture,
    letterbox: Letterbox,
    scale_cells: float,
    tap: int | None = None,
    opacity: float = 0.6,
) -> Canvas:
    """How far the taps are moved, whatever the direction: viridis from zero to scale_cells."""
    sampled_size(capture, letterbox)
    scale = check_scale(scale_cells, "cells")
    colours = sequential(magnitude(capture, tap), scale)
    canvas = map_canvas(image, colours, capture.stage.stride, letterbox, opacity, capture)
    legend.title(canvas, f"Offset length, {_what(tap, capture, 'mean')}", legend.stage_line(capture, letterbox))
    bar = sequential(np.linspace(0, 1, 256), 1)
    legend.colour_bar(canvas, bar, _ticks(scale, pixels_per_cell(capture.stage.stride, letterbox)))
    return _close(canvas, capture)


def offset_flow(
    image: np.ndarray,
    capture: Capture,
    letterbox: Letterbox,
    scale_cells: float,
    tap: int | None = None,
    opacity: float = 0.7,
) -> Canvas:
    """Direction and length at once by the colours of a wheel, which stands on the legend."""
    sampled_size(capture, letterbox)
    scale = check_scale(scale_cells, "cells")
    colours = wheel(mean_offset(capture, tap), scale)
    canvas = map_canvas(image, colours, capture.stage.stride, letterbox, opacity, capture)
    subtitle = legend.stage_line(capture, letterbox)
    legend.title(canvas, f"Offset direction, {_what(tap, capture, 'mean offset')}", subtitle)
    _wheel_row(canvas, scale, pixels_per_cell(capture.stage.stride, letterbox))
    return _close(canvas, capture)


def _wheel_row(canvas: Canvas, scale: float, per_cell: float) -> None:
    """The wheel itself: the direction from its middle is the direction of the offset, its rim is the scale."""
    em, side = canvas.font, 5 * canvas.font
    top, left = canvas.grow(5.4 * em) + 0.2 * em, legend.margin(canvas)
    pixels = round(side * 2)
    axis = (np.arange(pixels) + 0.5) / pixels * 2 - 1
    turned = np.stack(np.meshgrid(axis, axis, indexing="ij"))
    disc = np.dstack([wheel(turned, 1), np.where(np.hypot(*turned) <= 1, 255, 0).astype(np.uint8)])
    extent = (left, left + side, top + side, top)
    canvas.strip.imshow(disc, extent=extent, aspect="auto", interpolation="antialiased")
    x = left + side + 1.2 * em
    rows = [
        "The colour's place on the wheel is where the sample moves:",
        "right of the middle, it reads further right.",
        f"Rim: {legend.cells_and_pixels(scale, per_cell)} or more. Middle: no offset.",
    ]
    if legend.text_width(rows[0], em) > canvas.width - x - legend.margin(canvas):
        rows = legend.wrapped(rows[2], em, canvas.width - x - legend.margin(canvas))
    for i, row in enumerate(rows):
        legend.write(canvas, x, top + (1.55 + legend.ROW * i) * em, row, palette.INK if "Rim" in row else palette.MUTED)
    canvas.legend.append(" ".join(rows))


def offset_arrows(
    image: np.ndarray,
    capture: Capture,
    letterbox: Letterbox,
    scale_cells: float,
    tap: int | None = None,
    opacity: float = 1.0,
) -> Canvas:
    """Arrows from cell centres to where the samples move, in the picture's own pixels times a printed factor.

    The factor is a friendly number by which scale_cells becomes about as long as the arrows lie apart; dense maps
    are thinned to every n-th cell. Both are said on the legend. Colour repeats the length.
    """
    sampled_size(capture, letterbox)
    scale = check_scale(scale_cells, "cells")
    stage, per_cell = capture.stage, pixels_per_cell(capture.stage.stride, letterbox)
    check_picture(image, letterbox)
    height, across = capture.offset.shape[1:]
    every = max(1, -(-max(height, across) // ARROWS))
    rows, columns = np.arange(every // 2, height, every), np.arange(every // 2, across, every)
    room = every * max(stage.step)  # cells between neighbouring arrows
    factor = max(1.0, friendly(0.8 * room / scale))
    field = mean_offset(capture, tap)[:, rows[:, None], columns].astype(np.float64)
    start = cell_centres(capture, letterbox)[rows[:, None], columns].reshape(-1, 2)
    # Real pixels of the picture: the letterbox scales the two axes a hair differently.
    shift = field[::-1].reshape(2, -1).T * stage.stride / letterbox.scale_xy * factor

    canvas = Canvas(muted(image))
    colours = sequential(np.hypot(*field).ravel(), scale) / 255
    canvas.axes.quiver(
        *(*start.T, *shift.T),
        color=colours,
        alpha=opacity,
        angles="xy",
        scale_units="xy",
        scale=1,
        units="dots",
        width=1.5 * canvas.line,
        headwidth=3.2,
        headlength=3.6,
        headaxislength=3.2,
        minlength=0.6,
        edgecolor=palette.RIM,
        linewidth=0.35 * canvas.line,
        zorder=3,
    )
    legend.title(canvas, f"Offset arrows, {_what(tap, capture, 'mean offset')}", legend.stage_line(capture, letterbox))
    drawn = "true length" if factor == 1 else f"{legend.number(factor)} times their true length"
    thinned = (
        "every cell" if every == 1 else f"every {every}{'nd' if every == 2 else 'rd' if every == 3 else 'th'} cell"
    )
    legend.colour_bar(canvas, sequential(np.linspace(0, 1, 256), 1), _ticks(scale, per_cell))
    legend.note(canvas, f"Arrows are drawn at {drawn}, from {thinned} of each row and column.")
    return _close(canvas, capture)
