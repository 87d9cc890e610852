"""The tab "Objects" in a real browser."""

from __future__ import annotations

import re

import pytest
from page_tabs import open_tab, wait_for_stages, wait_until_it_fits
from playwright.sync_api import expect

BOX = re.compile(r"^(D-LKA|Baseline): [\w ]+ 0\.\d\d, \d+x\d+ px, P[345] \(\d+, \d+\)$")


@pytest.fixture
def tab(page):
    return opened(page)


def opened(page):
    open_tab(page, "Objects")
    expect(page.get_by_label("Box", exact=True)).to_have_value(BOX)
    for part in ("What its class depends on", "Where all samples land"):
        page.get_by_role("button", name=part).click()
    for part, least in (("boxes-picture", 1), ("box-cells", 1), ("box-evidence", 4), ("box-map", 1), ("box-chart", 1)):
        page.locator(f"#{part} img").nth(least - 1).wait_for()
    page.locator("#box-tables table").first.wait_for()
    return page


def chosen(page):
    return page.get_by_label("Box", exact=True).input_value()


def source(page, selector):
    return page.locator(f"{selector} img").first.get_attribute("src")


def wait_for_change(page, selector, old):
    expect(page.locator(f"{selector} img").first).not_to_have_attribute("src", old)


def test_the_smallest_box_is_chosen_and_another_one_by_keyboard(tab):
    first, before = chosen(tab), source(tab, "#box-evidence")
    cells = tab.locator("#box-cells table").first
    expect(cells).to_contain_text(first.split(", ")[-2] + ", " + first.split(", ")[-1])
    box = tab.get_by_label("Box", exact=True)
    box.focus()
    for key in ("ArrowDown", "ArrowDown", "Enter"):
        box.press(key)
    wait_for_change(tab, "#box-evidence", before)
    expect(box).not_to_have_value(first)
    cell = re.search(r"P\d \(.*\)", chosen(tab)).group()
    expect(cells).to_contain_text(cell)
    expect(tab.locator("#box-evidence img")).to_have_count(4)
    for image in tab.locator("#box-cells img, #box-evidence img, #box-map img, #box-chart img").all():
        assert len(image.get_attribute("alt")) > 20
        assert image.evaluate("i => i.decode().then(() => i.naturalWidth)") > 200


def test_a_click_on_the_picture_and_another_map(street):
    tab = opened(street)
    before, map_ = source(tab, "#box-evidence"), source(tab, "#box-map")
    tab.locator("#boxes-picture img").click(position={"x": 100, "y": 240})  # on a person before the bus
    wait_for_change(tab, "#box-evidence", before)
    expect(tab.get_by_label("Box", exact=True)).to_have_value(re.compile("person"))
    tab.get_by_label("P5 composed").check()
    wait_for_change(tab, "#box-map", map_)
    expect(tab.locator("#box-map img")).to_have_attribute("alt", re.compile("49 x 25 paths"))


def test_no_box_is_a_state_on_a_phone(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(f"{server}?example=Bus+stop")
    wait_for_stages(page, 9)
    open_tab(page, "Objects")
    page.get_by_role("button", name="Where all samples land").click()
    page.locator("#box-tables table").first.wait_for()
    wait_until_it_fits(page)
    page.get_by_text("Detection settings").click()
    confidence = page.get_by_role("spinbutton", name=re.compile("Confidence"))
    confidence.fill("0.95")
    confidence.press("Tab")
    page.get_by_text("Neither model has a box here").wait_for()
    expect(page.locator("#box-evidence img")).to_have_count(0)
    page.locator("#box-map img").wait_for()
    wait_until_it_fits(page)
    context.close()
