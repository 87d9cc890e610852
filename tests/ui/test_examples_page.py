"""The examples as thumbnails: which stand first, which is chosen, and what is said of the picture."""

from __future__ import annotations

import re

import cv2
import pytest
from page_tabs import choose_example, example
from playwright.sync_api import expect

from dlka.analysis.examples import examples, subject
from dlka.images import read_image


def labels_of(shown):
    return [label for label in examples() if subject(label) == shown]


def in_front(page):
    """Labels of the thumbnails that stand before the line."""
    return page.locator(".examples-fitting label:visible").evaluate_all("all => all.map(one => one.title)")


def upload(page, image):
    data = cv2.imencode(".png", image)[1].tobytes()
    page.get_by_label("Remove Image").click()
    page.locator("#picture input[type=file]").set_input_files(
        [{"name": "mine.png", "mimeType": "image/png", "buffer": data}]
    )


def test_thumbnails_follow_the_model_and_an_example_brings_its_own(page):
    expect(page.locator(".examples-credit")).to_have_text("Drawn scene: letters and curves · by this project")
    assert in_front(page) == labels_of("shapes")
    choose_example(page, "Thermal: bicycles")
    page.locator(".toast-body").get_by_text("hit-uav-head looks at this picture now").wait_for()
    expect(page.get_by_label("D-LKA model")).to_have_value(re.compile("^hit-uav-head"))
    expect(page.locator(".examples-credit")).to_have_text("Thermal: bicycles · HIT-UAV, Suo et al. 2023, CC BY 4.0")
    page.wait_for_function("() => new URLSearchParams(location.search).get('example') === 'Thermal: bicycles'")
    assert in_front(page) == labels_of("thermal")
    expect(page.locator("#examples summary")).to_have_text(re.compile(rf"^{len(examples()) - 2} more: photographs, "))
    expect(example(page, "Bus stop")).to_be_hidden()
    expect(example(page, "Thermal: bicycles")).to_be_focused()  # it has moved to the front
    page.keyboard.press("ArrowLeft")
    expect(example(page, "Thermal: people")).to_be_focused()
    page.wait_for_function("() => new URLSearchParams(location.search).get('example') === 'Thermal: people'")


def test_a_line_says_that_a_model_was_not_made_for_the_picture(page):
    expect(page.locator(".examples-unfit")).to_be_hidden()
    page.get_by_label("D-LKA model").click()
    page.get_by_role("option", name=re.compile("^head")).click()
    expect(page.locator(".examples-unfit")).to_have_text(re.compile("^head was made for everyday photographs, not for"))
    assert in_front(page) == [*labels_of("everyday"), "Drawn scene: letters and curves"]
    choose_example(page, "Cheetah")
    expect(page.locator(".examples-unfit")).to_be_hidden()


def test_a_picture_of_ones_own_is_the_chosen_one_until_it_goes(page):
    choose_example(page, "Two people")
    page.wait_for_function("() => new URLSearchParams(location.search).get('example') === 'Two people'")
    image = read_image(examples()["Two people"])[::3, ::3, ::-1].copy()
    upload(page, image)
    expect(example(page, "your picture")).to_be_checked()
    expect(page.locator(".examples-credit")).to_have_text("Your picture.")
    page.wait_for_function("() => !new URLSearchParams(location.search).get('example')")
    assert in_front(page) == ["your picture", *labels_of("everyday")]
    page.get_by_label("D-LKA model").click()
    page.get_by_role("option", name=re.compile("^scenes .drawn, sep")).click()
    unfit = page.locator(".examples-unfit")
    expect(unfit).to_have_text(re.compile("^scenes was made for drawn scenes, not for pictures like this one"))
    page.get_by_label("Remove Image").click()
    expect(example(page, "your picture")).to_be_hidden()
    expect(page.locator("#examples input:checked")).to_have_count(0)
    expect(page.locator(".examples-credit")).to_have_text("")
    expect(unfit).to_be_hidden()
    choose_example(page, "Two people")  # the last one that was chosen
    page.wait_for_function("() => new URLSearchParams(location.search).get('example') === 'Two people'")
    expect(example(page, "your picture")).to_be_hidden()


@pytest.mark.parametrize(("label", "model"), [("Drawn scene: letters and curves", "^scenes"), ("Bus stop", "^head")])
def test_picture_thumbnails_button_and_models_need_no_scrolling(page, label, model):
    page.set_viewport_size({"width": 1440, "height": 900})
    choose_example(page, label)
    expect(page.get_by_label("D-LKA model")).to_have_value(re.compile(model))
    expect(page.locator(".examples-credit")).to_contain_text(label)
    page.wait_for_function(
        "() => document.querySelectorAll('#both .choice')[1].getBoundingClientRect().bottom <= innerHeight"
    )


def test_of_quick_choices_the_last_one_is_compared(page):
    """Each is chosen while the one before is still asked for."""
    labels = ["Drawn scene: rings, 11 to 88 px", "Drawn scene: E of 12 to 90 px"]
    inputs = [example(page, label).element_handle() for label in reversed(labels)]
    page.evaluate("inputs => inputs.forEach((input) => input.click())", inputs)
    expect(page.locator("#examples .examples-credit")).to_contain_text(labels[0])
    page.wait_for_function("label => new URLSearchParams(location.search).get('example') === label", arg=labels[0])
    page.wait_for_timeout(1500)  # in which an earlier choice would come back
    expect(page.locator(f'#examples input[value="{labels[0]}"]')).to_be_checked()
    assert page.evaluate("() => new URLSearchParams(location.search).get('example')") == labels[0]
