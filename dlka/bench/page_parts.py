"""A start of the page and comparisons on it, phase by phase: run in a fresh process, as imports are paid once.

    python -m dlka.bench.page_parts BEGUN

BEGUN is the time.time() at which the process was started. Prints one line of JSON: "phases" is a list of name,
milliseconds, and MB resident afterwards; "parts" has the least milliseconds of a comparison's parts, one at a time.
"""

from __future__ import annotations

import json
import sys
import time
import urllib.request
import zlib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
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
    import psutil

    phases: list[dict[str, Any]] = []

    def lap(name: str) -> None:
        nonlocal begun
        now = time.time()
        held = psutil.Process().memory_info().rss / 1e6
        phases.append({"phase": name, "milliseconds": 1000 * (now - begun), "megabytes": held})
        begun = now

    lap("interpreter")
    for library, module in LIBRARIES.items():
        import_module(module)
        lap(f"import {library}")
    from dlka.analysis import suited
    from dlka.analysis.analysis import analyse_pixels, load_predictor, warm_up
    from dlka.ui import app

    settings = suited.settings_for(suited.opening())
    for model in (settings.dlka, settings.baseline):
        load_predictor(model)
    lap("models loaded")
    image = app.first_picture()
    warm_up(image, settings)
    lap("warm-up")
    first = analyse_pixels(image, settings)
    lap("first look")
    page = app.build_app(first)
    lap("page built and drawn")
    app.launch(page, block=False)
    lap("server started")
    urllib.request.urlopen(str(page.local_url)).read()
    lap("first answer")
    try:
        return {"phases": phases, "parts": _parts(first), "payload": _payload()}
    finally:
        page.close()


def _parts(first: Any) -> dict[str, float]:
    from dlka.analysis import boxes
    from dlka.analysis.analysis import Settings, analyse_pixels
    from dlka.analysis.figures import pictures
    from dlka.ui import tab_numbers, tab_objects, tab_see

    least: dict[str, float] = {}

    def timed(name: str, function: Callable[..., Any], *arguments: Any) -> Any:
        begin = time.perf_counter()
        result = function(*arguments)
        least[name] = min(least.get(name, float("inf")), 1000 * (time.perf_counter() - begin))
        return result

    for i in range(ROUNDS):
        settings = Settings(strength=1 - 0.01 * (i + 1))  # never asked before
        analysis = timed("both models", analyse_pixels, first.image, settings)
        timed("drawing See", tab_see.values, analysis, pictures.default_point(analysis))
        timed("drawing Numbers", tab_numbers.values, analysis)
        if listed := boxes.listed(analysis):
            traces = timed("a box: where it comes from", boxes.find, analysis, listed[0][1])
            timed("a box: cells and samples drawn", tab_objects.cells_part, analysis, traces)
            timed("a box: gradients of both models", tab_objects.evidence_part, analysis, traces)
    return least


def _payload() -> dict[str, float]:
    """MB, compressed, that the browser gets of a photograph on three levels, to draw it by itself: at once values,
    offsets and picture, and the gates when they are first asked for."""
    from dlka.analysis.analysis import Settings, analyse
    from dlka.analysis.examples import examples
    from dlka.ui.files import see_value

    value = see_value(analyse(next(iter(examples().values())), Settings()), (0, 0))
    files = {name: Path(json.loads(value)[name].split("file=")[1]) for name in ("offsets", "picture", "gate_values")}
    sizes = {name: file.stat().st_size / 1e6 for name, file in files.items()}
    at_once = len(zlib.compress(value.encode())) / 1e6 + sizes["offsets"] + sizes["picture"]
    return {"at once": at_once, "gates": sizes["gate_values"]}


if __name__ == "__main__":
    print(json.dumps(measure(float(sys.argv[1]))), flush=True)
