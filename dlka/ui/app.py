"""The page: what stands where, and which function answers which control."""

from __future__ import annotations

import html
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import numpy as np

from dlka.images import read_image
from dlka.ui import (
    address,
    address_link,
    api,
    controls,
    files,
    model_words,
    page_learn,
    page_many,
    pictures,
    session,
    tab_adapt,
    tab_attention,
    tab_boxes,
    tab_compare,
    tab_numbers,
    tab_offsets,
    tab_probe,
    tab_what_if,
    tools,
    words,
)
from dlka.ui.examples import examples
from dlka.ui.session import Look, Refused, Settings
from dlka.ui.shared import Shared
from dlka.ui.source import source_of
from dlka.ui.told import told
from dlka.ui.toolkit import gr

# A tab is a module: NAME; build(first look) -> its components by name; values(look, point, *GIVEN) -> updates of SHOWN
# after a new look, point being where to look first; wire(shared, components) for what its own controls do.
TABS: tuple[Any, ...] = (
    tab_compare,
    tab_probe,
    tab_what_if,
    tab_boxes,
    tab_adapt,
    tab_offsets,
    tab_attention,
    tab_numbers,
)
MAIN = "Explore"  # what the first page is called in the bar of pages
PAGES = (page_many, page_learn)  # beside the first one; each module: NAME, PATH, build()
SIDES = ("dlka", "baseline")
SETTINGS = ("confidence", "iou", "size", "classes", "strength")
ASKED = ("image", *SIDES, *SETTINGS)
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
    """The first example, RGB [H, W, 3] uint8."""
    return read_image(_first_file())


def _first_file() -> Path:
    return next(iter(examples().values()))


def first_look() -> Look:
    """What the page opens with: the first example, compared by models that are ready from then on."""
    image = first_picture()
    session.warm_up(image, Settings())
    return session.look(image, Settings(), source_of(_first_file()))


def build_app(first: Look) -> gr.Blocks:
    """The whole page, with a finished comparison on it."""
    with gr.Blocks(title="dlka: where deformable kernels look", delete_cache=(3600, 7200), fill_width=True) as app:
        gr.Navbar(main_page_name=MAIN)
        gr.Markdown(words.TITLE, elem_id="title")
        lines = gr.HTML(
            model_words.lines(first.settings.dlka, first.settings.baseline), elem_id="models", padding=False
        )
        key = gr.State(first.key, time_to_live=7200)
        point = gr.State(pictures.default_point(first), time_to_live=7200)
        opened = gr.State(TABS[0].NAME, time_to_live=7200)
        with gr.Row(elem_id="both"):
            with gr.Column(scale=1, min_width=300):
                asked = controls.build(first)
                link = address_link.build(first)
            with gr.Column(scale=3, min_width=320), gr.Tabs() as row:
                tabs = [(tab, tab.build(first)) for tab in TABS]
        for tab in row.children:
            tab.id = tab.label  # so that an address can open it
        shared = Shared(key, point, opened, link)
        offsets = next(tab for module, tab in tabs if module is tab_offsets)

        drawn = [tab[n] for module, tab in tabs for n in module.SHOWN]
        shown = [key, point, link, *drawn]
        given = [tab[n] for module, tab in tabs for n in module.GIVEN]
        inputs = [key, *(asked[n] for n in ASKED), *given]

        def run_both(shown_key: str, *values: Any, progress: gr.Progress = NO_PROGRESS) -> list[Any]:
            """Run both models on the picture and redraw every tab, unless that is what they show."""
            look = told(_look, *values[: len(ASKED)], progress=progress)
            if look.key == shown_key:  # a control that the page itself has moved asks once more
                return [gr.skip() for _ in shown]
            progress(0.8, "Drawing")
            return _shown(look, pictures.default_point(look), address.encode(look), values[len(ASKED) :])

        def restore(query: str, *values: Any, progress: gr.Progress = NO_PROGRESS) -> list[Any]:
            """Show what the address asks for that the page was opened with."""
            wanted = address.decode(query, [tab.NAME for tab in TABS])
            file, settings = examples()[wanted.example], wanted.settings
            look = told(_look, str(file), *(getattr(settings, n) for n in (*SIDES, *SETTINGS)), progress=progress)
            wanted, stage, point = address.place(look, wanted)
            if wanted.wrong:
                gr.Warning(html.escape(address.complaint(wanted), quote=False), duration=12)
            own = [stage if stage and c is offsets["stage"] else v for c, v in zip(given, values)]
            tab = wanted.tab or TABS[0].NAME
            place = address.encode_place(wanted.stage, wanted.cell)
            parts = "&".join((address.encode(look), place, urlencode({"tab": tab})))
            shown_now = _shown(look, point or pictures.default_point(look), parts, own)
            classes = gr.update(choices=list(look.names.values()), value=list(settings.classes))
            settled = [classes if n == "classes" else getattr(settings, n) for n in (*SIDES, *SETTINGS)]
            lines = model_words.lines(settings.dlka, settings.baseline)
            return [str(file), wanted.example, *settled, lines, gr.Tabs(selected=tab), tab, *shown_now]

        run: dict[str, Any] = {
            "fn": run_both,
            "inputs": inputs,
            "outputs": shown,
            "api_visibility": "private",
            "concurrency_id": "models",
            "concurrency_limit": 1,
            "show_progress_on": drawn,
        }
        asked["go"].click(**run)
        for side in SIDES:
            controls.wire_model(asked, side, lines).then(**run, trigger_mode="always_last")
        for name in SETTINGS:  # while a slider moves, the last value counts
            # A choice by mouse from a gr.Dropdown is two inputs and one change.
            event = asked[name].change if isinstance(asked[name], gr.Dropdown) else asked[name].input
            event(**run, trigger_mode="always_last")
        asked["image"].upload(**run)  # dropped, chosen, pasted, taken by the camera; "input" is also its removal
        asked["example"].change(
            lambda label: str(examples()[label]), asked["example"], asked["image"], api_visibility="private"
        ).then(**run)
        for module, tab in tabs:
            module.wire(shared, tab)
        # In the queue: an answer past it does not tell the page that a State has changed.
        row.select(_name, outputs=[opened, link], api_visibility="private", show_progress="hidden")
        restored = [asked["image"], asked["example"], *(asked[n] for n in (*SIDES, *SETTINGS)), lines, row, opened]
        link.submit(
            restore,
            [link, *given],
            [*restored, *shown],
            api_visibility="private",
            concurrency_id="models",
            concurrency_limit=1,
            show_progress_on=drawn,
        )
        api.add()
        if tools.available():
            tools.add()
    for page in PAGES:
        with app.route(page.NAME, page.PATH):
            gr.Navbar(main_page_name=MAIN)
            page.build()
    return app


def _name(event: gr.SelectData) -> tuple[str, str]:
    """The name of the tab that was opened, and the same for the address."""
    return event.value, urlencode({"tab": event.value})


def _shown(look: Look, point: tuple[float, float], parts: str, given: Sequence[Any]) -> list[Any]:
    """Values of all that is shown. point: where to look first; parts: for the address; given: what all tabs asked."""
    own = iter(given)
    drawings = [PAINTERS.submit(tab.values, look, point, *islice(own, len(tab.GIVEN))) for tab in TABS]
    return [look.key, point, parts, *(value for drawing in drawings for value in drawing.result())]


def _look(
    image: str | None,
    dlka: str,
    baseline: str,
    confidence: float,
    iou: float,
    size: int,
    classes: list[str],
    strength: float,
    progress: gr.Progress,
) -> Look:
    if image is None:
        raise Refused("There is no picture yet: drop one, paste one, or choose an example.")
    pixels = read_image(image)
    progress(0.3, "Both models look")
    settings = Settings(dlka, baseline, confidence, iou, int(size), tuple(classes), strength)
    return session.look(pixels, settings, source_of(image))


def serve(host: str | None = None, port: int | None = None, block: bool = True) -> gr.Blocks:
    """Start the page and, by default, wait until it is stopped. host None: this machine only, or GRADIO_SERVER_NAME."""
    if block:
        print("Loading the models; the first start on a machine compiles kernels and takes longer.", flush=True)
    return launch(build_app(first_look()), host, port, block)


def launch(app: gr.Blocks, host: str | None = None, port: int | None = None, block: bool = True) -> gr.Blocks:
    """Let a page that is built answer, with the limits that strangers meet."""
    app.queue(max_size=32, default_concurrency_limit=4)
    app.launch(
        server_name=host,
        server_port=port,
        theme=THEME,
        css_paths=sorted(Path(__file__).parent.glob("*.css")),
        allowed_paths=[files.folder(), *map(str, examples().values())],
        max_file_size="20mb",
        state_session_capacity=200,
        enable_monitoring=False,
        footer_links=["api"],
        prevent_thread_lock=True,
        quiet=not block,
        ssr_mode=False,
        mcp_server=tools.available(),
    )
    tools.keep(app)
    if block:
        app.block_thread()
    return app
