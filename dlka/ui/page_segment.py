"""The page "Segment": volumes and pictures divided into parts, and what the deformable kernels sampled there."""

from __future__ import annotations

import html
from collections.abc import Mapping
from pathlib import Path
from time import monotonic_ns
from typing import Any

from dlka.errors import DlkaError
from dlka.segment.outputs import write_outputs
from dlka.segment.samples import Sample, samples
from dlka.segment.scans import Scan, is_volume, read_labels, read_scan
from dlka.segment.scores import dice, hd95
from dlka.segment.segmenter import Segmentation, Segmenter, shipped
from dlka.temporary import new_folder
from dlka.ui import words
from dlka.ui.page_queue import WORDS
from dlka.ui.segment_data import segment_value
from dlka.ui.tab import LAST, PRIVATE, how_to_read
from dlka.ui.toolkit import gr

NAME, PATH = "Segment", "segment"
FOLDER = Path(__file__).with_name("segment")
SCRIPTS = ("planes.js", "segment.js")
KINDS = {"volume": "Volumes", "picture": "Pictures"}


def build() -> None:
    """The page's components and what they do."""
    first = next(iter(samples().values()))
    scan, model = read_scan(first.file), first.model
    seen = Segmenter.of(model).look(scan)
    gr.Markdown(words.SEGMENT, elem_id="title")
    with gr.Row(elem_id="seg-page"):
        with gr.Column(scale=1, min_width=280):
            sample = gr.Dropdown(list(samples()), value=first.label, label="An example", elem_id="seg-sample")
            credit = gr.HTML(_credit(first.label), elem_id="seg-credit", padding=False)
            file = gr.File(label="or your own: .nii, .nii.gz, or a picture", height=120, elem_id="seg-file")
            net = gr.Dropdown(_choices("volume"), value=model, label="Network", elem_id="seg-net")
            strength = gr.Slider(
                0, 1, 1, step=0.05, label="Deformation", info="0 is the rigid kernel", elem_id="seg-strength"
            )
            go = gr.Button("Segment", variant="primary", elem_id="seg-go")
            told = gr.HTML(_card(model), elem_id="seg-card", padding=False)
        with gr.Column(scale=3, min_width=320):
            canvas = gr.HTML(
                _value(scan, seen, model, first, kept=True),
                html_template=(FOLDER / "segment.html").read_text(encoding="utf-8"),
                js_on_load="\n".join((FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS),
                elem_id="seg",
            )
            with gr.Row():
                take = gr.Button("Make files to take along", size="sm", elem_id="seg-take")
            taken = gr.File(visible=False, file_count="multiple", label="To take along", elem_id="seg-taken")
            how_to_read(words.SEGMENT_READ)
    asked = [sample, file, net, strength]

    def look(
        label: str | None, path: str | None, model: str, factor: float
    ) -> tuple[Scan, Segmentation, Sample | None]:
        own = samples().get(label or "")
        file = path or (own.file if own else None)
        if file is None:
            raise DlkaError("There is nothing to segment yet: choose an example, or give a volume or a picture.")
        scan = read_scan(file)
        return scan, Segmenter.of(model).look(scan, factor), None if path else own

    def show(label: str | None, path: str | None, model: str, factor: float) -> tuple[str, Any, str]:
        scan, seen, own = look(label, path, model, factor)
        return _value(scan, seen, model, own), gr.update(visible=False, value=None), _card(model)

    def make(label: str | None, path: str | None, model: str, factor: float) -> Any:
        scan, seen, _ = look(label, path, model, factor)
        return gr.update(visible=True, value=write_outputs(scan, seen, Segmenter.of(model).card, Path(new_folder())))

    def choose(label: str) -> tuple[Any, ...]:
        own = samples()[label]
        return None, gr.update(choices=_choices(own.kind), value=own.model), _credit(label), monotonic_ns()

    def given(path: str | None) -> tuple[Any, ...]:
        """A file of the visitor's own: the networks that can look at such a file."""
        kind = "volume" if path and is_volume(Path(path)) else "picture"
        models = _choices(kind)
        return None, gr.update(choices=models, value=models[0][1]), "", monotonic_ns()

    asks = gr.State()
    run: dict[str, Any] = {"fn": show, "inputs": asked, "outputs": [canvas, taken, told], **PRIVATE, **LAST}
    sample.input(choose, sample, [file, net, credit, asks], **PRIVATE, **LAST, **WORDS)
    file.upload(given, file, [sample, net, credit, asks], **PRIVATE, **LAST, **WORDS)
    gr.on([go.click, asks.change, net.input, strength.release], **run)
    take.click(make, asked, taken, **PRIVATE, **LAST)


def _value(scan: Scan, seen: Segmentation, model: str, own: Sample | None, kept: bool = False) -> str:
    segmenter = Segmenter.of(model)
    names = list(segmenter.card.names)
    if own is None:
        return segment_value(scan, seen, names, kept=kept)
    true = read_labels(own.labels, len(names))
    rigid = segmenter.look(scan, 0.0) if segmenter.deforms and seen.strength else seen
    rows = []
    for number, name in list(enumerate(names))[1:]:
        masks = seen.labels == number, true == number
        other = f"{dice(rigid.labels == number, masks[1]):.3f}" if segmenter.deforms else "moves no taps"
        rows.append([name, f"{dice(*masks):.3f}", f"{hd95(*masks, scan.spacing):.1f}", other])
    return segment_value(scan, seen, names, true, rows, kept)


def _choices(kind: str) -> list[tuple[str, str]]:
    """The networks that look at volumes or at pictures, (what is shown, id)."""
    return [(f"{word} ({_said(word)})", word) for word in shipped() if Segmenter.of(word).card.net == kind]


def _said(model: str) -> str:
    return "rigid" if Segmenter.of(model).card.offsets == "none" else "deformable"


def _credit(label: str) -> str:
    return f'<p class="quiet">{html.escape(samples()[label].credit)}</p>'


def _card(model: str) -> str:
    """What is known of a network: its data, and how it does on the validation part, with its offsets and without."""
    card = Segmenter.of(model).card
    rows: list[Mapping[str, Any]] = card.scores.get("rows", [])
    lines = [f"<b>{html.escape(model)}</b> was trained on {html.escape(card.data)}."]
    for row in rows:
        parts = ", ".join(f"{name} {row[name]['dice'][0]:.3f}" for name in card.names[1:])
        lines.append(f"Dice on {card.scores['cases']} cases{html.escape(row['model'].partition(',')[1])}: {parts}.")
    return f'<p class="quiet">{"<br>".join(lines)}</p>'
