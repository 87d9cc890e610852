"""Which models look at a picture where nobody has named any: those that can know what is on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dlka.analysis.analysis import PictureFile, Settings, Source, pixels
from dlka.analysis.examples import SCENES, first
from dlka.models.catalog import CONTROL, DEFAULT, baseline_of, cards, default_for, knows_shapes


def opening() -> str:
    """The label of the example that the page opens with: a drawn scene, where the model for them is there."""
    return first(default_for(shapes=True) == DEFAULT)


def settings_for(example: str | None) -> Settings:
    """What an example is looked at with, by its label; None for a picture of a visitor's own."""
    model = default_for(example in SCENES)
    return Settings(model, baseline_of(model) or CONTROL)


def suited(path: str | Path, source: Source, dlka: str, baseline: str) -> tuple[str, str]:
    """The two models that look at a picture that was just chosen: those that stand there, unless they cannot know it.

    Drawn scenes are for models of drawn shapes, all other examples for the others. A picture of the visitor's own is
    left to the models that stand there, but for one in colours and models of drawn shapes: their scenes are grey.
    """
    shapes = dlka in cards() and knows_shapes(cards()[dlka].names)
    if source.example is None:
        fitting = not shapes or is_grey(pixels(PictureFile(str(path), source.sha256)))
    else:
        fitting = shapes == (source.example in SCENES)
    if fitting:
        return dlka, baseline
    other = settings_for(source.example)
    return other.dlka, other.baseline


def is_grey(image: np.ndarray) -> bool:
    """Whether a picture [H, W, 3] uint8 has no colours: none of its pixels."""
    return bool((image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all())


def switched(dlka: str, example: str | None) -> str:
    """A sentence on models that have made room for those of another kind. dlka: the one that looks now."""
    if example in SCENES:
        return f"This is a drawn scene: {dlka}, which knows drawn letters and curves, looks at it now."
    return f"Drawn letters and curves are all that {DEFAULT} knows: {dlka} looks at this picture now."
