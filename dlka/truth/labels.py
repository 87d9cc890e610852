"""The labelled objects of one picture, and what the readers of all formats share."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dlka.truth.text import TruthRefused


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


def told_left_out(unknown: Mapping[str, int], without_area: int = 0, polygons: int = 0) -> list[str]:
    """Sentences on what the readers did not take as it stands.

    unknown: class -> labelled objects, where models do not know it; without_area: boxes without a width or a height;
    polygons: label files that outline objects.
    """
    told = []
    if polygons:
        told.append(f"{count(polygons, 'label file')} with polygons: the boxes around them are taken.")
    if without_area:
        told.append(f"{count(without_area, 'labelled box', 'labelled boxes')} without a width or a height: left out.")
    if unknown:
        names = [f"{name} ({number})" for name, number in Counter(unknown).most_common()]
        told.append(f"Labelled objects of classes that the models do not know are left out: {some(names)}.")
    return told


def count(number: int, one: str, many: str | None = None) -> str:
    """ "1 box", "2 boxes" """
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def some(texts: Sequence[str], shown: int = 3) -> str:
    """The first few of them, and how many more there are."""
    return ", ".join(texts[:shown]) + (f" and {len(texts) - shown} more" if len(texts) > shown else "")


def plain_name(name: str) -> str:
    """A file's name as one form of Unicode: Macs and other systems write "é" as different bytes."""
    return unicodedata.normalize("NFC", name)
