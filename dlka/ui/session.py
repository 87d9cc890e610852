"""What the page does, as plain functions that know nothing of gradio: look once, then draw as often as asked."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache

import numpy as np

from dlka.compare import compare
from dlka.inference.block_values import BlockValues
from dlka.inference.interventions import Intervention
from dlka.inference.predictor import Prediction, load_predictor
from dlka.models.catalog import DEFAULT
from dlka.models.weights import Card
from dlka.render import Canvas
from dlka.render.legend import kernel
from dlka.stage_stats import StageStats, all_stage_stats
from dlka.types import Capture, Comparison, Gate
from dlka.ui.model_words import why_not
from dlka.ui.models import SIZE, baseline_models, dlka_models
from dlka.ui.source import Source

COMPOSED = "composed"  # how the view of both stages of a block is labelled, after the place
KEPT = 16  # looks that stay in memory, about 20 MB each


class Refused(ValueError):
    """What the user asked for cannot be done; one sentence for the page."""


@dataclass(frozen=True)
class Settings:
    """Everything that decides on a look, beside the picture. classes: names, empty for all."""

    dlka: str = DEFAULT
    baseline: str = "control"
    confidence: float = 0.25
    iou: float = 0.7
    size: int = SIZE
    classes: tuple[str, ...] = ()
    strength: float = 1.0


@dataclass(frozen=True, eq=False)
class Look:
    """Two models on one picture: everything the page draws comes from here, and no model runs again.

    source: the file that the picture came from, where it is known.
    """

    key: str
    image: np.ndarray
    settings: Settings
    names: dict[int, str]
    dlka: Prediction
    baseline: Prediction
    comparison: Comparison
    cards: tuple[Card, Card]
    tap_weights: dict[str, np.ndarray]
    source: Source | None = None

    @cached_property
    def stats(self) -> list[StageStats]:
        """Numbers of every deform stage of the D-LKA model."""
        return all_stage_stats(self.dlka.captures, self.dlka.letterbox)

    @cached_property
    def frame(self) -> Canvas:
        """An empty canvas of this picture: it maps clicks on any drawing back to pixels of the picture."""
        return Canvas(self.image)

    def capture(self, label: str) -> Capture:
        """The capture of a stage by its label, for example "P3 7x7 d3"."""
        for capture in self.dlka.captures:
            if stage_label(capture, self.dlka.captures) == label:
                return capture
        labels = ", ".join(self.stage_labels) or "none: this model does not deform"
        raise Refused(f"Stage: expected one of {labels}; got {label!r}.")

    @property
    def stage_labels(self) -> list[str]:
        """Labels of all stages, in the order they run."""
        return [stage_label(c, self.dlka.captures) for c in self.dlka.captures]

    def gate(self, label: str) -> Gate:
        """The gate of a D-LKA block by its label, for example "P3"."""
        for gate, known in zip(self.dlka.gates, self.gate_labels):
            if known == label:
                return gate
        raise Refused(f"Block: expected one of {', '.join(self.gate_labels) or 'none'}; got {label!r}.")

    @property
    def views(self) -> dict[str, list[Capture]]:
        """Everything that can be read at a cell: every stage by its label, and the two stages of a block composed."""
        found: dict[str, list[Capture]] = {}
        before = None
        for label, capture in zip(self.stage_labels, self.dlka.captures):
            found[label] = [capture]
            if before is not None and before.stage.block == capture.stage.block:
                found[f"{place_label(label, capture)} {COMPOSED}"] = [before, capture]
            before = capture
        return found

    @property
    def gate_labels(self) -> list[str]:
        """Labels of all D-LKA blocks: the level, and the place where a level has two."""
        levels = [g.level for g in self.dlka.gates]
        return [g.level if levels.count(g.level) == 1 else f"{g.level} {_place(g.block)}" for g in self.dlka.gates]


def stage_label(capture: Capture, captures: tuple[Capture, ...]) -> str:
    """A stage's short name, with its place where a model has two such stages on one level (neck + head)."""
    label = capture.stage.label
    twins = sum(c.stage.label == label for c in captures)
    return label if twins == 1 else f"{label} {_place(capture.stage.block)}"


def place_label(label: str, capture: Capture) -> str:
    """A stage's label without its kernel, "P3" or "P3 neck": what names the block that it belongs to."""
    return label.replace(f" {kernel(capture.stage)}", "")


def _place(block: str) -> str:
    return "head" if ".cv3." in block else "neck"


_kept: OrderedDict[str, Look] = OrderedDict()
_lock = threading.Lock()


def look(image: np.ndarray, settings: Settings, source: Source | None = None) -> Look:
    """Run both models on a picture [H, W, 3] uint8, or take the kept result of the same question.

    source: the file that the picture came from; of two with the same pixels the last one counts. Raises Refused,
    WeightsRefused or PredictionFailed, each one sentence.
    """
    digest = hashlib.sha256(image.tobytes())
    digest.update(repr((image.shape, settings)).encode())
    key = digest.hexdigest()
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            if source is not None and source != _kept[key].source:
                _kept[key] = replace(_kept[key], source=source)
            return _kept[key]
    result = replace(look_once(image, settings), key=key, source=source)
    with _lock:
        _kept[key] = result
        while len(_kept) > KEPT:
            _kept.popitem(last=False)
    return result


def look_once(image: np.ndarray, settings: Settings) -> Look:
    """Run both models on a picture [H, W, 3] uint8; nothing is kept, so it cannot be recalled. Raises as `look`."""
    for side, value, known in (
        ("D-LKA model", settings.dlka, dlka_models()),
        ("Baseline", settings.baseline, baseline_models()),
    ):
        if value not in known:
            raise Refused(f"{side}: expected one of {', '.join(known)}; got {value!r}.")
    if not 0 <= settings.strength <= 2:
        raise Refused(f"Deformation: expected 0 to 2; got {settings.strength:g}.")
    (left, left_card), (right, right_card) = load_predictor(settings.dlka), load_predictor(settings.baseline)
    if left.names != right.names:
        raise Refused(why_not(settings.dlka, settings.baseline))
    ids = class_ids(settings.classes, left.names)
    shared = {"confidence": settings.confidence, "iou": settings.iou, "size": settings.size, "classes": ids}
    dlka = left.predict(image, **shared, intervention=Intervention(strength=settings.strength))  # type: ignore[arg-type]
    baseline = right.predict(image, **shared)  # type: ignore[arg-type]
    pairs = compare(dlka.detections, baseline.detections)
    cards, weights = (left_card, right_card), left.tap_weights
    return Look("", image, settings, left.names, dlka, baseline, pairs, cards, weights)


def warm_up(image: np.ndarray, settings: Settings) -> None:
    """Load both models and let them see a picture once: the first look waits for no compiler and is timed fairly.

    It has to be a picture of the first look's shape, as convolutions are prepared anew for every shape.
    """
    for model in (settings.dlka, settings.baseline):
        load_predictor(model)[0].predict(image, size=settings.size)


def recall(key: str) -> Look:
    """A look that was made before, by its key. Raises Refused once it has made room for newer ones."""
    with _lock:
        if key in _kept:
            _kept.move_to_end(key)
            return _kept[key]
    raise Refused("This comparison is no longer in memory; press Compare to make it again.")


@lru_cache(maxsize=6)
def block_values(key: str, block: str) -> BlockValues:
    """What a D-LKA block computed in a look that was made before: the model looks once more. Raises Refused."""
    seen = recall(key)
    predictor, settings = load_predictor(seen.settings.dlka)[0], seen.settings
    return predictor.block_values(
        seen.image, block, size=settings.size, intervention=Intervention(strength=settings.strength)
    )


def receptive_field(seen: Look, label: str, row: str, column: str) -> tuple[np.ndarray, list[Capture], tuple[int, int]]:
    """The effective receptive field [H, W], on patches of BLOCK letterboxed pixels, of a cell of the block that a stage
    belongs to; the block's captures, and the cell. row, column: text from the page. Raises Refused."""
    stage = seen.capture(label).stage
    captures = [c for c in seen.dlka.captures if c.stage.block == stage.block]
    rows, columns = captures[-1].offset.shape[1:]
    cell = whole(row, "Row", 0, rows - 1), whole(column, "Column", 0, columns - 1)
    predictor, settings = load_predictor(seen.settings.dlka)[0], seen.settings
    changed = Intervention(strength=settings.strength)
    field = predictor.receptive_field(seen.image, stage.block, cell, size=settings.size, intervention=changed)
    return field, captures, cell


def whole(text: str, what: str, low: int, high: int) -> int:
    """A whole number from the page. Raises Refused."""
    if not text.isdecimal() or not low <= int(text) <= high:
        raise Refused(f"{what}: expected a whole number from {low} to {high}; got {text!r}.")
    return int(text)


def class_ids(classes: tuple[str, ...], names: dict[int, str]) -> list[int] | None:
    """The ids of class names, None for all of them. Raises Refused for a name that the models do not know."""
    known = {name: i for i, name in names.items()}
    unknown = [c for c in classes if c not in known]
    if unknown:
        raise Refused(f"Classes: {unknown[0]!r} is not one of the {len(names)} classes that the models know.")
    return [known[c] for c in classes] or None
