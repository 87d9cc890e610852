"""What a visitor sees and takes along, in headless Chromium: words, alternative texts, captions, downloads."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.golden import digest
from tests.golden.page import served, value, without_served

# No sandbox, as this may run as root.
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
TABS = ("Compare", "Probe", "What if", "Boxes", "Adapt", "Offsets", "Attention", "Numbers")
SCENE = "example=Drawn+scene%3A+letters+and+curves&model=scenes&baseline=scenes-rigid&strength=1"
STREET = "example=Bus+stop&model=head&baseline=control&size=320&confidence=0.4&strength=0.5"
STILL = 3  # seconds for which nothing on a page has changed when it is read


def seen() -> dict[str, Any]:
    """The words of every tab at two addresses, of wrong addresses, of the other pages, and the files they hand out."""
    found: dict[str, Any] = {}
    with _window() as page:
        for name, address, who in (("scene", SCENE, "scenes"), ("street", STREET, "head")):
            for tab in TABS:
                query = f"{address}&tab={tab.replace(' ', '+')}"
                query += "&stage=P3+composed&cell=12,15" if tab == "Probe" else ""
                page.goto(f"{served().address}/?{query}")
                page.get_by_text(re.compile(rf"^{who} [\d,.]+ ms")).first.wait_for()
                found[f"{name}, {tab}"] = _words(page)
            page.get_by_role("button", name=re.compile("^Make files")).click()
            links = page.locator("a[download]:visible")
            links.first.wait_for()
            _still(page)
            found[f"{name}, files to take along"] = _files(links)
        page.goto(f"{served().address}/?model=nothing&tab=Nowhere&cell=9&stage=P9&size=33&strength=7")
        warning = page.get_by_text("The page shows its own choice")
        warning.wait_for()
        found["a wrong address"] = value(warning.first.inner_text())
        page.goto(f"{served().address}/many")
        page.get_by_role("button", name="Try examples").click()
        page.get_by_text("Download the report").wait_for(timeout=240_000)
        found["many pictures"] = _words(page)
        found["many pictures, the report"] = _files(page.locator("#many-report a, a#many-report"))
        for name, path in (("learn", "learn"), ("learn, teacher", "learn?teacher=1")):
            page.goto(f"{served().address}/{path}")
            page.get_by_text("step 1").or_(page.get_by_role("heading")).first.wait_for()
            found[name] = _words(page)
    return found


@contextmanager
def _window() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        raise SystemExit("What a visitor sees needs a browser: install the package chromium.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page(viewport={"width": 1440, "height": 1000}, reduced_motion="reduce")
        page.set_default_timeout(120_000)
        yield page
        browser.close()


def _words(page: Any) -> dict[str, Any]:
    """Lines of words that are to be seen, and the texts that stand for pictures."""
    lines = [" ".join(line.split()) for line in _still(page).splitlines()]
    texts = page.eval_on_selector_all(
        "img, canvas, svg[aria-label]",
        "all => all.filter(e => e.checkVisibility()).map(e => e.alt || e.getAttribute('aria-label') || '')",
    )
    return {
        "words": [digest.normalised(line) for line in lines if line],
        "texts of pictures": value([without_served(text) for text in texts if text]),
    }


def _still(page: Any) -> str:
    """The words of a page, when they have been the same for some seconds."""
    before, since = "", time.monotonic()
    while time.monotonic() - since < STILL:
        time.sleep(0.5)
        now = page.inner_text("body")
        if now != before:
            before, since = now, time.monotonic()
    return before


def _files(links: Any) -> dict[str, Any]:
    """The digests of what links lead to, by name."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        for link in links.all():
            name = link.get_attribute("download") or "file"
            path = Path(folder) / Path(name).name
            address = link.evaluate("e => e.href")
            path.write_bytes(urllib.request.urlopen(address, timeout=60).read())
            found[path.name] = digest.file(path)
    return found
