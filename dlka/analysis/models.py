"""Which models the page offers on either side, and which two belong together."""

from __future__ import annotations

from collections.abc import Iterable

from dlka.errors import DlkaError, short
from dlka.inference.letterbox import MULTIPLE
from dlka.inference.prepared import check_size
from dlka.models.catalog import GUESTS, baseline_of, cards
from dlka.models.placements import PLAIN
from dlka.models.weights import Card

FITS = 0  # an input size: what fits model and picture, see dlka.models.catalog.input_size
SIZES = (FITS, 160, 320, 416, 512, 640, 960, 1280)  # px, that the page offers


def dlka_models() -> list[str]:
    """Ids of the models that can stand on the D-LKA side, COCO's first; those of visitors are offered to nobody."""
    return [model for model, card in cards().items() if card.placement not in PLAIN and model not in GUESTS]


def baseline_models() -> list[str]:
    """Ids of the models on the other side, those that move no tap: stock and rigid ones, COCO's first, as above."""
    return [model for model, card in cards().items() if not deforms(card) and model not in GUESTS]


def deforms(card: Card) -> bool:
    """Whether a model moves any tap."""
    return card.placement not in PLAIN and card.offsets in ("dense", "separable")


def baseline_for(dlka: str, baseline: str) -> str:
    """What stands beside a D-LKA model that was just chosen: the baseline that does now, unless its classes are others.
    Then it is the model's own, see dlka.models.catalog.baseline_of; where there is none it stays."""
    return baseline if dlka not in cards() or _alike(dlka, baseline) else baseline_of(dlka) or baseline


def dlka_for(baseline: str, dlka: str) -> str:
    """What stands beside a baseline that was just chosen: the D-LKA model that does now, unless its classes are others.

    Then it is one of those whose baseline the chosen one is, or which know the same, if possible with the placement and
    the offsets of the one that stands there now, which stays where there is none.
    """
    known = cards()
    if baseline not in known or _alike(dlka, baseline):
        return dlka
    able = [m for m in dlka_models() if deforms(known[m]) and _alike(m, baseline)]
    own = [m for m in able if baseline_of(m) == baseline] or able
    if (like := known.get(dlka)) is None:
        return next(iter(own), dlka)
    return max(
        own, key=lambda m: (known[m].placement == like.placement, known[m].offsets == like.offsets), default=dlka
    )


def _alike(one: str, other: str) -> bool:
    """Whether both are there and know the same classes."""
    known = cards()
    return one in known and other in known and known[one].names == known[other].names


def size_of(asked: int | None) -> int:
    """The size of Settings for what a user asked, None for what fits. Raises DlkaError."""
    if asked is None:
        return FITS
    check_size(asked, MULTIPLE)
    return asked


def class_names(asked: Iterable[str]) -> tuple[str, ...]:
    """The classes of Settings for what a user asked. Raises DlkaError for what is no list of names."""
    names = tuple(asked) if isinstance(asked, Iterable) and not isinstance(asked, str) else (asked,)
    if isinstance(asked, str) or not all(isinstance(name, str) for name in names):
        raise DlkaError(f'Classes: expected a list of names, such as ["person"]; got {short(asked)}.')
    return names
