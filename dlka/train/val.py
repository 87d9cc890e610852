"""COCO average precision of a model on a labelled folder, and how far its deform stages move on these pictures.

Measured as Ultralytics' validator does: confidence 0.001, IoU 0.7, several classes a cell, at most 300 boxes a picture.
Three things differ. Each picture is padded by itself and no further than to a multiple of the largest stride, where the
validator pads batches of 16 to one shape with at least half a stride to spare. AP is COCO's, by faster-coco-eval, with
at most 100 boxes a picture and class. And COCO's own annotations sort objects into S, M and L by the area of their
masks; YOLO labels have boxes only, so here it is the area of the box, in pixels of the original picture.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster

from dlka import provenance
from dlka.analysis.bootstrap import coco_rows, detection_rows
from dlka.analysis.labels import same_names, told_left_out
from dlka.analysis.stages import MOVED
from dlka.images import read_image
from dlka.inference.interventions import Intervention
from dlka.inference.lanes import in_lanes, room
from dlka.inference.predictor import AS_LEARNED, Prediction, Predictor, load_predictor
from dlka.models.catalog import find, suited_size
from dlka.ops.sampling import split_offset
from dlka.train.dataset import read_val
from dlka.types import Capture, stage_labels

METRICS = {
    "AP": "AP_all",
    "AP50": "AP_50",
    "AP75": "AP_75",
    "AP_S": "AP_small",
    "AP_M": "AP_medium",
    "AP_L": "AP_large",
}
PROBED = 32  # pictures that the statistics of the offsets are taken over
Look = tuple[int, Prediction]  # the number of a picture, and what is seen in it
LOOK: dict[str, Any] = {"confidence": 0.001, "iou": 0.7, "multi_label": True}


class Validation:
    """The labelled pictures of a data set's validation part (the first `limit` of them), and one model that is asked
    about them. Classes that the model does not know by name are left out.

    model: the name that the predictor goes by; size: input in pixels. Pictures are numbered from 0, by name. names:
    class number of the data -> name, of the classes that the model knows; ids: class number of the data -> of the
    model; category: of the model -> of the data, the first of several that are one to the model; told: sentences on
    what is left out. Raises DlkaError, also where the model knows no class.
    """

    def __init__(self, predictor: Predictor, model: str, data: str | Path, size: int, limit: int | None = None) -> None:
        self.predictor, self.data, self.size = predictor, data, size
        every, self.pictures, self.rows, told = read_val(Path(data), limit)
        self.ids = same_names(every, predictor.names, f"{data}, for {model}")
        self.names = {number: every[number] for number in self.ids}
        self.category = {known: number for number, known in sorted(self.ids.items(), reverse=True)}
        unknown = Counter(every[int(c)] for r in self.rows for c in r.classes if int(c) not in self.ids)
        absent = {name: unknown[name] for number, name in every.items() if number not in self.ids}
        without_area, polygons = (sum(getattr(r, what) for r in self.rows) for what in ("without_area", "polygons"))
        self.told = told + told_left_out(absent, without_area, polygons)
        self._read = lru_cache(maxsize=4)(read_image)  # decoded once for several looks in a row

    def __len__(self) -> int:
        return len(self.pictures)

    def looks(self) -> Iterator[Look]:
        """The number of every picture, in their order, and what the model sees in it. Raises DlkaError."""
        where = room(self.predictor.device, self.size)
        every = in_lanes(range(len(self)), self._image, self._seen, lambda _, seen: seen, **where)
        for number, seen in every:
            if isinstance(seen, Exception):
                raise seen
            yield number, seen

    def look(self, number: int, intervention: Intervention = AS_LEARNED) -> Prediction:
        """What the model sees in one picture, down to the least confidence. Raises DlkaError."""
        return self._seen([self._image(number)], intervention)[0]

    def _image(self, number: int) -> np.ndarray:
        return self._read(self.pictures[number])

    def _seen(self, images: Sequence[np.ndarray], intervention: Intervention = AS_LEARNED) -> list[Prediction]:
        keep = None if len(self.category) == len(self.predictor.names) else sorted(self.category)
        return self.predictor.predict_all(images, size=self.size, classes=keep, intervention=intervention, **LOOK)

    def truth(self, number: int, prediction: Prediction) -> list[dict[str, Any]]:
        """COCO annotations of one picture; any prediction of it tells its size."""
        item, (height, width) = self.rows[number], prediction.letterbox.original
        known = np.isin(item.classes, list(self.ids))
        boxes = item.boxes[known]
        corners = boxes - [0.5, 0.5, 0, 0] * boxes[:, [2, 3, 2, 3]]
        classes = np.array([self.category[self.ids[int(c)]] for c in item.classes[known]], np.int64)
        return coco_rows(number, corners * np.array([width, height, width, height]), classes)

    def found(self, number: int, prediction: Prediction) -> list[dict[str, Any]]:
        """COCO results of one picture."""
        return detection_rows(number, prediction.detections, self.category)


def run_val(
    model: str,
    data: str | Path,
    size: int | None = None,
    limit: int | None = None,
    device: str | None = None,
    watch: Callable[[Iterator[Look], int], Iterable[Look]] = lambda looks, total: looks,
) -> dict[str, Any]:
    """Measure one model (an id or a weights file) on data/images/val.

    Classes are matched by name; those that only the data or only the model knows are left out. size: input in pixels,
    a multiple of 32, None for what suits the model (see suited_size); limit: only so many pictures; watch: what shows
    how far it is, the looks and their number -> the looks. Returns what a JSON needs: "metrics" (AP in 0..1, None where
    there is no such object), "stage_offsets", "pictures", "objects", "left_out" (sentences), settings, weights and
    versions. Raises DlkaError.
    """
    predictor, card = load_predictor(model, device)
    size = suited_size(card) if size is None else size
    part = Validation(predictor, model, data, size, limit)
    truth, found, offsets = [], [], OffsetTotals()
    for number, prediction in watch(part.looks(), len(part)):
        truth += part.truth(number, prediction)
        found += part.found(number, prediction)
        if number < PROBED:
            offsets.add(prediction.captures)
    return {
        "model": find(model).stem,
        "metrics": average_precision(len(part), sorted(part.names), truth, found),
        "stage_offsets": offsets.rows(),
        "data": Path(data).name,
        "pictures": len(part),
        "objects": len(truth),
        "left_out": part.told,
        "settings": {"size": size, **LOOK},
        "device": str(predictor.device),
        "weights": provenance.weights(model),
        "versions": provenance.versions(),
    }


def average_precision(
    pictures: int, categories: Sequence[int], truth: list[dict[str, Any]], found: list[dict[str, Any]]
) -> dict[str, float | None]:
    """COCO's AP figures in 0..1; None where there is no object of that size, or none at all."""
    evaluation = _evaluated(pictures, categories, truth, found)
    values = {name: float(evaluation.stats_as_dict[key]) for name, key in METRICS.items()}
    return {name: None if value < 0 else value for name, value in values.items()}


def class_precision(
    pictures: int, categories: Sequence[int], truth: list[dict[str, Any]], found: list[dict[str, Any]]
) -> dict[int, float]:
    """COCO's AP of each class that has objects, in 0..1, by its number; their mean is "AP"."""
    precision = _evaluated(pictures, categories, truth, found).eval["precision"]  # [IoU, recall, class, size, limit]
    means = {number: float(precision[:, :, row, 0, -1].mean()) for row, number in enumerate(categories)}
    return {number: mean for number, mean in means.items() if mean >= 0}


def _evaluated(
    pictures: int, categories: Sequence[int], truth: list[dict[str, Any]], found: list[dict[str, Any]]
) -> Any:
    annotations = [{**row, "id": number} for number, row in enumerate(truth, 1)]
    images, classes = [{"id": i} for i in range(pictures)], [{"id": int(c), "name": str(c)} for c in categories]
    coco = COCO({"images": images, "categories": classes, "annotations": annotations})
    evaluation = COCOeval_faster(coco, coco.loadRes(found), "bbox", print_function=lambda *_: None)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return evaluation


class OffsetTotals:
    """Sums over pictures of how far each deform stage moves its taps."""

    def __init__(self) -> None:
        self._sums: dict[str, list[Any]] = {}  # stage name -> label, offsets, of them moved, sum of lengths

    def add(self, captures: Sequence[Capture]) -> None:
        """Take in what all stages did on one picture."""
        for capture, label in zip(captures, stage_labels([capture.stage for capture in captures])):
            length = np.hypot(*split_offset(capture.offset))
            sums = self._sums.setdefault(capture.stage.name, [label, 0, 0, 0.0])
            sums[1:] = sums[1] + length.size, sums[2] + int((length > MOVED).sum()), sums[3] + float(length.sum())

    def rows(self) -> list[dict[str, Any]]:
        """One row a stage: share of offsets longer than MOVED cells (0..1), mean length in cells."""
        return [
            {"stage": name, "label": label, "moved": moved / count, "mean_cells": total / count}
            for name, (label, count, moved, total) in self._sums.items()
        ]
