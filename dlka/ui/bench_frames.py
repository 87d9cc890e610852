"""How many frames a second the probe draws while the pointer moves over the picture, in a real browser."""

from __future__ import annotations

import shutil
from importlib.util import find_spec
from typing import Any

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
MOVES = 240
# One move of the pointer a frame, along a curve over the whole picture; every frame draws all panels anew.
MOVE = """async moves => {
  const canvas = document.querySelector(".probe-picture"), box = canvas.getBoundingClientRect(), gaps = [];
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


def probe_frames(url: str) -> dict[str, float] | str:
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
    """Frames a second, and of 20 frames the milliseconds of the slowest, on an open page of playwright's."""
    page.get_by_role("tab", name="Probe").click(timeout=120_000)
    page.wait_for_function("() => { const c = document.querySelector('.probe-picture'); return c && c.drawn }")
    gaps = sorted(page.evaluate(MOVE, MOVES))
    return {"a second": 1000 * len(gaps) / sum(gaps), "slowest of 20, ms": gaps[int(0.95 * len(gaps))]}
