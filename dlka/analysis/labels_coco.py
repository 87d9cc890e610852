"""Labels in COCO's format: one JSON file with images, categories and annotations."""

from __future__ import annotations

import json
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, TypeGuard

import numpy as np

from dlka.analysis.labels import Truth, TruthRefused, inside, plain_name, same_names, text_of, told_left_out
from dlka.printing import count

LARGEST = 1e6  # pixels; no picture that is read here comes near
PARTS = ("images", "annotations", "categories")


@dataclass
class _Image:
    """(height, width) where the file tells it, and the objects of one picture."""

    name: str
    size: tuple[int, int] | None
    objects: list[tuple[tuple[float, ...], int, bool]] = field(default_factory=list)  # x1 y1 x2 y2; class; crowd


@dataclass(frozen=True)
class CocoLabels:
    """What a COCO file says of each picture, by its file name without folders.

    labelled: the models' ids of its categories; left_out: category -> boxes, where the models do not know it;
    without_area: boxes whose width or height is 0; orphans: annotations of images or categories that the file does not
    list.
    """

    file: str
    images: dict[str, _Image]
    labelled: frozenset[int]
    left_out: Counter[str]
    without_area: int
    orphans: int

    def truth(self, picture: str, size: tuple[int, int]) -> Truth | None:
        """The objects of a picture by its file name, of (height, width) pixels; None where the file does not list it.
        Raises TruthRefused where the file tells another size: its boxes would mean something else."""
        image = self.images.get(plain_name(PurePosixPath(picture).name))
        if image is None:
            return None
        if image.size is not None and image.size != size:
            raise TruthRefused(
                f"{self.file}: {picture} should be {image.size[1]} x {image.size[0]} pixels and is "
                f"{size[1]} x {size[0]} (upright): its boxes are of another picture."
            )
        boxes, classes, crowd = zip(*image.objects) if image.objects else ((), (), ())
        cut = inside(np.array(boxes, np.float64).reshape(-1, 4), size, f"{self.file}, {picture}")
        return Truth(cut, np.array(classes, np.int64), np.array(crowd, bool), self.labelled)

    def told(self) -> list[str]:
        """Sentences on what was left out."""
        told = told_left_out(self.left_out, self.without_area)
        if self.orphans:
            told.append(f"{count(self.orphans, 'annotation')} of images or categories that are not listed: left out.")
        return told


def coco_labels(content: object, known: Mapping[int, str], file: str) -> CocoLabels:
    """Labels out of a JSON file's content; categories are the models' classes (`known`) of the same names.

    iscrowd and ignore make an object one of Truth.crowd. Sizes are those of boxes; masks and `area` are not read.
    Raises TruthRefused, naming the annotation, for boxes that are not four numbers of pixels.
    """
    if not isinstance(content, dict) or not is_coco(content):
        parts = f"expected COCO ground truth with the lists {', '.join(PARTS)}"
        raise TruthRefused(f"{file} is JSON{_looks_like(content)}: {parts}.")
    names: dict[str, str] = {}
    for category, name, _ in _listed(content["categories"], "categories", "name", file):
        if category in names:
            both = f"{category:.40}, {names[category]:.60} and {name:.60}"
            raise TruthRefused(f"{file}: two categories have the id {both}: give each an id of its own.")
        names[category] = name
    ids = same_names(names, known, file)
    images, by_id = _images(content["images"], file)
    left_out: Counter[str] = Counter()
    without_area = orphans = 0
    for number, row in enumerate(content["annotations"], 1):
        image_id, category, box = _annotation(row, number, file)
        if image_id not in by_id or category not in names:
            orphans += 1
        elif box[2] == box[0] or box[3] == box[1]:
            without_area += 1
        elif category not in ids:
            left_out[names[category]] += 1
        else:
            crowd = _is_set(row.get("iscrowd")) or _is_set(row.get("ignore"))
            by_id[image_id].objects.append((box, ids[category], crowd))
    return CocoLabels(file, images, frozenset(ids.values()), left_out, without_area, orphans)


def parse_json(data: bytes, file: str) -> Any:
    """What a JSON file holds. Raises TruthRefused, also for a key that stands twice in one object."""
    text = text_of(data, file)

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(pairs)
        if len(made) < len(pairs):
            twice = next(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
            raise TruthRefused(f"{file}: {twice!r:.60} is given twice in one object; keep one of them.")
        return made

    try:
        content = json.loads(text, object_pairs_hook=once)
    except TruthRefused:
        raise
    except json.JSONDecodeError as error:
        raise TruthRefused(f"{file} is not valid JSON at line {error.lineno}.") from None
    except RecursionError:
        raise TruthRefused(f"{file} has lists or objects in each other without end: expected labels.") from None
    except ValueError:  # Python reads at most 4300 digits
        raise TruthRefused(f"{file} has a number of thousands of digits: expected pixels and ids.") from None
    try:
        if "\\u" in text:  # "\ud800" alone is half of a character, which nothing could write or show
            json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        near = error.object[max(error.start - 40, 0) : error.end]
        raise TruthRefused(f"{file}: expected whole characters, got half of one at the end of {near!r}.") from None
    return content


def is_coco(content: object) -> bool:
    """Whether a JSON file's content has what COCO's ground truth has."""
    return isinstance(content, dict) and all(isinstance(content.get(part), list) for part in PARTS)


def holds_labels(content: object) -> bool:
    """Whether a JSON file's content seems to be labels, in COCO's format or another one."""
    return isinstance(content, list) or bool(isinstance(content, dict) and content.keys() & {*PARTS[:2], "shapes"})


def _looks_like(content: object) -> str:
    """Which format it is instead, where that can be told."""
    rows = content if isinstance(content, list) else [content]
    keys = set(rows[0]) if rows and isinstance(rows[0], dict) else set()
    if "shapes" in keys:
        return " of LabelMe's own format"
    if {"bbox", "score"} <= keys:
        return " with detections, COCO's results"
    if isinstance(content, list) and "data" in keys:
        return " of Label Studio's own format"
    return ""


def _listed(rows: list[Any], what: str, key: str, file: str) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """Id and name of every row, and the row. key: of its name."""
    for row in rows:
        number = _id(row.get("id")) if isinstance(row, dict) else None
        if number is None or not isinstance(row.get(key), str):
            raise TruthRefused(f"{file}: expected {what} with an id and a {key}, got {reprlib.repr(row)}.")
        yield number, row[key], row


def _images(rows: list[Any], file: str) -> tuple[dict[str, _Image], dict[str, _Image]]:
    """Images without objects yet, by file name without folders, and by id."""
    by_name: dict[str, _Image] = {}
    by_id: dict[str, _Image] = {}
    for number, path, row in _listed(rows, "images", "file_name", file):
        name = plain_name(PurePosixPath(path.replace("\\", "/")).name)
        if number in by_id:
            both = f"{by_id[number].name:.80} and {name:.80}"
            raise TruthRefused(
                f"{file}: two images have the id {number:.40}, {both}: their boxes cannot be told apart."
            )
        if name in by_name:
            raise TruthRefused(f"{file}: two images are called {name!r:.80}: they cannot be told apart by name.")
        by_name[name] = by_id[number] = _Image(name, _size(row, file))
    return by_name, by_id


def _size(image: dict[str, Any], file: str) -> tuple[int, int] | None:
    """(height, width) where the file tells them."""
    sides = [image[key] for key in ("height", "width") if image.get(key) is not None]
    if not all(_is_coordinate(side) and 1 <= side <= 100_000 and side % 1 == 0 for side in sides):
        size = f"a height and a width of {image['file_name']!r:.80}"
        raise TruthRefused(f"{file}: expected {size} from 1 to 100000 whole pixels, got {reprlib.repr(sides)}.")
    return (int(sides[0]), int(sides[1])) if len(sides) == 2 else None


def _annotation(row: Any, number: int, file: str) -> tuple[str, str, tuple[float, ...]]:
    """Ids of image and category, and the box as x1 y1 x2 y2."""
    found = row if isinstance(row, dict) else {}
    image, category, box = _id(found.get("image_id")), _id(found.get("category_id")), found.get("bbox")
    is_box = isinstance(box, list) and len(box) == 4 and all(map(_is_coordinate, box))
    if image is None or category is None or box is None or not is_box:
        raise TruthRefused(
            f"{file}, annotation {number}: expected image_id, category_id and bbox [x, y, width, height] in pixels, "
            f"got {reprlib.repr(row)}."
        )
    x, y, width, height = box
    if width < 0 or height < 0:
        raise TruthRefused(f"{file}, annotation {number}: expected a box with a width and a height, got {box}.")
    return image, category, (x, y, x + width, y + height)


def _id(value: object) -> str | None:
    """An id as text, so that 7, 7.0 and "7" are one; None for what is none."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value) if isinstance(value, int | str) and not isinstance(value, bool) else None


def _is_set(value: object) -> bool:
    """A flag: 0 or 1, false or true, also as text."""
    return bool(value) and str(value).strip().lower() not in ("0", "false", "")


def _is_coordinate(value: object) -> TypeGuard[float]:
    """False for NaN and infinity, too. (Integers of any length are compared without becoming a float.)"""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
