"""Two models on one picture: look once, then draw as often as asked. Knows nothing of gradio."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from dlka.analysis.cache import PICTURES, STORE, Kept, kept
from dlka.analysis.examples import examples
from dlka.analysis.model_words import why_not
from dlka.analysis.models import FITS, baseline_models, dlka_models
from dlka.analysis.pairing import match_detections
from dlka.analysis.stages import StageStats, all_stage_stats
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.inference.block_values import BlockValues
from dlka.inference.interventions import Intervention
from dlka.inference.predictor import Prediction, Predictor, load_predictor
from dlka.inference.prepared import check_strength
from dlka.models.catalog import CONTROL, GUESTS, PHOTOGRAPHS, choices, input_size
from dlka.models.checkpoint import sha256
from dlka.models.weights import Card
from dlka.render import Canvas
from dlka.render.legend import kernel
from dlka.types import Capture, Gate, Pairing, block_places, stage_labels

COMPOSED = "composed"  # how the view of both stages of a block is labelled, after the place
MEMORY = 16 * 2**20  # bytes of what is known of comparisons, to make them again: some ten thousand
Value = TypeVar("Value")


@dataclass(frozen=True)
class Settings:
    """Everything that decides on an analysis, beside the picture: by default what a photograph is looked at with.

    size: px, or FITS; a finished analysis has the size that it was. classes: names, empty for all.
    """

    dlka: str = PHOTOGRAPHS
    baseline: str = CONTROL
    confidence: float = 0.25
    iou: float = 0.7
    size: int = FITS
    classes: tuple[str, ...] = ()
    strength: float = 1.0


@dataclass(frozen=True)
class Source:
    """A picture's file: its name, the SHA-256 of its bytes, and its label where it is one of the examples."""

    name: str
    sha256: str
    example: str | None = None


@dataclass(frozen=True, eq=False)
class Analysis:
    """Two models on one picture: everything the page draws comes from here, and no model runs again.

    picture: RGB [H, W, 3] uint8, or path and SHA-256 of the file that it is read from; source: where it comes from,
    where that is known.
    """

    key: str
    picture: np.ndarray | tuple[str, str]
    settings: Settings
    names: dict[int, str]
    dlka: Prediction
    baseline: Prediction
    pairing: Pairing  # D-LKA against the baseline
    cards: tuple[Card, Card]
    tap_weights: dict[str, np.ndarray]
    source: Source | None = None

    @cached_property
    def stats(self) -> list[StageStats]:
        """Numbers of every deform stage of the D-LKA model."""
        return all_stage_stats(self.dlka.captures, self.dlka.letterbox)

    @property
    def alone(self) -> bool:
        """Whether one model stands on both sides, as no other here knows its classes: there is nothing to compare."""
        return self.settings.dlka == self.settings.baseline

    def predictor(self, side: str) -> Predictor:
        """The model of a side, "dlka" or "baseline", ready to look once more."""
        return load_predictor(getattr(self.settings, side))[0]

    def asked(self, side: str) -> dict[str, Any]:
        """What the model of a side was asked: the arguments of Predictor.predict beside the picture."""
        return question_to(side, self.settings, self.names)

    def asked_again(self, side: str) -> dict[str, Any]:
        """The part of it that a model needs which looks once more for something else than boxes."""
        return {name: value for name, value in self.asked(side).items() if name in ("size", "intervention")}

    @property
    def image(self) -> np.ndarray:
        """The picture, RGB [H, W, 3] uint8. One from a file is read again where it has made room in memory since."""
        return self.picture if isinstance(self.picture, np.ndarray) else pixels(*self.picture)

    @property
    def frame(self) -> Canvas:
        """An empty canvas of this picture: it maps clicks on any drawing back to pixels of the picture."""
        return Canvas(self.image)

    def capture(self, label: str) -> Capture:
        """The capture of a stage by its label, for example "P3 7x7 d3"."""
        found = dict(zip(self.stage_labels, self.dlka.captures))
        return pick("Stage", found, label, "none: this model does not deform")

    @property
    def stage_labels(self) -> list[str]:
        """Labels of all stages, in the order they run."""
        return stage_labels([capture.stage for capture in self.dlka.captures])

    def gate(self, label: str) -> Gate:
        """The gate of a D-LKA block by its label, for example "P3"."""
        return pick("Block", dict(zip(self.gate_labels, self.dlka.gates)), label)

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
        """Labels of all D-LKA blocks: the level, and the place where a level has several."""
        places = block_places({g.block: g.level for g in self.dlka.gates})
        return [f"{g.level} {places[g.block]}".rstrip() for g in self.dlka.gates]


def pick(what: str, known: Mapping[str, Value], name: str, without: str = "none") -> Value:
    """The value of a name. without: what is said where there is no name at all. Raises DlkaError for an unknown one."""
    if name not in known:
        raise DlkaError(f"{what}: expected one of {', '.join(known) or without}; got {name!r:.60}.")
    return known[name]


def place_label(label: str, capture: Capture) -> str:
    """A stage's label without its kernel, "P3" or "P3 neck": what names the block that it belongs to."""
    return label.replace(f" {kernel(capture.stage)}", "")


QUESTIONS = Kept(MEMORY)  # what an analysis of a file is made from, path, Source and Settings, by its key


def pixels(path: str, digest: str) -> np.ndarray:
    """The picture of a file with this SHA-256, RGB [H, W, 3] uint8. Raises DlkaError, also where it is gone or
    changed."""

    def read() -> np.ndarray:
        _check_there(path)
        data = Path(path).read_bytes()
        if hashlib.sha256(data).hexdigest() != digest:
            raise DlkaError("The file of this picture has changed since: drop the picture once more.")
        return read_image(data)

    return PICTURES.get((path, digest), read)


def analyse(path: str | Path, settings: Settings) -> Analysis:
    """Run both models on a picture's file, or take the kept result of the same question. As long as the file is there,
    get_analysis finds it by its key. Raises DlkaError, one sentence."""
    source = source_of(path)
    file = examples()[source.example] if source.example else path  # an example's own lasts as long as the process
    key = _key(source, settings)
    seen = STORE.get(("analysis", key), lambda: _made(key, str(file), source, settings))
    QUESTIONS.put(key, (str(file), source, settings))
    return seen


def _check_there(path: str | Path) -> None:
    if not Path(path).is_file():
        raise DlkaError("The file of this picture is no longer here: drop the picture once more, or choose an example.")


def _key(*asked: object) -> str:
    return hashlib.sha256(repr(asked).encode()).hexdigest()


def _made(key: str, path: str, source: Source, settings: Settings) -> Analysis:
    picture = path, source.sha256
    return replace(analyse_once(pixels(*picture), settings), key=key, picture=picture, source=source)


def analyse_pixels(image: np.ndarray, settings: Settings, source: Source | None = None) -> Analysis:
    """The same for a picture [H, W, 3] uint8 that has no file: once it has made room, get_analysis does not find it.

    source: what its file was, where that is known; a part of the question, so that nobody gets the name of another's.
    """
    key = _key(hashlib.sha256(image.tobytes()).hexdigest(), image.shape, settings, source)
    return STORE.get(("analysis", key), lambda: replace(analyse_once(image, settings), key=key, source=source))


def analyse_once(image: np.ndarray, settings: Settings) -> Analysis:
    """Run both models on a picture [H, W, 3] uint8; it is not kept, nor found by get_analysis. Raises as `analyse`."""
    known_by = {"D-LKA model": (settings.dlka, dlka_models()), "Baseline": (settings.baseline, baseline_models())}
    for side, (value, known) in known_by.items():
        if value not in (*known, *GUESTS):
            raise DlkaError(f"{side}: expected {choices(known)}; got {value!r:.60}.")
    check_strength(settings.strength)
    if load_predictor(settings.dlka)[0].names != load_predictor(settings.baseline)[0].names:
        raise DlkaError(why_not(settings.dlka, settings.baseline))
    return look([image], settings)[0]


def look(images: Sequence[np.ndarray], settings: Settings, device: str | None = None) -> list[Analysis]:
    """The same of pictures of any shapes, by any two models of the same classes; settings are not checked."""
    (left, left_card), (right, right_card) = (load_predictor(m, device) for m in (settings.dlka, settings.baseline))
    each, of_left = [fitted(settings, image, device) for image in images], ((left_card, right_card), left.tap_weights)
    names, sides = left.names, {"dlka": left, "baseline": right}
    asked = {side: question_to(side, settings, names) | {"size": [one.size for one in each]} for side in sides}
    dlka, baseline = (predictor.predict_all(images, **asked[side]) for side, predictor in sides.items())
    return [
        Analysis("", image, one, names, a, b, match_detections(a.detections, b.detections), *of_left)
        for image, one, a, b in zip(images, each, dlka, baseline)
    ]


def question_to(side: str, settings: Settings, names: dict[int, str]) -> dict[str, Any]:
    """What the model of a side, "dlka" or "baseline", is asked by settings: see Analysis.asked."""
    strength = settings.strength if side == "dlka" else 1.0
    asked = {name: getattr(settings, name) for name in ("confidence", "iou", "size")}
    return asked | {"classes": class_ids(settings.classes, names), "intervention": Intervention(strength=strength)}


def fitted(settings: Settings, image: np.ndarray, device: str | None = None) -> Settings:
    """The settings with an input size in pixels, for a picture [H, W, 3]."""
    card = load_predictor(settings.dlka, device)[1]
    return replace(settings, size=input_size(card, *image.shape[:2])) if settings.size == FITS else settings


def warm_up(image: np.ndarray, settings: Settings) -> None:
    """Load both models and let them see a picture once: the first analysis waits for no compiler and is timed fairly.
    It has to be a picture of the first analysis's shape, as convolutions are prepared anew for every shape."""
    for model in (settings.dlka, settings.baseline):
        load_predictor(model)[0].predict(image, size=fitted(settings, image).size)


def get_analysis(key: str) -> Analysis:
    """An analysis that was asked for before, by its key; made again, the same, where it has made room for newer ones.
    Raises DlkaError where the key is not known, or the picture's file is no longer here."""

    def unknown() -> tuple[str, Source, Settings]:
        raise DlkaError("This page is older than the program that answers it: load it again.")

    return STORE.get(("analysis", key), lambda: _made(key, *QUESTIONS.get(key, unknown)))


def stay(seen: Analysis) -> None:
    """Never let an analysis make room, nor what it would be made from: what every new visitor opens the page with."""
    STORE.stay(("analysis", seen.key))
    QUESTIONS.stay(seen.key)


@kept
def block_values(key: str, block: str) -> BlockValues:
    """What a D-LKA block computed in an analysis that was made before: the model looks once more. Raises DlkaError."""
    seen = get_analysis(key)
    return seen.predictor("dlka").block_values(seen.image, block, **seen.asked_again("dlka"))


def receptive_field(
    seen: Analysis, label: str, row: str, column: str
) -> tuple[np.ndarray, list[Capture], tuple[int, int]]:
    """The effective receptive field [H, W], on patches of BLOCK letterboxed pixels, of a cell of the block that a stage
    belongs to; the block's captures, and the cell. row, column: text from the page. The model looks once more. Raises
    DlkaError."""
    block = seen.capture(label).stage.block
    captures = [c for c in seen.dlka.captures if c.stage.block == block]
    rows, columns = captures[-1].offset.shape[1:]
    cell = whole(row, "Row", 0, rows - 1), whole(column, "Column", 0, columns - 1)

    def field() -> np.ndarray:
        return seen.predictor("dlka").receptive_field(seen.image, block, cell, **seen.asked_again("dlka"))

    return STORE.get(("receptive field", seen.key, block, cell), field), captures, cell


def whole(text: str, what: str, low: int, high: int) -> int:
    """A whole number from the page. Raises DlkaError."""
    if not text.isdecimal() or not low <= int(text) <= high:
        raise DlkaError(f"{what}: expected a whole number from {low} to {high}; got {text!r:.60}.")
    return int(text)


def class_ids(classes: tuple[str, ...], names: dict[int, str]) -> list[int] | None:
    """The ids of class names, None for all of them. Raises DlkaError for a name that the models do not know."""
    known = {name: i for i, name in names.items()}
    unknown = [c for c in classes if c not in known]
    if unknown:
        raise DlkaError(f"Classes: {unknown[0]!r} is not one of the {len(names)} classes that the models know.")
    return [known[c] for c in classes] or None


def source_of(path: str | Path) -> Source:
    """What a picture's file is, whatever it is called: an example is known by its bytes. Raises DlkaError where it is
    gone."""
    _check_there(path)
    digest = sha256(path)
    return Source(Path(path).name, digest, _labels().get(digest))


@cache
def _labels() -> dict[str, str]:
    """SHA-256 of every example's file -> its label."""
    return {sha256(path): label for label, path in examples().items()}
