"""The page "Many pictures": a folder at once, judged by labels if there are any, and a report to take away."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from dlka.analysis import model_words
from dlka.analysis.analysis import Settings
from dlka.analysis.examples import labelled
from dlka.analysis.judging import FALSE_ALARMS, MISSED_BY_ONE
from dlka.analysis.labels import TruthRefused
from dlka.analysis.many import tables
from dlka.analysis.many.analyses import MISSED, ManyAnalyses
from dlka.analysis.many.inputs import Given, sort_files
from dlka.analysis.many.report import report
from dlka.errors import DlkaError
from dlka.models.catalog import cards
from dlka.temporary import new_folder, write_to
from dlka.types import BOTH, KIND_NAMES, size_of
from dlka.ui import controls, files, words
from dlka.ui.page_queue import LONG_RUN
from dlka.ui.tab import PRIVATE, QUIET, by_component, how_to_read
from dlka.ui.toolkit import gr

NAME, PATH = "Many pictures", "many"
KINDS = [name for kind, name in KIND_NAMES.items() if kind != BOTH]  # what findings can be chosen by,
JUDGED = [MISSED, MISSED_BY_ONE, FALSE_ALARMS]  # and where there are labels
# What the viewer shows before a run.
EMPTY = json.dumps({"columns": [], "what": [], "pictures": [], "items": []})
OUTPUTS = ("empty", "progress", "results", "told", "summary", "report", "viewer", "pictures")


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
    controls.wire_own(asked)

    def compare(given: dict[Any, Any], paths: Sequence[str] | None) -> Iterator[dict[Any, Any]]:
        """paths: of pictures and labels; None for the examples, which have labels of their own."""
        settings = controls.settings(asked, given)
        # A model that is not there is refused by the run itself.
        known = cards()[settings.dlka].names if settings.dlka in cards() else {}
        try:
            sorted_files = examples_for(known) if paths is None else sort_files(paths, known)
            for values in compare_pictures(given[stop], settings, sorted_files):
                yield by_component(shown, values)
        except DlkaError as error:  # the reason stays, when the message that the page shows has gone
            said = gr.update(value=f"**This could not be compared.** {html.escape(str(error))}", visible=True)
            yield by_component(shown, {"empty": said, "results": _hidden()})
            raise

    def compare_files(given: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
        yield from compare(given, [*(given[asked["files"]] or []), *(given[asked["folder"]] or [])])

    def compare_examples(given: dict[Any, Any]) -> Iterator[dict[Any, Any]]:
        yield from compare(given, None)

    inputs = {stop, *(asked[n] for n in controls.CONTROLS if n in asked)}
    run: dict[str, Any] = {
        "outputs": [shown[n] for n in OUTPUTS],
        **QUIET,
        **LONG_RUN,  # a run takes minutes; models take turns, picture by picture
    }
    own = {asked["files"], asked["folder"]}
    for button, function, given in (("go", compare_files, inputs | own), ("try", compare_examples, inputs)):
        begun = asked[button].click(_begin, stop, [stop, shown["progress"]], queue=False, **PRIVATE)
        ran = begun.then(function, given, **run)
        ran.failure(_hidden, outputs=shown["progress"], queue=False, **PRIVATE)
    asked["stop"].click(_stop, stop, queue=False, **PRIVATE)


def examples_for(known: Mapping[int, str]) -> Given:
    """The examples for models of these classes, with their labels where these are of such classes."""
    paths = list(map(str, labelled(known)))
    try:
        return sort_files(paths, known)
    except TruthRefused:
        return sort_files(paths[:-1], known)


def _ask(first: Settings) -> dict[str, Any]:
    """The visitor's side: pictures, labels, models and settings."""
    asked: dict[str, Any] = {}
    label = "Pictures, with their labels if there are any"
    asked["files"] = gr.File(label=label, file_count="multiple", height=140, elem_id="many-files")
    asked["folder"] = gr.File(label="or a whole folder", file_count="directory", height=140, elem_id="many-folder")
    asked["go"] = gr.Button("Compare", variant="primary", elem_id="many-go")
    with gr.Row():
        asked["try"] = gr.Button("Try examples", min_width=120, elem_id="many-try")
        asked["stop"] = gr.Button("Stop", variant="stop", min_width=80, elem_id="many-stop")
    with gr.Group():
        asked |= controls.model_choices(first)
    names = list(cards()[first.dlka].names.values())
    asked |= controls.detection_settings(names, "boxes that overlap more are merged")
    with gr.Accordion("Ground truth: how to give it", open=False):
        gr.Markdown(words.LABELS)
    return asked


def _show() -> dict[str, Any]:
    """What a run shows: how far it is, then everything at once."""
    shown: dict[str, Any] = {}
    shown["empty"] = gr.Markdown(words.MANY_EMPTY, elem_id="many-empty")
    shown["progress"] = gr.HTML(visible=False, elem_id="many-progress")
    with gr.Column(visible=False) as shown["results"]:
        shown["told"] = gr.HTML(elem_id="many-told")
        shown["summary"] = gr.HTML(elem_id="many-summary")
        shown["report"] = gr.DownloadButton("Download the report, one HTML file", elem_id="many-report")
        shown["viewer"] = gr.HTML(
            EMPTY,
            html_template=files.read("many/viewer.html"),
            js_on_load=files.read("many/viewer.js"),
            elem_id="many-viewer",
        )
        with gr.Accordion("All pictures as a table", open=False):
            shown["pictures"] = gr.HTML(elem_id="many-pictures")
        how_to_read(words.MANY_READ)
    return shown


def _begin(before: threading.Event | None) -> tuple[threading.Event, dict[str, Any]]:
    """What the coming run is stopped by; one of this visitor's that is still under way is stopped now."""
    _stop(before)
    return threading.Event(), gr.update(value=tables.waiting(), visible=True)


def _stop(stop: threading.Event | None) -> None:
    if stop is not None:
        stop.set()


def compare_pictures(stop: threading.Event, settings: Settings, given: Given) -> Iterator[dict[str, Any]]:
    """Values of OUTPUTS by name: how far it is after every picture, then everything."""
    folder = Path(new_folder())
    many = ManyAnalyses(settings, given.labels, folder)
    with closing(many.add(given.pictures)) as rows:
        for number, path in enumerate(given.pictures):
            if stop.is_set():
                break
            bar = tables.progress(number, len(given.pictures), path.name)
            yield {"empty": _hidden(), "progress": gr.update(value=bar, visible=True)}
            next(rows)
    said = list(given.told)
    if len(many.rows) < len(given.pictures):
        said.insert(0, f"Stopped after {len(many.rows)} of {len(given.pictures)} pictures.")
    if settings.dlka == settings.baseline:
        said.insert(0, "One model looks alone, on both sides: there is nothing to compare it with.")
    summary, path = tables.summary(many), folder / "report.html"
    write_to(path, report(many, summary, said).encode())
    yield {
        "empty": _hidden(),
        "progress": _hidden(),
        "results": gr.update(visible=True),
        "told": gr.update(value=tables.sentences(said), visible=bool(said)),
        "summary": summary,
        "report": str(path),
        "viewer": viewer_value(many),
        "pictures": tables.pictures(many),
    }


def viewer_value(many: ManyAnalyses) -> str:
    """JSON for the browser to step through the findings of a run.

    what: the kinds to choose from; pictures: name, addresses, width and height (pixels of the original), counts, and as
    "wrong" misses and false alarms of D-LKA and of the baseline; items: smallest first, each with its close-up, the
    number of its picture, its box in pixels of that, and its numbers as text, under columns.
    """
    items = []
    for number, found in enumerate(many.findings):
        item = {name: getattr(found, name) for name in ("picture", "box", "colour", "kind", "what", "classes")}
        item |= {"size": size_of(found.area), "told": tables.caption(found), "row": tables.finding(many, found)}
        if found.tile:
            write_to(many.folder / f"tile-{number}.jpg", found.tile)
            item["tile"] = files.address(str(many.folder / f"tile-{number}.jpg"))
        items.append(item)
    pictures = []
    for number, row in enumerate(many.rows):
        picture: dict[str, Any] = {"file": row.file, "problem": row.problem}
        if row.size is not None:
            picture |= {"height": row.size[0], "width": row.size[1]}
            picture["kinds"] = {name: row.kinds[kind] for kind, name in KIND_NAMES.items()}
            picture["wrong"] = [[own.misses.total(), own.false_alarms.total()] for own in row.truth or ()]
            picture["source"] = files.address(str(many.folder / f"{number}.jpg"))
            picture["thumbnail"] = files.address(str(many.folder / f"{number}-small.jpg"))
        pictures.append(picture)
    what = KINDS + JUDGED if many.judged else KINDS
    return json.dumps({"columns": tables.columns(many), "what": what, "pictures": pictures, "items": items})


def _hidden() -> dict[str, Any]:
    return gr.update(visible=False)
