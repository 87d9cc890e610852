"""Whether offsets vary with the picture: their variance split into place on the map and what the picture shows there.

A stage may have learned offsets that are the same whatever it sees, another kernel shape for each place on the map (a
border is seen through padding alone). Such a stage deforms, but adapts to nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlka.analysis.stages import MOVED
from dlka.types import Capture


class OffsetVariation:
    """Sums over pictures of the offsets of each deform stage.

    For the split, pictures must have their cells at the same places: it is made over those of the most frequent
    letterboxed shape.
    """

    def __init__(self) -> None:
        self._pictures: dict[str, int] = {}
        self._within: dict[str, float] = {}
        self._sums: dict[str, dict[tuple[int, ...], _Sums]] = {}  # stage name -> shape of its field -> sums

    def add(self, captures: Sequence[Capture]) -> None:
        """Take in what all stages did on one picture."""
        for capture in captures:
            name, offset = capture.stage.name, capture.offset
            self._pictures[name] = self._pictures.get(name, 0) + 1
            self._within[name] = self._within.get(name, 0.0) + float(offset.std(axis=(1, 2), dtype=np.float64).mean())
            shapes = self._sums.setdefault(name, {})
            shapes.setdefault(offset.shape, _Sums.zeros(offset.shape)).add(offset)

    def rows(self) -> dict[str, dict[str, Any]]:
        """Stage name -> what its offsets vary by, in cells; one offset is a tap's dy or dx at a cell.

        within_cells   standard deviation over the cells of a picture, mean over offsets and pictures
        between_cells  standard deviation over pictures of the offset at one cell, root mean square over all
        content        share of the variance over cells and pictures that is between pictures, in 0..1; the rest is
                       between the means of the cells, the same for every picture
        varies         whether between_cells is more than 0.1, below which a bilinear read hardly changes
        pictures       how many the split is made over; with fewer than two it is None
        """
        rows = {}
        for name, shapes in self._sums.items():
            sums = max(shapes.values(), key=lambda each: each.count)
            content, place = sums.split()
            rows[name] = {
                "within_cells": self._within[name] / self._pictures[name],
                "between_cells": None if content is None else content**0.5,
                "content": None if content is None else content / ((content + place) or 1.0),
                "varies": None if content is None else content**0.5 > MOVED,
                "pictures": sums.count,
            }
        return rows


@dataclass
class _Sums:
    """Of the offsets [2K, H, W] of `count` pictures: their sum [2K, H, W] and the sum of all squares [2K]."""

    count: int
    total: np.ndarray
    squares: np.ndarray

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> _Sums:
        return cls(0, np.zeros(shape), np.zeros(shape[0]))

    def add(self, offset: np.ndarray) -> None:
        self.count += 1
        self.total += offset
        self.squares += np.square(offset, dtype=np.float64).sum(axis=(1, 2))

    def split(self) -> tuple[float | None, float]:
        """Variance between pictures (None for one picture) and between the places' means; mean over the 2K offsets.

        Analysis of variance with the cells as groups. The means of so few pictures vary by chance, too, by the variance
        between pictures over their number: that is taken off again.
        """
        if self.count < 2:
            return None, 0.0
        cells = self.total[0].size
        mean = self.total / self.count
        rest = self.squares - self.count * np.square(mean).sum(axis=(1, 2))
        content = float(rest.clip(0).mean()) / (cells * (self.count - 1))
        place = float(mean.var(axis=(1, 2), ddof=min(1, cells - 1)).mean()) - content / self.count
        return content, max(0.0, place)
