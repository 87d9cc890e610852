"""How long the page takes to start and to answer, and how much memory it holds.

Start, comparisons and memory are those of a page of its own process, asked over HTTP as a browser asks. Where the time
goes is measured in another fresh process (page_parts). Times are milliseconds, memory is MB resident.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any

from dlka.bench.visitor import Visitor, megabytes, pictures, running_page, spread
from dlka.errors import DlkaError, last_line
from dlka.printing import table

# What is measured -> a control of a tab, and the values that it is moved to.
CONTROLS: dict[str, tuple[str, list[Any]]] = {
    "what if": ("what-if-strength", [0.5, -1, 2, 1.5]),
    "adapt": ("adapt-shrink", [0.9, 0.7, 0.5]),
}
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
MOVES = 240
SHOWN = "() => document.querySelector('.see-picture').drawn.key"  # which comparison is drawn
# One move of the pointer a frame, along a curve over the whole picture; every frame draws all panels anew.
MOVE = """async moves => {
  const canvas = document.querySelector(".see-picture"), box = canvas.getBoundingClientRect(), gaps = [];
  let before = await new Promise(requestAnimationFrame);
  for (let i = 0; i < moves; i++) {
    const turn = 2 * Math.PI * i / moves, [x, y] = [0.5 + 0.45 * Math.sin(3 * turn), 0.5 + 0.45 * Math.cos(2 * turn)];
    const at = { clientX: box.left + x * box.width, clientY: box.top + y * box.height, pointerType: "mouse" };
    canvas.dispatchEvent(new PointerEvent("pointermove", at));
    const now = await new Promise(requestAnimationFrame);
    gaps.push(now - before);
    before = now;
  }
  return gaps;
}"""


def bench_page(compares: int = 20, parts: bool = True) -> dict[str, Any]:
    """Start the page, compare so many different pictures with it, move controls, start it once more in parts.

    parts: whether frames in a browser, and where the time goes, are measured too.

    Returns what a JSON needs: "start" (milliseconds to the first answer), "phases" of a start and "parts" of a
    comparison as in page_parts, "compare" and each of CONTROLS (the spread of a control's changes, from the request to
    the finished answer), "memory" (MB after the start and after the comparisons), "payload" (MB that the browser gets
    of a photograph, compressed), "frames" (see `frames_under_pointer`), "compares".

    Raises DlkaError for fewer than one comparison and where the page does not start, and what `Visitor.change` raises.
    """
    if compares < 1:
        raise DlkaError(f"compares: expected at least 1 comparison, got {compares}")
    begin = time.perf_counter()
    with running_page() as (url, process):
        start = 1000 * (time.perf_counter() - begin)
        memory = {"started": megabytes(process)}
        visitor = Visitor(url)
        times: dict[str, list[float]] = {name: [] for name in ("compare", *CONTROLS)}
        for i, data in enumerate(pictures(compares)):
            visitor.show_picture(data)
            times["compare"].append(visitor.change("Compare", "click"))
            for name, (control, values) in CONTROLS.items():
                visitor.values[control] = values[i % len(values)]
                times[name].append(visitor.change(control, "input"))
        memory["after the comparisons"] = megabytes(process)
        frames = frames_under_pointer(url) if parts else "not measured"
    return {
        "start": start,
        **(in_parts() if parts else {}),
        **{name: spread(taken) for name, taken in times.items()},
        "memory": memory,
        "frames": frames,
        "compares": compares,
    }


def in_parts() -> dict[str, Any]:
    """What page_parts measures, in a process of its own. Raises DlkaError where the page does not start there."""
    done = subprocess.run(
        [sys.executable, "-m", "dlka.bench.page_parts", str(time.time())], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise DlkaError(f"The page could not be started in parts: {last_line(done.stderr)}")
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def frames_under_pointer(url: str) -> dict[str, float] | str:
    """What `frames` measures on a running page, in a browser of its own; or why it was not measured."""
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None or find_spec("playwright") is None:
        return "not measured: it takes the package playwright and a Chromium on the path"
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 1000})
        page.goto(url)
        measured = frames(page)
        browser.close()
    return measured


def frames(page: Any) -> dict[str, float]:
    """On an open page of playwright's: frames a second, of 20 frames the milliseconds of the slowest, and those from a
    question (another strength of the offsets) to the first frame of its answer, models and all: the median of three."""
    page.get_by_role("tab", name="See").click(timeout=120_000)
    page.wait_for_function("() => { const c = document.querySelector('.see-picture'); return c && c.drawn }")
    gaps = sorted(page.evaluate(MOVE, MOVES))
    measured = {"a second": 1000 * len(gaps) / sum(gaps), "slowest of 20, ms": gaps[int(0.95 * len(gaps))]}
    answered = []
    for strength in ("0.5", "0.6", "0.7"):
        before, begin = page.evaluate(SHOWN), time.perf_counter()
        page.locator("#strength input[type=number]").fill(strength)
        page.wait_for_function(f"before => ({SHOWN})() !== before", arg=before, polling="raf")
        answered.append(1000 * (time.perf_counter() - begin))
    return {**measured, "from a question to its first frame, ms": sorted(answered)[1]}


def page_text(result: dict[str, Any]) -> str:
    """The result for people: the phases of a start, the parts of a comparison, and what was asked over HTTP."""
    phases = [{"a start": p["phase"], "ms": p["milliseconds"], "MB then": p["megabytes"]} for p in result["phases"]]
    parts = [{"a comparison, one after the other": k, "ms": v} for k, v in result["parts"].items()]
    spreads = {"start to first answer": {"least": result["start"]}}
    spreads |= {k: v for k, v in result.items() if isinstance(v, dict) and "median" in v}
    asked = [{"over HTTP, ms": k} | {c: v.get(c) for c in ("least", "median", "most")} for k, v in spreads.items()]
    memory = ", ".join(f"{held:.0f} MB {when}" for when, held in result["memory"].items())
    frames = result["frames"]
    payload = ", ".join(f"{when} {size:.2f}" for when, size in result["payload"].items())
    said = frames if isinstance(frames, str) else ", ".join(f"{k} {v:.0f}" for k, v in frames.items())
    return (
        f"{table(phases)}\n\n{table(parts)}\n\n{table(asked)}\n\n"
        f"In a browser, frames under a moving pointer: {said}.\n"
        f"A photograph to the browser, MB compressed: {payload}.\n"
        f"Resident: {memory}. {result['compares']} comparisons of different pictures at 640 px."
    )
