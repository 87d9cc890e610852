"""The page "Many pictures": a folder at once, judged by labels if there are any, and a report to take away."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from dlka.analysis import model_words
from dlka.analysis.analysis import Settings
from dlka.analysis.checked import checked
from dlka.analysis.examples import labelled
from dlka.analysis.many.analyses import ManyAnalyses
from dlka.analysis.many.inputs import Given, sort_files
from dlka.analysis.models import baseline_models, dlka_models
from dlka.models.catalog import cards
from dlka.temporary import new_folder, write_to
from dlka.ui import controls, words
from dlka.ui.many import tables
from dlka.ui.many.report import report
from dlka.ui.many.viewer import EMPTY, viewer_value
from dlka.ui.page_queue import LONG_RUN
from dlka.ui.toolkit import gr

NAME, PATH = "Many pictures", "many"
FOLDER = Path(__file__).with_name("many")
ASKED = ("dlka", "baseline", "confidence", "iou", "size", "classes")
SHOWN = ("empty", "progress", "results", "told", "summary", "report", "viewer", "pictures")


def build() -> None:
    """The page's components and what they do."""
    first = Settings()
    gr.Markdown(words.MANY, elem_id="title")
    lines = gr.HTML(model_words.lines(first.dlka, first.baseline), elem_id="models", padding=False)
    with gr.Row(elem_id="both"):
        with gr.Column(scale=1, min_width=300):
            asked = _ask(first)
        with gr.Column(scale=3, min_width=320):
            shown = _show()
    stop = gr.State(None)  # the running run's threading.Event
    controls.wire_models(asked, lines)
    inputs = [stop, *(asked[n] for n in ASKED)]
    run: dict[str, Any] = {
        "outputs": [shown[n] for n in SHOWN],
        "api_visibility": "private",
        "show_progress": "hidden",
        **LONG_RUN,  # a run takes minutes; models take turns, picture by picture
    }
    start: dict[str, Any] = {
        "fn": _begin,
        "inputs": stop,
        "outputs": [stop, shown["progress"]],
        "api_visibility": "private",
        "queue": False,
    }
    for button, compare, files in (("go", _compare, [asked["files"], asked["folder"]]), ("try", _try, [])):
        ran = asked[button].click(**start).then(compare, [*inputs, *files], **run)
        ran.failure(_hidden, outputs=shown["progress"], api_visibility="private", queue=False)
    asked["stop"].click(_stop, stop, api_visibility="private", queue=False)


def _ask(first: Settings) -> dict[str, Any]:
    """The visitor's side: pictures, labels, models and settings."""
    files = gr.File(
        label="Pictures, with their labels if there are any",
        file_count="multiple",
        height=140,
        elem_id="many-files",
    )
    folder = gr.File(label="or a whole folder", file_count="directory", height=140, elem_id="many-folder")
    go = gr.Button("Compare", variant="primary", elem_id="many-go")
    with gr.Row():
        examples_go = gr.Button("Try examples", min_width=120, elem_id="many-try")
        stop = gr.Button("Stop", variant="stop", min_width=80, elem_id="many-stop")
    with gr.Group():
        dlka = controls.model_choice(dlka_models(), first.dlka, "D-LKA model")
        baseline = controls.model_choice(baseline_models(), first.baseline, "Baseline")
    with gr.Accordion("Detection settings", open=False):
        confidence = gr.Slider(0.01, 0.95, first.confidence, step=0.01, label="Confidence", info="least score of a box")
        iou = gr.Slider(0.1, 0.95, first.iou, step=0.05, label="IoU", info="boxes that overlap more are merged")
        size = controls.size_choice()
        names = list(cards()[first.dlka].names.values())
        classes = gr.Dropdown(names, value=[], multiselect=True, label="Classes", info="empty: all")
    with gr.Accordion("Ground truth: how to give it", open=False):
        gr.Markdown(words.LABELS)
    return {
        "files": files,
        "folder": folder,
        "go": go,
        "try": examples_go,
        "stop": stop,
        "dlka": dlka,
        "baseline": baseline,
        "confidence": confidence,
        "iou": iou,
        "size": size,
        "classes": classes,
    }


def _show() -> dict[str, Any]:
    """What a run shows: how far it is, then everything at once."""
    empty = gr.Markdown(words.MANY_EMPTY, elem_id="many-empty")
    progress = gr.HTML(visible=False, elem_id="many-progress")
    with gr.Column(visible=False) as results:
        said = gr.HTML(elem_id="many-told")
        summary = gr.HTML(elem_id="many-summary")
        saved = gr.DownloadButton("Download the report, one HTML file", elem_id="many-report")
        viewer = gr.HTML(
            EMPTY,
            html_template=(FOLDER / "viewer.html").read_text(encoding="utf-8"),
            js_on_load=(FOLDER / "viewer.js").read_text(encoding="utf-8"),
            elem_id="many-viewer",
        )
        gr.Markdown("### All pictures")
        pictures = gr.HTML(elem_id="many-pictures")
        gr.Markdown(words.MANY_READ, elem_classes="quiet")
    return {
        "empty": empty,
        "progress": progress,
        "results": results,
        "told": said,
        "summary": summary,
        "report": saved,
        "viewer": viewer,
        "pictures": pictures,
    }


def _begin(before: threading.Event | None) -> tuple[threading.Event, dict[str, Any]]:
    """What the coming run is stopped by; one of this visitor's that is still under way is stopped now."""
    _stop(before)
    return threading.Event(), gr.update(value=tables.waiting(), visible=True)


def _compare(stop: threading.Event, *given: Any) -> Iterator[list[Any]]:
    """Compare the files of the visitor."""
    settings, (files, folder) = _settings(given[: len(ASKED)]), given[len(ASKED) :]
    yield from _run(stop, settings, sort_files([*(files or []), *(folder or [])], _known(settings)))


def _try(stop: threading.Event, *given: Any) -> Iterator[list[Any]]:
    """Compare the examples, which have labels of their own."""
    settings = _settings(given)
    known = _known(settings)
    yield from _run(stop, settings, sort_files([str(path) for path in labelled(known)], known))


def _known(settings: Settings) -> dict[int, str]:
    """The chosen model's classes; a model that is not there is refused by the run itself."""
    return cards()[settings.dlka].names if settings.dlka in cards() else {}


def _stop(stop: threading.Event | None) -> None:
    if stop is not None:
        stop.set()


def _settings(given: Sequence[Any]) -> Settings:
    return _asked(**checked(_asked, dict(zip(ASKED, given))))


def _asked(dlka: str, baseline: str, confidence: float, iou: float, size: int, classes: list[str]) -> Settings:
    return Settings(dlka, baseline, confidence, iou, size, tuple(classes))


def _run(stop: threading.Event, settings: Settings, given: Given) -> Iterator[list[Any]]:
    """Values of SHOWN: how far it is after every picture, then everything."""
    folder = Path(new_folder())
    many = ManyAnalyses(settings, given.labels, folder)
    for number, path in enumerate(given.pictures):
        if stop.is_set():
            break
        bar = tables.progress(number, len(given.pictures), path.name)
        yield [_hidden(), gr.update(value=bar, visible=True), *(gr.skip() for _ in SHOWN[2:])]
        many.add(path)
    said = list(given.told)
    if len(many.rows) < len(given.pictures):
        said.insert(0, f"Stopped after {len(many.rows)} of {len(given.pictures)} pictures.")
    yield [
        _hidden(),
        _hidden(),
        gr.update(visible=True),
        gr.update(value=tables.sentences(said), visible=bool(said)),
        tables.summary(many),
        _save(many, said),
        viewer_value(many),
        tables.pictures(many),
    ]


def _hidden() -> dict[str, Any]:
    return gr.update(visible=False)


def _save(many: ManyAnalyses, said: Sequence[str]) -> str:
    path = many.folder / "report.html"
    write_to(path, report(many, said).encode())
    return str(path)
