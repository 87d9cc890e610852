"""The tab "Boxes" in a real browser."""

from __future__ import annotations

import re

import pytest
from page_tabs import open_tab


@pytest.fixture
def tab(page):
    return opened(page)


def opened(page):
    open_tab(page, "Boxes")
    page.locator("#box-tables table").first.wait_for()
    return page


def chosen(page):
    return page.get_by_label("Box", exact=True).input_value()


def wait_for_evidence(page, old):
    page.wait_for_function(
        "old => { const i = document.querySelector('#box-evidence img'); return i && i.getAttribute('src') !== old }",
        arg=old,
    )


def source(page, selector):
    return page.locator(f"{selector} img").first.get_attribute("src")


def test_the_smallest_box_is_chosen_and_another_one_by_keyboard(tab):
    first, before = chosen(tab), source(tab, "#box-evidence")
    assert re.fullmatch(r"(D-LKA|Baseline): [\w ]+ 0\.\d\d, \d+x\d+ px, P[345] \(\d+, \d+\)", first)
    assert first.split(", ")[-2] + ", " + first.split(", ")[-1] in tab.locator("#box-cells table").first.inner_text()
    box = tab.get_by_label("Box", exact=True)
    box.focus()
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        box.press(key)
    wait_for_evidence(tab, before)
    assert chosen(tab) != first
    cell = re.search(r"P\d \(.*\)", chosen(tab)).group()
    assert cell in tab.locator("#box-cells table").first.inner_text()
    assert tab.locator("#box-evidence img").count() == 4
    for image in tab.locator("#box-cells img, #box-evidence img, #box-map img, #box-chart img").all():
        assert len(image.get_attribute("alt")) > 20
        assert image.evaluate("i => i.decode().then(() => i.naturalWidth)") > 200


def test_a_click_on_the_picture_and_another_map(street):
    tab = opened(street)
    before, map_ = source(tab, "#box-evidence"), source(tab, "#box-map")
    tab.locator("#boxes-picture img").click(position={"x": 100, "y": 240})  # on a person before the bus
    wait_for_evidence(tab, before)
    assert "person" in chosen(tab)
    tab.get_by_label("P5 composed").check()
    tab.wait_for_function("old => document.querySelector('#box-map img').getAttribute('src') !== old", arg=map_)
    assert "49 x 25 paths" in tab.locator("#box-map img").get_attribute("alt")


def test_no_box_is_a_state_on_a_phone(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{server}?example=Bus+stop")
    page.get_by_text(re.compile(r"head \d+ ms")).wait_for()
    open_tab(page, "Boxes")
    page.locator("#box-tables table").first.wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_text("Detection settings").click()
    confidence = page.get_by_role("spinbutton", name=re.compile("Confidence"))
    confidence.fill("0.95")
    confidence.press("Tab")
    page.get_by_text("Neither model has a box here").wait_for()
    assert page.locator("#box-evidence img").count() == 0
    page.locator("#box-map img").wait_for()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()
