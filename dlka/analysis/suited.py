"""Which models look at a picture where nobody has named any: those that can know what is on it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dlka.analysis.analysis import Analysis, Settings, Source, pixels
from dlka.analysis.examples import first, subject
from dlka.analysis.model_words import made_for, why_not
from dlka.errors import DlkaError
from dlka.models.catalog import CONTROL, DEFAULT, baseline_of, cards, default_for, is_coco, subject_of


def opening() -> str:
    """The label of the example that the page opens with: a drawn scene, where the model for them is there."""
    return first("shapes" if default_for("shapes") == DEFAULT else "everyday")


def opening_with(dlka: str, baseline: str | None) -> tuple[str, Settings]:
    """The label of the example that a page opens with whose operator has named the models, and its settings. baseline
    None: what fits the D-LKA model. Raises DlkaError where there is nothing that does."""
    fair = baseline or baseline_of(dlka)
    if fair is None:
        raise DlkaError(why_not(dlka, CONTROL))
    return first(subject_of(cards()[dlka].names)), Settings(dlka, fair)


def settings_for(example: str | None) -> Settings:
    """What an example is looked at with, by its label; None for a picture of a visitor's own."""
    model = default_for(subject(example))
    return Settings(model, baseline_of(model) or CONTROL)


def suited(path: str | Path, source: Source, dlka: str, baseline: str) -> tuple[str, str]:
    """The two models that look at a picture that was just chosen: those that stand there, unless they cannot know it.

    An example is for models of its subject. A picture of the visitor's own is left to the models that stand there, but
    for one in colours and models of grey pictures.
    """
    known = subject_of(cards()[dlka].names) if dlka in cards() else "everyday"
    if source.example is None:
        fitting = known == "everyday" or is_grey(pixels(str(path), source.sha256))
    else:
        fitting = known == subject(source.example)
    if fitting:
        return dlka, baseline
    other = settings_for(source.example)
    return other.dlka, other.baseline


def is_grey(image: np.ndarray) -> bool:
    """Whether a picture [H, W, 3] uint8 has no colours: none of its pixels."""
    return bool((image[..., 0] == image[..., 1]).all() and (image[..., 1] == image[..., 2]).all())


def unfit(analysis: Analysis) -> str:
    """A sentence where the D-LKA model was not made for the picture that it looks at, or may not be; else empty."""
    card, example = analysis.cards[0], analysis.source.example if analysis.source else None
    of_others = example and subject_of(card.names) == "everyday" and not is_coco(card.names)
    if subject_of(card.names) == subject(example) and not of_others:
        return ""
    said = f"{analysis.settings.dlka} was made for {made_for(card)}"
    if example is None and is_grey(analysis.image):
        return f"{said}: on other pictures its boxes mean little, so choose a model that knows what is on it."
    return f"{said}, not for pictures like this one: its boxes mean little."
