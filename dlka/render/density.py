"""Where all samples of a stage land, against where the regular grid lands ("feature-coordinate projection").

The idea is that of "Revisiting the Deformable Convolution by Visualization" (VISAPP 2021): samples condense on objects.
"""

from __future__ import annotations

import numpy as np

from dlka import palette
from dlka.inference.letterbox import Letterbox
from dlka.render import legend
from dlka.render.canvas import Canvas
from dlka.render.geometry import Cell, locations, regular_locations, sampled_size, zero_reads
from dlka.render.maps import check_scale, diverging, map_canvas
from dlka.types import Capture


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


def sample_density(capture: Capture, letterbox: Letterbox) -> tuple[np.ndarray, np.ndarray]:
    """(samples [H, W], regular [H, W]): reads per cell of the sampled map, with and without the offsets."""
    size = sampled_size(capture, letterbox)
    return splat(locations(capture), size), splat(regular_locations(capture), size)


def composed_counts(second: Capture, size: Cell, deformed: bool = True) -> np.ndarray:
    """[H, W]: how often the second stage of a block reads each cell that the first one gives, a map of this size."""
    return splat(locations(second) if deformed else regular_locations(second), size)


def composed_density(first: Capture, second: Capture, letterbox: Letterbox) -> tuple[np.ndarray, np.ndarray]:
    """(samples [H, W], regular [H, W]) of a block: reads per cell of the map that its first stage samples.

    Every bilinear read of the second stage is shared among the cells that it mixes, and each of these had read at the
    places of the first stage.
    """
    size, given = sampled_size(first, letterbox), (first.offset.shape[1], first.offset.shape[2])
    learned = splat(locations(first), size, composed_counts(second, given))
    return learned, splat(regular_locations(first), size, composed_counts(second, given, deformed=False))


def outside_share(capture: Capture, letterbox: Letterbox) -> float:
    """The share of all samples (0..1) that read zero, because they lie wholly outside the sampled map."""
    positions = locations(capture).transpose(0, 2, 3, 1)
    return float(zero_reads(positions, sampled_size(capture, letterbox)).mean())


def log_ratio(samples: np.ndarray, regular: np.ndarray) -> np.ndarray:
    """[H, W] log2 of samples over regular; one read is added to both, so that empty cells stay finite."""
    return np.log2((samples + 1) / (regular + 1))


def density_overlay(
    image: np.ndarray,
    capture: Capture,
    letterbox: Letterbox,
    scale: float = 1.0,
    opacity: float = 0.55,
    through: Capture | None = None,
) -> Canvas:
    """log2 of sample density over the regular grid's, from -scale (sparser) over 0 to +scale (denser), in doublings.

    through: the first stage of the block, for the composed field of a second one.
    """
    scale = check_scale(scale, "doublings")
    densities = composed_density(through, capture, letterbox) if through else sample_density(capture, letterbox)
    ratio = log_ratio(*densities)
    colours = diverging(ratio, scale, palette.DENSITY_MAP)
    canvas = map_canvas(image, colours, capture.stage.stride, letterbox, opacity)
    taps = capture.stage.taps
    subtitle = legend.stage_line(capture, letterbox)
    what = f"all {taps} taps"
    if through:
        what = f"all {taps} x {through.stage.taps} paths"
        subtitle += f" · through the {legend.kernel(through.stage)}"
    legend.title(canvas, f"Where {what} of all cells read, against the regular grid", subtitle)
    times = legend.number(2**scale)
    ticks = [[f"1/{times} of the grid's reads", "as many", f"{times} times as many"]]
    legend.colour_bar(canvas, diverging(np.linspace(-1, 1, 255), 1, palette.DENSITY_MAP), ticks)
    if not through:
        share = 100 * outside_share(capture, letterbox)
        legend.note(canvas, f"{legend.number(share)} % of the samples lie outside the map and read zero.")
    return legend.finish(canvas)
