"""The tab "What if" in a real browser."""

from __future__ import annotations

import re

from page_tabs import open_tab, wait_until_it_fits
from playwright.sync_api import expect

from dlka.models import catalog

PICTURE = "#what-if-picture img"


def source(page):
    return page.locator(PICTURE).first.get_attribute("src")


def wait_for_change(page, old, told):
    """Until another picture is shown, and the headline says so."""
    expect(page.locator(PICTURE).first).not_to_have_attribute("src", old)
    said = re.compile(f"^{re.escape(told)}")
    expect(page.locator("#what-if-headline")).to_have_text(said, use_inner_text=True)


def test_controls_change_picture_and_table(page):
    open_tab(page, "What if")
    page.locator(PICTURE).wait_for()
    expect(page.locator("#what-if-headline")).to_contain_text("Offsets at zero, the rigid large kernel.")
    page.get_by_role("button", name="All objects").last.click()
    table = page.locator("#what-if-objects table")
    table.wait_for()
    before, old = table.inner_text(), source(page)

    slider = page.locator("#what-if-strength input[type=range]")
    slider.focus()
    slider.press("Home")  # to the left end: -1
    wait_for_change(page, old, "The model's own offsets x -1.")
    page.wait_for_function(
        "old => ![undefined, old].includes(document.querySelector('#what-if-objects table')?.innerText)", arg=before
    )
    expect(page.locator(PICTURE)).to_have_attribute("alt", re.compile("The model's own offsets x -1"))

    old = source(page)
    page.get_by_label("Shuffled", exact=True).check()
    wait_for_change(page, old, "Shuffled offsets (seed 0) x 1.")
    expect(slider).to_have_value("1")  # none of its own offsets, all of what is not its own
    old = source(page)
    page.get_by_label("The model's own", exact=True).check()
    wait_for_change(page, old, "Offsets at zero, the rigid large kernel.")
    expect(slider).to_have_value("0")
    caption = page.locator(".take-caption:visible")
    expect(caption).to_have_count(1)  # the four ways have no figures yet
    caption.filter(has_text="Offsets at zero, the rigid large kernel: scenes on Drawn scene: letters").wait_for()

    old = source(page)
    page.get_by_label("Shuffled", exact=True).check()
    wait_for_change(page, old, "Shuffled offsets (seed 0) x 1.")
    old = source(page)
    page.get_by_role("button", name="Shuffle again").click()
    wait_for_change(page, old, "Shuffled offsets (seed 1) x 1.")

    page.get_by_label("Swipe", exact=True).last.check()
    page.locator("#what-if-swipe img").first.wait_for()
    expect(page.locator("#what-if-picture")).to_be_hidden()
    assert page.locator(".toast-body").count() == 0

    rows = page.locator("#what-if-uses tbody tr")
    off = catalog.cards()["scenes"].uses["offsets"]["off"]
    expect(rows.filter(has_text="off")).to_contain_text(f"{100 * off['AP']:.1f}")
    expect(page.locator("#what-if-uses")).to_contain_text("500 pictures of scenes val")


def test_four_ways_on_a_phone(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(server)
    page.wait_for_selector(".see-picture")
    open_tab(page, "What if")
    page.locator(PICTURE).wait_for()
    page.get_by_role("button", name="Tell large kernel").press("Enter")
    pictures = page.locator("#four-ways img")
    expect(pictures).to_have_count(4, timeout=120_000)
    texts = [picture.get_attribute("alt") for picture in pictures.all()]
    assert [text[:2] for text in texts] == ["1.", "2.", "3.", "4."]
    expect(page.locator("#four-ways tbody tr")).to_have_count(4)
    caption = page.locator(".take-caption:visible")
    caption.filter(has_text="1. Baseline: scenes-rigid, on Drawn scene: letters").wait_for()
    expect(page.locator("#four-ways")).to_contain_text("Resolution (4 against 1):")
    wait_until_it_fits(page)
    assert max(picture.bounding_box()["width"] for picture in pictures.all()) <= 390
    assert min(picture.bounding_box()["width"] for picture in pictures.all()) > 250, "one below the other"
    context.close()
