"""The tab "Adapt" in a real browser."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from page_tabs import open_tab


def picture(page):
    return page.locator("#adapt-boxes img").first.get_attribute("src")


def wait_for_picture(page, old=None):
    page.wait_for_function(
        """old => { const i = document.querySelector('#adapt-boxes img');
        return i && i.getAttribute('src') !== old && i.complete && i.naturalWidth > 0 }""",
        arg=old,
    )


@pytest.fixture
def tab(street):
    open_tab(street, "Adapt")
    wait_for_picture(street)
    return street


def wait_for_steps(page, least):
    page.wait_for_function("n => document.querySelector('#adapt-told progress')?.value >= n", arg=least)


def test_sliders_presets_and_objects(tab):
    headline = tab.locator("#adapt-headline .headline")
    assert headline.inner_text().startswith("Nothing is changed yet")
    assert tab.locator("#adapt-samples img").count() == 1

    asked = []
    tab.on("request", lambda request: asked.append(request.url) if "/queue/join" in request.url else None)
    old = picture(tab)
    tab.get_by_role("button", name="Half size").click()
    wait_for_picture(tab, old)
    assert tab.get_by_label("number input for Shrink").input_value() == "0.5"
    assert "0.5 x the size" in tab.locator("#adapt-boxes img").first.get_attribute("alt")
    tab.locator(".take-caption:visible").filter(has_text="Bus stop, the picture 0.5 x the size").wait_for()
    tab.wait_for_timeout(300)
    assert len(asked) == 1, "a preset is asked once"

    old = picture(tab)
    slider = tab.get_by_label("range slider for Rotate")
    slider.focus()
    slider.press("ArrowRight")
    wait_for_picture(tab, old)
    assert "0.5 x the size, turned by 1°" in tab.locator("#adapt-boxes img").first.get_attribute("alt")

    old = picture(tab)
    tab.get_by_role("button", name="As it is").click()
    wait_for_picture(tab, old)
    assert slider.input_value() == "0"
    assert headline.inner_text().startswith("Nothing is changed yet")

    old = picture(tab)
    tab.get_by_label("Object to follow").click()
    tab.get_by_role("option", name=re.compile("bus")).click()
    wait_for_picture(tab, old)
    assert "Score of the bus" in headline.inner_text()
    assert tab.locator("#adapt-numbers td").first.inner_text() == "size of the object, px"


def test_a_curve_can_be_cancelled_and_what_was_measured_stays(tab):
    cancel, measure = (tab.get_by_role("button", name=name) for name in ("Cancel", "Measure the curve"))
    assert cancel.is_disabled()
    measure.click()
    wait_for_steps(tab, 2)
    cancel.click()
    tab.wait_for_function("() => [...document.querySelectorAll('button')].find(b => b.innerText === 'Cancel').disabled")
    tab.wait_for_timeout(500)
    told = tab.locator("#adapt-told").inner_text()
    got = int(re.search(r"(\d+) of 16 sizes", told)[1])
    assert 2 <= got < 16
    tab.get_by_text("The curve in numbers").click()
    tab.wait_for_function("got => document.querySelectorAll('#adapt-rows tbody tr').length === got", arg=got)
    tab.wait_for_timeout(1000)
    assert tab.locator("#adapt-told").inner_text() == told, "nothing goes on behind it"

    measure.click()
    wait_for_steps(tab, 16)
    tab.wait_for_function("() => document.querySelectorAll('#adapt-rows tbody tr').length === 16")
    assert "16 of 16 sizes" in tab.locator("#adapt-curve img").get_attribute("alt")
    with tab.expect_download() as download:
        tab.get_by_text("Download as CSV").click()
    lines = Path(download.value.path()).read_text().splitlines()
    assert lines[0] == "size px,shrunk to,D-LKA score,baseline score"
    assert len(lines) == 17

    # A curve that runs while another picture comes is that of the old one: it ends, and goes away.
    measure.click()
    wait_for_steps(tab, 1)
    tab.get_by_label("or an example").click()
    old = picture(tab)
    tab.get_by_role("option", name=re.compile("Two people")).click()
    wait_for_picture(tab, old)
    tab.wait_for_timeout(1500)
    assert tab.locator("#adapt-curve img").count() == 0
    assert tab.locator("#adapt-told progress").count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(browser, server, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(server)
    page.wait_for_selector("#swipe img")
    open_tab(page, "Adapt")
    wait_for_picture(page)
    page.get_by_text("What became of every object").click()
    page.locator("td", has_text="kept").first.wait_for()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    boxes = page.locator("#adapt-boxes img")
    first, second = boxes.nth(0).bounding_box(), boxes.nth(1).bounding_box()
    assert second["y"] >= first["y"] + first["height"], "below each other"
    assert first["width"] > 280
    context.close()
