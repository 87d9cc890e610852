"""One training of a network that segments, as data: a flag of `dlka train-seg` is a field here. Imports fast."""

from __future__ import annotations

from dataclasses import dataclass

from dlka.train.recipe import flag


@dataclass(frozen=True)
class SegmentRecipe:
    """What a run does: every field is told by the help of its flag. The network follows from the data: a volume's or a
    picture's."""

    data: str = flag("folder with images/ and labels/ or masks/, each with train/ and val/")
    preset: str = flag("small or paper", "small", words=("small", "paper"))
    offsets: str = flag("dense, separable; its rigid twin: none", "dense", words=("dense", "separable", "none"))
    steps: int = flag("steps in all", 4000, low=1)
    batch: int = flag("crops a step", 2, low=1)
    lr: float = flag("highest learning rate", 2e-3)
    seed: int = flag("seed of everything random", 0, high=2**31)
