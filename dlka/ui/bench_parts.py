"""A start of the page and comparisons on it, phase by phase: run in a fresh process, as imports are paid once.

    python -m dlka.ui.bench_parts BEGUN

BEGUN is the time.time() at which the process was started. Prints one line of JSON: "phases" is a list of name,
milliseconds, and MB resident afterwards; "parts" has the least milliseconds of a comparison's parts, one at a time.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
from collections.abc import Callable
from importlib import import_module
from typing import Any

ROUNDS = 7
# What the page imports, in the order in which it does; each takes what the earlier ones did not.
LIBRARIES = {
    "numpy": "numpy",
    "torch": "torch",
    "opencv": "cv2",
    "matplotlib": "matplotlib.axes",
    "gradio": "dlka.ui.toolkit",
    "ultralytics, models": "dlka.models.build",
    "the rest": "dlka.ui.app",
}


def measure(begun: float) -> dict[str, Any]:
    """Go through a start, then through comparisons; see above."""
    phases: list[dict[str, Any]] = []
    now = time.time()

    def lap(name: str) -> None:
        nonlocal begun, now
        now = time.time()
        phases.append({"phase": name, "milliseconds": 1000 * (now - begun), "megabytes": _resident()})
        begun = now

    lap("interpreter")
    for library, module in LIBRARIES.items():
        import_module(module)
        lap(f"import {library}")
    app, session = import_module("dlka.ui.app"), import_module("dlka.analysis.analysis")
    suited = import_module("dlka.analysis.suited")
    settings = suited.settings_for(suited.opening())
    for model in (settings.dlka, settings.baseline):
        session.load_predictor(model)
    lap("models loaded")
    image = app.first_picture()
    session.warm_up(image, settings)
    lap("warm-up")
    first = session.look(image, settings)
    lap("first look")
    page = app.build_app(first)
    lap("page built and drawn")
    app.launch(page, block=False)
    lap("server started")
    urllib.request.urlopen(page.local_url).read()
    lap("first answer")
    try:
        return {"phases": phases, "parts": _parts(first)}
    finally:
        page.close()


def _parts(first: Any) -> dict[str, float]:
    session, pictures = import_module("dlka.analysis.analysis"), import_module("dlka.analysis.figures.pictures")
    compare, offsets, attention, numbers = (
        import_module(f"dlka.ui.tab_{name}") for name in ("compare", "offsets", "attention", "numbers")
    )
    boxes, box_page = import_module("dlka.analysis.boxes"), import_module("dlka.ui.box_page")
    jpeg = import_module("dlka.render").jpeg
    least: dict[str, float] = {}

    def timed(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        begin = time.perf_counter()
        result = function(*arguments)
        least[name] = min(least.get(name, float("inf")), 1000 * (time.perf_counter() - begin))
        return result

    for i in range(ROUNDS):
        settings = session.Settings(strength=1 - 0.01 * (i + 1))  # never asked before
        look = timed("both models", session.look, first.image, settings)
        point, stage, block = pictures.default_point(look), look.stage_labels[0], look.gate_labels[0]
        overlay = (stage, pictures.OVERLAYS[0], offsets.OPACITY, pictures.SCALES[1])
        timed("drawing Compare", compare.values, look, point, pictures.VIEWS[0])
        timed("drawing Offsets", offsets.values, look, point, *overlay)
        timed("drawing Attention", attention.values, look, point, block, pictures.REDUCTIONS[0], 0, attention.OPACITY)
        timed("drawing Numbers", numbers.values, look, point)
        if listed := boxes.listed(look):
            traces = timed("a box: where it comes from", boxes.find, look, listed[0][1])
            timed("a box: cells and samples drawn", box_page.cells_part, look, traces)
            timed("a box: gradients of both models", box_page.evidence_part, look, traces)
        drawn = [*pictures.both_boxes(look), pictures.sample_panels(look, point).to_array()]
        drawn.append(pictures.marked_overlay(look, point, stage, overlay[1], 0, *overlay[2:]).to_array())
        drawn.append(pictures.gate_overlay(look, block, pictures.REDUCTIONS[0], 0, attention.OPACITY).to_array())
        timed("of drawing: JPEG of five pictures", list, map(jpeg, drawn))
    return least


def _resident() -> float:
    import psutil

    return psutil.Process().memory_info().rss / 1e6


if __name__ == "__main__":
    print(json.dumps(measure(float(sys.argv[1]))), flush=True)
