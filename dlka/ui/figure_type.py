"""What a figure is: a drawing with its words and its numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlka.render import Paper

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Figure:
    """A drawing; its caption, a sentence or two with the key numbers; arrays: the numbers behind it by name."""

    paper: Paper
    caption: str
    arrays: Arrays
