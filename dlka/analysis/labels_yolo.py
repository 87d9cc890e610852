"""Labels in YOLO's format: a text file for each picture, a row `class cx cy w h` an object, shares of the picture.

Files of rows `class x1 y1 x2 y2 x3 y3 ...` outline their objects instead; the boxes around these polygons are taken.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np

from dlka.analysis.labels import Truth, TruthRefused, inside, plain_name, same_names, text_of, told_left_out

BEYOND = 0.01  # how far coordinates may leave 0..1, as Ultralytics allows: rounding of the program that wrote them

MOST_OF_ROWS = 4 * 2**20  # of the labels of one picture: tens of thousands of boxes


@dataclass(frozen=True)
class Rows:
    """A label file: classes [n] int64; boxes [n, 4] float64, cx cy w h; polygons: whether its rows are those;
    without_area: rows that are left out because their width or height is 0."""

    classes: np.ndarray
    boxes: np.ndarray
    polygons: bool = False
    without_area: int = 0


@dataclass(frozen=True)
class YoloLabels:
    """Label files by the stem of their picture's name.

    rows: what the files say, with the labels' own classes; ids: those -> the models' classes; left_out: class name ->
    boxes of classes that the models do not know.
    """

    rows: dict[str, Rows]
    ids: dict[int, int]
    left_out: Counter[str]

    def truth(self, picture: str, size: tuple[int, int]) -> Truth | None:
        """The objects of a picture by its file name, of (height, width) pixels; None where it has no label file. Raises
        TruthRefused."""
        stem = plain_name(PurePath(picture).stem)
        if stem not in self.rows:
            return None
        classes, boxes = self.rows[stem].classes, self.rows[stem].boxes
        known = np.isin(classes, list(self.ids))
        middle, half = boxes[known, :2], boxes[known, 2:] / 2
        corners = np.hstack([middle - half, middle + half]) * [size[1], size[0], size[1], size[0]]
        ids = np.array([self.ids[int(c)] for c in classes[known]], np.int64)
        labelled = frozenset(self.ids.values())
        return Truth(inside(corners, size, f"{stem}.txt"), ids, np.zeros(len(ids), bool), labelled)

    def told(self) -> list[str]:
        """Sentences on what was left out, and on polygons."""
        files = self.rows.values()
        return told_left_out(self.left_out, sum(f.without_area for f in files), sum(f.polygons for f in files))


def parse_yolo(
    files: Iterable[tuple[str, bytes]],
    known: Mapping[int, str],
    names: Mapping[int, str] | None = None,
    source: str = "",
) -> YoloLabels:
    """Labels out of text files (name, content); an empty file says that its picture shows no object.

    known: the models' classes; names: the labels' own ones with their `source`, matched by name; without them the
    labels' ids are the models'. Raises TruthRefused.
    """
    ids = {number: number for number in known} if names is None else same_names(names, known, source)
    names = known if names is None else names
    rows: dict[str, Rows] = {}
    left_out: Counter[str] = Counter()
    for file, data in files:
        stem = plain_name(PurePath(file).stem)
        if stem in rows:
            raise TruthRefused(f"Two label files are called {file}: their pictures cannot be told apart by name.")
        rows[stem] = parse_rows(text_of(data, file, MOST_OF_ROWS), file, len(names))
        left_out.update(names[int(c)] for c in rows[stem].classes if int(c) not in ids)
    return YoloLabels(rows, ids, left_out)


def parse_rows(text: str, file: str, classes: int) -> Rows:
    """The rows of one label file, each once.

    A row of over six values makes all rows of the file polygons, as in Ultralytics. Raises TruthRefused for rows that
    are neither, and for files that mix the two: Ultralytics leaves such pictures out.
    """
    rows: dict[tuple[float, ...], tuple[int, str]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            rows.setdefault(_numbers(line), (number, line))
    polygons = any(len(row) > 6 for row in rows)
    table = []
    for row, (number, line) in rows.items():
        box, got = around(row[1:]) if polygons and len(row) > 6 and len(row) % 2 else row[1:], f"got {line!r:.60}"
        is_box = len(box) == 4 and all(-BEYOND <= value <= 1 + BEYOND for value in box) and min(box[2:]) >= 0
        if not (is_box and 0 <= row[0] < classes and row[0] % 1 == 0):
            what, shape = ("points", "x1 y1 x2 y2 x3 y3 ...") if polygons else ("boxes", "cx cy w h")
            more = ", and no score or the like behind it" if len(row) == 6 and not polygons else ""
            wanted = f"expected class {shape}, class under {classes}{more}"
            raise TruthRefused(f"{file}, line {number}: {wanted}, {got}; {what} are shares of the picture, 0 to 1.")
        if polygons and len(row) == 5:
            wanted = "expected polygons in all rows, as in others of this file, or boxes in all"
            raise TruthRefused(f"{file}, line {number}: {wanted}, {got}.")
        table.append((row[0], *box))
    boxes = np.array(table, np.float64).reshape(-1, 5)
    kept = boxes[boxes[:, 3:].min(axis=1) > 0] if len(boxes) else boxes
    return Rows(kept[:, 0].astype(np.int64), kept[:, 1:], polygons, len(boxes) - len(kept))


def around(points: tuple[float, ...]) -> tuple[float, float, float, float]:
    """The box cx cy w h around x1 y1 x2 y2 ..."""
    x1, x2, y1, y2 = min(points[::2]), max(points[::2]), min(points[1::2]), max(points[1::2])
    return (x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1


def _numbers(line: str) -> tuple[float, ...]:
    """The row's values; none where one is no finite number."""
    try:
        row = tuple(map(float, line.split()))
    except ValueError:
        return ()
    return row if all(map(math.isfinite, row)) else ()
