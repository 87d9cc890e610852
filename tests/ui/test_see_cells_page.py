"""The canvas of See in a real browser: what it draws is what Python computes, and pointer, keys and fingers move it."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import pytest
from page_tabs import open_tab
from playwright.sync_api import expect

from dlka import temporary
from dlka.analysis import suited
from dlka.analysis.analysis import Settings, analyse_pixels
from dlka.analysis.examples import examples
from dlka.images import read_image
from dlka.render import sampled_size
from dlka.render.geometry import reads_at
from dlka.ui import files
from dlka.ui.app import first_picture

DRAWN = """canvas => { const d = canvas.drawn;
  return {...d, zero: [...d.zero], shown: canvas.getBoundingClientRect().width} }"""


@pytest.fixture
def see(page):
    open_tab(page, "See")
    ready(page)
    return page


def ready(page):
    page.wait_for_function("() => document.querySelector('.see-picture')?.drawn")
    settle(page)


def settle(page):
    """Until what the last event asked for is drawn."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def panels(page):
    return [canvas.evaluate(DRAWN) for canvas in page.locator(".see-panels canvas").element_handles()]


def point_to(page, x, y, shape):
    """Move the mouse to a share of the picture; returns the point in pixels of the original."""
    canvas = page.locator(".see-picture")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    # A mouse event's place is a whole number in the browser.
    at = round(box["x"] + x * box["width"]), round(box["y"] + y * box["height"])
    page.mouse.move(*at)
    settle(page)
    scale = box["width"] / shape[1]
    return (at[0] - box["x"]) / scale - 0.5, (at[1] - box["y"]) / scale - 0.5


def views(analysis):
    """Captures of each panel, in the order of the page."""
    found = []
    for i, capture in enumerate(analysis.dlka.captures):
        found.append([capture])
        if i % 2:
            found.append([analysis.dlka.captures[i - 1], capture])
    return found


def check(page, analysis, point):
    for seen, captures in zip(panels(page), views(analysis), strict=True):
        wanted = reads_at(captures, point, analysis.dlka.letterbox)
        assert tuple(seen["cell"]) == wanted.cell, seen["label"]
        corner, scale = np.array([seen["left"], seen["top"]]), seen["scale"]
        error = np.abs(np.array(seen["samples"]).reshape(-1, 2) - (wanted.samples - corner) * scale)
        assert error.max(initial=0) < 0.5, seen["label"]
        other = np.array(seen["zero"], bool) != wanted.zero
        assert not other.any() or from_the_rim(captures[0], analysis, wanted.samples[other]).max() < 0.01, seen["label"]
        grid = np.array(seen["regular"]).reshape(-1, 2) / scale + corner
        if wanted.composed:  # in another order
            grid, regular = (points[np.lexsort(np.round(points).T)] for points in (grid, wanted.regular))
            assert np.abs(grid - regular).max() < 1e-3
        else:
            assert np.abs(grid - wanted.regular).max() < 1e-3


def from_the_rim(capture, analysis, points):
    """How far places (x, y) of the picture are from where reads begin to be zero, in cells: [n]. Reads at the rim are
    as good as zero, and rounded offsets may lie on its other side."""
    box = analysis.dlka.letterbox
    cells = ((points + 0.5) * box.scale_xy + (box.left, box.top)) / capture.stage.stride - 0.5
    height, width = sampled_size(capture, box)
    return np.abs(np.concatenate([cells + 1, cells - (width, height)], axis=1)).min(axis=1)


PLACES = [(0.5, 0.5), (0.01, 0.01), (0.99, 0.99), (0.99, 0.3), (0.37, 0.98), (0.2, 0.6)]


def first_look():
    return analyse_pixels(first_picture(), suited.settings_for(suited.opening()))


def test_what_is_drawn_is_what_python_computes(see):
    analysis = first_look()
    assert len(views(analysis)) == 3, "one block: two stages, and both composed"
    for place in PLACES:
        check(see, analysis, point_to(see, *place, analysis.image.shape))


def test_the_same_on_three_levels(street):
    open_tab(street, "See")
    ready(street)
    analysis = analyse_pixels(read_image(examples()["Bus stop"]), Settings())
    assert len(views(analysis)) == 9
    for place in PLACES:
        check(street, analysis, point_to(street, *place, analysis.image.shape))


def test_a_letterboxed_picture_with_stronger_offsets(see):
    """An odd size, padded on two sides, read with twice the learned offsets."""
    small = cv2.resize(cv2.imread(str(examples()["Two people"])), (321, 203))
    data = cv2.imencode(".png", small)[1].tobytes()
    before = see.locator(".see-picture").evaluate("c => c.width / c.height")
    see.get_by_label("Remove Image").click()
    see.locator("#picture input[type=file]").set_input_files(
        [{"name": "mine.png", "mimeType": "image/png", "buffer": data}]
    )
    see.wait_for_function(
        "old => { const c = document.querySelector('.see-picture'); return Math.abs(c.width / c.height - old) > .1 }",
        arg=before,
    )
    old = see.evaluate("() => document.querySelector('#see-told').textContent")
    slider = see.locator("#strength input[type=range]")
    slider.focus()
    slider.press("End")
    see.wait_for_function("old => document.querySelector('#see-told').textContent !== old", arg=old)
    settle(see)
    image = read_image(data)
    analysis = analyse_pixels(image, Settings(strength=2.0))
    assert analysis.dlka.letterbox.top > 0
    for place in PLACES:
        check(see, analysis, point_to(see, *place, image.shape))


def test_no_request_is_made_while_the_pointer_moves(see):
    """But for what a tab that is opened asks for, which may come later."""
    opening = see.evaluate(
        """() => {
        const ids = gradio_config.components.filter(c => ['tabs', 'state'].includes(c.type)).map(c => c.id);
        return gradio_config.dependencies.filter(d => d.targets.some(([id]) => ids.includes(id))).map(d => d.id) }"""
    )
    asked = []

    def note(request):
        if "/queue/join" in request.url and request.post_data_json["fn_index"] in opening:
            return
        if "/queue/data" not in request.url:  # the stream of answers
            asked.append(request.url)

    see.on("request", note)
    for x in np.linspace(0.1, 0.9, 9):
        point_to(see, x, 0.4, first_picture().shape)
    assert asked == [], asked


def test_a_dot_has_the_colour_of_its_tap_weight(see):
    """The last tap is drawn last, so nothing covers it."""
    point_to(see, 0.5, 0.5, first_picture().shape)
    found = (
        see.locator(".see-panels canvas")
        .nth(1)
        .evaluate(
            """c => { const d = c.drawn, r = c.width / c.getBoundingClientRect().width;
        const [x, y] = d.samples.at(-1).map(v => Math.round(v * r));
        return [d.weights.at(-1), [...c.getContext('2d').getImageData(x, y, 1, 1).data]] }"""
        )
    )
    wanted = np.array(matplotlib.colormaps["plasma"](float(found[0]))[:3]) * 255
    assert np.abs(np.array(found[1][:3]) - wanted).max() < 12


def test_a_click_holds_the_cell_until_the_next(see):
    shape = first_picture().shape
    point_to(see, 0.4, 0.4, shape)
    see.mouse.down()
    see.mouse.up()
    expect(see.locator("#see-told")).to_contain_text("pinned")
    held = panels(see)[0]["cell"]
    point_to(see, 0.8, 0.8, shape)
    assert panels(see)[0]["cell"] == held
    expect(see.locator("#see-told")).to_contain_text("pinned")
    see.mouse.down()
    see.mouse.up()
    expect(see.locator("#see-told")).to_contain_text("follows the pointer")
    point_to(see, 0.6, 0.8, shape)
    assert panels(see)[0]["cell"] != held


def test_arrow_keys_go_from_cell_to_cell_of_the_stage_on_the_picture(see):
    point_to(see, 0.5, 0.5, first_picture().shape)
    see.get_by_role("button", name="P3 7x7 d3").click()
    settle(see)
    picture = see.locator(".see-picture")
    assert picture.evaluate("c => c.drawn.label") == "P3 7x7 d3"
    row, column = picture.evaluate("c => c.drawn.cell")
    picture.focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowLeft"):
        picture.press(key)
    settle(see)
    assert picture.evaluate("c => c.drawn.cell") == [row + 2, column - 1]
    told = see.locator("#see-told")
    expect(told).to_contain_text(f"P3 7x7 d3, cell (row, column) {row + 2}, {column - 1}")
    expect(told).to_contain_text("pinned")
    for _ in range(60):
        picture.press("ArrowUp")
    settle(see)
    assert picture.evaluate("c => c.drawn.cell[0]") == 0
    picture.press("Escape")
    expect(told).to_contain_text("follows the pointer")


def test_the_table_says_what_the_panels_draw(see):
    point = point_to(see, 0.45, 0.55, first_picture().shape)
    analysis = first_look()
    rows = [line.split("\t") for line in see.locator(".see-rows").inner_text().splitlines()]
    assert len(rows) == 3
    for row, captures in zip(rows, views(analysis)):
        reads = reads_at(captures, point, analysis.dlka.letterbox)
        assert [int(n) for n in row[1].split(",")] == list(reads.cell)
        assert int(row[5]) == reads.zeros
        if not reads.composed:
            moved = np.hypot(*(reads.samples - reads.regular).T)
            assert float(row[3]) == pytest.approx(moved.mean(), abs=0.02)
            assert float(row[4]) == pytest.approx(moved.max() / reads.per_cell, abs=0.01)


def test_a_finger_chooses_a_cell(phone):
    page = phone
    box = page.locator(".see-picture").bounding_box()
    page.touchscreen.tap(box["x"] + 0.7 * box["width"], box["y"] + 0.6 * box["height"])
    expect(page.locator("#see-told")).to_contain_text("pinned")
    point = 0.7 * first_picture().shape[1], 0.6 * first_picture().shape[0]
    analysis = first_look()
    row, column = reads_at([analysis.dlka.captures[0]], point, analysis.dlka.letterbox).cell
    seen = panels(page)[0]["cell"]
    assert abs(seen[0] - row) <= 1
    assert abs(seen[1] - column) <= 1


def test_the_card_adds_up_for_the_cell_that_is_held(see):
    see.get_by_role("button", name="P3 7x7 d3").click()
    see.get_by_text("Arithmetic of one tap").click()
    point_to(see, 0.5, 0.5, first_picture().shape)
    see.mouse.down()
    see.mouse.up()
    settle(see)
    row, column = see.locator(".see-picture").evaluate("c => c.drawn.cell")
    card = see.locator(".see-card")
    card.get_by_text(f"cell ({row}, {column})").wait_for()
    see.locator(".see-channel").fill("7")
    see.locator(".see-channel").press("Enter")
    card.get_by_text(f"cell ({row}, {column}), channel 7").wait_for()
    see.locator(".see-picture").press("ArrowDown")
    card.get_by_text(f"cell ({row + 1}, {column}), channel 7").wait_for()
    see.locator(".see-tap").fill("99")
    see.locator(".see-tap").press("Enter")
    card.get_by_text("Tap: expected a whole number from 1 to 49; got '99'.").wait_for()


def test_what_influences_the_cell_is_shown_when_asked_for(see):
    see.get_by_text("What influences this cell").click()
    picture = see.locator(".see-seen img")
    picture.wait_for()
    first = picture.get_attribute("alt")
    point_to(see, 0.5, 0.5, first_picture().shape)
    see.mouse.down()
    see.mouse.up()
    expect(see.locator("#see-told")).to_contain_text("pinned")
    row, column = see.locator(".see-picture").evaluate("c => c.drawn.cell")
    expect(picture).not_to_have_attribute("alt", first)
    expect(picture).to_have_attribute("alt", re.compile(re.escape(f"P3, cell ({row}, {column})")))
    assert picture.evaluate("i => i.decode().then(() => i.naturalWidth)") > 300


def test_a_late_visitor_still_gets_the_first_comparison(browser, server, monkeypatch):
    """The page hands out what it was built with for as long as it runs, however many files were made since."""
    other = files.write(b"x", "other.txt")
    monkeypatch.setattr(temporary, "LIMIT", 1)
    files.write(b"x", "newest.txt")
    assert not Path(other).exists()
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.goto(server)
    page.wait_for_selector(".see-picture")
    open_tab(page, "See")
    ready(page)
    page.close()


def test_files_that_do_not_come_are_told(browser, server):
    page = browser.new_page()
    page.set_default_timeout(60_000)
    page.route("**/offsets.bin", lambda route: route.fulfill(status=404, body="gone"))
    page.goto(server)
    page.wait_for_selector(".see-picture")
    open_tab(page, "See")
    page.get_by_text("The offsets did not arrive: press Compare, or reload the page.").wait_for()
    assert not page.evaluate("() => !!document.querySelector('.see-picture').drawn")
    page.close()


def test_a_dragging_finger_asks_one_question_at_a_time(see):
    """Each question runs the network: what is asked while one is under way waits, and only the last of it is asked."""
    see.get_by_text("Arithmetic of one tap").click()
    see.locator(".see-card table").first.wait_for()
    asked, under_way, late = [], [], []

    def begin(route):
        asked.append(len(under_way))
        under_way.append(route)
        late.append(route) if not late else route.continue_()

    see.route("**/component_server**", begin)
    see.on("response", lambda response: "component_server" in response.url and under_way.pop())
    row, column = see.evaluate(
        """async () => {
        const c = document.querySelector('.see-picture'), b = c.getBoundingClientRect();
        for (let i = 0; i < 30; i++) {
          const at = {clientX: b.left + b.width * (0.2 + i / 60), clientY: b.top + b.height / 2, pointerType: 'touch'};
          c.dispatchEvent(new PointerEvent(i ? 'pointermove' : 'pointerdown', at));
          await new Promise(requestAnimationFrame);
        }
        return c.drawn.cell }"""
    )
    late[0].continue_()  # only now, when the finger has gone all its way
    see.locator(".see-card").get_by_text(f"cell ({row}, {column})").wait_for()
    assert asked == [0, 0], "none is asked while another is under way, and then the last one"
