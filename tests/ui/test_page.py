"""The page in a real browser, as a new user would use it."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from page_tabs import open_tab
from playwright.sync_api import expect

from dlka.analysis.examples import examples


def source(page, selector):
    return page.locator(f"{selector} img").first.get_attribute("src")


def wait_for_change(page, selector, old):
    page.wait_for_function(
        "([s, old]) => { const i = document.querySelector(s + ' img'); return i && i.src !== old && i.complete }",
        arg=[selector, old],
    )


def upload(page, data, name, mime="image/png"):
    page.get_by_label("Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files([{"name": name, "mimeType": mime, "buffer": data}])


def test_first_paint_is_a_finished_example(page):
    assert page.locator(".headline").inner_text().startswith("Both found")
    assert page.locator("#swipe img").count() == 2
    widths = page.evaluate("() => [...document.querySelectorAll('#swipe img')].map(i => i.naturalWidth)")
    assert min(widths) > 300


def test_tabs_show_their_pictures(page):
    open_tab(page, "Offsets")
    page.locator("#offset-picture img").wait_for()
    page.locator("#sample-panels img").wait_for()
    open_tab(page, "Attention")
    page.locator("#attention-picture img").wait_for()
    open_tab(page, "Numbers")
    assert re.fullmatch("Offsets: (unused|small|in use|not measured)", page.locator(".badges .chip").inner_text())
    page.get_by_role("button", name="Make files").click()
    page.locator(".file-preview").wait_for()
    assert "offsets-and-gates" in page.locator(".file-preview").inner_text()


def test_another_example_is_compared(page):
    before, told = source(page, "#swipe"), page.locator("text=/input \\d+ x \\d+/")
    assert "input 320 x 256" in told.inner_text()
    page.get_by_label("or an example").click()
    page.get_by_role("option", name=re.compile("Two people")).click()
    brought(page, "head (COCO, dense)", "control (COCO, stock)")
    wait_for_change(page, "#swipe", before)
    assert "input 640 x 384" in told.inner_text()


def brought(page, dlka, baseline):
    """A picture that the models there cannot know brings those that can, and a sentence, for some seconds."""
    page.locator(".toast-body").get_by_text("head looks at this picture now").wait_for()
    expect(page.get_by_label("D-LKA model")).to_have_value(dlka)
    expect(page.get_by_label("Baseline", exact=True)).to_have_value(baseline)
    expect(page.locator("#models")).to_contain_text("80 COCO classes")


def test_a_dropped_picture_is_compared(page):
    image = cv2.imread(str(examples()["Two people"]))
    page_source = source(page, "#swipe")
    upload(page, cv2.imencode(".png", cv2.resize(image, (321, 203)))[1].tobytes(), "mine.png")
    brought(page, "head (COCO, dense)", "control (COCO, stock)")
    wait_for_change(page, "#swipe", page_source)
    assert "input 640 x 416" in page.locator("text=/input \\d+ x \\d+/").inner_text()
    old = source(page, "#swipe")
    page.get_by_label("D-LKA model").click()
    page.get_by_role("option", name=re.compile("^scenes .drawn, sep")).click()
    wait_for_change(page, "#swipe", old)
    expect(page.get_by_label("Baseline", exact=True)).to_have_value("scenes-rigid (drawn)")
    assert "scenes-rigid" in page.locator("text=/input \\d+ x \\d+/").inner_text(), "a model that is chosen stays"


def test_a_broken_picture_is_refused_in_a_sentence(page):
    upload(page, b"\x89PNG\r\n\x1a\nthis is no picture", "broken.png")
    message = page.locator(".toast-body")
    message.wait_for()
    text = message.inner_text()
    assert "The file starts like a PNG picture but is damaged" in text
    assert page.locator("#swipe img").count() == 2, "the last comparison stays"


def test_every_question_is_asked_once(page):
    """gradio has several events for one choice or picture; each would run the models and draw every tab."""
    looks = page.evaluate(
        """() => {
        const swipe = gradio_config.components.find(c => c.props.elem_id === 'swipe').id;
        return gradio_config.dependencies.filter(d => d.outputs.includes(swipe)).map(d => d.id) }"""
    )
    joined = []

    def note(request):
        if "/queue/join" in request.url and request.post_data_json["fn_index"] in looks:
            joined.append(request.url)

    page.on("request", note)
    page.get_by_label("D-LKA model").click()
    page.get_by_role("option", name=re.compile("^neck")).click()
    page.get_by_text(re.compile(r"neck \d+ ms")).wait_for()
    page.wait_for_timeout(300)
    assert len(joined) == 1

    before = source(page, "#swipe")
    image = cv2.imread(str(examples()["Two people"]))
    upload(page, cv2.imencode(".png", cv2.resize(image, (320, 200)))[1].tobytes(), "mine.png")
    wait_for_change(page, "#swipe", before)
    page.wait_for_timeout(300)
    assert len(joined) == 2
    assert page.locator(".toast-body").count() == 0, "a picture that is removed is no mistake"


def test_turning_deformation_off_answers_at_once(page):
    open_tab(page, "Offsets")
    page.locator("#offset-picture img").wait_for()
    old = source(page, "#sample-panels")
    slider = page.locator("#strength input[type=range]")
    slider.focus()
    slider.press("Home")  # to the left end: 0
    wait_for_change(page, "#sample-panels", old)
    open_tab(page, "Numbers")
    moved = page.locator("tr", has=page.get_by_text("P3 5x5", exact=True)).locator("td:nth-child(7):visible")
    expect(moved).to_have_text("0%")


def test_views(page):
    page.get_by_label("Difference").check()
    page.wait_for_selector("#flat img")
    first = source(page, "#flat")
    page.get_by_label("Side by side").check()
    wait_for_change(page, "#flat", first)


def test_every_offset_overlay_and_stage(page):
    open_tab(page, "Offsets")
    for control in ("Flow colours", "Arrows", "Sample density", "P3 7x7 d3", "Magnitude"):
        old = page.locator("#offset-picture img").get_attribute("src")
        page.get_by_label(control, exact=True).check()
        page.wait_for_function(
            "old => document.querySelector('#offset-picture img').getAttribute('src') !== old", arg=old
        )


def test_a_click_chooses_the_cell_under_it(page):
    """The sample panels name the point; it must be the one that was clicked, in pixels of the picture."""
    open_tab(page, "Offsets")
    image = page.locator("#offset-picture img")
    image.wait_for()
    box = image.bounding_box()
    natural = page.evaluate("() => { const i = document.querySelector('#offset-picture img'); return i.naturalWidth }")
    old = source(page, "#sample-panels")
    x, y = 0.25 * box["width"], 0.5 * box["width"]
    image.click(position={"x": x, "y": y})
    wait_for_change(page, "#sample-panels", old)
    marked = fetch(page, "#offset-picture")
    assert marked.shape[1] == natural
    scale = natural / box["width"]
    around = marked[int(y * scale) - 9 : int(y * scale) + 10, int(x * scale) - 9 : int(x * scale) + 10].astype(int)
    assert (around.max(axis=(0, 1)) > 240).all(), "the white ring of the mark surrounds the clicked point"


def fetch(page, selector):
    data = page.request.get(page.locator(f"{selector} img").first.evaluate("i => i.src")).body()
    return cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)


def test_attention_controls_redraw(street):
    page = street
    open_tab(page, "Attention")
    for control in ("P4", "channel", "max abs"):
        old = page.locator("#attention-picture img").get_attribute("src")
        page.get_by_label(control, exact=True).check()
        page.wait_for_function(
            "old => document.querySelector('#attention-picture img').getAttribute('src') !== old", arg=old
        )


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(browser, server, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.goto(server)
    page.wait_for_selector("#swipe img")
    for name in ("Compare", "Probe", "What if", "Boxes", "Adapt", "Offsets", "Attention", "Numbers"):
        open_tab(page, name)
        page.wait_for_timeout(200)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= 390, name
    context.close()
