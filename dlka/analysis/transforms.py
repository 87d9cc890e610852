"""A changed picture: shrunk, rotated, shifted, blurred, darkened; and where its points and boxes are then.

Points, boxes and their units are as in dlka/types.py. A matrix here is [2, 3] float64 and takes a point (x, y) of the
original picture, at pixel centres, to its place in the changed one: ``matrix @ (x, y, 1)``.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from dlka.errors import DlkaError
from dlka.inference.letterbox import PAD_VALUE


@dataclass(frozen=True)
class Change:
    """What is done to a picture, in this order.

    brightness   above 0 up to 1, factor of every colour value as it is stored
    shrink       above 0 up to 1, factor of all lengths; the picture's middle stays where it is
    rotate       -180 to 180 degrees about the picture's middle, clockwise as one sees it
    right, down  -100 to 100, shift in per cent of the picture's width and height
    blur         0 to 100, standard deviation of a Gaussian in pixels of the changed picture

    Raises ValueError, one sentence, for values out of range.
    """

    shrink: float = 1.0
    rotate: float = 0.0
    right: float = 0.0
    down: float = 0.0
    blur: float = 0.0
    brightness: float = 1.0

    def __post_init__(self) -> None:
        for name in ("shrink", "brightness"):
            if not 0 < getattr(self, name) <= 1:
                raise DlkaError(f"{name}: expected above 0 up to 1; got {getattr(self, name):g}.")
        for name, low, high in (("rotate", -180, 180), ("right", -100, 100), ("down", -100, 100), ("blur", 0, 100)):
            if not low <= getattr(self, name) <= high:
                raise DlkaError(f"{name}: expected {low} to {high}; got {getattr(self, name):g}.")


def matrix(change: Change, size: tuple[int, int]) -> np.ndarray:
    """The matrix of a change of a picture of (height, width) pixels."""
    height, width = size
    middle = np.array([(width - 1) / 2, (height - 1) / 2])
    sine, cosine = np.sin(np.radians(change.rotate)), np.cos(np.radians(change.rotate))
    # y points down: so turned, the x axis comes to lie on the y axis after a quarter, which is clockwise.
    turn = change.shrink * np.array([[cosine, -sine], [sine, cosine]])
    shift = np.array([change.right * width, change.down * height]) / 100
    return np.column_stack([turn, middle - turn @ middle + shift])


def apply(image: np.ndarray, change: Change) -> tuple[np.ndarray, np.ndarray]:
    """The changed picture, a new array of the size of `image` [H, W, 3] uint8, and its matrix.

    What nothing covers has the grey of the letterbox, which the models know as "no picture here"; darkening leaves it
    alone, blurring softens the edge. Without a change the pixels are those of `image`, bit by bit.
    """
    moved = matrix(change, (image.shape[0], image.shape[1]))
    out = image.copy()
    if change.brightness < 1:
        out = cv2.convertScaleAbs(out, alpha=change.brightness)
    if not np.array_equal(moved, np.eye(2, 3)):
        out = _warped(out, moved, change.shrink)
    if change.blur:
        out = cv2.GaussianBlur(out, (0, 0), change.blur, borderType=cv2.BORDER_REPLICATE)
    return out, moved


def _warped(image: np.ndarray, moved: np.ndarray, shrink: float) -> np.ndarray:
    """The picture through a matrix; shrunk by areas first, as reading every few pixels would drop what lies between."""
    height, width = image.shape[:2]
    small = max(1, round(width * shrink)), max(1, round(height * shrink))
    if small != (width, height):
        image = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    # From the shrunk picture back to the original one; whole pixels make the true factors differ a little by axis.
    fx, fy = small[0] / width, small[1] / height
    back = np.array([[1 / fx, 0, 0.5 / fx - 0.5], [0, 1 / fy, 0.5 / fy - 0.5], [0, 0, 1]])
    grey = (PAD_VALUE,) * 3
    return cv2.warpAffine(image, moved @ back, (width, height), borderMode=cv2.BORDER_CONSTANT, borderValue=grey)


def map_points(points: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """[..., 2] (x, y) at pixel centres through a matrix."""
    return np.asarray(points, np.float64) @ moved[:, :2].T + moved[:, 2]


def map_boxes(boxes: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """[..., 4] (x1, y1, x2, y2) at pixel edges through a matrix, upright again, not clipped.

    A turned box is no longer upright. Its hull would be up to twice as large as the object in it, so the hull of the
    ellipse inside the box is taken: the same after quarter turns, and nearer to the box that a person would draw in
    between (Kalra et al., "Towards Rotation Invariance in Object Detection", ICCV 2021).
    """
    boxes = np.asarray(boxes, np.float64)
    middle = map_points((boxes[..., :2] + boxes[..., 2:]) / 2 - 0.5, moved) + 0.5
    half = np.sqrt(((boxes[..., 2:] - boxes[..., :2]) / 2) ** 2 @ (moved[:, :2] ** 2).T)
    return np.concatenate([middle - half, middle + half], axis=-1)
