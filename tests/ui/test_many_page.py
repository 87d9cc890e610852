"""The page "Many pictures" in a real browser: files in, table, viewer and report out."""

from __future__ import annotations

import re

import cv2
import pytest
from page_tabs import wait_until_it_fits
from playwright.sync_api import expect

from dlka.analysis.examples import examples
from dlka.images import read_image


@pytest.fixture
def many(browser, server):
    """The page, in a fresh window of a laptop's size; it must not ask anybody else for anything."""
    context = browser.new_context(viewport={"width": 1440, "height": 1000}, accept_downloads=True)
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.strangers = []
    local = (server.rstrip("/"), "data:", "blob:", "file:")
    page.on("request", lambda request: request.url.startswith(local) or page.strangers.append(request.url))
    page.goto(f"{server.rstrip('/')}/many")
    page.locator("#many-go").wait_for()
    yield page
    assert page.strangers == []
    context.close()


def payload(name, data, mime="image/png"):
    return {"name": name, "mimeType": mime, "buffer": data}


def given():
    """Two pictures, one with labels, and a broken one."""
    out = []
    for name, example in (("bus", "Bus stop"), ("people", "Two people")):
        small = cv2.resize(read_image(examples()[example]), (320, 240), interpolation=cv2.INTER_AREA)
        out.append(payload(f"{name}.png", cv2.imencode(".png", small[..., ::-1])[1].tobytes()))
    out.append(payload("bus.txt", b"5 0.5 0.45 0.95 0.5\n0 0.01 0.01 0.01 0.01\n", "text/plain"))
    out.append(payload("broken.png", b"\x89PNG\r\n\x1a\nno picture"))
    return out


def place(page):
    return page.locator(".many-place").inner_text().split(" of ")[0]


def wait_for_place(page, number):
    expect(page.locator(".many-place")).to_have_text(re.compile(rf"^{number} of "))


def test_pictures_and_labels_become_a_table_a_viewer_and_a_report(many, tmp_path):
    assert many.locator(".many-viewer").count() == 0, "nothing is shown before a run"
    many.locator("#many-files input[type=file]").set_input_files(given())
    many.locator("#many-files .file-preview").wait_for()
    many.get_by_role("button", name="Detection settings").click()
    confidence = many.get_by_label("number input for Confidence")
    confidence.fill("0.05")  # more boxes, more disagreements
    confidence.press("Tab")
    many.locator("#many-go").click()

    many.locator(".many-seen").wait_for(timeout=120_000)
    many.get_by_role("button", name="All pictures as a table").click()
    table = many.locator("#many-pictures table")
    expect(table.locator("tbody tr")).to_have_count(3)
    rows = [row.inner_text().split("\t") for row in table.locator("tbody tr").all()]
    assert [row[0] for row in rows] == ["bus.png", "people.png", "broken.png"]
    assert rows[0][1] == "320 x 240"
    assert rows[1][-1] == "no labels"
    assert "damaged" in rows[2][1]
    summary = many.locator("#many-summary")
    expect(summary).to_contain_text("2 pictures compared, 1 could not be")
    expect(summary).to_contain_text("2 labelled objects in 1 picture.")
    expect(summary).to_contain_text("on 1 picture with labelled objects")
    hits, misses, _ = rows[0][-3:]
    assert hits == "1 / 1", "both find the bus"
    assert misses == "1 / 1", "nobody finds a person of 3 by 2 pixels"

    # One key, from wherever the focus is; in the viewer the arrows, too.
    total = many.locator(".many-tiles button").count()
    assert total >= 3
    wait_for_place(many, 1)
    first = many.locator(".many-tile").get_attribute("src")
    many.keyboard.press("n")
    wait_for_place(many, 2)
    expect(many.locator(".many-tile")).not_to_have_attribute("src", first)
    assert many.evaluate("() => document.querySelector('.many-tile').alt") in many.locator(".many-place").inner_text()
    many.keyboard.press("p")
    wait_for_place(many, 1)
    many.locator(".many-next").focus()
    many.keyboard.press("Enter")
    wait_for_place(many, 2)
    many.keyboard.press("ArrowRight")
    wait_for_place(many, 3)
    many.keyboard.press("End")
    wait_for_place(many, total)
    row, last = (many.locator(".many-tiles" + part).bounding_box() for part in ("", " [aria-current]"))
    assert last["y"] + last["height"] <= row["y"] + row["height"] + 1, "the row of close-ups follows"
    many.keyboard.press("n")
    assert place(many) == str(total), "there is nothing after the last one"
    many.locator(".many-tiles button").first.click()
    wait_for_place(many, 1)
    expect(many.locator(".many-row dd")).to_have_count(10)
    areas = []
    for number in range(total):
        wait_for_place(many, number + 1)
        areas.append(float(many.locator(".many-row dd").nth(2).inner_text()))
        many.keyboard.press("n")
    assert areas == sorted(areas)
    loaded = "i => i.decode().then(() => i.naturalWidth)"
    assert many.locator(".many-tile").evaluate(loaded) == 320
    source = many.locator(".many-context image").get_attribute("href")
    assert many.request.get(f"{many.url.rsplit('/', 1)[0]}/{source}").ok

    # Typing is typing.
    confidence.focus()
    before = place(many)
    confidence.press("p")
    assert place(many) == before

    # All numbers of the chosen one are read without scrolling, on a phone too.
    for width in (1440, 390):
        many.set_viewport_size({"width": width, "height": 844})
        wait_until_it_fits(many, width)
        box = "e.getBoundingClientRect()"
        fits = f"e => e.scrollWidth <= Math.ceil({box}.width) && {box}.right <= innerWidth"
        assert all(part.evaluate(fits) for part in many.locator(".many-row, .many-row *").all())

    # The report, opened from the disk.
    with many.expect_download() as download:
        many.locator("#many-report").click()
    report = tmp_path / "report.html"
    download.value.save_as(report)
    many.goto(report.as_uri())
    expect(many.get_by_role("heading", name="D-LKA beside its baseline")).to_be_visible()
    expect(many.locator("figure img")).to_have_count(total)
    many.wait_for_function("() => [...document.images].every(i => i.complete && i.naturalWidth === 320)")
    wait_until_it_fits(many)
    assert "damaged" in many.locator("td[colspan]").first.inner_text() + many.locator("td[colspan]").last.inner_text()


def options(page, name):
    """The words of a filter's options -> the number beside them."""
    texts = page.locator(f".many-{name} option").all_inner_texts()
    return {text.rsplit(" (", 1)[0]: int(text.rsplit(" (", 1)[1][:-1]) for text in texts}


def test_filters_and_pictures_choose_what_the_keys_go_through(many):
    many.locator("#many-files input[type=file]").set_input_files(given())
    many.locator("#many-files .file-preview").wait_for()
    many.get_by_role("button", name="Detection settings").click()
    confidence = many.get_by_label("number input for Confidence")
    confidence.fill("0.05")
    confidence.press("Tab")
    many.locator("#many-go").click()
    many.locator(".many-seen").wait_for(timeout=120_000)
    asked = []
    many.on("request", lambda request: request.resource_type in ("fetch", "xhr") and asked.append(request.url))

    def number():
        return int(re.search(r"of (\d+):", many.locator(".many-place").inner_text())[1])

    what = options(many, "what")
    assert list(what) == [
        "everything",
        *("class changed", "only D-LKA", "only baseline", "missed by both", "missed by one", "false alarms"),
    ]
    assert what["everything"] == number() == many.locator(".many-tiles button").count()
    assert what["missed by both"] == 1
    many.locator(".many-what").select_option("missed by both")
    wait_for_place(many, 1)
    assert number() == 1
    expect(many.locator(".many-place")).to_have_text("1 of 1: bus.png: person, labelled, 3 x 2 px; both miss it")
    expect(many.locator(".many-row dd").nth(4)).to_have_text("neither")
    assert options(many, "size") == {"all sizes": 1, "S, under 32 x 32 px": 1, "M, under 96 x 96 px": 0, "L, above": 0}
    assert many.locator(".many-tile").evaluate("i => i.decode().then(() => i.naturalWidth)") == 320

    # An empty choice is a sentence.
    many.locator(".many-size").select_option("L")
    nothing = many.locator(".many-nothing")
    expect(nothing).to_have_text("There is nothing to look at here: missed by both, L, above.")
    expect(many.locator(".many-bar")).to_be_hidden()
    many.locator(".many-what").select_option("")
    many.locator(".many-size").select_option("")
    expect(nothing).to_be_hidden()
    assert number() == what["everything"]

    # The keys go through what is left, from the filter that was chosen too.
    few = next(name for name, count in what.items() if 1 < count < what["everything"])
    many.locator(".many-what").select_option(few)
    many.locator(".many-tiles button").first.click()
    many.locator(".many-what").press("n")
    wait_for_place(many, 2)
    assert number() == what[few]
    many.locator(".many-what").select_option("")

    # A picture of the grid is looked at alone, and left again.
    pictures = many.locator(".many-grid button")
    expect(pictures).to_have_count(3)
    expect(pictures.nth(2)).to_contain_text("damaged")
    expect(pictures.nth(2)).to_be_disabled()
    expect(pictures.nth(0)).to_contain_text("missed: 1 / 1")
    expect(pictures.nth(1)).to_contain_text("no labels")
    assert pictures.nth(0).locator("img").evaluate("i => i.decode().then(() => i.naturalWidth)") == 240
    pictures.nth(0).click()
    expect(pictures.nth(0)).to_have_attribute("aria-pressed", "true")
    many.keyboard.press("Home")
    own = number()
    assert 0 < own < what["everything"]
    for place in range(own):
        wait_for_place(many, place + 1)
        expect(many.locator(".many-place")).to_contain_text("bus.png")
        many.keyboard.press("n")
    back = many.locator(".many-back")
    expect(back).to_have_text("Only bus.png: back to all pictures")
    back.click()
    assert number() == what["everything"]
    expect(back).to_be_hidden()
    assert [url for url in asked if "heartbeat" not in url] == [], "the browser filters by itself"


def test_broken_labels_are_refused_in_a_sentence(many):
    picture, _, label, _ = given()
    many.locator("#many-files input[type=file]").set_input_files([picture, {**label, "buffer": b"5 0.5 0.5\n"}])
    many.locator("#many-files .file-preview").wait_for()
    many.locator("#many-go").click()
    expect(many.locator(".toast-body")).to_contain_text("bus.txt, line 1: expected class cx cy w h")
    many.locator(".toast-close").click()
    expect(many.locator("#many-empty")).to_contain_text("This could not be compared. bus.txt, line 1: expected class")
    many.locator("#many-files button[aria-label='Clear']").click()
    many.locator("#many-files input[type=file]").set_input_files([payload("bad.jpg", b"no picture", "image/jpeg")])
    many.locator("#many-files .file-preview").wait_for()
    many.locator("#many-go").click()
    expect(many.locator("#many-summary")).to_contain_text("1 could not be")
    expect(many.locator(".many-none")).to_have_text(re.compile("^What the two models do not see alike appears here"))


def test_results_fit_a_phone_and_the_verdict_comes_first(browser, server):
    context = browser.new_context(viewport={"width": 390, "height": 844})
    page = context.new_page()
    page.goto(f"{server.rstrip('/')}/many")
    page.locator("#many-try").click(timeout=60_000)
    page.locator(".many-seen").wait_for(timeout=120_000)
    wait_until_it_fits(page)
    page.wait_for_function("() => document.documentElement.scrollHeight <= 4000")
    summary = page.locator("#many-summary")
    heading, verdict = (summary.locator(part).bounding_box() for part in ("h2", "h2 + .many-verdict"))
    assert verdict["y"] < heading["y"] + 2 * heading["height"]
    assert summary.inner_text().count("Too few to decide") == 1
    assert "-0.0" not in summary.inner_text()
    assert " found" not in page.locator("#both").inner_text(), "labels say what is found, and what is a false alarm"
    room = "e => e.getBoundingClientRect().right <= e.closest('.headline').getBoundingClientRect().right"
    assert all(table.evaluate(room) for table in summary.locator("table").all())
    page.get_by_role("button", name="All pictures as a table").click()
    page.get_by_text("Swipe sideways").wait_for()  # what does not fit can be reached, and it says so
    assert page.locator(".many-all").evaluate("e => (e.scrollLeft = 9999) && e.scrollLeft > 0")
    context.close()
