"""Where a deformable convolution reads. The only file that knows the offset layout.

Layout (torchvision's): offset channels are interleaved ``dy0, dx0, dy1, dx1, ...`` over the taps, taps
run row-major over the kernel. The tap (i, j) of output cell (h, w) reads its input map at

    y = h * step_y - padding_y + i * dilation_y + dy
    x = w * step_x - padding_x + j * dilation_x + dx

bilinearly; everything outside the map is zero. All positions here are (y, x) in cells of the input map. In a volume
there are three offsets a tap, ``dz0, dy0, dx0, dz1, ...``, and the same holds along three axes.
Numpy only: the pictures use it too.
"""

from __future__ import annotations

import numpy as np

Pair2 = tuple[int, int]
Axes = tuple[int, ...]  # one number an axis: of a map (vertical, horizontal), of a volume (depth, vertical, horizontal)


def axis_positions(cells: int, taps: int, step: int, padding: int, dilation: int) -> np.ndarray:
    """[taps, cells] float32: undeformed input coordinate of every tap for every output cell of one axis."""
    return (np.arange(cells) * step - padding + np.arange(taps)[:, None] * dilation).astype(np.float32)


def output_size(size: Axes, kernel: Axes, step: Axes, padding: Axes, dilation: Axes) -> Axes:
    """(Ho, Wo) of a convolution over an input map of the given (H, W), or (Do, Ho, Wo) over a volume of (D, H, W).

    May be zero or negative if it does not fit.
    """
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in zip(size, kernel, step, padding, dilation))


def split_offset(offset: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """offset [2K, H, W] -> dy [K, H, W], dx [K, H, W], in cells."""
    return offset[0::2], offset[1::2]


def tap_grid(size: Pair2, kernel: Pair2, step: Pair2, padding: Pair2, dilation: Pair2) -> np.ndarray:
    """Undeformed positions of all taps for an output map of the given (Ho, Wo): [K, 2, Ho, Wo], (y, x), cells."""
    y = axis_positions(size[0], kernel[0], step[0], padding[0], dilation[0])
    x = axis_positions(size[1], kernel[1], step[1], padding[1], dilation[1])
    grid = np.empty((*kernel, 2, *size), np.float32)
    grid[:, :, 0] = y[:, None, :, None]
    grid[:, :, 1] = x[None, :, None, :]
    return grid.reshape(-1, 2, *size)


def sampling_locations(offset: np.ndarray, kernel: Pair2, step: Pair2, padding: Pair2, dilation: Pair2) -> np.ndarray:
    """Where every tap of every cell reads: offset [2K, Ho, Wo] -> [K, 2, Ho, Wo], (y, x), cells of the input map."""
    grid = tap_grid(offset.shape[-2:], kernel, step, padding, dilation)
    dy, dx = split_offset(offset)
    return grid + np.stack([dy, dx], axis=1)


def composed_locations(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """Where the second of two stages really looks, through the first.

    The outer stage reads the inner stage's output at real-valued places; the inner stage had deformed that
    map already. A bilinear read mixes four cells of the inner stage, so the inner locations are mixed with the
    same weights: the mean place that each path reads.

    outer [K2, 2]: locations of one output cell of the second stage, in cells of the first stage's output map
    inner [K1, 2, H, W]: sampling locations of the first stage
    Returns [K2, K1, 2], (y, x) in cells of the first stage's input; paths that leave the map between the two
    stages read zero there and are NaN (as are those of offsets that are not numbers).
    """
    height, width = inner.shape[-2:]
    y, x = outer[:, 0], outer[:, 1]
    inside = (y > -1) & (y < height) & (x > -1) & (x < width)
    # Between the outermost cells and the zeros outside only the cells are read: those neighbours count alone.
    y, x = np.where(inside, y, 0).clip(0, height - 1), np.where(inside, x, 0).clip(0, width - 1)
    y0, x0 = np.floor(y).astype(int), np.floor(x).astype(int)
    y1, x1 = np.minimum(y0 + 1, height - 1), np.minimum(x0 + 1, width - 1)
    fy, fx = y - y0, x - x0
    mixed = (
        inner[:, :, y0, x0] * ((1 - fy) * (1 - fx))
        + inner[:, :, y0, x1] * ((1 - fy) * fx)
        + inner[:, :, y1, x0] * (fy * (1 - fx))
        + inner[:, :, y1, x1] * (fy * fx)
    )  # [K1, 2, K2]
    return np.where(inside[:, None, None], mixed.transpose(2, 0, 1), np.nan)


def cell_to_pixel(position: np.ndarray, stride: float) -> np.ndarray:
    """Centre of a (real-valued) cell position in letterboxed pixels, measured at pixel centres."""
    return (position + 0.5) * stride - 0.5
