"""Values to colours, and maps of cells laid over a picture with sharp and exact cell edges."""

from __future__ import annotations

import matplotlib
import numpy as np
from matplotlib.colors import to_rgb

from dlka import palette
from dlka.errors import DlkaError
from dlka.inference.letterbox import Letterbox
from dlka.render.canvas import WIDTH, Canvas
from dlka.render.geometry import cell_positions, cells_under, check_picture
from dlka.render.picture import View, grey
from dlka.types import Capture


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
    check_picture(image, letterbox)
    canvas = Canvas(grey(image), width, view)
    # (y, x) of the first cell's centre and the distance of neighbours, in cells of the sampled map.
    first, step = (cell_positions(capture)[:, 0, 0], capture.stage.step) if capture else (np.zeros(2), (1, 1))
    x, y = canvas.columns_and_rows()
    rows = cells_under(y, colours.shape[0], stride, letterbox, 1, first[0], step[0])
    columns = cells_under(x, colours.shape[1], stride, letterbox, 0, first[1], step[1])
    canvas.tint(colours, rows, columns, opacity)
    return canvas
