"""Scenes as a data set on disk, in YOLO's format: pictures, a text of boxes beside each, and data.yaml."""

from __future__ import annotations

import os
from pathlib import Path

import cv2

from dlka.drawn.scenes import Scene, draw_scene
from dlka.drawn.shapes import SHAPES
from dlka.errors import DlkaError

MOST = 1_000_000  # pictures of a part: the validation part's numbers begin where no training part's can reach
_SEEDS = 2**32  # a larger one would be two words to numpy, of which the second could be another seed's number


def write_data_set(out: Path, count: int, seed: int, val: int) -> None:
    """Draw `count` pictures into images/train and `val` others into images/val of a folder, with labels and data.yaml.

    out: a folder that is empty or not there yet; count: 1 to MOST; seed: 0 to 2^32 - 1; val: 0 to MOST, 0 for no
    validation part. The same numbers give the same files; no picture of one seed is among another's, and none of the
    training part in the validation part. data.yaml comes last: a folder without it is not whole. Raises DlkaError.
    """
    for name, value, least, most in (("count", count, 1, MOST), ("seed", seed, 0, _SEEDS - 1), ("val", val, 0, MOST)):
        if not least <= value <= most:
            raise DlkaError(f"{name}: expected {least} to {most}, got {value}.")
    if out.exists() and not out.is_dir():
        raise DlkaError(f"{out}: expected a folder to draw into, got a file: give another name.")
    if out.is_dir() and any(os.scandir(out)):
        raise DlkaError(f"{out}: expected an empty folder, or a new one, and there is something in it: give another.")
    parts = {"train": range(count)} | ({"val": range(MOST, MOST + val)} if val else {})
    for part, numbers in parts.items():
        for kind in ("images", "labels"):
            (out / kind / part).mkdir(parents=True)
        for number in numbers:
            scene, name = draw_scene(seed, number), f"{number % MOST:06}"
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
