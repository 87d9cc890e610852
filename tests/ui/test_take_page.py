"""Taking the page along in a real browser: its address, its figures, their texts; and all of it by keyboard."""

from __future__ import annotations

import json
import re
from urllib.parse import parse_qs, urlsplit
from xml.etree import ElementTree

import pytest
from page_tabs import choose_example, example, open_tab
from playwright.sync_api import expect

from dlka.analysis import suited
from dlka.analysis.analysis import Settings, analyse_pixels, source_of
from dlka.analysis.examples import examples
from dlka.analysis.figures import figure
from dlka.analysis.figures.views import Reads
from dlka.analysis.recipes import sums
from dlka.images import read_image
from dlka.ui.app import first_picture

OPENED = {"example": suited.opening(), "model": "scenes", "baseline": "scenes-rigid"}


@pytest.fixture
def opened(browser, server):
    """A function that opens the page with a query string, at whatever its address asks for."""
    contexts = []

    def visit(query):
        contexts.append(browser.new_context(viewport={"width": 1440, "height": 1200}))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.goto(f"{server}?{query}")
        return page

    yield visit
    for context in contexts:
        context.close()


def address(page):
    return {key: values[-1] for key, values in parse_qs(urlsplit(page.url).query).items()}


def wait_for_address(page, **wanted):
    """Until the address says so; a value of None: until it does not say anything there."""
    page.wait_for_function(
        """wanted => { const now = new URLSearchParams(location.search);
        return Object.entries(wanted).every(([key, value]) => now.get(key) === value) }""",
        arg=wanted,
    )


def analysed(example, **settings):
    file = examples()[example]
    return analyse_pixels(read_image(file), Settings(**settings), source_of(file))


def test_a_link_shows_what_it_was_copied_from(opened):
    page = opened("example=Two+people&model=residual&strength=0.5&tab=See&stage=P4+7x7+d3&cell=10,20")
    page.get_by_text("P4 7x7 d3, cell (row, column) 10, 20: taps moved").wait_for()
    expect(page.locator("#strength input[type=number]")).to_have_value("0.5")
    expect(example(page, "Two people")).to_be_checked()
    expect(page.get_by_label("D-LKA model")).to_have_value(re.compile("^residual"))
    wanted = analysed("Two people", dlka="residual", strength=0.5)
    reads = Reads("P4 7x7 d3", 10, 20).caption(wanted)
    moved = float(reads.split("moved by ")[1].split(" cells")[0])
    expect(page.locator("#see-told")).to_contain_text("pinned")
    said = page.locator("#see-told").inner_text()
    assert float(said.split("moved by ")[1].split(" cells")[0]) == pytest.approx(moved, abs=0.006)
    wait_for_address(page, tab="See", stage="P4 7x7 d3", cell="10,20", baseline="control")


def test_a_link_to_a_tab_of_before_opens_what_it_became(opened):
    page = opened("example=Two+people&tab=Offsets")
    expect(page.get_by_role("tab", name="See", exact=True, selected=True)).to_be_visible()
    wait_for_address(page, tab="See")
    assert page.locator(".toast-body").count() == 0


def test_the_address_follows_what_is_explored(page):
    open_tab(page, "See")
    picture = page.locator(".see-picture")
    page.wait_for_function("() => document.querySelector('.see-picture')?.drawn")
    page.get_by_role("button", name="P3 composed").click()
    picture.focus()
    picture.press("ArrowDown")
    expect(page.locator("#see-told")).to_contain_text("pinned")
    cell = picture.evaluate("c => c.drawn.cell.join()")
    wait_for_address(page, stage="P3 composed", cell=cell, **OPENED, strength="1")
    picture.press("Escape")
    wait_for_address(page, stage="P3 composed", cell=None)
    page.locator("#strength input[type=range]").focus()
    page.keyboard.press("Home")
    wait_for_address(page, strength="0", cell=None)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy link").click()
    page.get_by_text("Copied.").wait_for()
    copied, shown = page.evaluate("async () => [await navigator.clipboard.readText(), location.href]")
    assert copied == shown


def test_an_own_picture_leaves_the_address_and_a_line_says_so(page):
    page.get_by_label("Remove Image").click()
    file = {"name": "mine.png", "mimeType": "image/png", "buffer": png_of(first_picture()[::3, ::3].copy())}
    page.locator("#picture input[type=file]").set_input_files([file])
    page.get_by_text("Your own picture cannot be in the address").wait_for()
    wait_for_address(page, example=None, model="scenes")  # which may be meant, as the picture is grey
    choose_example(page, "Cheetah")
    wait_for_address(page, example="Cheetah", model="head", baseline="control")
    expect(page.get_by_text("Your own picture cannot be in the address")).to_be_hidden()


def png_of(image):
    from dlka.render import png

    return png(image)


def test_an_address_that_does_not_fit_is_one_sentence(opened):
    page = opened("example=Nope&model=zzz&strength=9&stage=P3+5x5&cell=999,1&tab=%3Cimg%20src=x%3E")
    toast = page.locator(".toast-body")
    expect(toast).to_contain_text("The page shows its own choice where the address names what is not here")
    text = toast.inner_text()
    for part in ("example 'Nope'", "model 'zzz'", "strength '9'", "cell 999,1", "tab '<img src=x>'"):
        assert part in text
    assert text.count("The page shows its own choice where the address names what is not here") == 1
    wait_for_address(page, **OPENED, strength="1", cell=None, tab="See")


def test_offsets_by_keyboard_alone(page):
    """Tab to the layers, an arrow for another one, keys for a cell and for zoom, Enter for a figure and the table."""
    press_until(page, "Tab", lambda: focused(page, "e => e.name === 'see-layer'"))
    page.keyboard.press("ArrowRight")
    title = page.locator(".see-legend-title")
    expect(title).to_have_text("P3 5x5: offset length, mean over 25 taps")
    picture = page.locator(".see-picture")
    press_until(page, "Tab", lambda: focused(page, "e => e.className === 'see-picture'"))
    assert focused(page, "e => getComputedStyle(e).outlineStyle === 'solid'"), "what has the focus is seen"
    row, column = picture.evaluate("c => c.drawn.cell")
    page.keyboard.press("ArrowDown")
    expect(page.locator("#see-told")).to_contain_text(f"cell (row, column) {row + 1}, {column}")
    scale = picture.evaluate("c => c.drawn.scale")
    page.keyboard.press("+")
    page.wait_for_function("old => document.querySelector('.see-picture').drawn.scale > 1.4 * old", arg=scale)
    page.keyboard.press("0")
    page.wait_for_function("old => document.querySelector('.see-picture').drawn.scale === old", arg=scale)
    press_until(page, "Tab", lambda: focused(page, "e => e.textContent === 'P3 7x7 d3'"))
    page.keyboard.press("Enter")
    expect(title).to_have_text("P3 7x7 d3: offset length, mean over 49 taps")
    press_until(page, "Tab", lambda: focused(page, "e => e.dataset.form === 'svg'"))
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert ElementTree.parse(download.value.path()).getroot().tag.endswith("svg")
    press_until(page, "Tab", lambda: focused(page, "e => e.textContent.startsWith('Every tap')"))
    page.keyboard.press("Enter")
    expect(page.locator(".see-taps tbody tr")).to_have_count(49)


def focused(page, test):
    return page.evaluate(f"() => !!document.activeElement && ({test})(document.activeElement)")


def press_until(page, key, there):
    """Press a key until the focus is there."""
    for _ in range(60):
        if there():
            return
        page.keyboard.press(key)
    raise AssertionError(f"{key} does not lead there")


def test_the_recipe_of_the_page_is_that_of_its_figure(page):
    open_tab(page, "See")
    page.wait_for_function("() => document.querySelector('.see-picture')?.drawn")
    page.locator(".see-picture").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#see-told")).to_contain_text("pinned")
    row, column = page.locator(".see-picture").evaluate("c => c.drawn.cell")
    with page.expect_download() as download:
        page.locator(".see").get_by_role("button", name="Recipe").click()
    assert download.value.suggested_filename == "reads.recipe.json"
    with open(download.value.path()) as file:
        recipe = json.load(file)
    arguments = {"view": "P3 5x5", "row": row, "column": column}
    assert recipe["figure"] == {"kind": "reads", "arguments": arguments}
    shown = analysed(OPENED["example"], dlka="scenes", baseline="scenes-rigid")
    assert recipe["arrays"] == sums(figure("reads", arguments).drawn(shown).arrays)
