"""What the visitor asks with: the picture, the two models, the settings."""

from __future__ import annotations

from typing import Any

from dlka.inference.predictor import best_device
from dlka.ui import session
from dlka.ui.examples import examples
from dlka.ui.inputs import picture_input
from dlka.ui.session import Look
from dlka.ui.toolkit import gr

SIZES = (320, 416, 512, 640, 960, 1280)


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
        dlka = gr.Dropdown(
            _choices(session.dlka_models()), value=first.settings.dlka, label="D-LKA model", filterable=False
        )
        baseline = gr.Dropdown(
            _choices(session.baseline_models()), value=first.settings.baseline, label="Baseline", filterable=False
        )
        strength = gr.Slider(
            0, 2, 1, step=0.1, label="Deformation", info="0 off, 1 as learned, 2 twice the offsets", elem_id="strength"
        )
    with gr.Accordion("Detection settings", open=False):
        confidence = gr.Slider(0.01, 0.95, 0.25, step=0.01, label="Confidence", info="least score of a box")
        iou = gr.Slider(0.1, 0.95, 0.7, step=0.05, label="IoU", info="boxes of a class that overlap more are merged")
        size = gr.Dropdown(list(SIZES), value=640, label="Input size, px", filterable=False)
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


def _choices(models: list[str]) -> list[tuple[str, str]]:
    """Model ids with one honest line each."""
    lines = {
        "neck": "neck: inside the last three C2f",
        "residual": "residual: after the last three C2f",
        "head": "head: before the class outputs",
        "control": "control: stock, trained alike",
        "yolov8n": "yolov8n: official weights",
    }
    return [(lines.get(m, m), m) for m in models]
