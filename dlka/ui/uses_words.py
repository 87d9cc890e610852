"""What `dlka uses` found of a model, as its card has it, in plain words: nothing about one model is written here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlka.models.weights import IN_USE, SMALL, UNUSED

NEEDS = {IN_USE: "needs its offsets", SMALL: "needs its offsets a little", UNUSED: "does not need its offsets"}
MUCH = 1.2  # spread on large objects over that on small ones, from which on a kernel is said to follow them


def in_words(uses: Mapping[str, Any]) -> str:
    """Whether the model needs its offsets, by AP, and how its first kernel follows objects: a clause or two.

    A card need not have the figures: then there is less to say.
    """
    said = NEEDS[uses["verdict"]]
    own, off = (_number(uses, "offsets", name, "AP") for name in ("own", "off"))
    if own is not None and off is not None:
        said += f": AP {100 * own:.1f} with them, {100 * off:.1f} without"
    stages = uses.get("stages")
    first = stages[0] if isinstance(stages, list) and stages and isinstance(stages[0], Mapping) else {}
    follows = follows_objects(first)
    return f"{said}; {follows}" if follows else said


def follows_objects(stage: Mapping[str, Any]) -> str:
    """How samples of a stage follow objects, a clause; empty where its row has not the figures for it.

    stage: a row of dlka.evidence.following.Following.rows. Only what lies beyond its interval is said.
    """
    small, large, rho = (_number(stage, name) for name in ("spread_small", "spread_large", "size_rho"))
    inside, grid = _number(stage, "in_box"), _number(stage, "in_box_grid")
    if small and large and rho is not None and _end(stage, "size_rho_95", 0, 0.0) > 0 and large > small:
        word = "widens with the object" if large / small >= MUCH else "adapts a little"
        return f"its first kernel {word}: {small:.2f} times the grid on small ones, {large:.2f} on large"
    if inside is not None and grid is not None and _end(stage, "in_box_minus_grid_95", 1, 0.0) < 0:
        return f"its first kernel reads around objects: {inside:.0%} of its samples in a box, {grid:.0%} of the grid's"
    return ""


def _number(row: Mapping[str, Any], *names: str) -> float | None:
    """A number in nested mappings, None where it is not there: a card is a stranger's file."""
    value: Any = row
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _end(row: Mapping[str, Any], name: str, which: int, otherwise: float) -> float:
    """One end of an interval [low, high], or `otherwise`."""
    ends = row.get(name)
    known = isinstance(ends, list) and len(ends) == 2 and all(isinstance(end, int | float) for end in ends)
    return float(ends[which]) if known and ends else otherwise
