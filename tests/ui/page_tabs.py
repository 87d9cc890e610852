"""Opening a tab of the page, on screens of any width; choosing an example; and whether the page fits the screen."""

from __future__ import annotations

from playwright.sync_api import expect

COLD = 120_000  # ms for a page that a browser has not loaded yet, and for a model that has not run yet
# The row of tabs is laid out once more after every change: what finds no room in it goes into a menu.
LAID_OUT = (
    "() => { const row = document.querySelector('[role=tablist]'); return row && row.scrollWidth <= row.clientWidth }"
)


def open_tab(page, name):
    """Choose a tab where it stands: in the row, or in the menu of those that find no room there."""
    page.wait_for_function(LAID_OUT)
    shown = page.get_by_role("tab", name=name, exact=True)
    if shown.count():
        shown.click()
    else:
        page.get_by_label("More tabs").click()
        page.locator(".overflow-dropdown").get_by_text(name, exact=True).click()
    expect(page.get_by_role("tab", name=name, exact=True, selected=True)).to_be_visible()


def example(page, label):
    """The radio button of an example."""
    return page.locator(f'#examples input[value="{label}"]')


def choose_example(page, label):
    """Choose an example where it stands: among those for the models, or behind the line."""
    if not example(page, label).is_visible():
        page.locator("#examples summary").click()
    example(page, label).check()


def wait_until_it_fits(page, width=390):
    """Until nothing of the page reaches beyond a window of this width, in px."""
    page.wait_for_function("width => document.documentElement.scrollWidth <= width", arg=width)


def wait_for_stages(page, number):
    """Until See has drawn a comparison whose model has as many deform stages and composed views."""
    ready = """number => document.querySelector('.see-picture')?.drawn
        && document.querySelectorAll('.see-panels button').length === number"""
    page.wait_for_function(ready, arg=number, timeout=COLD)


def shown_key(page):
    """Which comparison is drawn in See."""
    return page.evaluate("() => document.querySelector('.see-picture').drawn.key")


def wait_for_another(page, key):
    """Until another comparison than this one is drawn in See; returns its key."""
    page.wait_for_function("old => document.querySelector('.see-picture').drawn.key !== old", arg=key)
    return shown_key(page)
