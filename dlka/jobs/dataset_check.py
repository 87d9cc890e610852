"""A data set looked at before anything is trained on it: what would go wrong hours later is told in a sentence now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import BmpImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from dlka.images import MAX_BYTES, MAX_PIXELS
from dlka.jobs.dataset import read_labels
from dlka.jobs.dataset_yaml import DataRefused, DataSet, label_file, pictures_of
from dlka.types import SMALL_AREA

# What a file starts with -> the class that reads its header. Image.open is replaced by Ultralytics, which would install
# a package for a file that is no picture.
READERS = {
    b"\xff\xd8\xff": JpegImagePlugin.JpegImageFile,
    b"\x89PNG": PngImagePlugin.PngImageFile,
    b"RIFF": WebPImagePlugin.WebPImageFile,
    b"BM": BmpImagePlugin.BmpImageFile,
}
MIN_SIDE = 10  # pixels; Ultralytics leaves out smaller pictures


@dataclass(frozen=True)
class Part:
    """The pictures of a part and what their labels hold.

    objects [classes] int64: how many of each class; empty: pictures without any; small: share of the boxes under 32x32
    pixels of the original picture, 0..1.
    """

    pictures: list[Path]
    objects: np.ndarray
    empty: int
    small: float


@dataclass(frozen=True)
class Checked:
    """A data set that can be trained on; val is None where there is no validation part."""

    data: DataSet
    train: Part
    val: Part | None

    def lines(self) -> list[str]:
        """What people should know before they train: sizes, and what looks odd but is no reason to refuse."""
        lines = [f"{self.data.title} train: {_told(self.train)}"]
        if self.val is None:
            lines.append("There is no validation part: nothing will be measured.")
        else:
            lines.append(f"{self.data.title} val: {_told(self.val)}")
            both = len(set(self.train.pictures) & set(self.val.pictures))
            if both:
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

    Raises DataRefused: paths that are not there, no pictures, files that are no pictures, no labels or only empty ones,
    rows that are not class cx cy w h, classes without a name.
    """
    train = _part(pictures_of(data.train), data.names)
    return Checked(data, train, _part(pictures_of(data.val), data.names, measured=True) if data.val else None)


def _part(pictures: list[Path], names: dict[int, str], measured: bool = False) -> Part:
    objects, small, empty, broken = np.zeros(len(names), np.int64), 0, 0, []
    for picture in pictures:
        try:
            width, height = picture_size(picture, measured)
            labels = read_labels(picture, label_file(picture).parent, len(names))
        except DataRefused as error:
            broken.append(str(error))
            continue
        objects += np.bincount(labels.classes, minlength=len(names))
        small += int((labels.boxes[:, 2:].prod(axis=1) * width * height < SMALL_AREA).sum())
        empty += not len(labels.classes)
    if broken:
        others = f" ({len(broken) - 1} more of {len(pictures)} pictures are wrong.)" if len(broken) > 1 else ""
        raise DataRefused(f"{broken[0]}{others}")
    if not objects.any():
        _refuse_without_labels(pictures)
    return Part(pictures, objects, empty, small / int(objects.sum()))


def picture_size(picture: Path, measured: bool = False) -> tuple[int, int]:
    """(width, height) in pixels as the file's header says, before EXIF turns it; raises DataRefused.

    measured: the picture must also be small enough for `dlka.images`, which reads what is measured.
    """
    try:
        with open(picture, "rb") as file:
            start = file.read(4)
            file.seek(0)
            width, height = next(read for sign, read in READERS.items() if start.startswith(sign))(file).size
    except Exception:  # readers of headers raise almost anything on damaged files
        raise DataRefused(f"{picture}: expected a JPEG, PNG, WebP or BMP picture, got something else.") from None
    if min(width, height) < MIN_SIDE:
        raise DataRefused(f"{picture}: expected sides of at least {MIN_SIDE} pixels, got {width}x{height}.")
    if measured and (width * height > MAX_PIXELS or picture.stat().st_size > MAX_BYTES):
        raise DataRefused(
            f"{picture}: expected a validation picture of at most {MAX_PIXELS // 10**6} megapixels and "
            f"{MAX_BYTES >> 20} MB, got {width}x{height}; make it smaller."
        )
    return width, height


def _refuse_without_labels(pictures: Sequence[Path]) -> None:
    first = label_file(pictures[0])
    if not first.parent.is_dir():
        raise DataRefused(
            f"{first.parent}: expected a folder with the labels of {pictures[0].parent}, got none; the path of a "
            "picture's labels is its own with 'labels' in the place of 'images'."
        )
    if not any(label_file(picture).is_file() for picture in pictures):
        raise DataRefused(f"{first.parent}: expected {first.name} for {pictures[0].name} and so on, got no such file.")
    raise DataRefused(f"{first.parent}: all label files are empty; expected rows of class cx cy w h.")


def _told(part: Part) -> str:
    seen, known = int((part.objects > 0).sum()), len(part.objects)
    none = f" ({part.empty} without any)" if part.empty else ""
    return (
        f"{len(part.pictures)} pictures{none}, {int(part.objects.sum())} boxes of {seen} of {known} classes, "
        f"{part.small:.0%} of them under 32x32 px"
    ).replace("%", " %")
