"""The page "Learn" in a window of its own, for tests of it."""

from __future__ import annotations

from contextlib import contextmanager

from playwright.sync_api import expect

from dlka.ui.learn import STEPS

# What reaches beyond the window's right edge, and is not in a box of its own that scrolls.
TOO_WIDE = """() => [...document.querySelectorAll('.learn *')]
  .filter(e => e.getClientRects().length && !e.closest('.learn-wide table, svg svg, svg *')
    && e.getBoundingClientRect().right > innerWidth + 0.5).map(e => e.outerHTML.slice(0, 80))"""


def opened(browser, server, query="", **window):
    """The page in a window of its own, loaded; requests to anybody else are kept in page.strangers."""
    page = browser.new_context(**{"viewport": {"width": 1440, "height": 1000}, **window}).new_page()
    page.set_default_timeout(60_000)
    page.strangers, page.errors = [], []
    local = (server.rstrip("/"), "data:", "blob:")
    page.on("request", lambda request: request.url.startswith(local) or page.strangers.append(request.url))
    page.on("pageerror", lambda error: page.errors.append(str(error)))
    page.goto(f"{server}learn{query}")
    page.wait_for_selector(".learn-page h2:visible")
    return page


@contextmanager
def kept_open(browser, server):
    """One page for tests that each go to their own step; nothing else is asked, and no script fails."""
    page = opened(browser, server)
    yield page
    assert page.strangers == page.errors == []
    page.context.close()


def go(page, step):
    """To a step, by its name, with the keyboard."""
    page.locator(".learn-steps a").nth(STEPS.index(step)).press("Enter")
    page.locator(f"#step-{step}:visible").wait_for()
    said = "test-models" if step == "test" else f"{step}-told"
    expect(page.locator(f".{said}")).not_to_be_empty()  # its script, which says something at its end, has run
