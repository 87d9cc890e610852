"""The page in a real browser, as a new user would use it."""

from __future__ import annotations

import re

import cv2
import numpy as np
import pytest
from page_tabs import open_tab, wait_until_it_fits
from playwright.sync_api import expect

from dlka.analysis.examples import examples


def source(page, selector):
    return page.locator(f"{selector} img").first.get_attribute("src")


def wait_for_change(page, selector, old):
    """Until another picture is there, and loaded."""
    image = page.locator(f"{selector} img").first
    expect(image).not_to_have_attribute("src", old)
    width_of(image)


def width_of(image):
    """Pixels of an image across, once it is loaded."""
    return image.evaluate("i => i.decode().then(() => i.naturalWidth)")


def upload(page, data, name, mime="image/png"):
    page.get_by_label("Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files([{"name": name, "mimeType": mime, "buffer": data}])


def test_first_paint_is_a_finished_example(page):
    expect(page.locator(".headline")).to_have_text(re.compile("^Both found"), use_inner_text=True)
    halves = page.locator("#swipe img")
    expect(halves).to_have_count(2)
    assert min(width_of(halves.nth(0)), width_of(halves.nth(1))) > 300


def test_tabs_show_their_pictures(page):
    open_tab(page, "Offsets")
    page.locator("#offset-picture img").wait_for()
    page.locator("#sample-panels img").wait_for()
    open_tab(page, "Attention")
    page.locator("#attention-picture img").wait_for()
    open_tab(page, "Numbers")
    known = re.compile(r"^\s*Offsets: (unused|small|in use|not measured)\s*$")
    expect(page.locator(".badges .chip")).to_have_text(known)
    page.get_by_role("button", name="Make files").click()
    expect(page.locator(".file-preview")).to_contain_text("offsets-and-gates")


def test_another_example_is_compared(page):
    before, told = source(page, "#swipe"), page.locator("text=/input \\d+ x \\d+/")
    expect(told).to_contain_text("input 320 x 256")
    page.get_by_label("or an example").click()
    page.get_by_role("option", name=re.compile("Two people")).click()
    brought(page, "head (COCO, dense)", "control (COCO, stock)")
    wait_for_change(page, "#swipe", before)
    expect(told).to_contain_text("input 640 x 384")


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
    told = page.locator("text=/input \\d+ x \\d+/")
    expect(told).to_contain_text("input 640 x 416")
    old = source(page, "#swipe")
    page.get_by_label("D-LKA model").click()
    page.get_by_role("option", name=re.compile("^scenes .drawn, sep")).click()
    wait_for_change(page, "#swipe", old)
    expect(page.get_by_label("Baseline", exact=True)).to_have_value("scenes-rigid (drawn)")
    expect(told).to_contain_text("scenes-rigid")  # a model that is chosen stays


def test_a_broken_picture_is_refused_in_a_sentence(page):
    upload(page, b"\x89PNG\r\n\x1a\nthis is no picture", "broken.png")
    expect(page.locator(".toast-body")).to_contain_text("The file starts like a PNG picture but is damaged")
    expect(page.locator("#swipe img")).to_have_count(2)  # the last comparison stays


def test_every_question_is_asked_once(page):
    """gradio has several events for one choice or picture; each would run the models and draw every tab."""
    analyses = page.evaluate(
        """() => {
        const probe = gradio_config.components.find(c => c.props.elem_id === 'see').id;
        return gradio_config.dependencies.filter(d => d.outputs.includes(probe)).map(d => d.id) }"""
    )
    joined = []

    def note(request):
        if "/queue/join" in request.url and request.post_data_json["fn_index"] in analyses:
            joined.append(request.url)

    page.on("request", note)
    page.get_by_label("D-LKA model").click()
    page.get_by_role("option", name=re.compile("^neck")).click()
    page.get_by_text(re.compile(r"neck \d+ ms")).wait_for()
    # An answer to a later question: what the one before brings has been asked by then.
    page.get_by_label("Difference").check()
    page.locator("#flat img").wait_for()
    assert len(joined) == 1

    before = source(page, "#flat")
    image = cv2.imread(str(examples()["Two people"]))
    upload(page, cv2.imencode(".png", cv2.resize(image, (320, 200)))[1].tobytes(), "mine.png")
    wait_for_change(page, "#flat", before)
    page.get_by_label("Swipe").check()
    page.locator("#swipe img").first.wait_for()
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
    for control, told in (
        ("Flow colours", "Flow colours of the offsets of P3 5x5"),
        ("Arrows", "Arrows of the offsets of P3 5x5"),
        ("Sample density", "Sample density of the offsets of P3 5x5"),
        ("P3 7x7 d3", "Sample density of the offsets of P3 7x7 d3"),
        ("Magnitude", "Magnitude of the offsets of P3 7x7 d3"),
    ):
        old = source(page, "#offset-picture")
        page.get_by_label(control, exact=True).check()
        wait_for_change(page, "#offset-picture", old)
        expect(page.locator("#offset-picture img")).to_have_attribute("alt", re.compile(f"^{told}"))


def test_a_click_chooses_the_cell_under_it(page):
    """The sample panels name the point; it must be the one that was clicked, in pixels of the picture."""
    open_tab(page, "Offsets")
    image = page.locator("#offset-picture img")
    natural = width_of(image)
    box = image.bounding_box()
    old, unmarked = source(page, "#sample-panels"), source(page, "#offset-picture")
    x, y = 0.25 * box["width"], 0.5 * box["width"]
    image.click(position={"x": x, "y": y})
    wait_for_change(page, "#sample-panels", old)
    wait_for_change(page, "#offset-picture", unmarked)
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
    for control, told in (
        ("P4", "block P4, mean over "),
        ("channel", "P4, channel 0"),
        ("max abs", "P4, max abs over "),
    ):
        old = source(page, "#attention-picture")
        page.get_by_label(control, exact=True).check()
        wait_for_change(page, "#attention-picture", old)
        expect(page.locator("#attention-picture img")).to_have_attribute("alt", re.compile(told))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(browser, server, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(server)
    page.wait_for_selector(".see-picture")
    for name, shown in (
        ("See", ".see-picture"),
        ("Compare", "#swipe img"),
        ("What if", "#what-if-picture img"),
        ("Boxes", "#box-tables table"),
        ("Adapt", "#adapt-numbers table"),
        ("Offsets", "#offset-picture img"),
        ("Attention", "#attention-picture img"),
        ("Numbers", ".badges .chip"),
    ):
        open_tab(page, name)
        page.locator(shown).first.wait_for()
        wait_until_it_fits(page)
    context.close()
