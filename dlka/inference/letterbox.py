"""Resize with kept aspect and pad; the same object maps boxes and points forward and exactly back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np

PAD_VALUE = 114  # grey, what YOLO was trained with
MULTIPLE = 32  # pixels: what Ultralytics makes every side a multiple of, for models with smaller strides, too


def side_multiple(strides: Iterable[int]) -> int:
    """What the sides of an input are multiples of, in pixels, for a model with these strides.

    It is the same for models with and without a pyramid, so that two of them see one picture alike.
    """
    return max(MULTIPLE, *strides)


@dataclass(frozen=True)
class Letterbox:
    """Geometry of one letterboxed picture. Sizes are (height, width) in pixels.

    Resizing rounds each side to whole pixels, so the true scale differs a little between the axes: both are kept.
    """

    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]
    top: int
    left: int

    @classmethod
    def fit(cls, original: tuple[int, int], size: int, multiple: int = MULTIPLE) -> Letterbox:
        """Fit a picture into size x size, then pad each side only up to a multiple (see `side_multiple`)."""
        gain = min(size / original[0], size / original[1])
        resized = (max(1, round(original[0] * gain)), max(1, round(original[1] * gain)))
        pad = [((size - side) % multiple) / 2 for side in resized]
        top, left = (round(p - 0.1) for p in pad)
        bottom, right = (round(p + 0.1) for p in pad)
        return cls(original, resized, (resized[0] + top + bottom, resized[1] + left + right), top, left)

    @property
    def scale_xy(self) -> np.ndarray:
        """[2] float64, true letterboxed pixels per original pixel along x and y."""
        return np.array([self.resized[1] / self.original[1], self.resized[0] / self.original[0]])

    def apply(self, image: np.ndarray) -> np.ndarray:
        """[H, W, 3] uint8 -> [padded H, padded W, 3] uint8."""
        if image.shape[:2] != self.original:
            raise ValueError(f"Letterbox made for a picture of {self.original}, got {image.shape[:2]} (height, width)")
        if image.shape[:2] != self.resized:
            image = cv2.resize(image, self.resized[::-1], interpolation=cv2.INTER_LINEAR)
        out = np.full((*self.padded, 3), PAD_VALUE, np.uint8)
        out[self.top : self.top + self.resized[0], self.left : self.left + self.resized[1]] = image
        return out

    def points_forward(self, points: np.ndarray) -> np.ndarray:
        """[..., 2] (x, y) at pixel centres: original -> letterboxed."""
        return (points + 0.5) * self.scale_xy + (self.left - 0.5, self.top - 0.5)

    def points_back(self, points: np.ndarray) -> np.ndarray:
        """[..., 2] (x, y) at pixel centres: letterboxed -> original; padding maps outside the picture."""
        return (points - (self.left - 0.5, self.top - 0.5)) / self.scale_xy - 0.5

    def boxes_forward(self, boxes: np.ndarray) -> np.ndarray:
        """[..., 4] (x1, y1, x2, y2) at pixel edges: original -> letterboxed."""
        return boxes * np.tile(self.scale_xy, 2) + np.array([self.left, self.top] * 2)

    def boxes_back(self, boxes: np.ndarray) -> np.ndarray:
        """[..., 4] (x1, y1, x2, y2) at pixel edges: letterboxed -> original, not clipped."""
        return (boxes - np.array([self.left, self.top] * 2)) / np.tile(self.scale_xy, 2)
