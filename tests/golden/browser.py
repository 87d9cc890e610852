"""What a visitor sees and takes along, in headless Chromium: words, alternative texts, captions, downloads."""

from __future__ import annotations

import re
import shutil
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.golden import digest
from tests.golden.page import served, value, without_served

# No sandbox, as this may run as root.
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"]
TABS = ("See", "What if", "Objects", "Adapt", "Numbers")
SCENE = "example=Drawn+scene%3A+letters+and+curves&model=scenes&baseline=scenes-rigid&strength=1"
STREET = "example=Bus+stop&model=head&baseline=control&size=320&confidence=0.4&strength=0.5"
STILL = 3  # seconds for which nothing on a page has changed when it is read


def seen() -> dict[str, Any]:
    """The words of every tab at two addresses, of wrong addresses, of the other pages, and the files they hand out."""
    found: dict[str, Any] = {}
    with _window() as page:
        for name, address in (("scene", SCENE), ("street", STREET)):
            page.goto(f"{served().address}/?{address}&tab=See&stage=P3+composed&cell=12,15")
            page.get_by_text("cell (row, column) 12, 15").wait_for()
            _still(page)
            found[f"{name}, models"] = page.locator("#models").inner_text().splitlines()
            for tab in TABS:
                page.get_by_role("tab", name=tab, exact=True).click()
                found[f"{name}, {tab}"] = _words(page, "[role=tabpanel]:visible")
            page.get_by_role("button", name=re.compile("^Make files")).click()
            links = page.locator(".file-preview a[href]")
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
        with page.expect_download() as download:
            page.get_by_text("Download the report").click()
        found["many pictures, the report"] = digest.file(Path(download.value.path()), name="report.html")
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
        page.waits_for = set()  # requests that are not answered yet; a heartbeat never is
        page.on("request", lambda r: "heartbeat" in r.url or page.waits_for.add(r))
        page.on("requestfinished", lambda r: page.waits_for.discard(r))
        page.on("requestfailed", lambda r: page.waits_for.discard(r))
        yield page
        browser.close()


def _words(page: Any, where: str = "body") -> dict[str, Any]:
    """Lines of words that are to be seen in a part of a page, and the texts that stand for pictures."""
    _still(page)
    part = page.locator(where).first
    lines = [" ".join(line.split()) for line in part.inner_text().splitlines()]
    texts = part.evaluate(
        "part => [...part.querySelectorAll('img, canvas, [role=img]')].filter(e => e.checkVisibility())"
        ".map(e => e.alt || e.getAttribute('aria-label') || '')"
    )
    return {
        "words": [digest.normalised(line) for line in lines if line],
        "texts of pictures": value([without_served(text) for text in texts if text]),
    }


def _still(page: Any) -> None:
    """The words of a page, when they have been the same for some seconds and it waits for no answer."""
    before, since = "", time.monotonic()
    while time.monotonic() - since < STILL:
        page.wait_for_timeout(500)
        now = page.inner_text("body")
        if now != before or page.waits_for:
            before, since = now, time.monotonic()


def _files(links: Any) -> dict[str, Any]:
    """The digests of what links lead to, by name."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        for address in sorted({link.evaluate("e => e.href") for link in links.all()}):
            path = Path(folder) / urllib.parse.unquote(address.rsplit("/", 1)[-1])
            path.write_bytes(urllib.request.urlopen(address, timeout=60).read())
            found[path.name] = digest.file(path)
    return found
