"""Labels in COCO's format: one JSON file with images, categories and annotations."""

from __future__ import annotations

import json
import math
import reprlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, NoReturn

import numpy as np

from dlka.truth.labels import Truth, TruthRefused, inside, same_names, text_of

LARGEST = 1e6  # pixels; no picture that is read here comes near


@dataclass
class _Image:
    """(height, width) where the file tells it, and the objects of one picture."""

    size: tuple[int, int] | None
    boxes: list[tuple[float, ...]] = field(default_factory=list)  # x1 y1 x2 y2
    classes: list[int] = field(default_factory=list)
    crowd: list[bool] = field(default_factory=list)


@dataclass(frozen=True)
class CocoLabels:
    """What a COCO file says of each picture, by its file name without folders.

    labelled: the models' ids of its categories; left_out: category -> boxes, where the models do not know it.
    """

    file: str
    images: dict[str, _Image]
    labelled: frozenset[int]
    left_out: Counter[str]

    def truth(self, picture: str, size: tuple[int, int]) -> Truth | None:
        """The objects of a picture by its file name, of (height, width) pixels; None where the file does not list it.

        Raises TruthRefused where the file tells another size: its boxes would mean something else.
        """
        image = self.images.get(PurePosixPath(picture).name)
        if image is None:
            return None
        if image.size is not None and image.size != size:
            raise TruthRefused(
                f"{self.file}: {picture} should be {image.size[1]} x {image.size[0]} pixels and is "
                f"{size[1]} x {size[0]} (upright): its boxes are of another picture."
            )
        boxes = np.array(image.boxes, np.float64).reshape(-1, 4)
        classes = np.array(image.classes, np.int64)
        return Truth(
            inside(boxes, size, f"{self.file}, {picture}"), classes, np.array(image.crowd, bool), self.labelled
        )


def parse_coco(data: bytes, known: Mapping[int, str], file: str) -> CocoLabels:
    """Labels out of a COCO file; categories are the models' classes (`known`) of the same names.

    iscrowd and ignore make an object one of Truth.crowd. Sizes are those of boxes; masks and `area` are not read.
    Raises TruthRefused, naming the annotation, for boxes that are not four finite numbers with a width and a height.
    """
    content = _json(text_of(data, file), file)
    names: dict[Any, str] = {}
    for row in content["categories"]:
        if not isinstance(row, dict) or not isinstance(row.get("name"), str) or not _is_id(row.get("id")):
            raise TruthRefused(f"{file}: expected categories with an id and a name, got {reprlib.repr(row)}.")
        names[row["id"]] = row["name"]
    ids = same_names(names, known, file)
    images: dict[str, _Image] = {}
    by_id: dict[Any, _Image] = {}
    for row in content["images"]:
        name, image = _image(row, file)
        if name in images:
            raise TruthRefused(f"{file}: two images are called {name!r:.80}: they cannot be told apart by name.")
        images[name] = by_id[row["id"]] = image
    left_out: Counter[str] = Counter()
    for number, row in enumerate(content["annotations"], 1):
        image_id, category, box = _annotation(row, number, file)
        if image_id not in by_id or category not in names:
            raise TruthRefused(f"{file}, annotation {number}: its image_id or category_id is not listed in the file.")
        if category not in ids:
            left_out[names[category]] += 1
            continue
        image = by_id[image_id]
        image.boxes.append(box)
        image.classes.append(ids[category])
        image.crowd.append(bool(row.get("iscrowd")) or bool(row.get("ignore")))
    return CocoLabels(file, images, frozenset(ids.values()), left_out)


def _json(text: str, file: str) -> dict[str, Any]:
    def refuse(constant: str) -> NoReturn:
        raise TruthRefused(f"{file}: {constant} is no number of a box.")

    try:
        content = json.loads(text, parse_constant=refuse)
    except TruthRefused:
        raise
    except (ValueError, RecursionError) as error:
        where = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise TruthRefused(f"{file} is not valid JSON{where}.") from None
    parts = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(part), list) for part in parts):
        raise TruthRefused(f"{file}: expected COCO ground truth with the lists {', '.join(parts)}.")
    return content


def _image(row: Any, file: str) -> tuple[str, _Image]:
    """File name without folders, and an image without objects yet."""
    if not isinstance(row, dict) or not isinstance(row.get("file_name"), str) or not _is_id(row.get("id")):
        raise TruthRefused(f"{file}: expected images with an id and a file_name, got {reprlib.repr(row)}.")
    height, width = row.get("height"), row.get("width")
    size = (height, width) if type(height) is int and type(width) is int else None
    return PurePosixPath(row["file_name"].replace("\\", "/")).name, _Image(size)


def _annotation(row: Any, number: int, file: str) -> tuple[Any, Any, tuple[float, ...]]:
    """image_id, category_id, and the box as x1 y1 x2 y2."""
    box = row.get("bbox") if isinstance(row, dict) else None
    good = isinstance(box, list) and len(box) == 4 and all(_is_coordinate(value) for value in box)
    if box is None or not good or not (_is_id(row.get("image_id")) and _is_id(row.get("category_id"))):
        raise TruthRefused(
            f"{file}, annotation {number}: expected image_id, category_id and bbox [x, y, width, height] in pixels, "
            f"got {reprlib.repr(row)}."
        )
    x, y, width, height = box
    if width <= 0 or height <= 0:
        raise TruthRefused(f"{file}, annotation {number}: expected a box with a width and a height, got {box}.")
    return row["image_id"], row["category_id"], (x, y, x + width, y + height)


def _is_id(value: object) -> bool:
    return isinstance(value, int | str)


def _is_coordinate(value: object) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and abs(value) <= LARGEST  # type: ignore[arg-type,operator]
