"""The page: what stands where, and which function answers which control."""

from __future__ import annotations

import errno
import html
import os
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np
from starlette.middleware import Middleware

from dlka import temporary
from dlka.analysis import model_words, see, suited
from dlka.analysis.analysis import Analysis, analyse, source_of, stay, warm_up
from dlka.analysis.examples import examples
from dlka.analysis.figures import pictures
from dlka.errors import DlkaError, short
from dlka.images import read_image
from dlka.models.own import added
from dlka.segment.segmenter import shipped as networks
from dlka.ui import (
    address,
    api,
    controls,
    files,
    page_learn,
    page_many,
    page_segment,
    states,
    tab_adapt,
    tab_numbers,
    tab_objects,
    tab_see,
    tab_what_if,
    tools,
    words,
    zero_gpu,
)
from dlka.ui.controls import CONTROLS, MODELS, SETTINGS
from dlka.ui.guard import Page
from dlka.ui.page_queue import WORDS, admit
from dlka.ui.tab import LAST, PRIVATE, QUIET, Shared, Tab, by_component
from dlka.ui.toolkit import gr
from dlka.ui.uploads import Uploads

TABS: tuple[Tab, ...] = (tab_see, tab_what_if, tab_objects, tab_adapt, tab_numbers)
MAIN = "Explore"  # what the first page is called in the bar of pages
PAGES = (page_many, page_segment, page_learn)  # beside the first one; each module: NAME, PATH, build()
STYLES = sorted((*Path(__file__).parent.glob("*.css"), see.FOLDER / "see.css"), key=lambda path: path.name)
NO_PROGRESS = gr.Progress()
PAINTERS = ThreadPoolExecutor(2, "painter")  # drawing is much compression and resampling, which need no Python
THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.orange,
    neutral_hue=gr.themes.colors.slate,
    font=["system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
    radius_size=gr.themes.sizes.radius_sm,
)


def first_picture() -> np.ndarray:
    """What the page opens with, RGB [H, W, 3] uint8."""
    return read_image(examples()[suited.opening()])


def first_look(dlka: str | None = None, baseline: str | None = None) -> Analysis:
    """The example that the page opens with, compared by models that are ready from then on: those that are named, or
    those that suit it. Raises DlkaError."""
    example = suited.opening()
    settings = suited.settings_for(example)
    if dlka is not None:
        example, settings = suited.opening_with(dlka, baseline)
    warm_up(read_image(examples()[example]), settings)
    first = analyse(examples()[example], settings)
    stay(first)
    return first


def build_app(first: Analysis) -> gr.Blocks:
    """The whole page, with a finished comparison on it."""
    with Page(title="dlka: where deformable kernels look", delete_cache=(3600, 7200), fill_width=True) as app:
        gr.Navbar(main_page_name=MAIN)
        gr.Markdown(words.TITLE, elem_id="title")
        lines = gr.HTML(
            model_words.lines(first.settings.dlka, first.settings.baseline), elem_id="models", padding=False
        )
        key = gr.State(first.key)
        point = gr.State(pictures.default_point(first))
        opened = gr.State(TABS[0].NAME)
        with gr.Row(elem_id="both"):
            with gr.Column(scale=1, min_width=300):
                asked = controls.build(first)
                link = address.build_link(first)
            with gr.Column(scale=3, min_width=320):
                stale = gr.HTML(elem_id="stale")  # said where what stands below is not what was asked for last
                with gr.Tabs() as row:
                    tabs = [(tab, tab.build(first) | {"point": point}) for tab in TABS]
        for tab in row.children:
            tab.id = tab.label  # so that an address can open it
        shared = Shared(key, point, opened, link)

        picture = gr.State(first.source.sha256 if first.source else "")  # for which the models were last chosen
        drawn = [tab[n] for module, tab in tabs for n in module.OUTPUTS]
        shown = [key, point, link, stale, *drawn]
        inputs = {tab[n] for module, tab in tabs for n in module.INPUTS}

        def show(analysis: Analysis, where: tuple[float, float], parts: str, given: dict[Any, Any]) -> dict[Any, Any]:
            """Every tab with a new analysis. where: to look first; parts: for the address; given: values of inputs."""
            given = {**given, point: where}
            drawings = [
                PAINTERS.submit(module.values, analysis, **{n: given[tab[n]] for n in module.INPUTS})
                for module, tab in tabs
            ]
            updates = {key: analysis.key, point: where, link: parts, stale: ""}
            for (_, tab), drawing in zip(tabs, drawings):
                updates |= by_component(tab, drawing.result())
            return updates

        def run_both(given: dict[Any, Any], *, progress: gr.Progress = NO_PROGRESS) -> dict[Any, Any]:
            """Run both models on the picture and redraw every tab, unless that is what they show. A picture that is
            new brings models that can know it."""
            file, settings = given[asked["image"]], controls.settings(asked, given)
            if file is None:
                raise DlkaError("There is no picture yet: drop one, paste one, or choose an example.")
            source = source_of(file)
            models = settings.dlka, settings.baseline
            if source.sha256 != given[picture]:
                models = suited.suited(file, source, *models)
            changed = models != (settings.dlka, settings.baseline)
            if changed:
                settings = replace(settings, dlka=models[0], baseline=models[1], classes=())
            progress(0.3, "Both models look")
            analysis = analyse(file, settings)
            updates = {asked["example"]: controls.shown_example(analysis)}
            if analysis.key == given[key]:  # a control that the page itself has moved asks once more
                return updates | {stale: ""}
            progress(0.8, "Drawing")
            updates[picture] = source.sha256
            if changed:
                made_for = model_words.made_for(analysis.cards[0])
                gr.Info(f"{models[0]} looks at this picture now: it was made for {made_for}.", duration=8)
                classes = gr.update(choices=list(analysis.names.values()), value=[])
                updates |= by_component(asked, {"dlka": models[0], "baseline": models[1], "classes": classes})
            return updates | show(analysis, pictures.default_point(analysis), address.encode(analysis), given)

        def restore(given: dict[Any, Any], *, progress: gr.Progress = NO_PROGRESS) -> dict[Any, Any]:
            """Show what the address asks for that the page was opened with."""
            wanted = address.decode(given[link], [tab.NAME for tab in TABS])
            file, settings = examples()[wanted.example], wanted.settings
            progress(0.3, "Both models look")
            analysis = analyse(file, settings)
            wanted, where = address.place(analysis, wanted)
            if wanted.wrong:
                gr.Warning(html.escape(address.complaint(wanted), quote=False), duration=12)
            tab = wanted.tab or TABS[0].NAME
            place = address.encode_place(wanted.stage, wanted.cell)
            parts = "&".join((address.encode(analysis), place, urlencode({"tab": tab})))
            classes = gr.update(choices=list(analysis.names.values()), value=list(settings.classes))
            settled = {n: getattr(settings, n) for n in CONTROLS} | {"classes": classes}
            return {
                **by_component(asked, {"image": str(file), "example": controls.shown_example(analysis)} | settled),
                picture: analysis.source.sha256 if analysis.source else "",
                lines: model_words.lines(settings.dlka, settings.baseline),
                row: gr.Tabs(selected=tab),
                opened: tab,
                **show(analysis, where or pictures.default_point(analysis), parts, given),
            }

        run: dict[str, Any] = {
            "fn": run_both,
            "inputs": {key, picture, asked["image"], *(asked[n] for n in CONTROLS), *inputs},
            "outputs": [picture, *(asked[n] for n in ("example", *MODELS, "classes")), *shown],
            "show_progress_on": drawn,
            **PRIVATE,
            **LAST,
        }
        # A choice by mouse from a gr.Dropdown is two inputs and one change.
        settings = (asked[n].change if isinstance(asked[n], gr.Dropdown) else asked[n].input for n in SETTINGS)
        # The picture's "upload": dropped, chosen, pasted, taken by the camera; "input" is also its removal.
        pair, example = controls.wire_models(asked, lines), controls.wire_example(asked)
        controls.wire_own(asked)
        # One listener for all: a browser has one such question at a time, so that nobody is in line behind himself.
        ran = gr.on([asked["go"].click, asked["image"].upload, *settings, pair.change, example.change], **run)
        ran.failure(lambda: words.STALE, outputs=stale, queue=False, **QUIET)
        shown_of = [asked["image"], stale, asked["example"]]
        ran.success(None, shown_of, shown_of, js=words.IF_CLEARED, **QUIET)
        asked["image"].clear(lambda: words.CLEARED, outputs=stale, queue=False, **QUIET)
        for module, tab in tabs:
            module.wire(shared, tab)
        # In the queue: an answer past it does not tell the page that a State has changed. Several at a time: else a
        # tab that is opened before the last one's answer has come would not be told, and never be drawn.
        row.select(_name, outputs=[opened, link], trigger_mode="multiple", **QUIET, **WORDS)
        link.submit(
            restore,
            {link, *inputs},
            [picture, lines, row, opened, *(asked[n] for n in ("image", "example", *CONTROLS)), *shown],
            show_progress_on=drawn,
            **PRIVATE,
        )
        if added():  # a file that has appeared since is among the choices of whoever opens the page from then on
            app.load(controls.known_models, outputs=[asked[n] for n in controls.MODELS], **PRIVATE, **WORDS)
        api.add()
        if tools.available():
            tools.add()
    for page in PAGES:
        if page is page_segment and not networks():
            continue
        with app.route(page.NAME, page.PATH):
            gr.Navbar(main_page_name=MAIN)
            page.build()
    return app


def _name(event: gr.SelectData) -> tuple[str, str]:
    """The name of the tab that was opened, and the same for the address."""
    return event.value, urlencode({"tab": event.value})


def serve(
    host: str | None = None,
    port: int | None = None,
    block: bool = True,
    models: tuple[str | None, str | None] = (None, None),
    at_once: int = 1,
) -> gr.Blocks:
    """Start the page and, by default, wait until it is stopped.

    host: None is this machine only, or GRADIO_SERVER_NAME
    port: None is the first free one from 7860 on
    models: ids of the D-LKA model and of the baseline that it opens with, where they are not the usual ones
    at_once: visitors who are answered at a time, in each line (ui/admission.py)

    Raises DlkaError for a port that cannot be listened on, and for models that cannot be compared.
    """
    if models[0] is None and models[1] is not None:
        raise DlkaError("--baseline goes with --model: name the D-LKA model that it stands beside.")
    check_port(host, port)
    zero_gpu.use()
    if block:
        temporary.remove_when_stopped()
        print("Loading the models; the first start on a machine compiles kernels and takes longer.", flush=True)
    return launch(build_app(first_look(*models)), host, port, block, at_once)


def check_port(host: str | None, port: int | None) -> None:
    """Raise DlkaError where nothing can listen on that port now. host, port: as of `serve`."""
    host = host or os.environ.get("GRADIO_SERVER_NAME") or "127.0.0.1"
    if port is not None and not 1 <= port <= 65535:
        raise DlkaError(f"Port: expected 1 to 65535, got {short(port)}.")
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port or 0, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError):  # UnicodeError: no name of a machine at all
        raise DlkaError(f"Host: expected a name or an address of this machine, got {short(host)}.") from None
    with socket.socket(family, kind) as tried:
        tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do, so that a restart need not wait
        try:
            tried.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                advice = "stop what listens there, or choose another port (python -m dlka serve --port NUMBER)"
                raise DlkaError(f"Port {port} at {host} is taken already: {advice}.") from None
            where = f"Host: {host}" if port is None else f"Port {port} at {host}"
            raise DlkaError(f"{where} cannot be listened on: {error.strerror}.") from None


def launch(
    app: gr.Blocks, host: str | None = None, port: int | None = None, block: bool = True, at_once: int = 1
) -> gr.Blocks:
    """Let a page that is built answer, with the limits that strangers meet."""
    temporary.keep_all()
    # Seconds for which a drawing may keep the interpreter from the server: a refusal should not wait for pictures.
    sys.setswitchinterval(0.001)
    app.launch(
        server_name=host,
        server_port=port,
        theme=THEME,
        head=files.read("link/head.html"),
        css_paths=[*STYLES],
        allowed_paths=[temporary.folder(), *map(str, examples().values())],
        max_file_size="20mb",
        state_session_capacity=200,
        enable_monitoring=False,
        footer_links=["api"],
        prevent_thread_lock=True,
        quiet=not block,
        ssr_mode=False,
        app_kwargs={"middleware": [admit(app, at_once), Middleware(Uploads)]},
        mcp_server=tools.available(),
        # Gradio gives up where the page's first answer takes over 3 s, which it does on a machine that is busy; that
        # the address can be reached at all it has found out before, and waited for.
        _frontend=False,
    )
    tools.keep(app)
    states.keep(app)
    if block:
        app.block_thread()
    return app
