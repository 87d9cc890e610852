"""What a figure is: its fields are its arguments; of a finished analysis it makes a drawing, a caption and numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from dlka.analysis.analysis import Analysis
from dlka.analysis.figures.pictures import strength_note
from dlka.errors import DlkaError
from dlka.render.canvas import Drawing
from dlka.render.geometry import Reads
from dlka.types import Detections, Pairing

Arrays = dict[str, np.ndarray]


class Drawn(NamedTuple):
    """A figure of one analysis: the drawing; its caption; the numbers behind it by name."""

    paper: Drawing
    caption: str
    arrays: Arrays


@dataclass(frozen=True)
class Figure(ABC):
    """A kind of figure with its arguments. All methods raise DlkaError for arguments that this analysis does not have.

    name: what recipes, pages and programs call its kind.
    """

    name: ClassVar[str]

    def __init_subclass__(cls, name: str) -> None:
        cls.name = name

    @abstractmethod
    def draw(self, analysis: Analysis) -> Drawing:
        """The picture or chart."""

    @abstractmethod
    def caption(self, analysis: Analysis) -> str:
        """What it shows and its key numbers in a sentence or two, also for those who cannot see it. Draws nothing."""

    @abstractmethod
    def arrays(self, analysis: Analysis) -> Arrays:
        """The numbers behind it."""

    def drawn(self, analysis: Analysis) -> Drawn:
        """All three."""
        return Drawn(self.draw(analysis), self.caption(analysis), self.arrays(analysis))


def subject(analysis: Analysis) -> str:
    """Which model and picture a figure is of, with what was done to the offsets."""
    return f"{analysis.settings.dlka} on {picture_name(analysis)}{strength_note(analysis)}"


def model_and_picture(analysis: Analysis, side: str) -> str:
    """The same for one of the two models."""
    if side == "dlka":
        return f"D-LKA model {subject(analysis)}"
    return f"baseline {analysis.settings.baseline} on {picture_name(analysis)}"


def picture_name(analysis: Analysis) -> str:
    """The example, or a visitor's picture by its size."""
    if analysis.source is not None and analysis.source.example:
        return analysis.source.example
    height, width = analysis.image.shape[:2]
    return f"a picture of {width} x {height} px"


def one_of(what: str, value: str, known: Iterable[str]) -> None:
    """Raises DlkaError for a value that is none of the known ones."""
    names = list(known)
    if value not in names:
        expected = " or ".join(names) if len(names) == 2 else f"one of {', '.join(names)}"
        raise DlkaError(f"{what}: expected {expected}; got {value!r:.60}.")


def found_arrays(detections: Detections, before: str = "") -> Arrays:
    """The fields of detections, each name with a word before it."""
    return {f"{before}{name}": values for name, values in vars(detections).items()}


def pair_arrays(pairing: Pairing) -> Arrays:
    """pairs [N, 2]: indices of the first and the second, -1 for none; ious [N] float64."""
    both = [[-1 if i is None else i for i in (p.first, p.second)] for p in pairing.pairs]
    ious = np.array([p.iou for p in pairing.pairs], np.float64)
    return {"pairs": np.array(both, np.int64).reshape(-1, 2), "ious": ious}


def read_arrays(read: Reads, before: str = "") -> Arrays:
    """cell [2] (row, column); samples and regular [n, 2] (x, y) in pixels of the picture; zero [n] bool."""
    told = {"cell": np.array(read.cell, np.int64), "samples": read.samples, "regular": read.regular, "zero": read.zero}
    return {f"{before}{name}": value for name, value in told.items()}
