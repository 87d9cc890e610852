"""Compare two models on many pictures: drawings and one JSON for each. A file that fails does not stop the others."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from dlka import palette, provenance, render
from dlka.analysis.pairing import interesting_point, match_detections, rows, summary
from dlka.analysis.stages import all_stage_stats
from dlka.errors import DlkaError, message, of_the_machine
from dlka.images import read_image
from dlka.inference.interventions import Intervention
from dlka.inference.predictor import Prediction, PredictionFailed, Predictor, load_predictor
from dlka.models.catalog import input_size
from dlka.models.checkpoint import sha256
from dlka.models.weights import Card
from dlka.types import KIND_NAMES, Pairing

REPORT = "comparison.json"


@dataclass(frozen=True)
class Settings:
    """How both models look: input size in pixels, None for what fits the first model and the picture; confidence and
    IoU in 0..1; factor on every offset of the first."""

    size: int | None = None
    confidence: float = 0.25
    iou: float = 0.7
    strength: float = 1.0


@dataclass(frozen=True)
class Outcome:
    """What became of one picture: its folder and the counts of `pairing.summary`, or one sentence why not."""

    image: str
    folder: Path | None = None
    counts: dict[str, Any] | None = None
    problem: str | None = None

    def __str__(self) -> str:
        if self.counts is None:
            return f"{self.image}: {self.problem}"
        kinds = ", ".join(f"{self.counts['kinds'][kind]} {kind}" for kind in KIND_NAMES.values())
        return f"{self.image}: {self.counts['objects']} objects ({kinds}) -> {self.folder}"


def run_batch(
    images: Sequence[str | os.PathLike[str]],
    model: str,
    baseline: str,
    out: str | Path,
    settings: Settings = Settings(),
    device: str | None = None,
) -> Iterator[Outcome]:
    """Compare `model` with `baseline` on every picture; drawings and REPORT go to out/STEM/, one Outcome a picture.

    Pictures of the same stem get folders STEM, STEM-2, ...; what an earlier run left there is overwritten. Raises,
    before the first picture, DlkaError for unknown models and for models of different classes or with an output
    that is not finite, and ValueError for settings out of range.
    """
    (first, card), (second, _) = load_predictor(model, device), load_predictor(baseline, device)
    if first.names != second.names:
        raise DlkaError(f"{model} and {baseline} know different classes: expected two models of the same ones.")
    # A first run on nothing refuses settings out of range, and later timings leave out what happens only once.
    for name, predictor, strength in zip((model, baseline), (first, second), (settings.strength, 1.0)):
        try:
            blank = np.zeros((64, 64, 3), np.uint8)
            _predict(predictor, blank, _size(card, blank, settings), settings, strength)
        except PredictionFailed as error:
            raise DlkaError(f"{name}: {error}") from None
    made_by = {
        "models": {"dlka": provenance.weights(model), "baseline": provenance.weights(baseline)},
        "machine": provenance.machine(),
        "versions": provenance.versions(),
    }

    def compare(path: Path, folder: Path) -> dict[str, Any]:
        image = read_image(path)
        size = _size(card, image, settings)
        dlka = _predict(first, image, size, settings, settings.strength)
        other = _predict(second, image, size, settings, 1.0)
        pairing = match_detections(dlka.detections, other.detections)
        folder.mkdir(parents=True, exist_ok=True)
        pictures = {}
        for name, drawing in gallery(image, (model, baseline), dlka, other, pairing, first.names):
            (folder / f"{name}.png").write_bytes(drawing.to_png())
            pictures[f"{name}.png"] = drawing.legend_text
        counts = summary(pairing.pairs)
        report = {
            "picture": {"file": path.name, "sha256": sha256(path), "height": image.shape[0], "width": image.shape[1]},
            **made_by,
            "settings": asdict(replace(settings, size=size)),
            "device": dlka.device,
            "milliseconds": {"dlka": dlka.milliseconds, "baseline": other.milliseconds},
            "summary": counts,
            "objects": rows(pairing, first.names),
            "stages": [stats.as_dict() for stats in all_stage_stats(dlka.captures, dlka.letterbox)],
            "pictures": pictures,  # file name -> what its legend says
        }
        (folder / REPORT).write_text(json.dumps(report, indent=1), encoding="utf-8")
        return counts

    def outcome(image: str, folder: Path) -> Outcome:
        try:
            return Outcome(image, folder, compare(Path(image), folder))
        except Exception as error:  # a fault of the program goes to the log, and the next picture has its turn too
            return Outcome(image, problem=str(error) if of_the_machine(error) else message(error))

    return (outcome(str(image), Path(out) / folder) for image, folder in zip(images, folders(images)))


def _size(card: Card, image: np.ndarray, settings: Settings) -> int:
    """The input size in pixels for both models; card: of the first one."""
    return settings.size if settings.size is not None else input_size(card, *image.shape[:2])


def _predict(predictor: Predictor, image: np.ndarray, size: int, settings: Settings, strength: float) -> Prediction:
    return predictor.predict(
        image,
        confidence=settings.confidence,
        iou=settings.iou,
        size=size,
        intervention=Intervention(strength=strength),
    )


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


def gallery(
    image: np.ndarray,
    models: tuple[str, str],
    dlka: Prediction,
    baseline: Prediction,
    pairing: Pairing,
    names: Mapping[int, str],
) -> Iterator[tuple[str, render.Paper]]:
    """(file name without ending, drawing) of everything there is to show; models: names of D-LKA and baseline.

    Offsets of all stages share one scale, and so do the gates of all blocks. Without deform stages (stock YOLOv8 on
    both sides) only boxes, difference and crops are drawn.
    """
    found = dlka.detections, baseline.detections
    yield "boxes-dlka", render.draw_boxes(image, found[0], names, palette.DLKA, f"D-LKA: {models[0]}")
    yield "boxes-baseline", render.draw_boxes(image, found[1], names, palette.BASELINE, f"Baseline: {models[1]}")
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
