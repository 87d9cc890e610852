"""What the visitor asks with: the picture, the two models, the settings."""

from __future__ import annotations

from typing import Any

from dlka.inference.predictor import best_device
from dlka.models.catalog import cards
from dlka.ui import model_words
from dlka.ui.examples import examples
from dlka.ui.inputs import picture_input
from dlka.ui.models import SIZES, baseline_models, dlka_models, partner
from dlka.ui.session import Look
from dlka.ui.toolkit import gr


def build(first: Look) -> dict[str, Any]:
    """The components, as a first look was asked for."""
    names = list(first.names.values())
    with gr.Group():
        image = picture_input(
            str(next(iter(examples().values()))),
            label="Picture",
            sources=["upload", "clipboard", "webcam"],
            height=280,
            elem_id="picture",
        )
        example = gr.Dropdown(list(examples()), value=next(iter(examples())), label="or an example", filterable=False)
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
        size = gr.Dropdown(list(SIZES), value=first.settings.size, label="Input size, px", filterable=False)
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


def model_choice(models: list[str], value: str, label: str) -> gr.Dropdown:
    """A choice of models; what programs and files call them stays their id."""
    known = cards()
    choices = [(model_words.label(model, known[model]), model) for model in models]
    return gr.Dropdown(choices, value=value, label=label, filterable=False, elem_classes="choice")


def wire_model(asked: dict[str, Any], side: str, lines: gr.HTML) -> Any:
    """A model that is chosen on one side ("dlka" or "baseline") brings the lines on both models, and what fits it.

    That is the other model, and all of the new classes; the input size stays as it is. Returns the event, after which
    the models can be asked.
    """
    sides = {"dlka": "baseline", "baseline": "dlka"}

    def choose(chosen: str, other: str) -> list[Any]:
        fitting = partner(chosen, other)
        pair = (chosen, fitting) if side == "dlka" else (fitting, chosen)
        if fitting == other:
            return [model_words.lines(*pair), gr.skip(), gr.skip()]
        names = list(cards()[chosen].names.values())
        return [model_words.lines(*pair), fitting, gr.update(choices=names, value=[])]

    other = asked[sides[side]]
    return asked[side].change(
        choose,
        [asked[side], other],
        [lines, other, asked["classes"]],
        api_visibility="private",
        show_progress="hidden",
        queue=False,
        trigger_mode="always_last",
    )
