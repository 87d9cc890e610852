"""Letters and curves as strokes in a unit square, and how one is placed: size, turn, stretch, middle, width of pen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

_PARTS = 16  # OpenCV's fixed-point coordinates: sixteenths of a pixel
_SHIFT = 4


def _lines(*strokes: list[tuple[float, float]]) -> list[np.ndarray]:
    return [np.array(points, dtype=np.float64) for points in strokes]


def _arc(start: float, end: float) -> list[np.ndarray]:
    """A part of the circle of radius 1, between two angles in degrees, clockwise from the right."""
    angle = np.radians(np.linspace(start, end, 48))
    return [np.stack([np.cos(angle), np.sin(angle)], axis=1)]


_X = np.linspace(-1, 1, 48)
# Name -> its strokes, polylines [P, 2] of (x, y) in -1..1, y downwards. The order is that of the classes of a data set.
SHAPES: dict[str, list[np.ndarray]] = {
    "E": _lines([(1, -1), (-1, -1), (-1, 1), (1, 1)], [(-1, 0), (0.7, 0)]),
    "H": _lines([(-1, -1), (-1, 1)], [(1, -1), (1, 1)], [(-1, 0), (1, 0)]),
    "T": _lines([(-1, -1), (1, -1)], [(0, -1), (0, 1)]),
    "X": _lines([(-1, -1), (1, 1)], [(1, -1), (-1, 1)]),
    "L": _lines([(-1, -1), (-1, 1), (1, 1)]),
    "U": _lines([(-1, -1), (-1, 1), (1, 1), (1, -1)]),
    "ring": _arc(0, 360),
    "open ring": _arc(30, 330),
    "wave": [np.stack([_X, 0.55 * np.sin(1.5 * np.pi * _X)], axis=1)],
}
LETTERS = ("E", "H", "T", "X", "L", "U")


@dataclass(frozen=True)
class Placed:
    """One shape in a picture.

    name     a key of SHAPES
    size     px, the longer side of the unit square after stretching, before turning
    turn     degrees, clockwise
    stretch  width over height: above 1 wide, below 1 high
    middle   (y, x) in px; the middle of the picture's first pixel is (0, 0)
    pen      px, how thick its strokes are
    """

    name: str
    size: float
    turn: float
    stretch: float
    middle: tuple[float, float]
    pen: float

    def strokes(self) -> list[np.ndarray]:
        """Polylines [P, 2] of (x, y) in pixels of the picture."""
        sides = np.array([min(1.0, self.stretch), min(1.0, 1 / self.stretch)]) * (self.size - self.pen) / 2
        angle = np.radians(self.turn)
        turned = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        return [points * sides @ turned + self.middle[::-1] for points in SHAPES[self.name]]

    def box(self) -> tuple[float, float, float, float]:
        """(x1, y1, x2, y2) of its ink in pixels, where the first pixel reaches from 0 to 1."""
        points = np.concatenate(self.strokes())
        low, high = points.min(axis=0) - self.pen / 2, points.max(axis=0) + self.pen / 2
        return (float(low[0] + 0.5), float(low[1] + 0.5), float(high[0] + 0.5), float(high[1] + 0.5))

    def draw(self, picture: np.ndarray, grey: float) -> None:
        """Draw it into a picture [H, W] uint8 in place, in a grey of 0..255, with smooth edges."""
        ink(picture, self.strokes(), grey, self.pen)


def ink(picture: np.ndarray, strokes: list[np.ndarray], grey: float, pen: float) -> None:
    """Draw polylines [P, 2] of (x, y) into a picture [H, W] uint8, in place, as thick as `pen` pixels, round ends.

    OpenCV's thickness is a whole number of pixels: drawn four times as large, and reduced, it is a quarter.
    """
    scale = 4
    points = np.concatenate(strokes)
    low = np.floor(points.min(axis=0) - pen).astype(int) - 1
    high = np.ceil(points.max(axis=0) + pen).astype(int) + 2
    height, width = picture.shape
    low, high = np.maximum(low, 0), np.minimum(high, (width, height))
    if (high <= low).any():
        return
    mask = np.zeros(((high[1] - low[1]) * scale, (high[0] - low[0]) * scale), np.uint8)
    for stroke in strokes:
        at = ((stroke - low + 0.5) * scale - 0.5) * _PARTS
        cv2.polylines(mask, [np.round(at).astype(np.int32)], False, 255, max(1, round(pen * scale)), cv2.LINE_8, _SHIFT)
    share = cv2.resize(mask, None, fx=1 / scale, fy=1 / scale, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    part = picture[low[1] : high[1], low[0] : high[0]]
    part[:] = np.round(part + share * (grey - part)).astype(np.uint8)


def placed(
    draw: np.random.Generator,
    name: str,
    size: float,
    turn: float,
    stretch: float,
    middle: Callable[[], tuple[float, float]],
) -> Placed:
    """A shape with its turn, stretch and pen drawn at random.

    draw: random numbers; turn: degrees, at most so far to both sides; stretch: at most so many times as wide as high,
    or as high as wide; middle: gives (y, x) in px.
    """
    return Placed(
        name,
        size,
        float(draw.uniform(-turn, turn)),
        float(stretch ** draw.uniform(-1, 1)),
        middle(),
        float(max(1.0, size * draw.uniform(0.08, 0.16))),
    )
