"""Labels in YOLO's format: a text file for each picture, a row `class cx cy w h` an object, shares of the picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import yaml

from dlka.truth.labels import Truth, TruthRefused, inside, same_names, text_of

BEYOND = 0.01  # how far coordinates may leave 0..1, as Ultralytics allows: rounding of the program that wrote them
MAX_CLASSES = 10_000

Rows = tuple[np.ndarray, np.ndarray]  # classes [n] int64; boxes [n, 4] float64, cx cy w h


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
        """The objects of a picture by its file name, of (height, width) pixels; None where it has no label file.

        Raises TruthRefused.
        """
        stem = PurePath(picture).stem
        if stem not in self.rows:
            return None
        classes, boxes = self.rows[stem]
        known = np.isin(classes, list(self.ids))
        middle, half = boxes[known, :2], boxes[known, 2:] / 2
        corners = np.hstack([middle - half, middle + half]) * [size[1], size[0], size[1], size[0]]
        ids = np.array([self.ids[int(c)] for c in classes[known]], np.int64)
        labelled = frozenset(self.ids.values())
        return Truth(inside(corners, size, f"{stem}.txt"), ids, np.zeros(len(ids), bool), labelled)


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
        stem = PurePath(file).stem
        if stem in rows:
            raise TruthRefused(f"Two label files are called {file}: their pictures cannot be told apart by name.")
        rows[stem] = parse_rows(text_of(data, file), file, len(names))
        left_out.update(names[int(c)] for c in rows[stem][0] if int(c) not in ids)
    return YoloLabels(rows, ids, left_out)


def parse_rows(text: str, file: str, classes: int) -> Rows:
    """The rows of one label file, each once. Raises TruthRefused for a row that is not class cx cy w h."""
    rows: dict[tuple[float, ...], None] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        row = _row(line)
        if len(row) != 5 or row[0] not in range(classes) or not _is_box(row[1:]):
            raise TruthRefused(
                f"{file}, line {number}: expected class cx cy w h, class under {classes}, got {line!r:.60}; "
                "boxes are shares of the picture, 0 to 1."
            )
        rows[row] = None
    table = np.array(list(rows), np.float64).reshape(-1, 5)
    return table[:, 0].astype(np.int64), table[:, 1:]


def parse_names(data: bytes, file: str) -> dict[int, str]:
    """Class id -> name of a data.yaml, under 'names', or of a classes.txt with a name a line. Raises TruthRefused."""
    text = text_of(data, file)
    if file.lower().endswith(".txt"):
        names: object = [line.strip() for line in text.splitlines() if line.strip()]
    else:
        try:  # aliases can make a small text huge
            if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, Loader=yaml.SafeLoader)):
                raise TruthRefused(f"{file} has an alias, which is not read here.")
            content = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
            if isinstance(error, TruthRefused):
                raise
            raise TruthRefused(f"{file} is not valid yaml.") from None
        names = content.get("names") if isinstance(content, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not 1 <= len(names) <= MAX_CLASSES or set(names) != set(range(len(names))):
        raise TruthRefused(f"{file}: expected 1 to {MAX_CLASSES} class names, numbered from 0 under 'names' in a yaml.")
    return {number: str(names[number]) for number in range(len(names))}


def _row(line: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in line.split())
    except ValueError:
        return ()


def _is_box(box: tuple[float, ...]) -> bool:
    """False for values that are not finite, too."""
    return all(-BEYOND <= value <= 1 + BEYOND for value in box) and min(box[2:]) > 0
