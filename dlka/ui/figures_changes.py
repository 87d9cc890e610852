"""Figures of what changes: a model whose offsets or gates are changed, the four ways, and a changed picture.

As in ui/figures.py, which joins KINDS and CAPTIONS to its own. The captions ask for what the models found; that is kept
in memory once the tab has shown it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields

import numpy as np

from dlka import transforms
from dlka.inference import interventions
from dlka.kernel_shape import spread
from dlka.render import before_after, reads_at
from dlka.render.legend import number as rounded
from dlka.render.reads import Reads
from dlka.types import KINDS as FOUND
from dlka.types import Comparison, Detections
from dlka.ui import adapt, adapt_shown, four_ways, what_if, what_if_shown
from dlka.ui.captions import picture_name, subject
from dlka.ui.examples import examples
from dlka.ui.figure_type import Arrays, Figure
from dlka.ui.session import Look, Refused
from dlka.ui.what_if_words import lost_at_zero, title

SIDES = ("dlka", "baseline")
STAGES = ", "  # between the labels of several stages


def changed_model(look: Look, picture: str, kind: str, strength: float, stages: str, seed: int, example: str) -> Figure:
    """A changed model against the learned one.

    picture: one of what_if_shown.PICTURES; kind, strength, seed: as in ui/what_if.py; stages: labels with STAGES
    between them, "" for all; example: label of the picture whose offsets are used, for the kind "given".
    """
    _one_of("Picture", picture, what_if_shown.PICTURES)
    seen = _what_if(look, kind, strength, stages, seed, example)
    arrays = _found(seen.learned, "learned_") | _found(seen.changed, "changed_") | _paired(seen.pairs)
    arrays |= {"lost": np.array(sorted(seen.lost), np.int64), "at_zero": seen.at_zero}
    arrays |= {f"offsets/{stage}": offset for stage, offset in what_if.offsets_used(look, seen.change).items()}
    paper = what_if_shown.drawing(look, seen, picture)
    return Figure(paper, changed_model_caption(look, picture, kind, strength, stages, seed, example), arrays)


def changed_model_caption(
    look: Look, picture: str, kind: str, strength: float, stages: str, seed: int, example: str
) -> str:
    seen = _what_if(look, kind, strength, stages, seed, example)
    who = f"{look.settings.dlka} on {picture_name(look)}"
    said = f"{title(seen.change, look)}: {who}, changed against learned: {_told(seen.pairs, 'learned', 'changed')}."
    if picture != what_if_shown.DIFFERENCE:
        boxes = seen.learned if picture == what_if_shown.LEFT else seen.changed
        said = f"The {len(boxes)} {'box' if len(boxes) == 1 else 'boxes'} of the {picture} model. {said}"
    return f"{said} {lost_at_zero(seen)}" if look.stage_labels and len(seen.learned) else said


def one_way(look: Look, way: str) -> Figure:
    """One of four_ways.NAMES; all but the baseline against the way that they differ from in one thing."""
    _one_of("Way", way, four_ways.NAMES)
    ways = four_ways.four_ways(look.key)
    arrays = _found(ways.found[way])
    if way in four_ways.START:
        before = four_ways.START[way]
        arrays |= _found(ways.found[before], "before_") | _paired(ways.effect(way, before))
    if way == four_ways.SLICED:
        arrays |= {"slices": ways.slices, "fired": ways.fired}
    return Figure(four_ways.drawing(look, ways, way), one_way_caption(look, way), arrays)


def one_way_caption(look: Look, way: str) -> str:
    ways = four_ways.four_ways(look.key)
    said = f"{four_ways.title(look, ways, way)}, on {picture_name(look)}: {len(ways.found[way])} boxes"
    if way not in four_ways.START:
        return f"{said}."
    before = four_ways.START[way]
    return f"{said}; {_told(ways.effect(way, before), before, way)}."


def changed_picture(
    look: Look,
    side: str,
    number: int | None,
    shrink: float,
    rotate: float,
    right: float,
    down: float,
    blur: float,
    brightness: float,
) -> Figure:
    """What one model finds on a changed picture, and what became of every object.

    side: one of SIDES; number: the object whose corners are marked, from 1, in the order of adapt.targets, None for no
    object; the others are those of transforms.Change.
    """
    _one_of("Side", side, SIDES)
    change = _change(shrink, rotate, right, down, blur, brightness)
    seen = _followed(look, number, (0.0, 0.0), change)
    before, after = adapt_shown.detections(seen, side)
    fate = getattr(seen, side)
    arrays = _found(before, "before_") | _found(after, "after_")
    arrays |= {"matrix": seen.moved, "expected": fate.expected}
    for name, indices in (("kept", fate.kept), ("renamed", fate.renamed)):
        arrays[name] = np.array(indices, np.int64).reshape(-1, 2)
    for name, indices in (("lost", fate.lost), ("gone", fate.gone), ("new", fate.new)):
        arrays[name] = np.array(indices, np.int64)
    return Figure(adapt_shown.boxes(seen, side), changed_picture_caption(look, side, number, **change), arrays)


def changed_picture_caption(look: Look, side: str, number: int | None, **change: float) -> str:
    seen = _followed(look, number, (0.0, 0.0), change)
    who = f"D-LKA model {subject(look)}"
    if side != "dlka":
        who = f"baseline {look.settings.baseline} on {picture_name(look)}"
    keeps, more = adapt_shown.fate_words(getattr(seen, side), len(adapt_shown.detections(seen, side)[0]))
    return f"The {who}, the picture {adapt_shown.told_change(seen.change)}: the model {keeps}, {more}."


def changed_samples(
    look: Look,
    stage: str,
    number: int | None,
    x: float | None,
    y: float | None,
    shrink: float,
    rotate: float,
    right: float,
    down: float,
    blur: float,
    brightness: float,
) -> Figure:
    """Where a stage reads at an object before and after the picture was changed.

    number: as in changed_picture; None for the point (x, y), pixels of the picture as it is, which else is None.
    """
    change = _change(shrink, rotate, right, down, blur, brightness)
    seen = _followed(look, number, _point(number, x, y), change)
    paper = adapt_shown.samples(seen, stage)
    if paper is None:
        raise Refused("The chosen place has left the picture, so nothing is read there.")
    arrays: Arrays = {"matrix": seen.moved}
    for name, one in zip(("before", "after"), adapt_shown.sides(seen, stage)):
        read = reads_at([one.capture], one.point, one.letterbox)
        arrays |= {
            f"{name}_cell": np.array(read.cell, np.int64),
            f"{name}_samples": read.samples,
            f"{name}_regular": read.regular,
            f"{name}_zero": read.zero,
        }
        if one.box is not None:
            arrays[f"{name}_box"] = one.box
    return Figure(paper, changed_samples_caption(look, stage, number, x, y, **change), arrays)


def changed_samples_caption(
    look: Look, stage: str, number: int | None, x: float | None, y: float | None, **change: float
) -> str:
    seen = _followed(look, number, _point(number, x, y), change)
    where = "the point ({:.0f}, {:.0f})".format(*seen.point_before)
    if seen.target is not None:
        where = f"object {number}, {seen.target.name} of {seen.target.side:.0f} px"
    reads = [reads_at([side.capture], side.point, side.letterbox) for side in adapt_shown.sides(seen, stage)]
    moved, wide = ([f"{rounded(of(read))} px" for read in reads] for of in (before_after.moved, _spread))
    how = adapt_shown.told_change(seen.change)
    return (
        f"Where {stage} reads at {where}, {subject(look)}, before and after the picture is changed ({how}): taps moved "
        f"by {moved[0]} and {moved[1]} on average, samples spread by {wide[0]} and {wide[1]}."
    )


KINDS: dict[str, Callable[..., Figure]] = {
    "what if": changed_model,
    "four ways": one_way,
    "adapted": changed_picture,
    "adapted samples": changed_samples,
}
CAPTIONS: dict[str, Callable[..., str]] = {
    "what if": changed_model_caption,
    "four ways": one_way_caption,
    "adapted": changed_picture_caption,
    "adapted samples": changed_samples_caption,
}


def _what_if(look: Look, kind: str, strength: float, stages: str, seed: int, example: str) -> what_if.WhatIf:
    _one_of("Kind", kind, interventions.KINDS)
    if not 0 <= seed < 2**31:
        raise Refused(f"Seed: expected a whole number from 0; got {seed}.")
    labels = stages.split(STAGES) if stages else []
    for label in labels:
        look.capture(label)
    if kind == interventions.GIVEN:
        _one_of("Example", example, examples())
    other = str(examples().get(example, ""))
    return what_if.what_if(look, what_if.asked(look, kind, strength, labels, seed, other))


def _change(*values: float) -> dict[str, float]:
    """The fields of transforms.Change by name, from their values in its order."""
    return dict(zip((field.name for field in fields(transforms.Change)), values, strict=True))


def _followed(look: Look, number: int | None, point: tuple[float, float], change: dict[str, float]) -> adapt.Followed:
    return adapt.follow(look, transforms.Change(**change), None if number is None else number - 1, point)


def _spread(reads: Reads) -> float:
    return spread(reads.samples)


def _point(number: int | None, x: float | None, y: float | None) -> tuple[float, float]:
    """The point that stands for no object; with an object it is not looked at."""
    if number is not None and x is None and y is None:
        return 0.0, 0.0
    if number is not None or x is None or y is None or not (abs(x) < 1e6 and abs(y) < 1e6):
        raise Refused(f"Place: expected the number of an object, or x and y of a point; got {number}, {x} and {y}.")
    return x, y


def _one_of(what: str, value: str, known: Iterable[str]) -> None:
    names = list(known)
    if value not in names:
        raise Refused(f"{what}: expected one of {', '.join(names)}; got {value!r:.60}.")


def _found(detections: Detections, before: str = "") -> Arrays:
    return {f"{before}{name}": values for name, values in vars(detections).items()}


def _paired(pairs: Comparison) -> Arrays:
    """pairs [N, 2]: index after and before, -1 for none; ious [N]."""
    both = [[-1 if i is None else i for i in (p.dlka, p.baseline)] for p in pairs.pairs]
    ious = np.array([p.iou for p in pairs.pairs], np.float64)
    return {"pairs": np.array(both, np.int64).reshape(-1, 2), "ious": ious}


def _told(pairs: Comparison, before: str, after: str) -> str:
    """Counts of what became of the boxes; what a kind of pair is called, by FOUND."""
    called = ("both", "another class", f"only {after}", f"only {before}")
    return ", ".join(f"{name} {four_ways.count_boxes(pairs, kind)}" for name, kind in zip(called, FOUND))
