"""Measure one trained model on one data set's validation part: AP, its replicates, recall, offsets, interventions."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dlka import provenance
from dlka.analysis.bootstrap import RESAMPLES, SEED, replicates, resamples
from dlka.analysis.judging import IOU, match
from dlka.analysis.stages import MOVED
from dlka.errors import DlkaError
from dlka.experiments.stored import StoredRun
from dlka.inference.interventions import GATE_OFF, GIVEN, SHUFFLED, Intervention
from dlka.inference.predictor import Prediction, load_predictor
from dlka.inference.probe import stages
from dlka.layers import DeformableLKAAttention
from dlka.models.cost import TOTAL
from dlka.train.val import LOOK, OffsetTotals, Validation, average_precision, class_precision
from dlka.types import Capture

SCORE = 0.25  # what a detection must have for its object to count as found, as on the page
COST_SIZE = (640, 640)  # px, the input that multiply-adds are counted for

AS_IT_IS = "as learned"
# What is done, from the picture's number and what the model captured of another picture.
Change = Callable[[int, Prediction], Intervention]
ON_OFFSETS: dict[str, Change] = {
    "offsets x0": lambda number, other: Intervention(strength=0.0),
    "offsets x0.5": lambda number, other: Intervention(strength=0.5),
    "offsets x1.5": lambda number, other: Intervention(strength=1.5),
    "offsets shuffled": lambda number, other: Intervention(SHUFFLED, seed=number),
    "offsets of another picture": lambda number, other: Intervention(
        GIVEN, fields={capture.stage.name: capture.offset for capture in other.captures}
    ),
}
ON_GATES: dict[str, Change] = {"gate off": lambda number, other: Intervention(GATE_OFF)}


def measure(
    model: str | Path, data: str | Path, run: str, *, size: int, interventions: bool = True, device: str | None = None
) -> StoredRun:
    """Look at all validation pictures of `data` once as learned, and once for each intervention that the model has
    something for.

    model: an id or a weights file; run: "{data}/{model}-s{seed}", the id of a Step. Offsets of another picture are
    those of the picture half the list further on, around its end. Raises DlkaError (for fewer than two pictures, too).
    """
    predictor, card = load_predictor(str(model), device)
    name, _, rest = run.partition("/")
    word, _, seed = rest.rpartition("-s")
    part = Validation(predictor, str(model), data, size)
    # What the model has something for: a rigid one has gates alone, a stock one neither.
    net, gated = predictor.model, any(isinstance(m, DeformableLKAAttention) for m in predictor.model.modules())
    changes = {**(ON_OFFSETS if stages(net) else {}), **(ON_GATES if gated else {})} if interventions else {}

    truth: list[dict[str, Any]] = []
    found: dict[str, list[dict[str, Any]]] = {way: [] for way in (AS_IT_IS, *changes)}
    totals, variation = OffsetTotals(), OffsetVariation()
    for number, prediction, changed in looks(part, changes):
        truth += part.truth(number, prediction)
        totals.add(prediction.captures)
        variation.add(prediction.captures)
        for way, seen in {AS_IT_IS: prediction, **changed}.items():
            found[way] += part.found(number, seen)

    metrics, drawn = evaluated(part, truth, found)
    drawn = {way: values.astype(np.float32) for way, values in drawn.items()}
    precision = class_precision(len(part), sorted(part.names), truth, found[AS_IT_IS])
    objects = Counter(row["category_id"] for row in truth)
    side, hit = objects_found(truth, found[AS_IT_IS])
    varying = variation.rows()
    return StoredRun(
        run=run,
        data=name,
        model=word,
        placement=card.placement,
        offsets=card.offsets,
        seed=int(seed),
        card=provenance.weights(str(model)),
        versions=provenance.versions(),
        machine={**provenance.machine(), "device": str(predictor.device)},
        settings={
            "size": size,
            **LOOK,
            "resamples": RESAMPLES,
            "resamples_seed": SEED,
            "found_iou": IOU,
            "found_score": SCORE,
        },
        pictures=len(part),
        objects=len(truth),
        parameters=predictor.parameters,
        multiply_adds=predictor.multiply_adds(COST_SIZE)[TOTAL],
        metrics=metrics.pop(AS_IT_IS),
        classes={part.names[c]: {"AP": ap, "objects": objects[c]} for c, ap in precision.items()},
        stage_offsets=[{**row, **varying[row["stage"]]} for row in totals.rows()],
        replicates=drawn.pop(AS_IT_IS),
        object_side=side,
        found=hit,
        interventions=metrics,
        intervention_replicates=drawn,
    )


def looks(part: Validation, changes: Mapping[str, Change]) -> Iterator[tuple[int, Prediction, dict[str, Prediction]]]:
    """For every picture its number, what the model sees in it, and what it sees there with each of the changes.

    Not in the order of the numbers: so that a few looks kept in memory do for the offsets of another picture. Raises
    DlkaError for fewer than two pictures.
    """
    if len(part) < 2:
        raise DlkaError(f"{part.data}: expected two validation pictures or more, got {len(part)}.")
    learned = lru_cache(maxsize=8)(part.look)
    for number in visits(len(part)):
        prediction = learned(number)
        changed = {}
        for name, change in changes.items():
            other = learned(another(number, len(part)))  # one of the last few looks
            changed[name] = part.look(number, change(number, other))
        yield number, prediction, changed


def evaluated(
    part: Validation, truth: list[dict[str, Any]], found: Mapping[str, list[dict[str, Any]]]
) -> tuple[dict[str, dict[str, float | None]], dict[str, np.ndarray]]:
    """AP figures and replicates [R, 5] float64 of each of the results; truth gets into the order of the pictures."""
    # By picture, not as they were visited: resamples go by picture, and runs are compared object by object.
    truth.sort(key=lambda row: row["image_id"])
    # The same resamples for all of them, so that the differences between them are paired.
    drawn, categories = resamples(len(part)), sorted(part.names)
    metrics = {way: average_precision(len(part), categories, truth, rows) for way, rows in found.items()}
    return metrics, {way: replicates(truth, rows, drawn) for way, rows in found.items()}


def objects_found(truth: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]) -> tuple[np.ndarray, np.ndarray]:
    """Side [n] float32 of every object of truth, and whether it was found [n] bool, in truth's order.

    Side: the root of the box's area, in px of the original picture. Found: a detection of its class with score >= 0.25
    has IoU >= 0.5 with it; detections take objects one to one, best score first, the one that they overlap most.
    truth and found: COCO annotations and results.
    """
    objects, detections = defaultdict(list), defaultdict(list)
    for index, row in enumerate(truth):
        objects[row["image_id"], row["category_id"]].append(index)
    for row in found:
        if row["score"] >= SCORE:
            detections[row["image_id"], row["category_id"]].append(row)
    hit = np.zeros(len(truth), bool)
    for key, indices in objects.items():
        best = sorted(detections[key], key=lambda row: -row["score"])
        boxes = np.array([row["bbox"] for row in best], np.float64).reshape(-1, 4)
        there = np.array([truth[i]["bbox"] for i in indices], np.float64)
        pairs = match(boxes, there, np.array([IOU]), np.zeros((1, len(indices)), bool))[0, 0]
        hit[np.array(indices)[pairs[pairs >= 0]]] = True
    return np.sqrt([row["area"] for row in truth]).astype(np.float32), hit


def another(number: int, count: int) -> int:
    """The picture, half the list further on, whose offsets a picture gets."""
    return (number + count // 2) % count


def visits(count: int) -> list[int]:
    """All pictures, those that give each other their offsets close together: each is then looked at once for both."""
    return sorted(range(count), key=lambda number: (number % (count // 2), number))


class OffsetVariation:
    """Whether a stage's offsets vary with the picture: sums over pictures, split into place and what is shown there.

    A stage may have learned offsets that are the same whatever it sees, another kernel shape for each place on the map
    (a border is seen through padding alone). Such a stage deforms, but adapts to nothing.

    For the split, pictures must have their cells at the same places: it is made over those of the most frequent
    letterboxed shape.
    """

    def __init__(self) -> None:
        self._within: dict[str, list[float]] = {}  # stage name -> a figure a picture
        # Stage name -> shape of its field -> pictures, sum of their offsets [2K, H, W], sum of all squares [2K].
        self._sums: dict[str, dict[tuple[int, ...], list[Any]]] = {}

    def add(self, captures: Sequence[Capture]) -> None:
        """Take in what all stages did on one picture."""
        for capture in captures:
            name, offset = capture.stage.name, capture.offset
            self._within.setdefault(name, []).append(float(offset.std(axis=(1, 2), dtype=np.float64).mean()))
            sums = self._sums.setdefault(name, {}).setdefault(offset.shape, [0, 0.0, 0.0])
            squares = np.square(offset, dtype=np.float64).sum(axis=(1, 2))
            sums[:] = sums[0] + 1, sums[1] + offset.astype(np.float64), sums[2] + squares

    def rows(self) -> dict[str, dict[str, Any]]:
        """Stage name -> what its offsets vary by, in cells; one offset is a tap's dy or dx at a cell.

        within_cells   standard deviation over the cells of a picture, mean over offsets and pictures
        between_cells  standard deviation over pictures of the offset at one cell, root mean square over all
        content        share of the variance over cells and pictures that is between pictures, in 0..1; the rest is
                       between the means of the cells, the same for every picture
        varies         whether between_cells is more than 0.1, below which a bilinear read hardly changes
        pictures       how many the split is made over; with fewer than two it is None
        """
        rows = {}
        for name, shapes in self._sums.items():
            count, total, squares = max(shapes.values(), key=lambda sums: sums[0])
            content, place = None, 0.0
            if count > 1:
                # Analysis of variance with the cells as groups, mean over the 2K offsets. The means of so few pictures
                # vary by chance, too, by the variance between pictures over their number: that is taken off again.
                cells, mean = total[0].size, total / count
                rest = squares - count * np.square(mean).sum(axis=(1, 2))
                content = float(rest.clip(0).mean()) / (cells * (count - 1))
                place = float(mean.var(axis=(1, 2), ddof=min(1, cells - 1)).mean()) - content / count
                place = max(0.0, place)
            rows[name] = {
                "within_cells": sum(self._within[name]) / len(self._within[name]),
                "between_cells": None if content is None else content**0.5,
                "content": None if content is None else content / ((content + place) or 1.0),
                "varies": None if content is None else content**0.5 > MOVED,
                "pictures": count,
            }
        return rows
