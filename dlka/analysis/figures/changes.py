"""Figures of what changes: a model whose offsets or gates are changed, the four ways, and a changed picture.

What the models found is kept in memory once a tab has shown it, so that a caption runs no model.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from dlka.analysis import adapt, four_ways, what_if
from dlka.analysis.analysis import Analysis
from dlka.analysis.boxes import SIDES
from dlka.analysis.examples import examples
from dlka.analysis.figures import base
from dlka.analysis.figures.base import Arrays, Drawing, Figure
from dlka.analysis.transforms import Change
from dlka.analysis.what_if import lost_at_zero, title
from dlka.errors import DlkaError
from dlka.inference import interventions
from dlka.inference.kernel_shape import spread
from dlka.render import close_ups, reads_at
from dlka.render.legend import number as rounded
from dlka.types import KINDS, Pairing

STAGES = ", "  # between the labels of several stages


@dataclass(frozen=True)
class ChangedModel(Figure, name="what if"):
    """A changed model against the learned one.

    picture: one of what_if.PICTURES; kind, strength, seed: as in what_if.Change; stages: labels with STAGES
    between them, "" for all; example: label of the picture whose offsets are used, for the kind "given".
    """

    picture: str
    kind: str
    strength: float
    stages: str
    seed: int
    example: str

    def draw(self, analysis: Analysis) -> Drawing:
        return what_if.drawing(analysis, self._seen(analysis), self.picture)

    def caption(self, analysis: Analysis) -> str:
        seen = self._seen(analysis)
        who = f"{analysis.settings.dlka} on {base.picture_name(analysis)}"
        counts = _counts(seen.pairing, "learned", "changed")
        said = f"{title(seen.change, analysis)}: {who}, changed against learned: {counts}."
        if self.picture != what_if.DIFFERENCE:
            boxes = seen.learned if self.picture == what_if.LEFT else seen.changed
            said = f"The {len(boxes)} {'box' if len(boxes) == 1 else 'boxes'} of the {self.picture} model. {said}"
        return f"{said} {lost_at_zero(seen)}" if analysis.stage_labels and len(seen.learned) else said

    def arrays(self, analysis: Analysis) -> Arrays:
        seen = self._seen(analysis)
        return {
            **base.found_arrays(seen.learned, "learned_"),
            **base.found_arrays(seen.changed, "changed_"),
            **base.pair_arrays(seen.pairing),
            "lost": np.array(sorted(seen.lost), np.int64),
            "at_zero": seen.at_zero,
            **{f"offsets/{stage}": offset for stage, offset in what_if.offsets_used(analysis, seen.change).items()},
        }

    def _seen(self, analysis: Analysis) -> what_if.WhatIf:
        base.one_of("Picture", self.picture, what_if.PICTURES)
        base.one_of("Kind", self.kind, interventions.KINDS)
        if not 0 <= self.seed < 2**31:
            raise DlkaError(f"Seed: expected a whole number from 0; got {self.seed}.")
        labels = self.stages.split(STAGES) if self.stages else []
        for label in labels:
            analysis.capture(label)
        if self.kind == interventions.GIVEN:
            base.one_of("Example", self.example, examples())
        other = str(examples().get(self.example, ""))
        return what_if.what_if(analysis, what_if.asked(analysis, self.kind, self.strength, labels, self.seed, other))


@dataclass(frozen=True)
class OneWay(Figure, name="four ways"):
    """One of four_ways.NAMES; all but the baseline against the way that they differ from in one thing."""

    way: str

    def draw(self, analysis: Analysis) -> Drawing:
        return four_ways.drawing(analysis, self._ways(analysis), self.way)

    def caption(self, analysis: Analysis) -> str:
        ways = self._ways(analysis)
        what, count = four_ways.title(analysis, ways, self.way), len(ways.found[self.way])
        said = f"{what}, on {base.picture_name(analysis)}: {count} boxes"
        if self.way not in four_ways.START:
            return f"{said}."
        before = four_ways.START[self.way]
        return f"{said}; {_counts(ways.effect(self.way, before), before, self.way)}."

    def arrays(self, analysis: Analysis) -> Arrays:
        ways = self._ways(analysis)
        arrays = base.found_arrays(ways.found[self.way])
        if self.way in four_ways.START:
            before = four_ways.START[self.way]
            arrays |= base.found_arrays(ways.found[before], "before_") | base.pair_arrays(ways.effect(self.way, before))
        if self.way == four_ways.SLICED:
            arrays |= {"slices": ways.slices, "fired": ways.fired}
        return arrays

    def _ways(self, analysis: Analysis) -> four_ways.FourWays:
        base.one_of("Way", self.way, four_ways.NAMES)
        return four_ways.four_ways(analysis.key)


@dataclass(frozen=True)
class ChangedPicture(Figure, name="adapted"):
    """What one model finds on a changed picture, and what became of every object.

    side: one of SIDES; number: the object whose corners are marked, from 1, in the order of adapt.targets, None for no
    object; the others are those of transforms.Change.
    """

    side: str
    number: int | None
    shrink: float
    rotate: float
    right: float
    down: float
    blur: float
    brightness: float

    def draw(self, analysis: Analysis) -> Drawing:
        return adapt.boxes(self._seen(analysis), self.side)

    def caption(self, analysis: Analysis) -> str:
        seen = self._seen(analysis)
        keeps, more = adapt.tracked_words(seen, self.side)
        changed = f"the picture {adapt.told_change(seen.change)}"
        return f"The {base.model_and_picture(analysis, self.side)}, {changed}: the model {keeps}, {more}."

    def arrays(self, analysis: Analysis) -> Arrays:
        seen = self._seen(analysis)
        before, after = adapt.detections(seen, self.side)
        tracked = getattr(seen, self.side)
        pairs = {"kept": tracked.kept, "renamed": tracked.class_changed}
        indices = {"lost": tracked.lost, "gone": tracked.left_frame, "new": tracked.new}
        return {
            **base.found_arrays(before, "before_"),
            **base.found_arrays(after, "after_"),
            "matrix": seen.moved,
            "expected": tracked.expected,
            **{name: np.array(both, np.int64).reshape(-1, 2) for name, both in pairs.items()},
            **{name: np.array(each, np.int64) for name, each in indices.items()},
        }

    def _seen(self, analysis: Analysis) -> adapt.Followed:
        base.one_of("Side", self.side, SIDES)
        return _followed(analysis, self, (0.0, 0.0))


@dataclass(frozen=True)
class ChangedSamples(Figure, name="adapted samples"):
    """Where a stage reads at an object before and after the picture was changed.

    number: as in ChangedPicture; None for the point (x, y), pixels of the picture as it is, which else is None.
    """

    stage: str
    number: int | None
    x: float | None
    y: float | None
    shrink: float
    rotate: float
    right: float
    down: float
    blur: float
    brightness: float

    def draw(self, analysis: Analysis) -> Drawing:
        paper = adapt.samples(self._seen(analysis), self.stage)
        if paper is None:
            raise DlkaError("The chosen place has left the picture, so nothing is read there.")
        return paper

    def caption(self, analysis: Analysis) -> str:
        seen = self._seen(analysis)
        where = "the point ({:.0f}, {:.0f})".format(*seen.point_before)
        if seen.target is not None:
            where = f"object {self.number}, {seen.target.name} of {seen.target.side:.0f} px"
        reads = [reads_at([side.capture], side.point, side.letterbox) for side in adapt.sides(seen, self.stage)]
        moved = " and ".join(f"{rounded(close_ups.moved(read))} px" for read in reads)
        wide = " and ".join(f"{rounded(spread(read.samples))} px" for read in reads)
        changed = (
            f"{base.subject(analysis)}, before and after the picture is changed ({adapt.told_change(seen.change)})"
        )
        numbers = f"taps moved by {moved} on average, samples spread by {wide}"
        return f"Where {self.stage} reads at {where}, {changed}: {numbers}."

    def arrays(self, analysis: Analysis) -> Arrays:
        seen = self._seen(analysis)
        arrays: Arrays = {"matrix": seen.moved}
        for name, one in zip(("before", "after"), adapt.sides(seen, self.stage)):
            arrays |= base.read_arrays(reads_at([one.capture], one.point, one.letterbox), f"{name}_")
            if one.box is not None:
                arrays[f"{name}_box"] = one.box
        return arrays

    def _seen(self, analysis: Analysis) -> adapt.Followed:
        if self.number is not None and self.x is None and self.y is None:
            return _followed(analysis, self, (0.0, 0.0))  # with an object no point is looked at
        if self.number is not None or self.x is None or self.y is None or not (abs(self.x) < 1e6 and abs(self.y) < 1e6):
            got = f"{self.number}, {self.x} and {self.y}"
            raise DlkaError(f"Place: expected the number of an object, or x and y of a point; got {got}.")
        return _followed(analysis, self, (self.x, self.y))


FIGURES: tuple[type[Figure], ...] = (ChangedModel, OneWay, ChangedPicture, ChangedSamples)


def _followed(
    analysis: Analysis, figure: ChangedPicture | ChangedSamples, point: tuple[float, float]
) -> adapt.Followed:
    change = Change(**{field.name: getattr(figure, field.name) for field in fields(Change)})
    return adapt.follow(analysis, change, None if figure.number is None else figure.number - 1, point)


def _counts(pairing: Pairing, before: str, after: str) -> str:
    """Counts of what became of the boxes; what a kind of pair is called, by KINDS."""
    called = ("both", "another class", f"only {after}", f"only {before}")
    return ", ".join(f"{name} {four_ways.count_boxes(pairing, kind)}" for name, kind in zip(called, KINDS))
