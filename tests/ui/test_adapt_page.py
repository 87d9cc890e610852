"""The tab "Adapt" in a real browser."""

from __future__ import annotations

import re
import threading
from pathlib import Path

import pytest
from page_tabs import choose_example, open_tab, wait_until_it_fits
from playwright.sync_api import expect

from dlka.analysis import adapt_curve


def wait_for_change(page, told):
    """Until both models' pictures, and all that stands around them, show a picture that was changed so."""
    boxes = page.locator("#adapt-boxes img")
    expect(boxes).to_have_count(2)
    for number in range(2):
        expect(boxes.nth(number)).to_have_attribute("alt", re.compile(re.escape(told)))
        assert boxes.nth(number).evaluate("i => i.decode().then(() => i.naturalWidth)") > 0
    page.locator(".take-caption:visible").filter(has_text=f"the picture {told}").wait_for()


@pytest.fixture
def tab(street):
    open_tab(street, "Adapt")
    wait_for_change(street, "as it is")
    return street


class Curve:
    """The curve, which measures as many sizes as it is let: so it is under way for as long as a test wants it to be."""

    def __init__(self, measure):
        self._measure, self._let = measure, threading.Semaphore(0)
        self._done, self.sizes = threading.Condition(), 0

    def measure(self, *asked):
        steps = self._measure(*asked)
        while self._let.acquire(timeout=300):
            step = next(steps, None)
            with self._done:
                self.sizes += 1
                self._done.notify_all()
            if step is None:
                return
            yield step

    def let(self, sizes):
        self._let.release(sizes)

    def wait_for(self, sizes):
        with self._done:
            assert self._done.wait_for(lambda: self.sizes == sizes, 120)


@pytest.fixture
def curve(monkeypatch):
    curve = Curve(adapt_curve.measure)
    monkeypatch.setattr(adapt_curve, "measure", curve.measure)
    yield curve
    curve.let(100)


def wait_for_sizes(page, number):
    expect(page.locator("#adapt-told progress")).to_have_attribute("value", str(number), timeout=120_000)


def test_sliders_presets_and_objects(tab):
    headline = tab.locator("#adapt-headline .headline")
    expect(headline).to_contain_text("Nothing is changed yet")
    expect(tab.locator("#adapt-samples img")).to_have_count(1)

    asked = []
    tab.on("request", lambda request: asked.append(request.url) if "/queue/join" in request.url else None)
    tab.get_by_role("button", name="Half size").click()
    wait_for_change(tab, "0.5 x the size")
    expect(tab.get_by_label("number input for Shrink")).to_have_value("0.5")
    expect(tab.locator(".take-caption:visible")).to_contain_text("Bus stop, the picture 0.5 x the size")

    slider = tab.get_by_label("range slider for Rotate")
    slider.focus()
    slider.press("ArrowRight")
    wait_for_change(tab, "0.5 x the size, turned by 1°")
    assert len(asked) == 2, "a preset is asked once, and so is a slider"

    tab.get_by_role("button", name="As it is").click()
    wait_for_change(tab, "as it is")
    expect(slider).to_have_value("0")
    expect(headline).to_contain_text("Nothing is changed yet")

    tab.get_by_label("Object to follow").click()
    tab.get_by_role("option", name=re.compile("bus")).click()
    expect(headline).to_contain_text("Score of the bus")
    tab.get_by_role("button", name="The same in numbers").click()
    expect(tab.locator("#adapt-numbers td").first).to_have_text("size of the object, px")


def test_a_curve_can_be_cancelled_and_what_was_measured_stays(tab, curve):
    cancel, measure = (tab.get_by_role("button", name=name) for name in ("Cancel", "Measure the curve"))
    told, rows = tab.locator("#adapt-told"), tab.locator("#adapt-rows tbody tr")
    expect(cancel).to_be_disabled()
    measure.click()
    curve.let(2)
    wait_for_sizes(tab, 2)
    with tab.expect_response(re.compile("/cancel$")):
        cancel.click()
        expect(cancel).to_be_disabled()
        curve.let(1)  # what a thread is at is not stopped, but nobody hears of it
    expect(told).to_contain_text("2 of 16 sizes")
    tab.get_by_text("The curve in numbers").click()
    expect(rows).to_have_count(2)
    curve.wait_for(3)
    tab.get_by_role("button", name="Half size").click()
    wait_for_change(tab, "0.5 x the size")  # an answer of the page that comes after it
    assert "2 of 16 sizes" in told.inner_text(), "nothing goes on behind it"
    assert rows.count() == 2

    measure.click()
    curve.let(17)  # the last one finds that there is none left
    wait_for_sizes(tab, 16)
    expect(rows).to_have_count(16)
    expect(tab.locator("#adapt-curve img")).to_have_attribute("alt", re.compile("16 of 16 sizes"))
    expect(cancel).to_be_disabled()
    with tab.expect_download() as download:
        tab.get_by_text("Download as CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "size px,shrunk to,D-LKA score,baseline score"
    assert len(lines) == 17

    # A curve that runs while another picture comes is that of the old one: it ends, and goes away.
    sizes = curve.sizes
    measure.click()
    curve.let(1)
    wait_for_sizes(tab, 1)
    with tab.expect_response(re.compile("/cancel$")):
        with tab.expect_request(re.compile("/cancel$")):
            choose_example(tab, "Two people")
        curve.let(1)
    tab.locator(".take-caption:visible").filter(has_text="Two people, the picture 0.5 x the size").wait_for()
    curve.wait_for(sizes + 2)
    tab.get_by_role("button", name="As it is").click()
    wait_for_change(tab, "as it is")  # once more an answer after it
    expect(tab.locator("#adapt-curve img")).to_have_count(0)
    expect(tab.locator("#adapt-told progress")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(browser, server, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(server)
    page.wait_for_selector(".see-picture")
    open_tab(page, "Adapt")
    wait_for_change(page, "as it is")
    page.get_by_text("What became of every object").click()
    page.locator("td", has_text="kept").first.wait_for()
    wait_until_it_fits(page)
    boxes = page.locator("#adapt-boxes img")
    first, second = boxes.nth(0).bounding_box(), boxes.nth(1).bounding_box()
    assert second["y"] >= first["y"] + first["height"], "below each other"
    assert first["width"] > 280
    context.close()
