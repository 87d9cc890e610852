"""The validation part of a data set in Ultralytics' layout: images/val, labels/val (class cx cy w h), data.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class DataRefused(ValueError):
    """A data set that cannot be used; one sentence with what to do."""


@dataclass(frozen=True)
class Labelled:
    """A picture file with its objects: classes [n] int64, boxes [n, 4] cx cy w h as shares of width and height."""

    picture: Path
    classes: np.ndarray
    boxes: np.ndarray


def read_val(folder: Path, limit: int | None = None) -> tuple[dict[int, str], list[Labelled]]:
    """Class names, and the pictures of images/val by name (the first `limit` of them) with their labels.

    A picture without a label file has no objects. Raises DataRefused.
    """
    names = class_names(folder / "data.yaml")
    images = folder / "images" / "val"
    found = sorted(p for p in images.iterdir() if p.suffix.lower() in PICTURES) if images.is_dir() else []
    if not found:
        raise DataRefused(f"{images}: expected a folder with pictures, got none.")
    return names, [read_labels(picture, folder / "labels" / "val", len(names)) for picture in found[:limit]]


def class_names(file: Path) -> dict[int, str]:
    """Class number -> name of a data.yaml; raises DataRefused."""
    if not file.is_file():
        raise DataRefused(f"{file}: expected a data set folder with data.yaml, images/val and labels/val.")
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DataRefused(f"{file} is not valid yaml.") from None
    names = content.get("names") if isinstance(content, dict) else None
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not names or sorted(names, key=str) != sorted(range(len(names)), key=str):
        raise DataRefused(f"{file}: expected class names numbered from 0 under 'names'.")
    return {number: str(name) for number, name in names.items()}


def read_labels(picture: Path, folder: Path, classes: int) -> Labelled:
    """The labels of one picture, each row once; raises DataRefused for a row that is not class cx cy w h."""
    file = folder / f"{picture.stem}.txt"
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = [float(word) for word in line.split()]
        except ValueError:
            row = []
        if len(row) != 5 or not np.isfinite(row).all() or row[0] not in range(classes) or min(row[3:]) <= 0:
            raise DataRefused(
                f"{file}, line {number}: expected class cx cy w h, class under {classes}, got {line!r:.60}."
            )
        if row not in rows:
            rows.append(row)
    table = np.array(rows, np.float64).reshape(-1, 5)
    return Labelled(picture, table[:, 0].astype(np.int64), table[:, 1:])
