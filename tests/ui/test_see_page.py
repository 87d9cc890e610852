"""What the page opens with: samples that move from the grid to where they were learned, for a chosen object."""

from __future__ import annotations

import json
import re
from urllib.parse import urlsplit

import cv2
import numpy as np
import pytest
from page_tabs import COLD, choose_example, shown_key, wait_for_another
from playwright.sync_api import expect
from test_page import upload
from test_see_cells_page import DRAWN, first_look, settle

from dlka import palette
from dlka.inference.kernel_shape import axis_spreads
from dlka.render.geometry import reads_at, to_picture
from dlka.types import BOTH, ONLY_FIRST, ONLY_SECOND
from dlka.ui.files import see_value

AMOUNT = "() => document.querySelector('.see-picture')?.drawn?.amount"


@pytest.fixture
def see(new_window, server):
    """The page as a visitor finds it who does not want motion."""
    with new_window() as page:
        page.goto(server)
        page.wait_for_function(AMOUNT, timeout=COLD)
        settle(page)
        yield page


def chosen(analysis):
    return json.loads(see_value(analysis, (0, 0)))["chosen"]


def drawn(page, canvas=".see-picture"):
    seen = page.locator(canvas).evaluate(DRAWN)
    return {**seen, **{name: np.array(seen[name]) for name in ("regular", "samples")}}


def zoom(analysis, point):
    """How wide the first stage samples for the cell at a point, against its grid."""
    reads = reads_at(analysis.dlka.captures[:1], point, analysis.dlka.letterbox)
    return float(np.hypot(*axis_spreads(reads.samples)) / np.hypot(*axis_spreads(reads.regular)))


def test_samples_move_once_from_the_grid_to_where_they_were_learned(browser, server):
    context = browser.new_context(viewport={"width": 1440, "height": 900}, reduced_motion="no-preference")
    page = context.new_page()
    page.add_init_script(
        """window.amounts = []; (function note() {
        const d = document.querySelector('.see-picture')?.drawn;
        if (d && d.amount !== amounts.at(-1)?.amount) {
          const far = d.samples.map(([x, y], i) => Math.hypot(x - d.regular[i][0], y - d.regular[i][1]));
          amounts.push({ amount: d.amount, far: Math.max(...far) });
        }
        requestAnimationFrame(note); })()"""
    )
    page.goto(server)
    page.wait_for_function(f"() => ({AMOUNT})() === 1", timeout=COLD)
    assert urlsplit(page.url).query == "", "a page that nobody has touched keeps its plain address"
    frames = page.evaluate("() => amounts")
    assert frames[0] == {"amount": 0, "far": 0}
    amounts, far = ([frame[name] for frame in frames] for name in ("amount", "far"))
    assert amounts == sorted(amounts)
    assert far == pytest.approx([far[-1] * amount for amount in amounts], abs=1e-6)
    assert far[-1] > 5
    page.get_by_role("button", name="Once more").click()
    page.wait_for_function("() => amounts.filter(({ amount }) => amount === 1).length === 2")
    context.close()


def test_the_chosen_object_is_the_one_that_the_samples_are_of(see):
    analysis = first_look()
    pair = analysis.pairing.pairs[chosen(analysis)]
    assert pair.first is not None
    found = analysis.dlka.detections
    seen = drawn(see)
    assert seen["cell"] == found.cells[pair.first].tolist()
    assert drawn(see, ".see-close")["cell"] == seen["cell"]
    large = analysis.pairing.pairs[-1].first
    points = [to_picture(found.cells[i], 2 ** found.levels[i], analysis.dlka.letterbox) for i in (pair.first, large)]
    expect(see.locator(".see-fact")).to_have_text(
        f"P3 5x5 draws together to {zoom(analysis, points[0]):.2f} times its grid on the "
        f"{analysis.names[int(found.classes[pair.first])]} of {round(pair.area**0.5)} px, and "
        f"stays at {zoom(analysis, points[1]):.2f} times its grid on the "
        f"{analysis.names[int(found.classes[large])]} of "
        f"{round(analysis.pairing.pairs[-1].area ** 0.5)} px."
    )


def test_a_dot_of_the_diagram_chooses_its_object(see):
    analysis = first_look()
    dots = see.locator(".see-dots")
    dots.scroll_into_view_if_needed()
    # The largest object is the dot that lies farthest to the right: its kernel is as wide as the grid.
    box, found = dots.bounding_box(), analysis.dlka.detections
    large = analysis.pairing.pairs[-1].first
    point = to_picture(found.cells[large], 2 ** found.levels[large], analysis.dlka.letterbox)
    for y in range(0, int(box["height"]), 6):
        see.mouse.move(box["x"] + box["width"] * 0.93, box["y"] + y)
        settle(see)
        if dots.evaluate("c => c.style.cursor") == "pointer":
            break
    see.mouse.down()
    see.mouse.up()
    settle(see)
    assert drawn(see)["cell"] == found.cells[large].tolist()
    expect(see.locator("#see-told")).to_contain_text("pinned")
    wanted = f"P3 5x5 stays at {zoom(analysis, point):.2f} times its grid on the "
    expect(see.locator(".see-fact")).to_have_text(re.compile("^" + re.escape(wanted) + "[^,]*$"))


def test_the_slider_and_exaggeration_move_the_drawing_and_no_number(see):
    told, before = see.locator("#see-told").inner_text(), drawn(see)
    moved = before["samples"] - before["regular"]
    see.get_by_label("Samples from the grid").fill("0.5")
    settle(see)
    assert drawn(see)["samples"] == pytest.approx(before["regular"] + 0.5 * moved)
    see.get_by_label("exaggerate").check()
    settle(see)
    assert drawn(see)["samples"] == pytest.approx(before["regular"] + 2 * moved)
    assert see.locator("#see-told").inner_text() == told


def test_boxes_are_drawn_where_they_were_found(see):
    """The largest one's left edge has the D-LKA model's colour, unless only the chosen object's box is asked for."""
    see.get_by_label("Samples from the grid").fill("0")
    analysis = first_look()
    pixels = (
        "([c, x, y, r]) => [...c.getContext('2d').getImageData(Math.round(x * r) - 2, Math.round(y * r), 5, 1).data]"
    )
    pair = analysis.pairing.pairs[-1]
    box, seen = analysis.dlka.detections.boxes[pair.first].astype(float), drawn(see)
    at = (box[0] - 0.5 - seen["left"]) * seen["scale"], ((box[1] + box[3]) / 2 - seen["top"]) * seen["scale"]
    canvas = see.locator(".see-picture").element_handle()
    ratio = see.evaluate("() => devicePixelRatio")

    accent = np.array([int(palette.DLKA[i : i + 2], 16) for i in (1, 3, 5)])

    def away():
        """How far the likest of five pixels across the edge is from the accent."""
        settle(see)
        seen = np.array(see.evaluate(pixels, [canvas, *map(float, at), ratio])).reshape(-1, 4)[:, :3]
        return np.abs(seen - accent).max(axis=1).min()

    assert away() < 50
    see.locator(".see-boxes").select_option("none")
    assert away() > 50


def test_objects_for_the_browser_are_those_of_the_pairing():
    analysis = first_look()
    given = json.loads(see_value(analysis, (0, 0)))["objects"]
    assert [each["kind"] for each in given] == [pair.kind for pair in analysis.pairing.pairs]
    for each, pair in zip(given, analysis.pairing.pairs):
        assert (each["dlka"] is None, each["baseline"] is None) == (pair.first is None, pair.second is None)
        assert each["size"] == pytest.approx(pair.area**0.5, abs=0.06)
        if pair.first is not None:
            assert each["dlka"][:4] == pytest.approx(analysis.dlka.detections.boxes[pair.first].tolist(), abs=0.01)
            assert each["level"] == f"P{analysis.dlka.detections.levels[pair.first]}"
    assert {BOTH, ONLY_FIRST, ONLY_SECOND} & {each["kind"] for each in given}


def test_without_stages_boxes_and_gates_are_there_still(new_window, server):
    """As for a twin in which nothing moves: the page's script is told that there are no stages."""
    with new_window() as page:
        page.add_init_script(
            """const parse = JSON.parse;
            JSON.parse = (...given) => {
              const value = parse(...given);
              if (value?.gate_values) value.stages = [];
              return value;
            }"""
        )
        page.goto(server)
        page.locator(".see-none").wait_for(timeout=COLD)
        page.wait_for_function("() => document.querySelector('.see-picture').drawn")
        settle(page)
        expect(page.locator(".see-close")).to_be_hidden()
        expect(page.get_by_text("Offset length")).to_be_hidden()
        page.locator("[name=see-layer][value=attention]").check(force=True)
        page.wait_for_function("() => document.querySelector('.see-picture').layer?.cells")
        expect(page.locator(".see-legend-title")).to_have_text(re.compile("^P3: attention gate, mean over"))
        expect(page.locator(".see-fact")).to_contain_text("labelled objects both found")
        names = page.locator(".see .take-which option").all_inner_texts()
        assert names[0] == "Boxes of D-LKA"
        assert "Attention map" in names


def test_the_same_picture_stays_where_it_was_looked_at(street):
    picture, before = street.locator(".see-picture"), shown_key(street)
    cell = picture.evaluate("c => c.drawn.cell")
    for _ in range(8):
        if street.locator(".see-zoom-in").is_enabled():
            street.locator(".see-zoom-in").click()
    settle(street)
    assert street.locator(".see-zoom-in").is_disabled()
    scale = picture.evaluate("c => c.drawn.scale")
    street.locator("#strength input[type=number]").fill("0")
    street.keyboard.press("Tab")
    wait_for_another(street, before)
    assert picture.evaluate("c => c.drawn.scale") == pytest.approx(scale)
    moved = np.subtract(picture.evaluate("c => c.drawn.cell"), cell)
    assert np.abs(moved).max() <= 1, "the same object, whose box may come from the cell beside it"
    expect(street.locator(".see-counts")).to_contain_text("does not need its offsets")
    picture.press("Enter")  # holds the cell
    before, cell = shown_key(street), picture.evaluate("c => c.drawn.cell")
    street.wait_for_function("() => new URLSearchParams(location.search).has('cell')")
    street.locator("#strength input[type=number]").fill("2")
    street.keyboard.press("Tab")
    wait_for_another(street, before)
    assert picture.evaluate("c => c.drawn.cell") == cell
    expect(street.locator("#see-told")).to_contain_text("pinned")
    street.wait_for_function("cell => new URLSearchParams(location.search).get('cell') === cell.join()", arg=cell)


def test_a_scene_opens_with_its_first_stage_whatever_was_seen_before(street):
    street.get_by_role("button", name="P5 composed").click()
    before = shown_key(street)
    choose_example(street, "Drawn scene: letters and curves")
    wait_for_another(street, before)
    settle(street)
    expect(street.locator(".see-panels [aria-pressed=true]")).to_have_text("P3 5x5")


def test_a_strip_is_not_drawn_as_a_line(page):
    before = shown_key(page)
    upload(page, cv2.imencode(".png", np.full((60, 4000, 3), 90, np.uint8))[1].tobytes(), "strip.png")
    wait_for_another(page, before)
    settle(page)
    box = page.locator(".see-picture").bounding_box()
    assert box["height"] >= 50
    assert box["width"] / box["height"] == pytest.approx(4000 / 60, rel=0.05)
    page.wait_for_function("() => document.documentElement.scrollWidth <= innerWidth")
    point = page.evaluate(
        "() => { const s = document.querySelector('.see-scroll'); return s.scrollLeft / s.scrollWidth }"
    )
    assert 0.2 < point < 0.8, "it opens where it is looked at: in the middle, as nothing is found here"
