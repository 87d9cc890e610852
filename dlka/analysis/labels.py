"""What labels of all formats share: files as text, names of classes, and the labelled objects of one picture."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dlka.errors import DlkaError
from dlka.printing import count
from dlka.safe_yaml import plain_yaml

MAX_BYTES = 20 * 2**20  # of a label file


class TruthRefused(DlkaError):
    """Labels that cannot be used; one sentence with the file, and the line where there is one."""


def read_bytes(path: Path) -> bytes:
    """At most MAX_BYTES + 1 bytes of a file, for `text_of`. Raises TruthRefused for a pipe, a device or a folder, which
    might never end."""
    if not os.path.isfile(path):
        raise TruthRefused(f"{path}: expected a file, got none.")
    with open(path, "rb") as file:
        return file.read(MAX_BYTES + 1)


def text_of(data: bytes, file: str, limit: int = MAX_BYTES) -> str:
    """A label file's text. Raises TruthRefused for files of more than `limit` bytes, and for no text in UTF-8."""
    if len(data) > limit:
        raise TruthRefused(f"{file} is larger than {limit >> 20} MB: expected a smaller label file.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        looks = _looks_like(data)
    told = f" (it looks like {looks}); save it as UTF-8" if looks else ": expected a text file in UTF-8"
    raise TruthRefused(f"{file} is not UTF-8{told}.")


def _looks_like(data: bytes) -> str | None:
    """The encoding that editors and spreadsheets write in the place of UTF-8, where the bytes tell it."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "UTF-16"
    try:
        text = data.decode("gbk")
    except UnicodeDecodeError:
        return None
    # Many a text in a western encoding can be decoded as GBK, but not to characters that are in common use.
    common = text.encode("gb2312", "ignore")
    return "GBK" if 2 * _above_ascii(common) > _above_ascii(data) else None


def _above_ascii(data: bytes) -> int:
    return len(data.translate(None, bytes(range(128))))


# What a data set calls its classes, and which of them a model knows.


MAX_CLASSES = 10_000
MAX_NAME = 100  # characters
MOST_OF_NAMES = 2**20  # of a text of names

Id = TypeVar("Id", int, str)


def parse_names(data: bytes, file: str) -> dict[int, str]:
    """Class id -> name of a yaml, or of a text with a name a line (classes.txt, obj.names). Raises TruthRefused."""
    text = text_of(data, file, MOST_OF_NAMES)
    if is_yaml(file):
        return class_names(yaml_mapping(text, file), file)
    return _checked([line.strip() for line in text.rstrip().splitlines()], file)


def is_yaml(file: str) -> bool:
    """Whether a file is one by the end of its name."""
    return file.lower().endswith((".yaml", ".yml"))


def yaml_mapping(text: str, file: str) -> dict[Any, Any]:
    """A yaml's mapping, empty where it holds something else. Raises TruthRefused."""
    try:
        content = plain_yaml(text, file)
    except DlkaError as error:
        raise TruthRefused(str(error)) from None
    return content if isinstance(content, dict) else {}


def class_names(content: Mapping[Any, Any], file: str) -> dict[int, str]:
    """Class id -> name, as Ultralytics reads a data set's yaml: `names` is a list, or a mapping whose keys are numbers
    or texts of them; with only their number `nc` they are called class_0, class_1 and so on. Raises TruthRefused.
    """
    names, count = content.get("names"), content.get("nc")
    number = _whole(count)
    if count is not None and (number is None or not 1 <= number <= MAX_CLASSES):
        raise TruthRefused(f"{file}: expected 'nc', the number of classes, from 1 to {MAX_CLASSES}, got {count!r:.40}.")
    if names is None and number is not None:
        return {i: f"class_{i}" for i in range(number)}
    if isinstance(names, dict):
        by_number = {_whole(key): name for key, name in names.items()}
        if len(by_number) < len(names) or by_number.keys() != set(range(len(names))):
            raise TruthRefused(f"{file}: expected class names numbered from 0 under 'names', got {list(names)!r:.60}.")
        names = [by_number[i] for i in range(len(by_number))]
    if not isinstance(names, list):
        raise TruthRefused(f"{file}: expected class names, a list or numbered from 0, under 'names'.")
    found = _checked(names, file)
    if number not in (None, len(found)):
        raise TruthRefused(f"{file}: 'nc' is {number}, and there are {len(found)} names.")
    return found


def same_names(names: Mapping[Id, str], known: Mapping[int, str], file: str) -> dict[Id, int]:
    """Class ids of the labels -> ids of the models' classes of the same name; classes that models lack are left out.

    Where no name is the very same, upper case, lower case, blanks, "-" and "_" make no difference. Raises TruthRefused
    where no class is known.
    """
    exact = {name: number for number, name in known.items()}
    alike = {_plain(name): number for number, name in known.items()}
    found = {number: exact.get(name, alike.get(_plain(name))) for number, name in names.items()}
    if ids := {number: known_as for number, known_as in found.items() if known_as is not None}:
        return ids
    known_ones = f"the models know {_some(known)}: expected some of the same names"
    raise TruthRefused(f"{file}: its classes are {_some(names)}; {known_ones}.")


def _checked(names: list[Any], file: str) -> dict[int, str]:
    if not 1 <= len(names) <= MAX_CLASSES:
        raise TruthRefused(f"{file}: expected 1 to {MAX_CLASSES} class names, got {len(names)}.")
    texts = [str(name) if isinstance(name, str | int | float | date) else "" for name in names]
    wrong = next((i for i, text in enumerate(texts) if not 0 < len(text.strip()) <= MAX_NAME), None)
    if wrong is not None:
        got = f"got {names[wrong]!r:.60} for class {wrong}"
        raise TruthRefused(f"{file}: expected class names of 1 to {MAX_NAME} characters, {got}.")
    first = {text: i for i, text in reversed([*enumerate(texts)])}
    if (twice := next((text for i, text in enumerate(texts) if first[text] < i), None)) is not None:
        raise TruthRefused(f"{file}: two classes are called {twice!r:.60}; give each its own name.")
    return dict(enumerate(texts))


def _whole(value: object) -> int | None:
    """A whole number, also as 3.0 or "3"; None for anything else."""
    if isinstance(value, str) and value.isdecimal() and len(value) <= len(str(MAX_CLASSES)):
        return int(value)
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _some(names: Mapping[Any, str]) -> str:
    shown = ", ".join(f"{name:.30}" for name in list(names.values())[:4])
    return shown + (", ..." if len(names) > 4 else "") if names else "none"


# The labelled objects of one picture, and what the readers of all formats share.


@dataclass(frozen=True)
class Truth:
    """What is to be found in one picture.

    boxes    [N, 4] float64, x1 y1 x2 y2, pixels of the original upright picture, measured at pixel edges
    classes  [N] int64, the models' own class ids
    crowd    [N] bool: regions with more objects than were labelled one by one (COCO's iscrowd), or objects that their
             labels tell to ignore; neither hit nor missed, and a detection in one is no false alarm
    labelled classes that were labelled at all; detections of other ones cannot be judged
    """

    boxes: np.ndarray
    classes: np.ndarray
    crowd: np.ndarray
    labelled: frozenset[int]

    def __len__(self) -> int:
        return len(self.boxes)

    @property
    def areas(self) -> np.ndarray:
        """[N] float64, box areas in square pixels of the picture."""
        return (self.boxes[:, 2:] - self.boxes[:, :2]).prod(axis=1)

    def only(self, classes: Collection[int]) -> Truth:
        """The objects of some classes."""
        kept = np.isin(self.classes, list(classes))
        return Truth(self.boxes[kept], self.classes[kept], self.crowd[kept], self.labelled & frozenset(classes))


def inside(boxes: np.ndarray, size: tuple[int, int], file: str) -> np.ndarray:
    """Boxes [N, 4] x1 y1 x2 y2 cut to a picture of (height, width) pixels. Raises TruthRefused for one outside."""
    cut = boxes.clip(0, [size[1], size[0], size[1], size[0]])
    empty = (cut[:, 2:] <= cut[:, :2]).any(axis=1)
    if empty.any():
        box = "({:.6g}, {:.6g}) to ({:.6g}, {:.6g})".format(*boxes[empty][0])
        raise TruthRefused(f"{file}: the box from {box} lies outside of its picture of {size[1]} x {size[0]} pixels.")
    return cut


def told_left_out(unknown: Mapping[str, int], without_area: int = 0, polygons: int = 0) -> list[str]:
    """Sentences on what the readers did not take as it stands. unknown: class -> labelled objects, where models do not
    know it; without_area: boxes without a width or a height; polygons: label files that outline objects."""
    told = []
    if polygons:
        told.append(f"{count(polygons, 'label file')} with polygons: the boxes around them are taken.")
    if without_area:
        told.append(f"{count(without_area, 'labelled box', 'labelled boxes')} without a width or a height: left out.")
    if unknown:
        names = [f"{name} ({number})" for name, number in Counter(unknown).most_common()]
        told.append(f"Labelled objects of classes that the models do not know are left out: {some(names)}.")
    return told


def some(texts: Sequence[str], shown: int = 3) -> str:
    """The first few of them, and how many more there are."""
    return ", ".join(texts[:shown]) + (f" and {len(texts) - shown} more" if len(texts) > shown else "")


def plain_name(name: str) -> str:
    """A file's name as one form of Unicode: Macs and other systems write "é" as different bytes."""
    return unicodedata.normalize("NFC", name)
