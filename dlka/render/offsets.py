"""The offset field of one deform stage over its picture: arrows, wheel colours, magnitude, and density of samples.

Every scale is in feature-map cells and chosen outside, so that pictures side by side mean the same thing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from dlka import palette
from dlka.errors import DlkaError
from dlka.inference.letterbox import Letterbox
from dlka.ops.sampling import split_offset
from dlka.render import legend
from dlka.render.canvas import Canvas
from dlka.render.geometry import Cell, cell_centres, check_picture, locations, pixels_per_cell, sampled_size, zero_reads
from dlka.render.maps import check_scale, diverging, map_canvas, sequential, wheel
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


def _what(tap: int | None, capture: Capture, mean: str) -> str:
    if tap is None:
        return f"{mean} over {capture.stage.taps} taps"
    row, column = divmod(tap, capture.stage.kernel[1])
    return f"tap {tap} (row {row + 1}, column {column + 1} of the kernel)"


def _close(canvas: Canvas, capture: Capture) -> Canvas:
    if not np.isfinite(capture.offset).all():
        legend.note(canvas, "Some offsets are not finite: this model cannot be trusted.", warn=True)
    elif not (np.abs(capture.offset) >= NEAR_ZERO).any():
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
    scale = check_scale(scale_cells, "cells")
    colours = sequential(magnitude(capture, tap), scale)
    canvas = _map(image, capture, letterbox, colours, opacity, f"Offset length, {_what(tap, capture, 'mean')}")
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
    scale = check_scale(scale_cells, "cells")
    colours, what = wheel(mean_offset(capture, tap), scale), _what(tap, capture, "mean offset")
    canvas = _map(image, capture, letterbox, colours, opacity, f"Offset direction, {what}")
    _wheel_row(canvas, scale, pixels_per_cell(capture.stage.stride, letterbox))
    return _close(canvas, capture)


def _map(
    image: np.ndarray, capture: Capture, letterbox: Letterbox, colours: np.ndarray, opacity: float, title: str
) -> Canvas:
    """The colours of a stage's cells over the picture, under their title."""
    sampled_size(capture, letterbox)  # refuses the capture of another picture
    canvas = map_canvas(image, colours, capture.stage.stride, letterbox, opacity, capture)
    legend.title(canvas, title, legend.stage_line(capture, letterbox))
    return canvas


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


# Where all samples of a stage land, against where the regular grid lands ("feature-coordinate projection"): the idea is
# that of "Revisiting the Deformable Convolution by Visualization" (VISAPP 2021), samples condense on objects.


def splat(positions: np.ndarray, size: Cell, times: np.ndarray | None = None) -> np.ndarray:
    """Bilinear counts: positions [K, 2, h, w] (y, x) in cells -> [H, W], each read spread over the cells that it mixes.

    times [h, w]: how often the taps of each cell are read, once by default. Parts that fall outside the map, and
    positions that are not finite, count nowhere.
    """
    height, width = size
    y, x = positions[:, 0].ravel(), positions[:, 1].ravel()
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)  # also drops NaN and infinities, before the integers
    y, x = y[inside], x[inside]
    often = 1.0 if times is None else np.broadcast_to(times, positions[:, 0].shape).ravel()[inside]
    top, left = np.floor(y).astype(np.intp), np.floor(x).astype(np.intp)
    fy, fx = y - top, x - left
    # One cell of margin on each side takes the parts outside: row -1 and row H.
    corner = (top + 1) * (width + 2) + left + 1
    counts = np.zeros((height + 2) * (width + 2))
    for index, weight in (
        (corner, (1 - fy) * (1 - fx)),
        (corner + 1, (1 - fy) * fx),
        (corner + width + 2, fy * (1 - fx)),
        (corner + width + 3, fy * fx),
    ):
        counts += np.bincount(index, weight * often, len(counts))
    return counts.reshape(height + 2, width + 2)[1:-1, 1:-1]


def sample_density(captures: Sequence[Capture], letterbox: Letterbox) -> tuple[np.ndarray, np.ndarray]:
    """(samples [H, W], regular [H, W]): reads per cell of the sampled map, with and without the offsets.

    captures: one stage, or the two of a block, in order, for reads of reads: every bilinear read of the second stage is
    shared among the cells that it mixes, and each of these had read at the places of the first stage.
    """
    size = sampled_size(captures[0], letterbox)
    learned, regular = (
        splat(locations(captures[0], deformed), size, None if len(captures) == 1 else given_counts(captures, deformed))
        for deformed in (True, False)
    )
    return learned, regular


def given_counts(captures: Sequence[Capture], deformed: bool) -> np.ndarray:
    """[H, W]: how often the second stage of a block reads each cell that the first one gives."""
    first, second = captures
    return splat(locations(second, deformed), (first.offset.shape[1], first.offset.shape[2]))


def outside_share(capture: Capture, letterbox: Letterbox, deformed: bool = True) -> float:
    """The share 0..1 of all samples, or of the regular grid's, that read zero: they lie wholly outside the map."""
    positions = locations(capture, deformed).transpose(0, 2, 3, 1)
    return float(zero_reads(positions, sampled_size(capture, letterbox)).mean())


def log_ratio(samples: np.ndarray, regular: np.ndarray) -> np.ndarray:
    """[H, W] log2 of samples over regular; one read is added to both, so that empty cells stay finite."""
    return np.log2((samples + 1) / (regular + 1))


def density_overlay(
    image: np.ndarray, captures: Sequence[Capture], letterbox: Letterbox, scale: float = 1.0, opacity: float = 0.55
) -> Canvas:
    """log2 of sample density over the regular grid's, from -scale (sparser) over 0 to +scale (denser), in doublings.

    captures: one stage, or the two of a block, in order, for the composed field.
    """
    scale = check_scale(scale, "doublings")
    first, capture = captures[0], captures[-1]
    ratio = log_ratio(*sample_density(captures, letterbox))
    colours = diverging(ratio, scale, palette.DENSITY_MAP)
    canvas = map_canvas(image, colours, capture.stage.stride, letterbox, opacity)
    taps = capture.stage.taps
    subtitle = legend.stage_line(capture, letterbox)
    what = f"all {taps} taps"
    if first is not capture:
        what = f"all {taps} x {first.stage.taps} paths"
        subtitle += f" · through the {legend.kernel(first.stage)}"
    legend.title(canvas, f"Where {what} of all cells read, against the regular grid", subtitle)
    times = legend.number(2**scale)
    ticks = [[f"1/{times} of the grid's reads", "as many", f"{times} times as many"]]
    legend.colour_bar(canvas, diverging(np.linspace(-1, 1, 255), 1, palette.DENSITY_MAP), ticks)
    if first is capture:
        share = 100 * outside_share(capture, letterbox)
        legend.note(canvas, f"{legend.number(share)} % of the samples lie outside the map and read zero.")
    return legend.finish(canvas)
