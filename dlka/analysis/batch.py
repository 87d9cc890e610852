"""Compare two models on many pictures: drawings and one JSON for each. A file that fails does not stop the others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dlka import palette, provenance, render
from dlka.analysis.analysis import Analysis, Settings, fitted, look, question_to
from dlka.analysis.judging import Counts, count, judge
from dlka.analysis.labels import Truth
from dlka.analysis.many.inputs import Given, Labels, sort_files
from dlka.analysis.pairing import interesting_point, rows, summary
from dlka.errors import DlkaError, line, make_folder
from dlka.images import read_image
from dlka.inference.lanes import in_lanes, room
from dlka.inference.predictor import PredictionFailed, load_predictor
from dlka.models.catalog import SIZE
from dlka.models.checkpoint import sha256
from dlka.types import KIND_NAMES

REPORT, SIDES = "comparison.json", ("dlka", "baseline")
Item = TypeVar("Item")
Done = TypeVar("Done")


@dataclass(frozen=True)
class Outcome:
    """What became of one picture: its folder and the counts of `pairing.summary`, or one sentence why not; and where it
    has labels, what the model and the baseline hit and missed of them."""

    image: str
    folder: Path | None = None
    counts: dict[str, Any] | None = None
    problem: str | None = None
    truth: tuple[Counts, Counts] | None = None

    def __str__(self) -> str:
        if self.counts is None:
            return f"{self.image}: {self.problem}"
        kinds = ", ".join(f"{self.counts['kinds'][kind]} {kind}" for kind in KIND_NAMES.values())
        judged = [f"{one.hits.total()} of {one.objects()} hit" for one in self.truth or ()]
        labelled = f"; {', baseline '.join(judged)}" if judged else ""
        return f"{self.image}: {self.counts['objects']} objects ({kinds}){labelled} -> {self.folder}"

    def row(self) -> dict[str, Any]:
        """The same for a JSON file, without what is not there."""
        labelled = {"labelled": {side: one.by_size() for side, one in zip(SIDES, self.truth)}} if self.truth else {}
        row = {"picture": self.image, "folder": self.folder and str(self.folder), "problem": self.problem}
        return {name: value for name, value in row.items() if value} | (self.counts or {}) | labelled


def run_batch(
    images: Sequence[str | os.PathLike[str]],
    settings: Settings,
    out: str | Path,
    device: str | None = None,
    labels: Labels | None = None,
) -> Iterator[Outcome]:
    """Compare two models on every picture; drawings and REPORT go to out/STEM/, one Outcome a picture.

    settings: ids of the models, or weights files; all classes count. Pictures of the same stem get folders STEM,
    STEM-2, ...; what an earlier run left there is overwritten. Raises, before the first picture, DlkaError for unknown
    models and for models of different classes or with an output that is not finite, and ValueError for settings out of
    range.
    """
    sides = {side: getattr(settings, side) for side in SIDES}
    names, others = (load_predictor(model, device)[0].names for model in sides.values())
    if names != others:
        both = " and ".join(sides.values())
        raise DlkaError(f"{both} know different classes: expected two models of the same ones.")
    # A first run on nothing refuses settings out of range, and later timings leave out what happens only once.
    blank = np.zeros((64, 64, 3), np.uint8)
    for side, model in sides.items():
        try:
            load_predictor(model, device)[0].predict(blank, **question_to(side, fitted(settings, blank, device), names))
        except PredictionFailed as error:
            raise DlkaError(f"{model}: {error}") from None
    make_folder(out)
    made_by = origin(settings)
    given = [(str(image), Path(out) / folder) for image, folder in zip(images, folders(images))]

    def made(of: tuple[str, Path], analysis: Analysis) -> Outcome:
        image, folder = of
        truth = labels.truth(Path(image).name, analysis.dlka.letterbox.original) if labels else None
        counts = write(analysis, folder, Path(image).name, sha256(image), made_by)
        return Outcome(image, folder, counts, truth=judged(analysis, truth) if truth else None)

    seen = look_at_many(given, lambda of: read_image(of[0]), settings, made, device)
    return (done if isinstance(done, Outcome) else Outcome(of[0], problem=line(done)) for of, done in seen)


def look_at_many(
    items: Iterable[Item],
    read: Callable[[Item], np.ndarray],
    settings: Settings,
    finish: Callable[[Item, Analysis], Done],
    device: str | None = None,
) -> Iterator[tuple[Item, Done | Exception]]:
    """Both models on the pictures that `read` gives, in lanes: see dlka.inference.lanes.in_lanes and analysis.look."""
    where = load_predictor(settings.dlka, device)[0].device
    return in_lanes(
        items, read, lambda images: look(images, settings, device), finish, **room(where, settings.size or SIZE)
    )


def read_labels(images: Sequence[str], labels: Sequence[str], model: str) -> Given:
    """Labels for pictures' files, and what is told of them: of a COCO file, or of YOLO's files or their folders. Raises
    DlkaError where there are none."""
    if gone := next((path for path in labels if not Path(path).exists()), None):
        raise DlkaError(f"--labels {gone}: there is no such file or folder.")
    files = [str(one) for path in labels for one in (sorted(Path(path).iterdir()) if Path(path).is_dir() else [path])]
    given = sort_files(list(dict.fromkeys([*images, *files])), load_predictor(model)[0].names, most=None)
    if given.labels:
        return given
    raise DlkaError(f"{labels[0]}: expected YOLO's .txt files called as the pictures, or COCO's .json; got neither.")


def judged(analysis: Analysis, truth: Truth) -> tuple[Counts, Counts]:
    """What both models hit and missed of a picture's labels, and their false alarms."""
    found = analysis.dlka.detections, analysis.baseline.detections
    dlka, baseline = (count(seen, truth, judge(seen, truth)) for seen in found)
    return dlka, baseline


def origin(settings: Settings) -> dict[str, Any]:
    """What makes comparisons with these settings: weights of both models, machine, versions."""
    weights = {side: provenance.weights(getattr(settings, side)) for side in SIDES}
    return {"models": weights, "machine": provenance.machine(), "versions": provenance.versions()}


def write(analysis: Analysis, folder: Path, file: str, digest: str, made_by: dict[str, Any]) -> dict[str, Any]:
    """Write the drawings of a comparison and REPORT into a folder, over what is there; returns the counts of
    `pairing.summary`. file and digest: name and SHA-256 of the picture; made_by: see origin."""
    make_folder(folder)
    pictures = {}
    for name, drawing in gallery(analysis):
        (folder / f"{name}.png").write_bytes(drawing.to_png())
        pictures[f"{name}.png"] = drawing.legend_text
    counts = summary(analysis.pairing.pairs)
    height, width = analysis.image.shape[:2]
    report = {
        "picture": {"file": file, "sha256": digest, "height": height, "width": width},
        **made_by,
        "settings": {name: getattr(analysis.settings, name) for name in ("size", "confidence", "iou", "strength")},
        "device": analysis.dlka.device,
        "milliseconds": {side: getattr(analysis, side).milliseconds for side in ("dlka", "baseline")},
        "summary": counts,
        "objects": rows(analysis.pairing, analysis.names),
        "stages": [asdict(stats) for stats in analysis.stats],
        "pictures": pictures,  # file name -> what its legend says
    }
    (folder / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
    return counts


def folders(images: Sequence[str | os.PathLike[str]]) -> list[str]:
    """One folder name for every picture, from its stem: no two alike on any file system, none leads elsewhere."""
    taken: set[str] = set()
    names = []
    for image in images:
        stem = re.sub(r"[^\w. ()+-]", "_", Path(image).stem).strip(". ") or "picture"
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


# The pictures of one comparison: boxes of both models, difference, crops, offsets, samples and gates.


REDUCTION = "mean"


def gallery(analysis: Analysis) -> Iterator[tuple[str, render.Paper]]:
    """(file name without ending, drawing) of everything there is to show.

    Offsets of all stages share one scale, and so do the gates of all blocks. Without deform stages (stock YOLOv8 on
    both sides) only boxes, difference and crops are drawn.
    """
    image, names, pairing = analysis.image, analysis.names, analysis.pairing
    dlka, baseline, settings = analysis.dlka, analysis.baseline, analysis.settings
    yield "boxes-dlka", render.draw_boxes(image, dlka.detections, names, palette.DLKA, f"D-LKA: {settings.dlka}")
    title = f"Baseline: {settings.baseline}"
    yield "boxes-baseline", render.draw_boxes(image, baseline.detections, names, palette.BASELINE, title)
    yield "difference", render.draw_difference(image, pairing, names)
    yield "small-objects", render.contact_sheet(image, render.disagreements(pairing, names))
    captures, letterbox = dlka.captures, dlka.letterbox
    if captures:
        arrows, lengths = render.field_scale(captures), render.field_scale(captures, of_magnitude=True)
        for number, capture in enumerate(captures, 1):
            name = f"offsets-{number:02}-{capture.stage.label.lower().replace(' ', '-')}"
            yield f"{name}-arrows", render.offset_arrows(image, capture, letterbox, arrows)
            yield f"{name}-length", render.offset_magnitude(image, capture, letterbox, lengths)
        point = interesting_point(pairing, (image.shape[0], image.shape[1]))
        yield "samples", render.draw_samples_grid(image, captures, letterbox, point)
    if dlka.gates:
        scale = render.gate_scale(dlka.gates, REDUCTION)
        for number, gate in enumerate(dlka.gates, 1):
            name = f"gate-{number:02}-{gate.level.lower()}"
            yield name, render.gate_overlay(image, gate, letterbox, REDUCTION, scale)
