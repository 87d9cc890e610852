"""Who of two models is right where they disagree."""

from __future__ import annotations

from typing import NamedTuple

from dlka.truth.judge import FALSE_ALARM, HIT, UNCOUNTED, Judgement
from dlka.types import Pair

DLKA, BASELINE, BOTH, NEITHER, OPEN = "D-LKA", "baseline", "both", "neither", "open"
RIGHT = (DLKA, BASELINE, BOTH, NEITHER, OPEN)


class Verdict(NamedTuple):
    """right: one of RIGHT; told: why, in a few words."""

    right: str
    told: str


def verdict(pair: Pair, dlka: Judgement, baseline: Judgement) -> Verdict:
    """What truth says about an object that the two models do not see alike; the pair is of any kind but "both".

    A false alarm of one model makes the other one, which is silent there, right.
    """
    if pair.dlka is not None and pair.baseline is not None:
        ours, theirs = dlka.verdicts[pair.dlka], baseline.verdicts[pair.baseline]
        right = {(HIT, FALSE_ALARM): DLKA, (FALSE_ALARM, HIT): BASELINE, (HIT, HIT): BOTH}
        default = OPEN if UNCOUNTED in (ours, theirs) else NEITHER
        return Verdict(right.get((ours, theirs), default), f"D-LKA: {ours}; baseline: {theirs}")
    if pair.dlka is not None:
        return _alone(pair.dlka, DLKA, dlka, BASELINE, baseline)
    assert pair.baseline is not None
    return _alone(pair.baseline, BASELINE, baseline, DLKA, dlka)


def _alone(index: int, name: str, own: Judgement, other_name: str, other: Judgement) -> Verdict:
    """One model's box, without one of the other model's beside it."""
    if own.verdicts[index] == HIT:
        if other.found_by[own.object_of[index]] >= 0:
            return Verdict(BOTH, f"hit; {other_name} hits the same object by another box")
        return Verdict(name, f"hit; {other_name} misses it")
    if own.verdicts[index] == FALSE_ALARM:
        return Verdict(other_name, "false alarm")
    return Verdict(OPEN, "not counted: in a crowd, or of a class that is not labelled")
