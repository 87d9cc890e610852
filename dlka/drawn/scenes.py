"""Scenes for detectors: one to six letters and curves of 8 to 96 px on clutter, drawn from a seed, labels exact; and as
a data set on disk, in YOLO's format: pictures, a text of boxes beside each, and data.yaml."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from dlka.drawn.shapes import SHAPES, Placed, ink, placed
from dlka.errors import DlkaError, make_folder

SIDE = 160  # px
SIZES = (8.0, 96.0)  # px
TURN = 45.0  # degrees to both sides
STRETCH = 1.6
MOST = 6  # objects a picture
GAP = 2.0  # px between the boxes of two objects
_TRIES = 30
LIMIT = 1_000_000  # pictures of a part: the validation part's numbers begin where no training part's can reach
_SEEDS = 2**32  # a larger one would be two words to numpy, of which the second could be another seed's number


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
        # A grey at least 60 away from the mean of what is behind the object.
        x1, y1, x2, y2 = (int(v) for v in one.box())
        behind = float(picture[y1 : y2 + 1, x1 : x2 + 1].mean())
        greys = [grey for grey in (behind - draw.uniform(60, 120), behind + draw.uniform(60, 120)) if 0 <= grey <= 255]
        one.draw(picture, float(greys[int(draw.integers(len(greys)))]) if greys else float(behind < 128) * 255)
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


def write_data_set(out: Path, count: int, seed: int, val: int) -> None:
    """Draw `count` pictures into images/train and `val` others into images/val of a folder, with labels and data.yaml.

    out: a folder that is empty or not there yet; count: 1 to LIMIT; seed: 0 to 2^32 - 1; val: 0 to LIMIT, 0 for no
    validation part. The same numbers give the same files; no picture of one seed is among another's, and none of the
    training part in the validation part. data.yaml comes last: a folder without it is not whole. Raises DlkaError.
    """
    limits = (("count", count, 1, LIMIT), ("seed", seed, 0, _SEEDS - 1), ("val", val, 0, LIMIT))
    for name, value, least, most in limits:
        if not least <= value <= most:
            raise DlkaError(f"{name}: expected {least} to {most}, got {value}.")
    if out.exists() and not out.is_dir():
        raise DlkaError(f"{out}: expected a folder to draw into, got a file: give another name.")
    if out.is_dir() and any(os.scandir(out)):
        raise DlkaError(f"{out}: expected an empty folder, or a new one, and there is something in it: give another.")
    make_folder(out)
    parts = {"train": range(count)} | ({"val": range(LIMIT, LIMIT + val)} if val else {})
    for part, numbers in parts.items():
        for kind in ("images", "labels"):
            (out / kind / part).mkdir(parents=True)
        for number in numbers:
            scene, name = draw_scene(seed, number), f"{number % LIMIT:06}"
            # Not cv2.imwrite, which says nothing of a full disk.
            (out / "images" / part / f"{name}.png").write_bytes(cv2.imencode(".png", scene.picture)[1].tobytes())
            (out / "labels" / part / f"{name}.txt").write_text(label_rows(scene), encoding="utf-8")
    names = "".join(f"  {number}: {name}\n" for number, name in enumerate(SHAPES))
    folders = "".join(f"{part}: images/{part}\n" for part in parts)
    made = f"# python -m dlka draw-scenes --count {count} --seed {seed} --val {val}\n"
    (out / "data.yaml").write_text(f"{made}{folders}names:\n{names}", encoding="utf-8")


def label_rows(scene: Scene) -> str:
    """A line an object: number of its class, then middle, width and height of its box as shares of the picture's."""
    height, width = scene.picture.shape
    numbers = {name: number for number, name in enumerate(SHAPES)}
    rows = []
    for one in scene.objects:
        x1, y1, x2, y2 = one.box()
        box = ((x1 + x2) / 2 / width, (y1 + y2) / 2 / height, (x2 - x1) / width, (y2 - y1) / height)
        rows.append(f"{numbers[one.name]} {' '.join(f'{value:.6f}' for value in box)}\n")
    return "".join(rows)
