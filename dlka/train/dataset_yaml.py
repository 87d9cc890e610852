"""A data set in Ultralytics' format: what its yaml says, and the labels beside its pictures, a row an object."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dlka.analysis import labels as truth_names
from dlka.analysis.labels import read_bytes, text_of
from dlka.analysis.labels_yolo import MOST_OF_ROWS, Rows, parse_rows
from dlka.errors import DlkaError
from dlka.train.dataset_pictures import find_pictures, first_there, label_file

SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class DataSet:
    """A data set by its yaml `file`. names: class number -> name, numbered from 0.

    train, val: folders with pictures, or .txt files that list them, as absolute paths; val is empty where there is no
    validation part.
    """

    file: Path
    names: dict[int, str]
    train: tuple[Path, ...]
    val: tuple[Path, ...]

    @property
    def title(self) -> str:
        """What people call it: the name of the yaml, or of its folder where that is called data.yaml."""
        return self.file.parent.name if self.file.stem == "data" else self.file.stem


def read_dataset(path: Path) -> DataSet:
    """The data set of a yaml file, or of a folder with data.yaml in it. Raises DlkaError.

    train and val: a folder or a list's file, or a list of them, relative to `path`, which is the yaml's own folder or
    relative to it; where they are left out they are images/train and images/val, the latter only if it is there.
    """
    file = _yaml_of(path)
    content = _content(file)
    names = truth_names.class_names(content, str(file))
    root = _root(content, file)
    val = content.get("val") or content.get("validation")
    val = val or ("images/val" if os.path.isdir(root / "images" / "val") else None)
    return DataSet(
        file.resolve(),
        names,
        _sources(content.get("train") or "images/train", root, file),
        _sources(val, root, file) if val else (),
    )


def class_names(file: Path) -> dict[int, str]:
    """Class number -> name of a data.yaml; raises DlkaError."""
    return truth_names.class_names(_content(file), str(file))


def _yaml_of(path: Path) -> Path:
    """A yaml file, or data.yaml of a folder, or the only yaml there."""
    if path.suffix.lower() in SUFFIXES:
        return path
    file = path / "data.yaml"
    if not file.is_file() and os.path.isdir(path):
        others = sorted(other for other in path.iterdir() if other.suffix.lower() in SUFFIXES)
        return others[0] if len(others) == 1 else file
    return file


def _content(file: Path) -> dict[Any, Any]:
    if not os.path.isfile(file):
        raise DlkaError(
            f"{file}: expected a data set folder with data.yaml, images/train, images/val and labels, or a yaml file."
        )
    content = truth_names.yaml_mapping(text_of(read_bytes(file), str(file)), str(file))
    if content.get("kpt_shape") is not None:
        raise DlkaError(f"{file}: expected labels of boxes or polygons, got those of keypoints (kpt_shape).")
    return content


def _root(content: dict[Any, Any], file: Path) -> Path:
    """The folder that `train` and `val` are relative to."""
    given = str(content.get("path") or "")
    root = first_there(file.parent.resolve(), given, Path.cwd())
    if not os.path.isdir(root):
        raise DlkaError(
            f"{file}: 'path' is {given!r:.200}, and there is no such folder; leave it out where the data lie beside "
            "the yaml."
        )
    return root


def _sources(given: Any, root: Path, file: Path) -> tuple[Path, ...]:
    """Absolute paths, symbolic links followed as Ultralytics does; they need not be there."""
    paths = given if isinstance(given, list) else [given]
    if not all(isinstance(path, str) and "\0" not in path for path in paths):
        raise DlkaError(f"{file}: expected a path or a list of paths under 'train' and 'val', got {given!r:.60}.")
    return tuple(first_there(root, path).resolve() for path in paths)


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
