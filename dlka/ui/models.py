"""Which models the page offers on either side, and which two belong together."""

from __future__ import annotations

from dlka.models.catalog import CONTROL, cards, control_of

SIZE = 640  # pixels: the input size that the page opens with, at which cards give their figures unless they say so
SIZES = (320, 416, 512, 640, 960, 1280)  # that the page offers


def dlka_models() -> list[str]:
    """Ids of the models that can stand on the D-LKA side, COCO's first."""
    return [model for model, card in cards().items() if card.placement != CONTROL]


def baseline_models() -> list[str]:
    """Ids of the stock models, which can stand on the other side, COCO's first."""
    return [model for model, card in cards().items() if card.placement == CONTROL]


def partner(chosen: str, other: str) -> str:
    """Which model stands beside one that was just chosen: `other`, which does now, unless its classes are different.

    Then it is the control of a D-LKA model; for a stock model one of those whose control it is, if possible with the
    placement and the offsets of `other`. Where there is none it stays `other`.
    """
    known = cards()
    if chosen not in known or (other in known and known[chosen].names == known[other].names):
        return other
    if known[chosen].placement != CONTROL:
        return control_of(chosen) or other
    able = [m for m in dlka_models() if known[m].names == known[chosen].names]
    own = [m for m in able if control_of(m) == chosen] or able
    like = known.get(other)

    def likeness(model: str) -> tuple[bool, bool]:
        card = known[model]
        return like is not None and card.placement == like.placement, like is not None and card.offsets == like.offsets

    return max(own, key=likeness, default=other)
