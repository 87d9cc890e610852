"""Two models on many pictures: counts, and all findings, the smallest with close-ups."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dlka import palette, render
from dlka.analysis import judging
from dlka.analysis.analysis import Analysis, Settings, analyse_once
from dlka.analysis.batch import look_at_many
from dlka.analysis.bootstrap import coco_rows, detection_rows
from dlka.analysis.labels import Truth, TruthRefused
from dlka.analysis.many.inputs import Labels
from dlka.analysis.pairing import class_words, match_detections
from dlka.errors import message
from dlka.images import read_image
from dlka.render.boxes import pair_outline
from dlka.render.picture import resample, whole
from dlka.temporary import write_to
from dlka.types import BOTH, KIND_NAMES, Detections, Pair, Pairing

KEPT = 500  # findings with a close-up from the picture itself, the smallest
TILE = 320  # pixels of a close-up's side
CONTEXT, THUMBNAIL = 1280, 240  # pixels of a whole picture's longer side at most
LEAST = 0.001  # confidence down to which boxes count for AP
MISSED, COLOUR = judging.AGREEMENTS[3], palette.TRUTH  # an object that both miss, and its frame
Judged = tuple[judging.Judgement, judging.Judgement]


@dataclass(frozen=True)
class Row:
    """What became of one picture: counts, or one sentence why there are none.

    size: (height, width) in pixels; kinds: of dlka.types.KINDS -> objects; truth: D-LKA's and the baseline's counts,
    None for a picture without labels that can be used; problem: why it was not compared, or not judged.
    """

    file: str
    size: tuple[int, int] | None = None
    kinds: Counter[str] = field(default_factory=Counter)
    truth: tuple[judging.Counts, judging.Counts] | None = None
    problem: str = ""


@dataclass(frozen=True)
class Finding:
    """An object to look at: the two models do not see it alike, or the labels say that one of them is wrong.

    picture: index of its Row; kind: of KIND_NAMES, or MISSED; what: kind, where that is not "both", and
    judging.failings; box: x1 y1 x2 y2, to a tenth, and area in pixels of the picture; name: its class in words;
    classes: the one or two in it; scores: D-LKA's and the baseline's, None without a box; verdict: who is right, None
    without labels; tile: the close-up as a JPEG file, empty beyond the KEPT smallest.
    """

    picture: int
    file: str
    kind: str
    what: tuple[str, ...]
    box: tuple[float, ...]
    area: float
    name: str
    classes: tuple[str, ...]
    scores: tuple[float | None, ...]
    colour: str
    verdict: judging.Verdict | None
    tile: bytes = b""


class ManyAnalyses:
    """Everything that is shown of a run; pictures are added one by one, and no picture stays in memory.

    folder: where the pictures are written, small enough for a page, as NUMBER.jpg, and as NUMBER-small.jpg. Raises as
    analyse for settings that cannot be.
    """

    def __init__(self, settings: Settings, labels: Labels | None, folder: Path) -> None:
        blank = np.zeros((64, 64, 3), np.uint8)
        self.names = analyse_once(blank, settings).names  # which also refuses what would fail for every picture
        self.settings, self.labels, self.folder = settings, labels, folder
        self.rows: list[Row] = []
        self.findings: list[Finding] = []  # smallest first
        self.right: Counter[str] = Counter()  # who is right (dlka.analysis.judging.RIGHT) -> disagreements
        self.agreement: Counter[tuple[str, str]] = Counter()  # see dlka.analysis.judging.agreement
        self.pairs: list[Pair] = []  # of all pictures, for counting
        self.objects: list[dict[str, Any]] = []  # COCO's rows of the labelled pictures, which are numbered from 0,
        self.found: tuple[list[dict[str, Any]], ...] = ([], [])  # and what D-LKA and baseline find, down to LEAST

    @property
    def judged(self) -> bool:
        """Whether there is a labelled picture."""
        return any(row.truth for row in self.rows)

    @property
    def truth(self) -> tuple[judging.Counts, judging.Counts] | None:
        """Counts of D-LKA and the baseline over all labelled pictures; None where there is none."""
        counts = [sum(side, judging.Counts()) for side in zip(*(row.truth for row in self.rows if row.truth))]
        return (counts[0], counts[1]) if counts else None

    def add(self, paths: Iterable[Path]) -> Generator[Row, None, None]:
        """Compare pictures; their rows come as they are made. One that fails becomes a row with a sentence."""
        # Looked at once: what is surer than the visitor's confidence is the same either way.
        asked = self.settings if self.labels is None else replace(self.settings, confidence=LEAST)
        for path, seen in look_at_many(paths, read_image, asked, lambda _, analysis: analysis):
            try:
                row = Row(path.name, problem=message(seen)) if isinstance(seen, Exception) else self._row(path, seen)
            except Exception as error:  # a fault of the program goes to the log, and the next picture has its turn too
                row = Row(path.name, problem=message(error))
            self.rows.append(row)
            yield row

    def _row(self, path: Path, seen: Analysis) -> Row:
        image, number = seen.image, len(self.rows)
        found = seen.dlka.detections, seen.baseline.detections
        row = self.judged_row(path.name, (image.shape[0], image.shape[1]), found, lambda: image)
        for name, side in (("", CONTEXT), ("-small", THUMBNAIL)):
            write_to(self.folder / f"{number}{name}.jpg", jpeg(small(image, side)))
        return row

    def judged_row(
        self, file: str, size: tuple[int, int], found: tuple[Detections, Detections], image: Callable[[], np.ndarray]
    ) -> Row:
        """Count and keep what the models have found in the picture that comes next; neither looks again.

        file: the picture's name; size: (height, width) in pixels; found: by D-LKA and the baseline, down to LEAST where
        it has labels; image: gives it, RGB [H, W, 3] uint8, for close-ups.
        """
        problem, wanted = "", [number for number, name in self.names.items() if name in self.settings.classes]
        try:
            truth = self.labels.truth(file, size) if self.labels else None
        except TruthRefused as error:
            truth, problem = None, str(error)
        if truth is not None and wanted:
            truth = truth.only(wanted)
        dlka, baseline = (side.above(self.settings.confidence) for side in found)
        pairing, judged, counts = match_detections(dlka, baseline), None, None
        if truth is not None:
            judged = judging.judge(dlka, truth), judging.judge(baseline, truth)
            counts = judging.count(dlka, truth, judged[0]), judging.count(baseline, truth, judged[1])
            self.agreement += judging.agreement(truth, *judged)
        self._collect(pairing, cache(image), file, truth, judged)
        self.pairs += pairing.pairs
        if truth is not None:
            self._keep_rows(found, truth)
        return Row(file, size, Counter(pair.kind for pair in pairing.pairs), counts, problem)

    def _keep_rows(self, found: tuple[Detections, Detections], truth: Truth) -> None:
        """What AP is taken from. found: down to LEAST."""
        number, same = sum(row.truth is not None for row in self.rows), {number: number for number in self.names}
        rows = coco_rows(number, judging.xywh(truth.boxes), truth.classes)
        self.objects += [{**row, "iscrowd": int(crowd)} for row, crowd in zip(rows, truth.crowd)]
        for kept, seen in zip(self.found, found):
            kept += detection_rows(number, seen, same)

    def _collect(
        self, pairing: Pairing, image: Callable[[], np.ndarray], file: str, truth: Truth | None, judged: Judged | None
    ) -> None:
        """The picture's findings."""
        number, names = len(self.rows), self.names
        for pair in pairing.pairs:
            said, wrong = (judging.verdict(pair, *judged), judging.failings(pair, *judged)) if judged else (None, ())
            if pair.kind == BOTH and not wrong:
                continue
            if said is not None and pair.kind != BOTH:
                self.right[said.right] += 1
            kind, outline = KIND_NAMES[pair.kind], pair_outline(pairing, pair, names)
            what = wrong if pair.kind == BOTH else (kind, *wrong)
            box, name = tuple(outline.box.astype(float).round(1).tolist()), class_words(pairing, pair, names)
            sides = ((pairing.first, pair.first), (pairing.second, pair.second))
            ids = [int(found.classes[i]) for found, i in sides if i is not None]
            classes = tuple(dict.fromkeys(names[i] for i in ids))
            scores = tuple(None if i is None else float(found.scores[i]) for found, i in sides)
            made = Finding(number, file, kind, what, box, pair.area, name, classes, scores, outline.colour, said)
            self._insert(made, image, outline.line, None if truth is None else truth.only(ids))
        if truth is None or judged is None:
            return
        for i in np.flatnonzero(~truth.crowd & (judged[0].found_by < 0) & (judged[1].found_by < 0)):
            own, box, area = int(truth.classes[i]), tuple(truth.boxes[i].round(1).tolist()), float(truth.areas[i])
            said, classes = judging.Verdict(judging.NEITHER, "both miss it"), (names[own],)
            made = Finding(number, file, MISSED, (MISSED,), box, area, names[own], classes, (None, None), COLOUR, said)
            self._insert(made, image, ":", truth.only([own]))

    def _insert(self, made: Finding, image: Callable[[], np.ndarray], line: str, labelled: Truth | None) -> None:
        """Put a finding in its place; among the KEPT smallest it gets a close-up, and the first behind them loses its
        own. labelled: objects to draw with it."""
        place = bisect(self.findings, (made.area, made.picture), key=lambda other: (other.area, other.picture))
        if place < KEPT:
            boxes = np.zeros((0, 4)) if labelled is None else labelled.boxes
            crop = render.Crop(np.array(made.box), "", made.colour, line, boxes)
            made = replace(made, tile=jpeg(render.crop_tile(image(), crop, TILE)))
        self.findings.insert(place, made)
        if place < KEPT < len(self.findings):
            self.findings[KEPT] = replace(self.findings[KEPT], tile=b"")


def above(seen: Analysis, confidence: float) -> Analysis:
    """What an analysis would be with this greater confidence; no model runs. Suppression goes by score: a box takes
    away only what is less sure than itself, and the surest 300 stay."""
    dlka, baseline = (replace(p, detections=p.detections.above(confidence)) for p in (seen.dlka, seen.baseline))
    pairing = match_detections(dlka.detections, baseline.detections)
    settings = replace(seen.settings, confidence=confidence)
    return replace(seen, settings=settings, dlka=dlka, baseline=baseline, pairing=pairing)


def small(image: np.ndarray, side: int) -> np.ndarray:
    """A picture [H, W, 3] whose longer side is `side` pixels at most."""
    height, width = image.shape[:2]
    share = min(1.0, side / max(height, width))
    return resample(image, whole(image), max(1, round(width * share)), max(1, round(height * share)))


def jpeg(pixels: np.ndarray) -> bytes:
    """RGB [h, w, 3] uint8 as a JPEG file."""
    return cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
