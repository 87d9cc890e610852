"""The page "Segment": volumes and pictures divided into parts, and what the deformable kernels sampled there."""

from __future__ import annotations

import html
import math
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from time import monotonic_ns
from typing import Any

from dlka.errors import LOG, DlkaError
from dlka.segment.judge import dice, hd95
from dlka.segment.net_file import read_card
from dlka.segment.outputs import write_outputs
from dlka.segment.samples import MADE_FOR, Sample, samples
from dlka.segment.scans import Scan, is_volume, read_labels, read_scan
from dlka.segment.segmenter import WHOLE, Segmentation, Segmenter, shipped
from dlka.temporary import new_folder
from dlka.ui import files, words
from dlka.ui.page_queue import WORDS
from dlka.ui.segment_data import segment_value
from dlka.ui.tab import LAST, PRIVATE, QUIET, how_to_read
from dlka.ui.toolkit import gr

NAME, PATH = "Segment", "segment"
STALE = '<p class="stale" role="alert">{reason} What stands below is of what was segmented before.</p>'


def build() -> None:
    """The page's components and what they do. Networks are built and run when somebody comes, not when the app
    starts."""
    app: Any = gr.context.Context.root_block
    examples = {label: sample for label, sample in samples().items() if _choices(sample.kind)}
    if not examples:
        gr.Markdown("None of the files in weights/segment is a network that can be read; the log says why.")
        return
    first = next(iter(examples.values()))
    model = _network(first)
    gr.Markdown(words.SEGMENT, elem_id="title", elem_classes="seg-title")
    with gr.Row(elem_id="seg-page"):
        with gr.Column(scale=1, min_width=280):
            sample = gr.Dropdown(
                list(examples), value=first.label, label="An example", filterable=False, elem_id="seg-sample"
            )
            credit = gr.HTML(_credit(first.label), elem_id="seg-credit", padding=False)
            file = gr.File(label="or your own: .nii, .nii.gz, or a picture", height=150, elem_id="seg-file")
            net = gr.Dropdown(_choices(first.kind), value=model, label="Network", filterable=False, elem_id="seg-net")
            strength = gr.Slider(0, 1, 1, step=0.05, **_strength(model), elem_id="seg-strength")
            go = gr.Button("Segment", variant="primary", elem_id="seg-go")
            card = gr.HTML(card_words(model), elem_id="seg-card", padding=False)
        with gr.Column(scale=3, min_width=320):
            stale = gr.HTML(elem_id="stale")
            canvas = gr.HTML(
                html_template=files.read("segment/segment.html"),
                js_on_load="\n".join(map(files.read, ("segment/planes.js", "segment/segment.js"))),
                elem_id="seg",
            )
            take = gr.Button("Make files to take along", size="sm", elem_id="seg-take")
            taken = gr.File(visible=False, file_count="multiple", label="To take along", elem_id="seg-taken")
            how_to_read(words.SEGMENT_READ)
    asked = [sample, file, net, strength]
    shown = gr.State(())  # what was asked for last and is shown

    def look(
        label: str | None, path: str | None, model: str, factor: float
    ) -> tuple[Scan, Segmentation, str, Sample | None]:
        """Also the network that looked: for a file of the other kind the first one that knows such files."""
        if path is None and label:
            return *_example(label, Segmenter.of(model), factor), model, samples()[label]
        if path is None:
            raise DlkaError("There is nothing to segment yet: choose an example, or give a volume or a picture.")
        kind = "volume" if is_volume(Path(path)) else "picture"
        scan = read_scan(path, WHOLE[kind])
        if kind != read_card(shipped()[model]).net:
            if not (models := _choices(kind)):
                raise DlkaError(f"{Path(path).name}: no network for a {kind} is here.")
            model = models[0][1]
        return scan, Segmenter.of(model).look(scan, factor), model, None

    def show(before: tuple[Any, ...], *given: Any) -> Any:
        if given == before:  # a choice by mouse from a gr.Dropdown is told twice
            return [*[gr.skip()] * 6, ""]
        try:
            scan, seen, model, own = look(*given)
        except DlkaError as error:
            return [*[gr.skip()] * 6, STALE.format(reason=html.escape(str(error)))]
        label, path, chosen, factor = given
        controls = [gr.skip(), gr.skip()]
        if model != chosen:
            kind = Segmenter.of(model).card.net
            controls = [gr.update(choices=_choices(kind), value=model), gr.update(**_strength(model))]
        value, hidden = _value(scan, seen, model, own), gr.update(visible=False, value=None)
        return (label, path, model, factor), value, hidden, *controls, card_words(model), ""

    def make(label: str | None, path: str | None, model: str, factor: float) -> Any:
        scan, seen, model, _ = look(label, path, model, factor)
        return gr.update(visible=True, value=write_outputs(scan, seen, Segmenter.of(model).card, Path(new_folder())))

    def choose(label: str | None) -> Any:
        if label is None:  # a file of the visitor's own takes its place
            return gr.skip()
        own = samples()[label]
        model = _network(own)
        update = gr.update(choices=_choices(own.kind), value=model)
        return None, update, gr.update(**_strength(model)), _credit(label), monotonic_ns()

    asks = gr.State()
    sample.change(choose, sample, [file, net, strength, credit, asks], **QUIET, **LAST, **WORDS)
    file.upload(lambda: (None, "", monotonic_ns()), None, [sample, credit, asks], **QUIET, **LAST, **WORDS)
    net.input(lambda model: gr.update(**_strength(model)), net, strength, **QUIET, **LAST, **WORDS)
    ran = gr.on(
        [app.load, go.click, asks.change, net.input, strength.input],
        show,
        [shown, *asked],
        [shown, canvas, taken, net, strength, card, stale],
        show_progress_on=canvas,
        **PRIVATE,
        **LAST,
    )
    failed = STALE.format(reason="This could not be segmented.")
    ran.failure(lambda: failed, outputs=stale, queue=False, **QUIET)
    take.click(make, asked, taken, **PRIVATE, **LAST)


@lru_cache(maxsize=24)
def _example(label: str, segmenter: Segmenter, strength: float) -> tuple[Scan, Segmentation]:
    """An example as a network sees it; what visitors choose again is there at once."""
    scan = read_scan(samples()[label].file)
    return scan, segmenter.look(scan, strength)


def _value(scan: Scan, seen: Segmentation, model: str, own: Sample | None) -> str:
    segmenter = Segmenter.of(model)
    names = list(segmenter.card.names)
    if own is None or model.partition("-")[0] != own.model:  # a network of other parts
        return segment_value(scan, seen, names)
    true = read_labels(own.labels, len(names))
    rigid = _example(own.label, segmenter, 0.0)[1] if segmenter.deforms else seen
    rows = []
    for number, name in list(enumerate(names))[1:]:
        masks = seen.labels == number, true == number
        scores = [dice(*masks), dice(rigid.labels == number, masks[1])] if segmenter.deforms else [dice(*masks)]
        far = hd95(*masks, scan.spacing)
        rows.append([name, *(f"{score:.3f}" for score in scores), "none found" if math.isnan(far) else f"{far:.1f}"])
    return segment_value(scan, seen, names, true, rows)


def _network(sample: Sample) -> str:
    """The network that knows a sample; where it is not here, the first one that looks at such files."""
    return sample.model if sample.model in shipped() else _choices(sample.kind)[0][1]


def _strength(model: str) -> dict[str, Any]:
    """The slider for a network."""
    deforms = read_card(shipped()[model]).offsets != "none"
    info = "1 as learned, 0 the rigid kernel" if deforms else "this network has no offsets"
    return {"interactive": deforms, "label": "Deformation", "info": info}


def _choices(kind: str) -> list[tuple[str, str]]:
    """The networks that look at volumes or at pictures, (what is shown, id); a file that is none is left out."""
    found = []
    for word, path in shipped().items():
        try:
            card = read_card(path)
            if card.net == kind:
                found.append((f"{word} ({'rigid' if card.offsets == 'none' else 'deformable'})", word))
        except DlkaError as error:
            LOG.warning("left out: %s", error)
    return found


def _credit(label: str) -> str:
    return f'<p class="quiet">{html.escape(samples()[label].credit)}</p>'


def card_words(model: str) -> str:
    """What is known of a network: its data, and how it does on the validation part, with its offsets and without."""
    card = read_card(shipped()[model])
    lines = [f"<b>{html.escape(model)}</b> was trained on {html.escape(card.data)}."]
    if made_for := MADE_FOR.get(model.partition("-")[0]):
        lines.append(f"Made for {made_for}: on anything else its labels mean nothing.")
    on = f" on {card.scores['cases']} cases" if "cases" in card.scores else ""
    for row in card.scores.get("rows", ()):
        parts = []
        for name in card.names[1:]:
            with suppress(KeyError, TypeError, IndexError):  # what a card does not say is left out
                parts.append(f"{name} {row[name]['dice'][0]:.3f}")
        if parts:
            called = "".join(str(row.get("model", "")).partition(",")[1:])
            lines.append(html.escape(f"Dice{on}{called}: {', '.join(parts)}."))
    return f'<p class="quiet">{"<br>".join(lines)}</p>'
