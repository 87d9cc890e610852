"""The page in a real browser, as a new user would use it."""

from __future__ import annotations

import re

import cv2
import pytest
from page_tabs import COLD, choose_example, open_tab, shown_key, wait_for_another, wait_until_it_fits
from playwright.sync_api import expect

from dlka.analysis.examples import examples


def upload(page, data, name, mime="image/png"):
    page.get_by_label("Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files([{"name": name, "mimeType": mime, "buffer": data}])


def test_first_paint_is_a_finished_example(page):
    expect(page.locator(".see-counts")).to_have_text(re.compile("^Of 12 labelled objects both found \\d+, only D-LKA"))
    expect(page.locator(".see-fact")).to_have_text(re.compile("^P3 5x5 draws together to .* on the ring of 10 px"))
    # Without scrolling, on a laptop's screen: the picture, what moves its samples, and the close-up beside it.
    page.set_viewport_size({"width": 1440, "height": 900})
    for seen in (".see-picture", ".see-replay", ".see-close", ".see-dots"):
        box = page.locator(seen).bounding_box()
        assert box["y"] + box["height"] <= 900, seen


def test_numbers(page):
    open_tab(page, "Numbers")
    expect(page.locator(".headline")).to_have_text(re.compile("^Both show"), use_inner_text=True)
    known = re.compile(r"^\s*Offsets: (unused|small|in use|not measured)\s*$")
    expect(page.locator(".badges .chip")).to_have_text(known)
    page.get_by_role("button", name="Make files").click()
    expect(page.locator(".file-preview")).to_contain_text("offsets-and-gates")


def test_another_example_is_compared(page):
    before = shown_key(page)
    choose_example(page, "Two people")
    brought(page, "head (COCO, dense)", "control (COCO, stock)")
    wait_for_another(page, before)
    open_tab(page, "Numbers")
    expect(page.locator("tr", has_text="input, px")).to_contain_text("640 x 384")


def brought(page, dlka, baseline):
    """A picture that the models there cannot know brings those that can, and a sentence, for some seconds."""
    page.locator(".toast-body").get_by_text("head looks at this picture now").wait_for()
    expect(page.get_by_label("D-LKA model")).to_have_value(dlka)
    expect(page.get_by_label("Baseline", exact=True)).to_have_value(baseline)
    expect(page.locator("#models")).to_contain_text("80 COCO classes")


def test_a_dropped_picture_is_compared(page):
    image = cv2.imread(str(examples()["Two people"]))
    before = shown_key(page)
    upload(page, cv2.imencode(".png", cv2.resize(image, (321, 203)))[1].tobytes(), "mine.png")
    brought(page, "head (COCO, dense)", "control (COCO, stock)")
    before = wait_for_another(page, before)
    page.get_by_label("D-LKA model").click()
    page.get_by_role("option", name=re.compile("^scenes .drawn, sep")).click()
    wait_for_another(page, before)  # a model that is chosen stays
    expect(page.get_by_label("Baseline", exact=True)).to_have_value("scenes-rigid (drawn)")
    expect(page.locator(".see-panels button")).to_have_count(3)


def test_a_broken_picture_is_refused_in_a_sentence(page):
    before = shown_key(page)
    upload(page, b"\x89PNG\r\n\x1a\nthis is no picture", "broken.png")
    expect(page.locator(".toast-body")).to_contain_text("The file starts like a PNG picture but is damaged")
    assert shown_key(page) == before, "the last comparison stays"
    told = page.get_by_text("This could not be compared. What stands below is of what was compared before.")
    told.wait_for()
    assert float(page.locator(".tabs").first.evaluate("e => getComputedStyle(e).opacity")) < 0.5
    choose_example(page, "Drawn scene: rings, 11 to 88 px")
    wait_for_another(page, before)
    expect(told).to_be_hidden()


def test_what_belongs_to_a_picture_that_is_cleared_is_dimmed(page):
    page.get_by_label("Remove Image").click()
    told = page.get_by_text("There is no picture. What stands below is of the one before.")
    told.wait_for()
    assert float(page.locator(".tabs").first.evaluate("e => getComputedStyle(e).opacity")) < 0.5
    choose_example(page, "Drawn scene: letters and curves")  # the one before, once more
    expect(told).to_be_hidden()


def test_a_picture_that_is_taken_away_while_it_is_compared_is_gone(page):
    before = shown_key(page)
    choose_example(page, "Two people")
    page.get_by_label("Remove Image").click()
    wait_for_another(page, before)
    page.get_by_text("There is no picture. What stands below is of the one before.").wait_for()
    assert page.locator("#examples :checked").count() == 0
    assert page.locator("#picture img").count() == 0


def test_the_way_back_leads_to_the_last_comparison(page):
    before = shown_key(page)
    choose_example(page, "Dots and curves, 4 to 64 px")
    wait_for_another(page, before)
    page.wait_for_function("() => location.search.includes('Dots')")
    page.get_by_role("link", name="Many pictures").click()
    page.wait_for_url("**/many")
    page.get_by_role("link", name="Explore").click()
    page.wait_for_url("**example=Dots*")
    expect(page.locator('#examples input[value^="Dots and curves"]')).to_be_checked(timeout=COLD)


def test_every_question_is_asked_once(page):
    """gradio has several events for one choice or picture; each would run the models and draw every tab."""
    analyses = page.evaluate(
        """() => {
        const probe = gradio_config.components.find(c => c.props.elem_id === 'see').id;
        return gradio_config.dependencies.filter(d => d.outputs.includes(probe)).map(d => d.id) }"""
    )
    joined, before = [], shown_key(page)

    def note(request):
        if "/queue/join" in request.url and request.post_data_json["fn_index"] in analyses:
            joined.append(request.url)

    page.on("request", note)
    page.get_by_label("D-LKA model").click()
    page.get_by_role("option", name=re.compile("^neck")).click()
    before = wait_for_another(page, before)
    page.get_by_role("tab", name="Numbers").click()  # what the one before brings has been asked by then
    page.locator(".badges .chip").wait_for()
    page.get_by_role("tab", name="See").click()
    assert len(joined) == 1
    image = cv2.imread(str(examples()["Two people"]))
    upload(page, cv2.imencode(".png", cv2.resize(image, (320, 200)))[1].tobytes(), "mine.png")
    wait_for_another(page, before)
    page.get_by_role("tab", name="Numbers").click()
    page.locator(".badges .chip").wait_for()
    assert len(joined) == 2
    assert page.locator(".toast-body").count() == 0, "a picture that is removed is no mistake"


def test_turning_deformation_off_answers_at_once(page):
    before = shown_key(page)
    slider = page.locator("#strength input[type=range]")
    slider.focus()
    slider.press("Home")  # to the left end: 0
    wait_for_another(page, before)
    open_tab(page, "Numbers")
    moved = page.locator("tr", has=page.get_by_text("P3 5x5", exact=True)).locator("td:nth-child(7):visible")
    expect(moved).to_have_text("0%")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_fits_a_phone(browser, server, scheme):
    context = browser.new_context(viewport={"width": 390, "height": 844}, color_scheme=scheme)
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(server)
    page.wait_for_selector(".see-picture")
    for name, shown in (
        ("See", ".see-picture"),
        ("What if", "#what-if-picture img"),
        ("Objects", "#box-cells table"),
        ("Adapt", "#adapt-samples img"),
        ("Numbers", ".badges .chip"),
    ):
        open_tab(page, name)
        page.locator(shown).first.wait_for()
        wait_until_it_fits(page)
        page.wait_for_function("() => document.documentElement.scrollHeight <= 4000")
    tops = page.locator(".nav-holder a").evaluate_all("links => links.map(link => link.getBoundingClientRect().top)")
    assert len(tops) == 4
    assert len(set(tops)) == 1, "the pages' names stand in one line"
    context.close()
