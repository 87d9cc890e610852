"""What the visitor asks with: the picture, the two models, the settings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from time import monotonic_ns
from typing import Any

import cv2

from dlka import render
from dlka.analysis import model_words
from dlka.analysis.analysis import Analysis, Settings
from dlka.analysis.checked import checked
from dlka.analysis.examples import PICTURES, examples
from dlka.analysis.figures.base import one_of
from dlka.analysis.models import FITS, SIZES, baseline_for, baseline_models, deforms, dlka_for, dlka_models
from dlka.analysis.suited import opening, unfit
from dlka.images import read_image
from dlka.inference.predictor import Predictor, best_device
from dlka.models import own
from dlka.models.catalog import cards, subject_of
from dlka.models.placements import PLAIN
from dlka.ui import files
from dlka.ui.page_queue import WORDS
from dlka.ui.tab import LAST, PRIVATE, QUIET
from dlka.ui.toolkit import gr

MODELS = ("dlka", "baseline")
SETTINGS = ("confidence", "iou", "size", "classes", "strength")
CONTROLS = (*MODELS, *SETTINGS)


def build(first: Analysis) -> dict[str, Any]:
    """The components, as a first analysis was asked for."""
    asked: dict[str, Any] = {}
    shown = (first.source.example if first.source else None) or opening()
    with gr.Group():
        asked["image"] = picture_input(
            str(examples()[shown]),
            label="Picture",
            sources=["upload", "clipboard", "webcam"],
            height=260,
            elem_id="picture",
        )
        asked["example"] = _example_choice(first)
    asked["go"] = gr.Button("Compare", variant="primary")
    with gr.Group():
        asked |= model_choices(first.settings)
        asked["strength"] = gr.Slider(
            0, 2, 1, step=0.1, label="Deformation", info="0 off, 1 as learned, 2 twice the offsets", elem_id="strength"
        )
    asked |= detection_settings(list(first.names.values()), "boxes of a class that overlap more are merged")
    where = Predictor.place or best_device()
    gr.Markdown(f"Runs on **{where}**. Pictures stay on this machine.", elem_classes="quiet")
    return asked


def settings(asked: dict[str, Any], given: dict[Any, Any]) -> Settings:
    """What the components ask for. asked: by name; given: their values by component. Raises DlkaError."""
    names = [name for name in CONTROLS if name in asked]
    return _settings(**checked(_settings, {name: given[asked[name]] for name in names}))


def _settings(
    dlka: str,
    baseline: str,
    confidence: float,
    iou: float,
    size: int,
    classes: list[str],
    strength: float = Settings.strength,
) -> Settings:
    return Settings(dlka, baseline, confidence, iou, size, tuple(classes), strength)


def picture_input(*args: Any, **kwargs: Any) -> gr.Image:
    """A gr.Image that hands on the file as it came, unopened, as a path or None.

    The component's own decoding would fail on broken files without a word, turn EXIF a second time, and skip colour
    conversion for some names. It is replaced on the instance: gradio writes a file beside the source of every subclass.
    """
    component = gr.Image(*args, type="filepath", image_mode=None, **kwargs)
    component.preprocess = lambda payload: payload.path if payload else None  # type: ignore[method-assign]  # see above
    return component


def _example_choice(first: Analysis) -> gr.HTML:
    """Thumbnails of the examples: those that the models were made for, and behind a line the others."""
    pictures = []
    for label, path in examples().items():
        image = read_image(path)
        scale = 80 / min(image.shape[:2])  # px: twice the side of a thumbnail, for screens that have them
        small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        thumbnail = files.data_url(render.jpeg(small), "image/jpeg")
        pictures.append({"label": label, "thumbnail": thumbnail} | PICTURES[label]._asdict())
    return gr.HTML(
        shown_example(first),
        html_template=files.read("examples/picker.html"),
        js_on_load=files.read("examples/picker.js"),
        pictures=json.dumps(pictures),
        elem_id="examples",
    )


def shown_example(analysis: Analysis) -> str:
    """The thumbnails' value, JSON. chosen: the label of an example, "" for a visitor's own picture, null for none;
    subject: of the models, one of catalog.SUBJECTS; unfit: a sentence on models that were not made for the picture."""
    chosen = analysis.source.example if analysis.source else None
    return json.dumps({"chosen": chosen or "", "subject": subject_of(analysis.names), "unfit": unfit(analysis)})


def wire_example(asked: dict[str, Any]) -> gr.State:
    """An example that is chosen becomes the picture; with a picture of one's own, or none, no example is chosen.
    Returns what changes with every choice, when the picture is there."""
    chosen = gr.State()

    # From the value, not from the event: of several quick choices gradio asks for the last one with the first's event.
    def choose(shown: str) -> tuple[str, int]:
        label = str(json.loads(shown)["chosen"])
        one_of("Example", label, examples())
        return str(examples()[label]), monotonic_ns()  # the same one once more is another choice

    asked["example"].select(choose, asked["example"], [asked["image"], chosen], **PRIVATE, **LAST, **WORDS)
    for event, value in ((asked["image"].upload, "''"), (asked["image"].clear, "null")):
        code = f"shown => JSON.stringify({{...JSON.parse(shown), chosen: {value}, unfit: ''}})"
        event(None, asked["example"], asked["example"], js=code, **QUIET)
    return chosen


def model_choices(first: Settings) -> dict[str, Any]:
    """Both models, what a visitor adds one of his own with, and the ids of those that this window has."""

    def choice(models: list[str], value: str, label: str) -> gr.Dropdown:
        return gr.Dropdown(_choices(models), value=value, label=label, filterable=False, elem_classes="choice")

    return {
        "dlka": choice(dlka_models(), first.dlka, "D-LKA model"),
        "baseline": choice(baseline_models(), first.baseline, "Baseline"),
        "own": gr.UploadButton(
            "Add a model of your own (.safetensors, .pt)", file_types=[".safetensors", ".pt"], size="sm"
        ),
        "brought": gr.State([]),
    }


def detection_settings(names: list[str], merged: str) -> dict[str, Any]:
    """Which boxes are kept, behind a line that opens. names: of the classes; merged: what the IoU decides."""
    first = Settings()
    with gr.Accordion("Detection settings", open=False):
        sizes = [("what fits", size) if size == FITS else (str(size), size) for size in SIZES]
        return {
            "confidence": gr.Slider(
                0.01, 0.95, first.confidence, step=0.01, label="Confidence", info="least score of a box"
            ),
            "iou": gr.Slider(0.1, 0.95, first.iou, step=0.05, label="IoU", info=merged),
            "size": gr.Dropdown(sizes, value=FITS, label="Input size, px", filterable=False),
            "classes": gr.Dropdown(names, value=[], multiselect=True, label="Classes", info="empty: all"),
        }


def wire_own(asked: dict[str, Any]) -> None:
    """A model that a visitor sends stands beside the others in this window, and is chosen."""

    def bring(file: str, brought: list[str], dlka: str, baseline: str) -> dict[Any, Any]:
        new = own.bring(file)
        known = cards()
        brought = [*(model for model in brought if model in known), *new]  # the oldest may have made room
        if deforms(known[new[0]]):
            dlka, baseline = new[0], new[1] if len(new) > 1 else baseline_for(new[0], baseline)
        else:
            dlka, baseline = dlka_for(new[0], dlka), new[0]
            if known[dlka].names != known[baseline].names:
                dlka = baseline  # no D-LKA model knows its classes: it is looked at alone
        gr.Info(f"{Path(file).name} is chosen. It stays on this machine, in this window alone.", duration=8)
        left = [*dlka_models(), *(m for m in brought if known[m].placement not in PLAIN or m == dlka)]
        right = [*baseline_models(), *(model for model in brought if not deforms(known[model]))]
        return {
            asked["brought"]: brought,
            asked["dlka"]: gr.update(choices=_choices(left), value=dlka),
            asked["baseline"]: gr.update(choices=_choices(right), value=baseline),
        }

    changed = [asked[name] for name in ("brought", *MODELS)]
    asked["own"].upload(bring, [asked["own"], *changed], changed, show_progress_on=asked["own"], **PRIVATE)


def known_models() -> list[Any]:
    """Updates of both choices of models: what is there now."""
    return [gr.update(choices=_choices(models)) for models in (dlka_models(), baseline_models())]


def _choices(models: list[str]) -> list[tuple[str, str]]:
    """What is shown of models; what programs and files call them stays their id."""
    known = cards()
    return [(model_words.label(model, known[model]), model) for model in models]


def wire_models(asked: dict[str, Any], lines: gr.HTML) -> gr.State:
    """A model that is chosen on either side brings the lines on both models, and what fits it.

    That is the other model, and all of the new classes; the input size stays as it is. Returns the pair of models,
    D-LKA first, which changes once for a choice, when both of its sides are settled.
    """
    pair = gr.State((asked["dlka"].value, asked["baseline"].value))

    def chosen(side: str, other_side: str) -> Callable[[str, str], dict[Any, Any]]:
        def choose(chosen: str, other: str) -> dict[Any, Any]:
            fitting = baseline_for(chosen, other) if side == "dlka" else dlka_for(chosen, other)
            models = (chosen, fitting) if side == "dlka" else (fitting, chosen)
            updates = {lines: model_words.lines(*models), pair: models}
            if fitting != other:
                names = list(cards()[chosen].names.values())
                updates |= {asked[other_side]: fitting, asked["classes"]: gr.update(choices=names, value=[])}
            return updates

        return choose

    for side, other in (("dlka", "baseline"), ("baseline", "dlka")):
        asked[side].change(
            chosen(side, other),
            [asked[side], asked[other]],
            [lines, asked[other], asked["classes"], pair],
            **QUIET,
            **LAST,
            **WORDS,
        )
    return pair
