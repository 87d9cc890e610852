"""The tab "What if" in a real browser."""

from __future__ import annotations

from page_tabs import open_tab

PICTURE = "#what-if-picture img"


def source(page):
    return page.locator(PICTURE).first.get_attribute("src")


def wait_for_change(page, old):
    page.wait_for_function(
        "([s, old]) => { const i = document.querySelector(s); return i && i.getAttribute('src') !== old }",
        arg=[PICTURE, old],
    )


def said(page):
    return page.locator("#what-if-headline").inner_text()


def test_controls_change_picture_and_table(page):
    open_tab(page, "What if")
    page.locator(PICTURE).wait_for()
    assert "Nothing is changed yet" in said(page)
    page.get_by_role("button", name="All objects").last.click()
    table = page.locator("#what-if-objects table")
    table.wait_for()
    before, old = table.inner_text(), source(page)

    slider = page.locator("#what-if-strength input[type=range]")
    slider.focus()
    slider.press("Home")  # to the left end: -1
    wait_for_change(page, old)
    page.wait_for_function("old => document.querySelector('#what-if-objects table').innerText !== old", arg=before)
    assert said(page).startswith("The model's own offsets x -1.")
    assert "The model's own offsets x -1" in page.locator(PICTURE).get_attribute("alt")

    old = source(page)
    page.get_by_role("button", name="Off", exact=True).press("Enter")
    wait_for_change(page, old)
    assert said(page).startswith("Offsets at zero, the rigid large kernel.")
    assert slider.input_value() == "0"
    caption = page.locator(".take-caption:visible")
    assert caption.count() == 1, "the four ways have no figures yet"
    caption.filter(has_text="Offsets at zero, the rigid large kernel: scenes on Drawn scene: letters").wait_for()

    old = source(page)
    page.get_by_role("button", name="Shuffled", exact=True).click()
    wait_for_change(page, old)
    assert said(page).startswith("Shuffled offsets (seed 0) x 1.")
    old = source(page)
    page.get_by_role("button", name="Shuffle again").click()
    wait_for_change(page, old)
    assert said(page).startswith("Shuffled offsets (seed 1) x 1.")

    page.get_by_label("Swipe", exact=True).last.check()
    page.locator("#what-if-swipe img").first.wait_for()
    assert page.locator("#what-if-picture").is_hidden()
    assert page.locator(".toast-body").count() == 0


def test_four_ways_on_a_phone(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(server)
    page.wait_for_selector("#swipe img")
    open_tab(page, "What if")
    page.locator(PICTURE).wait_for()
    page.get_by_role("button", name="Tell large kernel").press("Enter")
    pictures = page.locator("#four-ways img")
    pictures.nth(3).wait_for()
    texts = [picture.get_attribute("alt") for picture in pictures.all()]
    assert [text[:2] for text in texts] == ["1.", "2.", "3.", "4."]
    assert page.locator("#four-ways tbody tr").count() == 4
    caption = page.locator(".take-caption:visible")
    caption.filter(has_text="1. Baseline: scenes-rigid, on Drawn scene: letters").wait_for()
    assert "Resolution (4 against 1):" in page.locator("#four-ways").inner_text()
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    assert max(picture.bounding_box()["width"] for picture in pictures.all()) <= 390
    assert min(picture.bounding_box()["width"] for picture in pictures.all()) > 250, "one below the other"
    context.close()
