"""What the visitor asks with: the picture, the two models, the settings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlka.analysis import model_words
from dlka.analysis.analysis import Analysis
from dlka.analysis.examples import examples
from dlka.analysis.models import FITS, SIZES, baseline_for, baseline_models, dlka_for, dlka_models
from dlka.analysis.suited import opening
from dlka.inference.predictor import best_device
from dlka.models.catalog import cards
from dlka.ui.inputs import picture_input
from dlka.ui.page_queue import WORDS
from dlka.ui.toolkit import gr


def build(first: Analysis) -> dict[str, Any]:
    """The components, as a first analysis was asked for."""
    names, shown = list(first.names.values()), (first.source.example if first.source else None) or opening()
    with gr.Group():
        image = picture_input(
            str(examples()[shown]),
            label="Picture",
            sources=["upload", "clipboard", "webcam"],
            height=280,
            elem_id="picture",
        )
        example = gr.Dropdown(list(examples()), value=shown, label="or an example", filterable=False)
    go = gr.Button("Compare", variant="primary")
    with gr.Group():
        dlka = model_choice(dlka_models(), first.settings.dlka, "D-LKA model")
        baseline = model_choice(baseline_models(), first.settings.baseline, "Baseline")
        strength = gr.Slider(
            0, 2, 1, step=0.1, label="Deformation", info="0 off, 1 as learned, 2 twice the offsets", elem_id="strength"
        )
    with gr.Accordion("Detection settings", open=False):
        confidence = gr.Slider(0.01, 0.95, 0.25, step=0.01, label="Confidence", info="least score of a box")
        iou = gr.Slider(0.1, 0.95, 0.7, step=0.05, label="IoU", info="boxes of a class that overlap more are merged")
        size = size_choice()
        classes = gr.Dropdown(names, value=[], multiselect=True, label="Classes", info="empty: all")
    gr.Markdown(f"Runs on **{best_device()}**. Pictures stay on this machine.", elem_classes="quiet")
    return {
        "image": image,
        "go": go,
        "example": example,
        "dlka": dlka,
        "baseline": baseline,
        "confidence": confidence,
        "iou": iou,
        "size": size,
        "classes": classes,
        "strength": strength,
    }


def known_models() -> list[Any]:
    """Updates of both choices of models: what is there now."""
    return [gr.update(choices=_choices(models)) for models in (dlka_models(), baseline_models())]


def model_choice(models: list[str], value: str, label: str) -> gr.Dropdown:
    """A choice of models; what programs and files call them stays their id."""
    return gr.Dropdown(_choices(models), value=value, label=label, filterable=False, elem_classes="choice")


def _choices(models: list[str]) -> list[tuple[str, str]]:
    known = cards()
    return [(model_words.label(model, known[model]), model) for model in models]


def size_choice() -> gr.Dropdown:
    """A choice of input sizes."""
    choices = [("what fits", size) if size == FITS else (str(size), size) for size in SIZES]
    return gr.Dropdown(choices, value=FITS, label="Input size, px", filterable=False)


def wire_models(asked: dict[str, Any], lines: gr.HTML) -> gr.State:
    """A model that is chosen on either side brings the lines on both models, and what fits it.

    That is the other model, and all of the new classes; the input size stays as it is. Returns the pair of models,
    D-LKA first, which changes once for a choice, when both of its sides are settled.
    """
    pair = gr.State((asked["dlka"].value, asked["baseline"].value))

    def chosen(side: str) -> Callable[[str, str], list[Any]]:
        def choose(chosen: str, other: str) -> list[Any]:
            fitting = baseline_for(chosen, other) if side == "dlka" else dlka_for(chosen, other)
            models = (chosen, fitting) if side == "dlka" else (fitting, chosen)
            if fitting == other:
                return [model_words.lines(*models), gr.skip(), gr.skip(), models]
            names = list(cards()[chosen].names.values())
            return [model_words.lines(*models), fitting, gr.update(choices=names, value=[]), models]

        return choose

    for side, other in (("dlka", "baseline"), ("baseline", "dlka")):
        asked[side].change(
            chosen(side),
            [asked[side], asked[other]],
            [lines, asked[other], asked["classes"], pair],
            api_visibility="private",
            show_progress="hidden",
            trigger_mode="always_last",
            **WORDS,
        )
    return pair
