"""Figures of what changes: a model whose offsets or gates are changed, the four ways, and a changed picture.

What the models found is kept in memory once a tab has shown it, so that a caption runs no model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from dlka.analysis import adapt, four_ways, what_if
from dlka.analysis.analysis import Analysis
from dlka.analysis.boxes import SIDES
from dlka.analysis.examples import examples
from dlka.analysis.figures.figure import (
    Arrays,
    Drawing,
    Figure,
    found_arrays,
    model_and_picture,
    one_of,
    pair_arrays,
    picture_name,
    read_arrays,
    subject,
)
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
class ChangedModel(Figure):
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
    name: ClassVar[str] = "what if"

    def draw(self, analysis: Analysis) -> Drawing:
        return what_if.drawing(analysis, self._seen(analysis), self.picture)

    def caption(self, analysis: Analysis) -> str:
        seen = self._seen(analysis)
        who = f"{analysis.settings.dlka} on {picture_name(analysis)}"
        counts = _counts(seen.pairing, "learned", "changed")
        said = f"{title(seen.change, analysis)}: {who}, changed against learned: {counts}."
        if self.picture != what_if.DIFFERENCE:
            boxes = seen.learned if self.picture == what_if.LEFT else seen.changed
            said = f"The {len(boxes)} {'box' if len(boxes) == 1 else 'boxes'} of the {self.picture} model. {said}"
        return f"{said} {lost_at_zero(seen)}" if analysis.stage_labels and len(seen.learned) else said

    def arrays(self, analysis: Analysis) -> Arrays:
        seen = self._seen(analysis)
        return {
            **found_arrays(seen.learned, "learned_"),
            **found_arrays(seen.changed, "changed_"),
            **pair_arrays(seen.pairing),
            "lost": np.array(sorted(seen.lost), np.int64),
            "at_zero": seen.at_zero,
            **{f"offsets/{stage}": offset for stage, offset in what_if.offsets_used(analysis, seen.change).items()},
        }

    def _seen(self, analysis: Analysis) -> what_if.WhatIf:
        one_of("Picture", self.picture, what_if.PICTURES)
        one_of("Kind", self.kind, interventions.KINDS)
        if not 0 <= self.seed < 2**31:
            raise DlkaError(f"Seed: expected a whole number from 0; got {self.seed}.")
        labels = self.stages.split(STAGES) if self.stages else []
        for label in labels:
            analysis.capture(label)
        if self.kind == interventions.GIVEN:
            one_of("Example", self.example, examples())
        other = str(examples().get(self.example, ""))
        return what_if.what_if(analysis, what_if.asked(analysis, self.kind, self.strength, labels, self.seed, other))


@dataclass(frozen=True)
class OneWay(Figure):
    """One of four_ways.NAMES; all but the baseline against the way that they differ from in one thing."""

    way: str
    name: ClassVar[str] = "four ways"

    def draw(self, analysis: Analysis) -> Drawing:
        return four_ways.drawing(analysis, self._ways(analysis), self.way)

    def caption(self, analysis: Analysis) -> str:
        ways = self._ways(analysis)
        what, count = four_ways.title(analysis, ways, self.way), len(ways.found[self.way])
        said = f"{what}, on {picture_name(analysis)}: {count} boxes"
        if self.way not in four_ways.START:
            return f"{said}."
        before = four_ways.START[self.way]
        return f"{said}; {_counts(ways.effect(self.way, before), before, self.way)}."

    def arrays(self, analysis: Analysis) -> Arrays:
        ways = self._ways(analysis)
        arrays = found_arrays(ways.found[self.way])
        if self.way in four_ways.START:
            before = four_ways.START[self.way]
            arrays |= found_arrays(ways.found[before], "before_") | pair_arrays(ways.effect(self.way, before))
        if self.way == four_ways.SLICED:
            arrays |= {"slices": ways.slices, "fired": ways.fired}
        return arrays

    def _ways(self, analysis: Analysis) -> four_ways.FourWays:
        one_of("Way", self.way, four_ways.NAMES)
        return four_ways.four_ways(analysis.key)


@dataclass(frozen=True)
class ChangedPicture(Figure):
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
    name: ClassVar[str] = "adapted"

    def draw(self, analysis: Analysis) -> Drawing:
        return adapt.boxes(self._seen(analysis), self.side)

    def caption(self, analysis: Analysis) -> str:
        seen = self._seen(analysis)
        before, _ = adapt.detections(seen, self.side)
        keeps, more = adapt.tracked_words(getattr(seen, self.side), len(before))
        changed = f"the picture {adapt.told_change(seen.change)}"
        return f"The {model_and_picture(analysis, self.side)}, {changed}: the model {keeps}, {more}."

    def arrays(self, analysis: Analysis) -> Arrays:
        seen = self._seen(analysis)
        before, after = adapt.detections(seen, self.side)
        tracked = getattr(seen, self.side)
        arrays = found_arrays(before, "before_") | found_arrays(after, "after_")
        arrays |= {"matrix": seen.moved, "expected": tracked.expected}
        for name, pairs in (("kept", tracked.kept), ("renamed", tracked.class_changed)):
            arrays[name] = np.array(pairs, np.int64).reshape(-1, 2)
        for name, indices in (("lost", tracked.lost), ("gone", tracked.left_frame), ("new", tracked.new)):
            arrays[name] = np.array(indices, np.int64)
        return arrays

    def _seen(self, analysis: Analysis) -> adapt.Followed:
        one_of("Side", self.side, SIDES)
        return _followed(analysis, self, (0.0, 0.0))


@dataclass(frozen=True)
class ChangedSamples(Figure):
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
    name: ClassVar[str] = "adapted samples"

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
        moved = [f"{rounded(close_ups.moved(read))} px" for read in reads]
        wide = [f"{rounded(spread(read.samples))} px" for read in reads]
        how = adapt.told_change(seen.change)
        return (
            f"Where {self.stage} reads at {where}, {subject(analysis)}, before and after the picture is changed "
            f"({how}): taps moved by {moved[0]} and {moved[1]} on average, samples spread by {wide[0]} and {wide[1]}."
        )

    def arrays(self, analysis: Analysis) -> Arrays:
        seen = self._seen(analysis)
        arrays: Arrays = {"matrix": seen.moved}
        for name, one in zip(("before", "after"), adapt.sides(seen, self.stage)):
            arrays |= read_arrays(reads_at([one.capture], one.point, one.letterbox), f"{name}_")
            if one.box is not None:
                arrays[f"{name}_box"] = one.box
        return arrays

    def _seen(self, analysis: Analysis) -> adapt.Followed:
        return _followed(analysis, self, _point(self.number, self.x, self.y))


FIGURES: Mapping[str, type[Figure]] = {
    figure.name: figure for figure in (ChangedModel, OneWay, ChangedPicture, ChangedSamples)
}


def _followed(
    analysis: Analysis, figure: ChangedPicture | ChangedSamples, point: tuple[float, float]
) -> adapt.Followed:
    change = Change(**{field.name: getattr(figure, field.name) for field in fields(Change)})
    return adapt.follow(analysis, change, None if figure.number is None else figure.number - 1, point)


def _point(number: int | None, x: float | None, y: float | None) -> tuple[float, float]:
    """The point that stands for no object; with an object it is not looked at."""
    if number is not None and x is None and y is None:
        return 0.0, 0.0
    if number is not None or x is None or y is None or not (abs(x) < 1e6 and abs(y) < 1e6):
        raise DlkaError(f"Place: expected the number of an object, or x and y of a point; got {number}, {x} and {y}.")
    return x, y


def _counts(pairing: Pairing, before: str, after: str) -> str:
    """Counts of what became of the boxes; what a kind of pair is called, by KINDS."""
    called = ("both", "another class", f"only {after}", f"only {before}")
    return ", ".join(f"{name} {four_ways.count_boxes(pairing, kind)}" for name, kind in zip(called, KINDS))
