"""Pictures with their labels, in YOLO's format: a text file beside each picture, a row an object."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlka.analysis.labels import read_bytes, text_of
from dlka.analysis.labels_yolo import MOST_OF_ROWS, Rows, parse_rows
from dlka.errors import DlkaError
from dlka.train.dataset_pictures import find_pictures, label_file
from dlka.train.dataset_yaml import read_dataset


@dataclass(frozen=True)
class Labelled:
    """A picture file with its objects: classes [n] int64, boxes [n, 4] cx cy w h as shares of width and height."""

    picture: Path
    rows: Rows

    @property
    def classes(self) -> np.ndarray:
        return self.rows.classes

    @property
    def boxes(self) -> np.ndarray:
        return self.rows.boxes


@dataclass(frozen=True)
class ValidationPart:
    """names: class number -> name; labelled: the pictures by name; told: sentences on what was left out."""

    names: dict[int, str]
    labelled: list[Labelled]
    told: list[str]


def read_val(path: Path, limit: int | None = None) -> ValidationPart:
    """The pictures of the validation part (the first `limit` of them) with their labels.

    path: a yaml file, or a folder with data.yaml in it. Raises DlkaError. A picture without a label
    file has no objects.
    """
    data = read_dataset(path)
    if not data.val:
        raise DlkaError(
            f"{data.file.parent / 'images' / 'val'}: expected a folder with pictures, got none; "
            "or name another under 'val' in the yaml."
        )
    found = find_pictures(data.val)
    labelled = [read_labels(picture, len(data.names)) for picture in list(found.pictures)[:limit]]
    return ValidationPart(data.names, labelled, found.told())


def read_labels(picture: Path, classes: int) -> Labelled:
    """The labels of one picture, each row once. Raises DlkaError for a row that is no box and no polygon."""
    file = label_file(picture)
    text = text_of(read_bytes(file), str(file), MOST_OF_ROWS) if os.path.isfile(file) else ""
    return Labelled(picture, parse_rows(text, str(file), classes))
