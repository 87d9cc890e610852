"""Scenes for detectors: one to six letters and curves of 8 to 96 px on clutter, drawn from a seed, labels exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from dlka.drawn.shapes import SHAPES, Placed, ink, placed

SIDE = 160  # px
SIZES = (8.0, 96.0)  # px
TURN = 45.0  # degrees to both sides
STRETCH = 1.6
MOST = 6  # objects a picture
GAP = 2.0  # px between the boxes of two objects
_TRIES = 30


@dataclass(frozen=True)
class Scene:
    """A grey picture [H, W] uint8 and what was drawn into it."""

    picture: np.ndarray
    objects: tuple[Placed, ...]


def draw_scene(seed: int, number: int, side: int = SIDE, sizes: tuple[float, float] = SIZES) -> Scene:
    """The picture of this number of the data set of this seed: the same on every machine."""
    draw = np.random.default_rng([seed, number])
    picture = _background(draw, side, side)
    objects: list[Placed] = []
    names = list(SHAPES)
    count = int(draw.integers(1, MOST + 1))
    # The largest first: a large one seldom finds room between others, and sizes would not be what was drawn.
    for size in sorted(np.exp(draw.uniform(np.log(sizes[0]), np.log(sizes[1]), count)), reverse=True):
        name = names[int(draw.integers(len(names)))]
        for _ in range(_TRIES):
            one = placed(draw, name, float(size), TURN, STRETCH, lambda: tuple(draw.uniform(0, side, 2)))
            if _fits(one, objects, side):
                objects.append(one)
                break
    return _finished(draw, picture, objects)


def arranged(
    objects: Sequence[Placed], height: int = SIDE, width: int = SIDE, seed: int = 0, clutter: bool = True
) -> Scene:
    """A scene of objects that stand where they are put; background, greys and noise are drawn from the seed.

    objects: inside the picture and apart from each other, which is not checked. height, width: px. clutter: soft greys,
    lines and dots behind them, as many for the area as in draw_scene; else one even grey, on which an object that is
    alone has the same grey whatever its size.
    """
    draw = np.random.default_rng(seed)
    if clutter:
        picture = _background(draw, height, width, max(1, round(height * width / SIDE**2)))
    else:
        picture = np.full((height, width), 128, np.uint8)
    return _finished(draw, picture, objects)


def _finished(draw: np.random.Generator, picture: np.ndarray, objects: Sequence[Placed]) -> Scene:
    """The objects drawn into a background [H, W] uint8, in place, and noise over all of it."""
    for one in objects:
        one.draw(picture, _contrast(draw, picture, one))
    noise = draw.normal(0, draw.uniform(2, 12), picture.shape)
    return Scene(np.clip(picture + noise, 0, 255).astype(np.uint8), tuple(objects))


def _background(draw: np.random.Generator, height: int, width: int, times: int = 1) -> np.ndarray:
    """A soft field of greys with lines and dots across it, [height, width] uint8; times: so many times as many."""
    coarse = draw.uniform(60, 195, (3, 3)).astype(np.float32)
    picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).clip(0, 255).astype(np.uint8)
    for _ in range(times * int(draw.integers(3, 9))):
        start = draw.uniform(0, (width, height))
        length, angle = draw.uniform(6, 70), draw.uniform(0, 2 * np.pi)
        end = start + length * np.array([np.cos(angle), np.sin(angle)])
        ink(picture, [np.stack([start, end])], float(draw.uniform(20, 235)), float(draw.uniform(1, 4)))
    for _ in range(times * int(draw.integers(0, 12))):
        at = draw.uniform(0, (width, height))
        ink(picture, [np.stack([at, at])], float(draw.uniform(20, 235)), float(draw.uniform(1, 6)))
    return picture


def _fits(one: Placed, others: list[Placed], side: int) -> bool:
    """Whether all of it is in the picture, and apart from the others."""
    x1, y1, x2, y2 = one.box()
    if min(x1, y1) < 1 or max(x2, y2) > side - 1:
        return False
    boxes = [other.box() for other in others]
    return all(x1 > b[2] + GAP or x2 < b[0] - GAP or y1 > b[3] + GAP or y2 < b[1] - GAP for b in boxes)


def _contrast(draw: np.random.Generator, picture: np.ndarray, one: Placed) -> float:
    """A grey at least 60 away from the mean of what is behind the object."""
    x1, y1, x2, y2 = (int(v) for v in one.box())
    behind = float(picture[y1 : y2 + 1, x1 : x2 + 1].mean())
    greys = [grey for grey in (behind - draw.uniform(60, 120), behind + draw.uniform(60, 120)) if 0 <= grey <= 255]
    return float(greys[int(draw.integers(len(greys)))]) if greys else float(behind < 128) * 255
