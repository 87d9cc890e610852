"""The tab of the probe: what the cell under the pointer reads, drawn by the browser without asking the server."""

from __future__ import annotations

from pathlib import Path

from dlka.ui import pictures, words
from dlka.ui.probe_data import probe_value
from dlka.ui.session import Look
from dlka.ui.toolkit import gr

FOLDER = Path(__file__).with_name("probe")
SCRIPTS = ("geometry.js", "draw.js", "explore.js")  # one after the other, as one function


def build(first: Look) -> gr.HTML:
    """The tab's component, showing a first look."""
    with gr.Tab("Probe"):
        probe = gr.HTML(
            value(first, pictures.default_point(first)),
            html_template=_read("probe.html"),
            js_on_load="\n".join(map(_read, SCRIPTS)),
            elem_id="probe",
        )
        gr.Markdown(words.PROBE, elem_classes="quiet", elem_id="probe-help")
    return probe


def value(look: Look, middle: tuple[float, float]) -> str:
    """The component's value after a new look."""
    return probe_value(look, middle)


def _read(name: str) -> str:
    return (FOLDER / name).read_text(encoding="utf-8")
