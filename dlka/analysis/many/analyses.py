"""Two models on many pictures, one after the other: counts of all, close-ups of the smallest disagreements."""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dlka import render
from dlka.analysis.analysis import Analysis, Settings, analyse_once
from dlka.analysis.judging import Counts, Judgement, Verdict, agreement, count, judge, verdict
from dlka.analysis.labels import Truth, TruthRefused
from dlka.analysis.many.inputs import Labels
from dlka.analysis.pairing import rows
from dlka.errors import message
from dlka.images import read_image
from dlka.models.catalog import cards
from dlka.render.boxes import pair_outline
from dlka.render.picture import resample, whole
from dlka.temporary import write_to
from dlka.types import BOTH, Pair

KEPT = 500  # disagreements that are drawn, the smallest; all are counted
TILE = 320  # pixels of a close-up's side
CONTEXT = 1280  # pixels of a whole picture's longer side at most


@dataclass(frozen=True)
class Row:
    """What became of one picture: counts, or one sentence why there are none.

    size: (height, width) in pixels; kinds: of dlka.types.KINDS -> objects; truth: D-LKA's and the baseline's counts,
    None for a picture without labels that can be used; problem: why it was not compared, or not judged.
    """

    file: str
    size: tuple[int, int] | None = None
    kinds: Counter[str] = field(default_factory=Counter)
    truth: tuple[Counts, Counts] | None = None
    problem: str = ""


@dataclass(frozen=True)
class Disagreement:
    """An object that the two models do not see alike, with its close-up as a JPEG file.

    row: as from pairing.rows; box: x1 y1 x2 y2 in pixels of the picture; picture: index of its Row; verdict: who
    is right, None without labels.
    """

    picture: int
    file: str
    row: dict[str, Any]
    box: tuple[float, ...]
    colour: str
    verdict: Verdict | None
    tile: bytes

    @property
    def order(self) -> tuple[float, int]:
        """Smallest area first, then by picture."""
        return self.row["area"], self.picture


class ManyAnalyses:
    """Everything that is shown of a run; pictures are added one by one, and no picture stays in memory.

    folder: where the pictures that have disagreements are written, small enough for a page, as NUMBER.jpg. Raises as
    analyse for settings that cannot be.
    """

    def __init__(self, settings: Settings, labels: Labels | None, folder: Path) -> None:
        analyse_once(np.zeros((64, 64, 3), np.uint8), settings)  # refuses what would fail for every picture
        self.settings, self.labels, self.folder = settings, labels, folder
        self.rows: list[Row] = []
        self.disagreements: list[Disagreement] = []  # the KEPT smallest, smallest first
        self.right: Counter[str] = Counter()  # who is right (dlka.analysis.judging.RIGHT) -> disagreements
        self.agreement: Counter[tuple[str, str]] = Counter()  # see dlka.analysis.judging.agreement
        self.pairs: list[Pair] = []  # of all pictures, for counting

    @property
    def truth(self) -> tuple[Counts, Counts] | None:
        """Counts of D-LKA and the baseline over all labelled pictures; None where there is none."""
        judged = [row.truth for row in self.rows if row.truth]
        if not judged:
            return None
        return sum((dlka for dlka, _ in judged), Counts()), sum((baseline for _, baseline in judged), Counts())

    @property
    def number(self) -> int:
        """How many objects the two models do not see alike, those that are not drawn too."""
        return sum(pair.kind != BOTH for pair in self.pairs)

    def add(self, path: Path) -> Row:
        """Compare one picture. One that fails becomes a row with a sentence."""
        try:
            row = self._compare(path)
        except Exception as error:  # a fault of the program goes to the log, and the next picture has its turn too
            row = Row(path.name, problem=message(error))
        self.rows.append(row)
        return row

    def _compare(self, path: Path) -> Row:
        image = read_image(path)
        analysis = analyse_once(image, self.settings)
        found, size, problem = (analysis.dlka.detections, analysis.baseline.detections), image.shape[:2], ""
        try:
            truth = self._truth(path.name, (size[0], size[1]))
        except TruthRefused as error:
            truth, problem = None, str(error)
        judged = None if truth is None else (judge(found[0], truth), judge(found[1], truth))
        self._collect(analysis, path.name, truth, judged)
        self.pairs += analysis.pairing.pairs
        counts = None
        if truth is not None and judged is not None:
            counts = count(found[0], truth, judged[0]), count(found[1], truth, judged[1])
            self.agreement += agreement(truth, *judged)
        kinds = Counter(pair.kind for pair in analysis.pairing.pairs)
        return Row(path.name, (size[0], size[1]), kinds, counts, problem)

    def _truth(self, name: str, size: tuple[int, int]) -> Truth | None:
        truth = self.labels.truth(name, size) if self.labels else None
        if truth is None or not self.settings.classes:
            return truth
        names = cards()[self.settings.dlka].names
        return truth.only({number for number, text in names.items() if text in self.settings.classes})

    def _collect(
        self, analysis: Analysis, file: str, truth: Truth | None, judged: tuple[Judgement, Judgement] | None
    ) -> None:
        """Draw the picture's disagreements, as far as they are among the smallest of all so far."""
        pairing, number, drawn = analysis.pairing, len(self.rows), False
        for pair, row in zip(pairing.pairs, rows(pairing, analysis.names)):
            if pair.kind == BOTH:
                continue
            said = None if judged is None else verdict(pair, *judged)
            if said is not None:
                self.right[said.right] += 1
            if len(self.disagreements) >= KEPT and self.disagreements[-1].row["area"] <= pair.area:
                continue
            outline = pair_outline(pairing, pair, analysis.names)
            labelled = np.zeros((0, 4))
            if truth is not None:
                sides = (pairing.first, pair.first), (pairing.second, pair.second)
                named = [found.classes[i] for found, i in sides if i is not None]
                labelled = truth.only(named).boxes
            crop = render.Crop(outline.box, outline.label, outline.colour, outline.line, labelled)
            tile = jpeg(render.crop_tile(analysis.image, crop, TILE))
            box = tuple(float(v) for v in outline.box)
            made = Disagreement(number, file, row, box, outline.colour, said, tile)
            insort(self.disagreements, made, key=lambda d: d.order)
            del self.disagreements[KEPT:]
            drawn = True
        if drawn:
            write_to(self.folder / f"{number}.jpg", jpeg(small(analysis.image)))


def small(image: np.ndarray) -> np.ndarray:
    """A picture [H, W, 3] whose longer side is CONTEXT pixels at most."""
    height, width = image.shape[:2]
    share = min(1.0, CONTEXT / max(height, width))
    return resample(image, whole(image), max(1, round(width * share)), max(1, round(height * share)))


def jpeg(pixels: np.ndarray) -> bytes:
    """RGB [h, w, 3] uint8 as a JPEG file."""
    return cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
