"""Pictures with their labels, in YOLO's format: a text file beside each picture, a row `class cx cy w h` an object."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlka.jobs.dataset_yaml import PICTURES, DataRefused, class_names, label_file, pictures_of, read_dataset
from dlka.truth.labels import TruthRefused
from dlka.truth.yolo import parse_rows

__all__ = ["PICTURES", "DataRefused", "Labelled", "class_names", "read_labels", "read_val"]


@dataclass(frozen=True)
class Labelled:
    """A picture file with its objects: classes [n] int64, boxes [n, 4] cx cy w h as shares of width and height."""

    picture: Path
    classes: np.ndarray
    boxes: np.ndarray


def read_val(path: Path, limit: int | None = None) -> tuple[dict[int, str], list[Labelled]]:
    """Class names, and the pictures of the validation part by name (the first `limit` of them) with their labels.

    path: a yaml file, or a folder with data.yaml in it. A picture without a label file has no objects. Raises
    DataRefused.
    """
    data = read_dataset(path)
    if not data.val:
        raise DataRefused(
            f"{data.file.parent / 'images' / 'val'}: expected a folder with pictures, got none; "
            "or name another under 'val' in the yaml."
        )
    pictures = pictures_of(data.val)[:limit]
    return data.names, [read_labels(picture, label_file(picture).parent, len(data.names)) for picture in pictures]


def read_labels(picture: Path, folder: Path, classes: int) -> Labelled:
    """The labels of one picture, each row once; raises DataRefused for a row that is not class cx cy w h."""
    file = folder / f"{picture.stem}.txt"
    try:
        text = file.read_text(encoding="utf-8-sig") if file.is_file() else ""
    except UnicodeDecodeError:
        raise DataRefused(f"{file}: expected rows of class cx cy w h, got no text.") from None
    try:
        return Labelled(picture, *parse_rows(text, str(file), classes))
    except TruthRefused as error:
        raise DataRefused(str(error)) from None
