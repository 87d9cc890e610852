"""A data set looked at before anything is trained on it: what would go wrong hours later is told in a sentence now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dlka.analysis.labels import some, told_left_out
from dlka.errors import DlkaError
from dlka.images import MAX_BYTES, MAX_PIXELS, READERS
from dlka.printing import count
from dlka.train.dataset import DataSet, Found, find_pictures, label_file, read_labels
from dlka.types import SMALL_AREA

FORMATS = ("JPEG", "PNG", "WebP", "BMP")  # of those that dlka.images reads
MIN_SIDE = 10  # pixels; Ultralytics leaves out smaller pictures


@dataclass(frozen=True)
class Part:
    """The pictures of a part and what their labels hold.

    objects [classes] int64: how many of each class; empty: pictures without any; small: share of the boxes under 32x32
    pixels of the original picture, 0..1; told: sentences on what was left out, and on polygons.
    """

    pictures: list[Path]
    objects: np.ndarray
    empty: int
    small: float
    told: list[str]

    def __str__(self) -> str:
        seen, known = int((self.objects > 0).sum()), len(self.objects)
        none = f" ({self.empty} without any)" if self.empty else ""
        return (
            f"{len(self.pictures)} pictures{none}, {int(self.objects.sum())} boxes of {seen} of {known} classes, "
            f"{self.small:.0%} of them under 32x32 px"
        ).replace("%", " %")


@dataclass(frozen=True)
class Checked:
    """A data set that can be trained on; val is None where there is no validation part."""

    data: DataSet
    train: Part
    val: Part | None

    def lines(self) -> list[str]:
        """What people should know before they train: sizes, and what looks odd but is no reason to refuse."""
        lines = [f"{self.data.title} train: {self.train}", *self.train.told]
        if self.val is None:
            lines.append("There is no validation part: nothing will be measured.")
        else:
            lines += [f"{self.data.title} val: {self.val}", *self.val.told]
            if both := len(set(self.train.pictures) & set(self.val.pictures)):
                lines.append(
                    f"Warning: {both} of the validation pictures are trained on too, "
                    "so figures say little about other pictures."
                )
        missing = [name for number, name in self.data.names.items() if not self.train.objects[number]]
        if missing:
            more = f" and {len(missing) - 10} more" if len(missing) > 10 else ""
            lines.append(f"Warning: no training picture shows {', '.join(missing[:10])}{more}.")
        return lines


def check_dataset(data: DataSet) -> Checked:
    """Look at every label file, and at the header of every picture, once.

    Raises DlkaError: paths that are not there, no pictures, files that are no pictures, no labels or only empty
    ones, rows that are no box and no polygon, classes without a name.
    """
    train = _part(find_pictures(data.train), data.names)
    return Checked(data, train, _part(find_pictures(data.val), data.names, measured=True) if data.val else None)


def _part(found: Found, names: dict[int, str], measured: bool = False) -> Part:
    pictures, broken = list(found.pictures), []
    objects, small, empty, polygons, without_area = np.zeros(len(names), np.int64), 0, 0, 0, 0
    for picture in pictures:
        try:
            width, height = picture_size(picture, measured)
            labels = read_labels(picture, len(names))
        except DlkaError as error:
            broken.append(str(error))
            continue
        objects += np.bincount(labels.classes, minlength=len(names))
        small += int((labels.boxes[:, 2:].prod(axis=1) * width * height < SMALL_AREA).sum())
        empty += not len(labels.classes)
        polygons += labels.polygons
        without_area += labels.without_area
    if broken:
        others = f" ({len(broken) - 1} more of {len(pictures)} pictures are wrong.)" if len(broken) > 1 else ""
        raise DlkaError(f"{broken[0]}{others}")
    if not objects.any():
        _refuse_without_labels(pictures, without_area)
    told = [*found.told(), *told_left_out({}, without_area, polygons), *_labels_of_nothing(found)]
    return Part(pictures, objects, empty, small / int(objects.sum()), told)


def _labels_of_nothing(found: Found) -> list[str]:
    """A sentence on .txt files beside the labels that belong to no picture: classes.txt, or labels of another name."""
    of_pictures = {label_file(picture) for picture in found.pictures}
    folders = {file.parent for file in of_pictures if file.parent.is_dir()}
    beside = {file for folder in folders for file in folder.iterdir() if file.suffix.lower() == ".txt"}
    names = sorted(file.name for file in beside - of_pictures if not file.name.startswith("."))
    return [f"Text files that are the labels of no picture here: {some(names)}."] if names and found.whole else []


def picture_size(picture: Path, measured: bool = False) -> tuple[int, int]:
    """(width, height) in pixels as the file's header says, before EXIF turns it; raises DlkaError.

    measured: the picture must also be small enough for `dlka.images`, which reads what is measured.
    """
    if not os.path.isfile(picture):  # a pipe would never end
        raise DlkaError(f"{picture}: expected a picture file, got a link to nothing, a pipe or a device.")
    wrong = DlkaError(f"{picture}: expected a JPEG, PNG, WebP or BMP picture, got something else.")
    with open(picture, "rb") as file:
        start = file.read(12)
        file.seek(0)
        reader = next((READERS[name][1] for name in FORMATS if READERS[name][0].match(start)), None)
        if reader is None:
            raise wrong
        try:
            image = reader(file)
        except Exception:  # on damaged files Pillow's readers raise almost anything: SyntaxError, struct.error, ...
            raise wrong from None
        try:
            image.verify()
        except Exception:  # as above
            raise wrong from None
    width, height = image.size
    if min(width, height) < MIN_SIDE:
        raise DlkaError(f"{picture}: expected sides of at least {MIN_SIDE} pixels, got {width}x{height}.")
    if measured and (width * height > MAX_PIXELS or picture.stat().st_size > MAX_BYTES):
        raise DlkaError(
            f"{picture}: expected a validation picture of at most {MAX_PIXELS // 10**6} megapixels and "
            f"{MAX_BYTES >> 20} MB, got {width}x{height}; make it smaller."
        )
    return width, height


def _refuse_without_labels(pictures: list[Path], without_area: int) -> None:
    first = label_file(pictures[0])
    if not first.parent.is_dir():
        raise DlkaError(
            f"{first.parent}: expected a folder with the labels of {pictures[0].parent}, got none; the path of a "
            "picture's labels is its own with 'labels' in the place of 'images'."
        )
    if not any(label_file(picture).is_file() for picture in pictures):
        raise DlkaError(f"{first.parent}: expected {first.name} for {pictures[0].name} and so on, got no such file.")
    if without_area:
        raise DlkaError(
            f"{first.parent}: all {count(without_area, 'labelled box', 'labelled boxes')} are without a width or a "
            "height; expected rows of class cx cy w h."
        )
    raise DlkaError(f"{first.parent}: all label files are empty; expected rows of class cx cy w h.")
