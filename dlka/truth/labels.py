"""The labelled objects of one picture, and what the readers of all formats share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

MAX_BYTES = 20 * 2**20  # of a label file


class TruthRefused(ValueError):
    """Labels that cannot be used; one sentence with the file, and the line where there is one."""


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

    def __post_init__(self) -> None:
        n = len(self.boxes)
        if self.boxes.shape != (n, 4) or self.classes.shape != (n,) or self.crowd.shape != (n,):
            raise ValueError(
                f"Truth: expected boxes [N, 4], classes [N], crowd [N], got {list(self.boxes.shape)}, "
                f"{list(self.classes.shape)}, {list(self.crowd.shape)}"
            )
        if not np.isfinite(self.boxes).all() or (self.boxes[:, 2:] <= self.boxes[:, :2]).any():
            raise ValueError("Truth.boxes: expected finite boxes with x1 < x2 and y1 < y2")

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


def text_of(data: bytes, file: str) -> str:
    """A label file's text. Raises TruthRefused for files that are too large, or no text in UTF-8."""
    if len(data) > MAX_BYTES:
        raise TruthRefused(f"{file} is larger than {MAX_BYTES >> 20} MB: expected a smaller label file.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise TruthRefused(f"{file} is no text file in UTF-8: expected labels.") from None


def same_names(names: Mapping[int, str], known: Mapping[int, str], file: str) -> dict[int, int]:
    """Class ids of the labels -> ids of the models' classes of the same name; classes that models lack are left out.

    Upper case, lower case, blanks, "-" and "_" make no difference. Raises TruthRefused where no name is the same.
    """
    ids = {_plain(name): number for number, name in known.items()}
    found = {number: ids[_plain(name)] for number, name in names.items() if _plain(name) in ids}
    if not found:
        raise TruthRefused(
            f"{file}: its classes are {_some(names)}; the models know {_some(known)}: expected some of the same names."
        )
    return found


def inside(boxes: np.ndarray, size: tuple[int, int], file: str) -> np.ndarray:
    """Boxes [N, 4] x1 y1 x2 y2 cut to a picture of (height, width) pixels. Raises TruthRefused for one outside."""
    cut = boxes.clip(0, [size[1], size[0], size[1], size[0]])
    empty = (cut[:, 2:] <= cut[:, :2]).any(axis=1)
    if empty.any():
        x1, y1, x2, y2 = boxes[empty][0]
        raise TruthRefused(
            f"{file}: the box from ({x1:.6g}, {y1:.6g}) to ({x2:.6g}, {y2:.6g}) lies outside of its picture of "
            f"{size[1]} x {size[0]} pixels."
        )
    return cut


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _some(names: Mapping[int, str]) -> str:
    shown = ", ".join(f"{name:.30}" for name in list(names.values())[:4])
    return shown + (", ..." if len(names) > 4 else "") if names else "none"
