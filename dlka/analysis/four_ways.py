"""One picture seen four ways, so that large kernel, deformation and resolution are told apart. Plain functions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlka import palette
from dlka.analysis.analysis import Analysis, get_analysis
from dlka.analysis.cache import kept
from dlka.analysis.pairing import match_detections
from dlka.analysis.what_if import AS_LEARNED, RIGID, detections
from dlka.models.placements import PLAIN
from dlka.render import Canvas, Sides, draw_boxes, draw_change, draw_sliced
from dlka.types import ONLY_FIRST, ONLY_SECOND, SIZES, Detections, Pairing, size_of

COLUMNS = ["seen by", "boxes", "S", "M", "L", "new", "gone", "against"]
BASELINE, RIGID_LKA, DEFORMED, SLICED = NAMES = ("baseline", "rigid LKA", "D-LKA", "sliced baseline")
COLOURS = dict(zip(NAMES, (palette.BASELINE, palette.WHAT_IF, palette.DLKA, palette.SLICED)))
LARGE = "Large kernel"
ALIKE = "Weights learned with offsets"  # what that is where the baseline is a rigid twin, with the same large kernels
# What tells one way from another: (what it is, the way with it, the way without it).
EFFECTS = (LARGE, RIGID_LKA, BASELINE), ("Deformation", DEFORMED, RIGID_LKA), ("Resolution", SLICED, BASELINE)
START = {with_it: without for _, with_it, without in EFFECTS}


@dataclass(frozen=True)
class FourWays:
    """found: name of a way -> its boxes; slices [M, 4] and fired [N]: of the sliced one, as in inference.slicing."""

    found: dict[str, Detections]
    slices: np.ndarray
    fired: np.ndarray

    def effect(self, with_it: str, without: str) -> Pairing:
        """Boxes of one way against those of another: ONLY_FIRST are new, ONLY_SECOND are gone."""
        return match_detections(self.found[with_it], self.found[without])


@kept
def four_ways(key: str) -> FourWays:
    """An analysis's picture seen in the four NAMES. Raises DlkaError."""
    # Imported late, as the library that cuts slices takes half a second.
    from dlka.inference.slicing import look_in_slices, slices_per_side

    analysis = get_analysis(key)

    def one(part: np.ndarray) -> Detections:
        return analysis.predictor("baseline").predict(part, **analysis.asked("baseline")).detections

    parts = slices_per_side((analysis.image.shape[0], analysis.image.shape[1]), analysis.settings.size)
    sliced = look_in_slices(one, analysis.image, parts)
    rigid, learned = detections(analysis, RIGID), detections(analysis, AS_LEARNED)
    found = analysis.baseline.detections, rigid, learned, sliced.detections
    return FourWays(dict(zip(NAMES, found)), sliced.slices, sliced.fired)


def title(analysis: Analysis, ways: FourWays, way: str) -> str:
    """What a way is, and which one it is compared with."""
    return {
        BASELINE: f"1. Baseline: {analysis.settings.baseline}",
        RIGID_LKA: f"2. Rigid LKA: {analysis.settings.dlka} with offsets at zero, against 1",
        DEFORMED: f"3. D-LKA: {analysis.settings.dlka} as learned, against 2",
        SLICED: f"4. The baseline in {len(ways.slices)} slices, against 1",
    }[way]


def drawing(analysis: Analysis, ways: FourWays, way: str) -> Canvas:
    """The picture of one way; of all but the first as the difference to what its effect starts from."""
    found, said = ways.found[way], title(analysis, ways, way)
    before = START.get(way)
    if before is None:
        return draw_boxes(analysis.image, found, analysis.names, COLOURS[way], said)
    sides = Sides(before, way, COLOURS[before], COLOURS[way])
    given = (analysis.image, ways.effect(way, before), analysis.names, said, sides)
    return draw_sliced(*given, ways.slices, ways.fired) if way == SLICED else draw_change(*given)


def rows(ways: FourWays) -> list[list[object]]:
    """One row a way, under COLUMNS."""
    out: list[list[object]] = []
    for number, name in enumerate(NAMES, 1):
        sizes = [size_of(float(area)) for area in ways.found[name].areas]
        against: list[object] = ["-", "-", "-"]
        if name in START:
            pairing = ways.effect(name, START[name])
            against = [pairing.count(ONLY_FIRST), pairing.count(ONLY_SECOND), START[name]]
        out.append([f"{number}. {name}", len(sizes), *(sizes.count(size) for size in SIZES), *against])
    return out


def sentence(analysis: Analysis, ways: FourWays) -> str:
    """What each of the three brings and costs here, in boxes."""
    if not any(len(found) for found in ways.found.values()):
        return "None of the four found anything at this confidence. Lower it, or choose another picture."
    parts = []
    for what, with_it, without in EFFECTS:
        new, gone = (count_boxes(ways.effect(with_it, without), kind) for kind in (ONLY_FIRST, ONLY_SECOND))
        change = "the same boxes" if new == gone == "0" else f"{new} new, {gone} gone"
        if what == LARGE and analysis.cards[1].placement not in PLAIN:
            what = ALIKE
        parts.append(f"{what} ({NAMES.index(with_it) + 1} against {NAMES.index(without) + 1}): {change}.")
    return " ".join(parts)


def count_boxes(pairing: Pairing, kind: str) -> str:
    """How many boxes are of a kind, and how many of them are small."""
    small = pairing.count(kind, "S")
    return f"{pairing.count(kind)} ({small} small)" if small else str(pairing.count(kind))
