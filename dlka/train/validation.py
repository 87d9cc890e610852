"""A data set's labelled pictures and a model that is asked about them: truth and findings as COCO's rows."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dlka.analysis.bootstrap import coco_rows, detection_rows
from dlka.analysis.labels import same_names, told_left_out
from dlka.images import read_image
from dlka.inference.interventions import Intervention
from dlka.inference.predictor import AS_LEARNED, Prediction, Predictor
from dlka.train.dataset_yaml import Labelled, read_val

LOOK: dict[str, Any] = {"confidence": 0.001, "iou": 0.7, "multi_label": True}


@dataclass
class Validation:
    """The labelled pictures of a data set's validation part, and one model that is asked about them.

    data: as it was named; names: class number of the data -> name, of the classes that the model knows; ids: class
    number of the data -> of the model; category: of the model -> of the data, the first of several that are one to the
    model; size: input in pixels; told: sentences on what is left out. Pictures are numbered from 0, by name.
    """

    predictor: Predictor
    data: str | Path
    names: dict[int, str]
    labelled: list[Labelled]
    ids: dict[int, int]
    size: int
    told: list[str]

    def __post_init__(self) -> None:
        self.category = {known: number for number, known in sorted(self.ids.items(), reverse=True)}
        self._read = lru_cache(maxsize=4)(read_image)  # decoded once for several looks in a row

    @classmethod
    def of(cls, predictor: Predictor, model: str, data: str | Path, size: int, limit: int | None = None) -> Validation:
        """The pictures of a folder (the first `limit` of them), for a predictor and the name that it goes by.

        Classes that the model does not know by name are left out. Raises DlkaError, also where it knows none.
        """
        part = read_val(Path(data), limit)
        ids = same_names(part.names, predictor.names, f"{data}, for {model}")
        rows = [item.rows for item in part.labelled]
        unknown = Counter(part.names[int(c)] for r in rows for c in r.classes if int(c) not in ids)
        absent = {name: unknown[name] for number, name in part.names.items() if number not in ids}
        told = told_left_out(absent, sum(r.without_area for r in rows), sum(r.polygons for r in rows))
        names = {number: part.names[number] for number in ids}
        return cls(predictor, data, names, part.labelled, ids, size, part.told + told)

    def __len__(self) -> int:
        return len(self.labelled)

    def look(self, number: int, intervention: Intervention = AS_LEARNED) -> Prediction:
        """What the model sees in one picture, down to the least confidence. Raises DlkaError."""
        keep = None if len(self.category) == len(self.predictor.names) else sorted(self.category)
        image = self._read(self.labelled[number].picture)
        return self.predictor.predict(image, size=self.size, classes=keep, intervention=intervention, **LOOK)

    def truth(self, number: int, prediction: Prediction) -> list[dict[str, Any]]:
        """COCO annotations of one picture; any prediction of it tells its size."""
        item, (height, width) = self.labelled[number], prediction.letterbox.original
        known = np.isin(item.classes, list(self.ids))
        boxes = item.boxes[known]
        corners = boxes - [0.5, 0.5, 0, 0] * boxes[:, [2, 3, 2, 3]]
        classes = np.array([self.category[self.ids[int(c)]] for c in item.classes[known]], np.int64)
        return coco_rows(number, corners * np.array([width, height, width, height]), classes)

    def found(self, number: int, prediction: Prediction) -> list[dict[str, Any]]:
        """COCO results of one picture."""
        return detection_rows(number, prediction.detections, self.category)
