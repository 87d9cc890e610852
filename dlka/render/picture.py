"""The photograph under a drawing: quiet copies of it, cut-outs of it, and its place in a figure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from matplotlib.artist import Artist, allow_rasterization
from matplotlib.colors import to_rgb

from dlka import palette

FAR = 12  # times enlarged; beyond it single pixels are shown


class View(NamedTuple):
    """A part of the picture: left, top, right, bottom in original pixels, measured at pixel centres like points."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, middle: Sequence[float] | np.ndarray, half: float) -> View:
        """A square with a point (x, y) in its middle, 2 * half wide."""
        x, y = middle
        return cls(x - half, y - half, x + half, y + half)


def check_image(image: np.ndarray) -> None:
    """Raise ValueError unless the picture is RGB uint8 [H, W, 3]."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or 0 in image.shape:
        raise ValueError(f"expected a picture [H, W, 3] uint8, got {list(image.shape)} {image.dtype}: decode it first")


def grey(image: np.ndarray) -> np.ndarray:
    """A colourless copy [H, W, 3], so that every colour on it means data."""
    check_image(image)
    return cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)


def muted(image: np.ndarray) -> np.ndarray:
    """A quiet copy [H, W, 3]: most colour and some contrast taken out, so that small marks stand out from it."""
    return cv2.addWeighted(grey(image), 0.5, image, 0.2, 48)


def whole(image: np.ndarray) -> View:
    """The view that shows all of a picture."""
    return View(-0.5, -0.5, image.shape[1] - 0.5, image.shape[0] - 0.5)


def resample(image: np.ndarray, view: View, width: int, height: int) -> np.ndarray:
    """The part of a picture in a view as [height, width, 3] uint8; beyond the picture's edge lies plain paper."""
    sx, sy = width / (view.right - view.left), height / (view.bottom - view.top)
    rows, columns = image.shape[:2]
    # Cubic reading is smooth when a little enlarged; far enlarged, the pixels themselves are the honest picture.
    flags = cv2.INTER_NEAREST if min(sx, sy) > FAR else cv2.INTER_CUBIC
    shrinks = max(sx, sy) < 1
    if view == whole(image) and flags == cv2.INTER_CUBIC:  # many times faster than warping
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    left, top, fx, fy = 0, 0, 1.0, 1.0
    if shrinks:
        # Shrink by areas first, as sampling every few pixels would leave jagged edges; the rest is near 1:1. Only what
        # is seen, and as much around it as cubic reading mixes in.
        left, right = _span(view.left, view.right, 3 / sx, columns)
        top, bottom = _span(view.top, view.bottom, 3 / sy, rows)
        small = (max(1, round((right - left) * sx)), max(1, round((bottom - top) * sy)))
        fx, fy = small[0] / (right - left), small[1] / (bottom - top)
        image = cv2.resize(image[top:bottom, left:right], small, interpolation=cv2.INTER_AREA)
    # Warping takes the forward map: original x -> shrunk x -> sheet column.
    forward = np.array(
        [
            [sx / fx, 0, (0.5 / fx - 0.5 + left - view.left) * sx - 0.5],
            [0, sy / fy, (0.5 / fy - 0.5 + top - view.top) * sy - 0.5],
        ]
    )
    out = cv2.warpAffine(image, forward, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    x = view.left + (np.arange(width) + 0.5) / sx
    y = view.top + (np.arange(height) + 0.5) / sy
    paper = (np.array(to_rgb(palette.OUTSIDE)) * 255).round()
    out[:, (x < -0.5) | (x > columns - 0.5)] = paper
    out[(y < -0.5) | (y > rows - 0.5)] = paper
    return out


def _span(low: float, high: float, around: float, length: int) -> tuple[int, int]:
    """The pixels (first, end) of an axis that lie in low..high or within `around` of it; at least one."""
    first = min(max(int(np.floor(low - around)), 0), length - 1)
    return first, max(min(int(np.ceil(high + around)) + 1, length), first + 1)


class Raster(Artist):
    """A picture drawn pixel for pixel: matplotlib's own images are resampled once more, slowly."""

    def __init__(self, pixels: np.ndarray) -> None:
        super().__init__()
        self.pixels = pixels  # [height, width, 3] uint8, one to one on the paper

    @allow_rasterization
    def draw(self, renderer: Any) -> None:
        assert self.axes is not None
        left, bottom = np.round(self.axes.bbox.min).astype(int)
        gc = renderer.new_gc()
        renderer.draw_image(gc, left, bottom, cv2.cvtColor(self.pixels, cv2.COLOR_RGB2RGBA)[::-1])
        gc.restore()
