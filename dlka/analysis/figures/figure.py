"""What a figure is: a drawing with its words and its numbers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

Arrays = dict[str, np.ndarray]


class Drawing(Protocol):
    """What every drawing can be handed out as: render.Paper, and render.chart.Chart."""

    def to_array(self) -> np.ndarray: ...
    def to_png(self) -> bytes: ...
    def to_svg(self, caption: str = "") -> bytes: ...
    def to_pdf(self, caption: str = "") -> bytes: ...


@dataclass(frozen=True)
class Figure:
    """A drawing; its caption, a sentence or two with the key numbers; arrays: the numbers behind it by name."""

    paper: Drawing
    caption: str
    arrays: Arrays
