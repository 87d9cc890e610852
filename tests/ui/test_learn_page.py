# ruff: noqa: RUF001 (× and − are the page's)
"""The page "Learn" in a real browser: its steps and the playground by mouse, keys and fingers; numbers of Python."""

from __future__ import annotations

import base64
import json
import re

import numpy as np
import pytest
from bilinear_read import read_bilinear
from ink import ink_map
from kernel_reach import hits
from learn_window import TOO_WIDE, go, kept_open, opened
from page_tabs import wait_until_it_fits
from playwright.sync_api import expect

from dlka.analysis.analysis import block_values
from dlka.analysis.see import quantised
from dlka.images import read_image
from dlka.inference.predictor import load_predictor
from dlka.models.catalog import DEFAULT
from dlka.ops.sampling import sampling_locations
from dlka.ui.learn import EXAMPLE_MAP, STEPS, example, words
from dlka.ui.learn.letters import five_sizes
from dlka.ui.learn.worksheet import path_counts

# More ink than before is on the sheet, and the model has seen it.
ASKED = """before => { const { map, places } = document.querySelector('.play-kernel').told;
  return places.trained && map.reduce((a, b) => a + b) > before + 0.1 }"""
# After a turn to a step of this title reader and focus are at its heading.
AT_THE_BEGINNING = """title => { const now = document.activeElement, { top } = now.getBoundingClientRect();
  return now.matches('.learn-step h2') && now.offsetParent && now.textContent === title && top >= 0 && top < 400 }"""


@pytest.fixture(scope="module")
def learn(browser, server):
    with kept_open(browser, server) as page:
        yield page


def told(page, place, text):
    page.locator(f".{place}").get_by_text(text).wait_for()


def frame(page):
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")


def test_a_letter_is_read_at_five_sizes_three_ways(learn):
    """Names, widths and places of the samples are those of the shipped reader."""
    go(learn, "letter")
    wanted, names = five_sizes(), {"own": "Its own offsets", "off": "Off", "another": "Another picture's"}
    for letter, way in (("E", "own"), ("E", "off"), ("H", "off"), ("H", "another"), ("H", "own")):
        learn.locator(".letter-choose").get_by_role("button", name=letter, exact=True).press("Enter")
        learn.locator(".letter-ways").get_by_role("button", name=names[way], exact=True).press("Enter")
        reads = wanted["ways"][way][letter]
        captions = learn.locator(".letter-row figcaption")
        for caption, read in zip(captions.all(), reads, strict=True):
            expect(caption).to_contain_text(f"{read['name']} {int(100 * read['share'] + 0.5)} %")
            expect(caption).to_contain_text(f"{read['zoom']:.2f}× the grid")
        last = np.array(reads[-1]["samples"])
        learn.wait_for_function(
            """last => [...document.querySelectorAll('.letter-row figure:last-child .letter-sample')].every((dot, i) =>
            Math.hypot(dot.cx.baseVal.value - last[i][0], dot.cy.baseVal.value - last[i][1]) < 0.01)""",
            arg=last.tolist(),
        )
    bars = learn.locator(".letter-bars p").all_inner_texts()
    assert [float(bar.split()[-2]) for bar in bars] == [round(100 * share, 1) for share in wanted["bars"].values()]
    assert len(learn.locator(".letter-wrong").all()) == sum(read["name"] != "H" for read in reads)


def test_taps_follow_the_sliders(learn):
    go(learn, "taps")
    learn.locator(".taps-kernel").press("End")
    learn.locator(".taps-dilation").press("End")
    told(learn, "taps-told", "7×7, dilation 4: 49 taps, so 49 weights per channel; reach (7 − 1) · 4 + 1 = 25 cells")
    expect(learn.locator(".taps-grid .tap")).to_have_count(49)
    learn.locator(".taps-kernel").press("Home")
    told(learn, "taps-told", "1×1, dilation 4: 1 taps")
    expect(learn.locator(".taps-grid .tap")).to_have_count(1)


def test_paths_are_counted_as_in_python(learn):
    go(learn, "stack")
    grid = learn.locator(".stack-grid")
    assert np.array_equal(grid.evaluate("g => g.counts"), path_counts().ravel())
    told(learn, "stack-told", "reach 5 + (7 − 1) · 3 = 23 cells; 74 weights per channel instead of 529; 1225 paths")
    rows = learn.locator(".stack-counts tr").all_inner_texts()
    assert [[int(n) for n in row.split()] for row in rows] == [[1, 121], [2, 264], [4, 144]]
    for key in ["ArrowUp"] * 7 + ["ArrowLeft"] * 7 + ["ArrowDown"]:
        grid.press(key)
    told(learn, "stack-tap", "Tap in row 2, column 1 of the 7×7 reads -6 rows and -9 columns from the middle")
    box = grid.bounding_box()
    learn.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    told(learn, "stack-tap", "Tap in row 4, column 4 of the 7×7 reads 0 rows and 0 columns from the middle")
    learn.locator(".stack-dilation").press("End")
    told(learn, "stack-told", "cells are never read, as dilation 6 is more than the first kernel's 5")
    assert np.array_equal(grid.evaluate("g => g.counts"), path_counts(5, 7, 6).ravel())
    learn.locator(".stack-dilation").press("Home")


def test_offsets_are_the_models_times_the_slider(learn):
    go(learn, "offsets")
    learn.wait_for_function("() => document.querySelector('.offsets-picture')?.told")
    picture, seen = learn.locator(".offsets-picture"), example.scene()
    first = picture.evaluate("c => c.told.cell")
    picture.press("ArrowDown")
    picture.press("ArrowLeft")
    learn.locator(".offsets-stage").select_option("P3 7x7 d3")
    learn.locator(".offsets-strength").press("End")
    told(learn, "offsets-told", f"P3 7x7 d3, cell (row {first[0] + 1}, column {first[1] - 1}), offsets × 2.00")
    state = picture.evaluate("c => c.told")
    assert state["cell"] == [first[0] + 1, first[1] - 1]
    capture = seen.capture(state["stage"])
    assert state["stage"] == "P3 7x7 d3"
    assert state["factor"] == 2
    stage = capture.stage
    wanted = sampling_locations(2 * capture.offset, stage.kernel, stage.step, stage.padding, stage.dilation)
    row, column = state["cell"]
    rounded = 0.51 * quantised(capture)[1]  # half a level, on the way to the browser
    assert np.abs(np.reshape(state["samples"], (-1, 2)) - wanted[:, :, row, column]).max() < 2 * rounded
    learn.locator(".offsets-strength").press("Home")
    told(learn, "offsets-told", f"P3 7x7 d3, cell (row {row}, column {column}), offsets × -1.00")
    mirrored = sampling_locations(-capture.offset, stage.kernel, stage.step, stage.padding, stage.dilation)
    samples = np.reshape(picture.evaluate("c => c.told.samples"), (-1, 2))
    assert np.abs(samples - mirrored[:, :, row, column]).max() < rounded
    canvas = picture.bounding_box()
    learn.mouse.click(canvas["x"] + 0.5 * canvas["width"], canvas["y"] + 0.1 * canvas["height"])
    learn.wait_for_function("old => document.querySelector('.offsets-picture').told.cell[0] !== old", arg=row)
    assert picture.evaluate("c => c.told.cell[0]") == pytest.approx(0.1 * capture.offset.shape[1], abs=1)


def test_a_point_between_cells_reads_what_python_reads(learn):
    go(learn, "corners")
    sheet, point = learn.locator(".corners-map"), learn.locator(".corners-point")

    def check():
        state = sheet.evaluate("s => s.told")
        assert state["read"] == pytest.approx(read_bilinear(EXAMPLE_MAP, state["y"], state["x"]), abs=1e-9)
        shown = float(learn.locator(".corners-rows tr").last.locator("td").last.inner_text())
        assert shown == pytest.approx(state["read"], abs=5e-4)
        y, x, step = state["y"], state["x"], 1e-6
        for word, further in (("down", (y + step, x)), ("right", (y, x + step))):
            slope = (read_bilinear(EXAMPLE_MAP, *further) - read_bilinear(EXAMPLE_MAP, y, x)) / step
            assert state[word] == pytest.approx(slope, abs=1e-4)
        return state

    before = check()
    point.press("ArrowDown")
    point.press("Shift+ArrowLeft")
    after = check()
    assert [after["y"], after["x"]] == pytest.approx([before["y"] + 0.1, before["x"] - 1])
    for _ in range(5):
        point.press("Shift+ArrowUp")
    assert check()["read"] == 0
    told(learn, "corners-told", "0, as the point is at or beyond −1 or 4.")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    at = [box["x"] + 0.5 * box["width"], box["y"] + 0.55 * box["height"]]
    learn.mouse.move(*at)
    learn.mouse.down()
    learn.mouse.move(at[0] + 0.2 * box["width"], at[1] - 0.1 * box["height"])
    learn.mouse.up()
    wanted = [-1.6 + 0.45 * 6.2, -1.6 + 0.7 * 6.2]
    learn.wait_for_function("x => Math.abs(document.querySelector('.corners-map').told.x - x) <= 0.05", arg=wanted[1])
    state = check()
    assert [state["y"], state["x"]] == pytest.approx(wanted, abs=0.05)


def test_gate_times_input_is_the_product_of_the_network(learn):
    go(learn, "gate")
    told(
        learn, "gate-told", "channel "
    )  # what it opens with is there: its answer does not come after that to channel 7
    channel = learn.locator(".gate-channel")
    channel.fill("7")
    channel.press("Enter")
    told(learn, "gate-told", "channel 7:")
    learn.locator(".gate-maps").press("ArrowUp")
    seen = example.scene()
    values = block_values(seen.key, seen.dlka.gates[0].block)
    row = values.gate.shape[1] // 2 - 1
    told(learn, "gate-told", f"row {row}, column ")
    text = learn.locator(".gate-told").inner_text()
    column = int(re.search(r"column (\d+)", text)[1])
    figures = [float(n) for n in re.findall(r"-?\d+\.\d{3}", text)]
    wanted = [v[7, row, column] for v in (values.gated, values.gate, values.gated * values.gate)]
    assert figures == pytest.approx(wanted, abs=6e-4)
    added = [float(n) for n in re.findall(r"-?\d+\.\d{3}", learn.locator(".gate-residual").inner_text())]
    put_in, out = values.input[7, row, column], values.output[7, row, column]
    assert added == pytest.approx([out - put_in, put_in, out], abs=6e-4)
    learn.locator(".gate-show").select_option("mean")
    told(learn, "gate-told", "means over channels")
    mean = float(re.search(r"gate (-?\d+\.\d{3}),", learn.locator(".gate-told").inner_text()).group(1))
    assert mean == pytest.approx(values.gate[:, row, column].mean(), abs=6e-4)


def test_small_objects_on_three_levels(learn):
    go(learn, "levels")
    size = learn.locator(".levels-size")
    size.press("Home")
    for _ in range(8):
        size.press("ArrowRight")
    told(learn, "levels-told", "An object of 12 px")
    rows = [row.split("\t") for row in learn.locator(".levels-rows tr").all_inner_texts()]
    for row, stride in zip(rows, (8, 16, 32)):
        assert float(row[2]) == pytest.approx(12 / stride, abs=0.005)
        assert [int(row[4]), int(row[5])] == [hits(5, 1, 12 / stride), hits(7, 3, 12 / stride)]
    size.press("End")
    told(learn, "levels-told", "An object of 96 px")
    rows = [row.split("\t") for row in learn.locator(".levels-rows tr").all_inner_texts()]
    assert [int(row[5]) for row in rows] == [hits(7, 3, 96 / stride) for stride in (8, 16, 32)]
    learn.locator(".levels-stages tr").nth(1).wait_for()
    real = [row.split("\t") for row in learn.locator(".levels-stages tr").all_inner_texts()]
    wanted = [[r[0], f"{r[1]} ({r[3]})", f"{r[2]} ({r[4]})"] for r in example.see_small({})["rows"]]
    assert [[cell.strip() for cell in row] for row in real] == wanted
    learn.get_by_role("button", name="P3 7x7 d3").press("Enter")
    expect(learn.locator(".levels-small")).to_have_attribute("alt", re.compile("7x7"))
    assert learn.locator(".levels-small").evaluate("i => i.decode().then(() => i.naturalWidth)") > 300


def test_of_two_stages_the_one_that_is_chosen_last_is_shown(browser, server):
    """Although the picture of the first one is late."""
    page = opened(browser, server)
    late = []

    def hold(route):
        held = "see_small_picture" in (route.request.post_data or "") and not late
        late.append(route) if held else route.continue_()

    page.route("**/component_server**", hold)
    go(page, "levels")
    page.get_by_role("button", name="P3 7x7 d3").press("Enter")
    picture = page.locator(".levels-small")
    expect(picture).to_have_attribute("alt", re.compile("7x7"))
    with page.expect_response(lambda answer: answer.request == late[0].request) as answer:
        late[0].continue_()
    answer.value.finished()
    frame(page)
    assert "7x7" in picture.get_attribute("alt")
    assert page.strangers == page.errors == []
    page.context.close()


def open_playground(page):
    """Open it; returns what it sends to the server, a list that grows."""
    sent = []
    page.on("request", lambda r: sent.append(r.post_data) if "component_server" in r.url else None)
    page.locator(".learn-steps a").last.press("Enter")
    page.wait_for_function("() => document.querySelector('.play-kernel')?.told?.places.trained")
    return sent


def check_playground(page, sent):
    """Readings, map and trained places are Python's, for the drawing that was sent last."""
    state = page.locator(".play-kernel").evaluate("k => k.told")
    drawing = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", json.dumps(json.loads(sent[-1])))[-1]
    image = read_image(base64.b64decode(drawing))
    ink = ink_map(image)
    assert np.abs(np.reshape(state["map"], ink.shape) - ink).max() < 1e-9
    for which in ("regular", "hand", "trained"):
        wanted = [read_bilinear(ink, y, x) for y, x in state["places"][which]]
        assert np.abs(np.array(state["reads"][which]) - wanted).max() < 1e-6
    capture = load_predictor(DEFAULT)[0].predict(image, size=320).captures[0]
    stage, (row, column) = capture.stage, state["cell"]
    places = sampling_locations(capture.offset, stage.kernel, stage.step, stage.padding, stage.dilation)
    apart = np.abs(np.array(state["places"]["trained"]) - places[:, :, row, column]).max()
    assert apart < 0.51 * quantised(capture)[1]
    return state


def test_taps_of_the_playground_by_mouse_and_keys(learn):
    sent = open_playground(learn)
    state = check_playground(learn, sent)
    assert state["places"]["hand"] == state["places"]["regular"]
    tap = learn.locator(".play-tap").nth(12)
    box = tap.bounding_box()
    at = [box["x"] + box["width"] / 2, box["y"] + box["height"] / 2]
    cell = learn.locator(".play-kernel").bounding_box()["width"] / 13
    learn.mouse.move(*at)
    learn.mouse.down()
    learn.mouse.move(at[0] + 1.5 * cell, at[1] - 3 * cell, steps=4)
    learn.mouse.up()
    frame(learn)
    y, x = check_playground(learn, sent)["places"]["hand"][12]
    assert [y, x] == pytest.approx([20 - 3, 20 + 1.5], abs=0.1)
    learn.keyboard.press("ArrowDown")  # the tap that was dragged has the focus
    learn.keyboard.press("Shift+ArrowRight")
    frame(learn)
    moved = check_playground(learn, sent)
    assert moved["places"]["hand"][12] == pytest.approx([y + 0.1, x + 1], abs=1e-6)
    read = read_bilinear(np.reshape(moved["map"], (40, 40)), *moved["places"]["hand"][12])
    assert f"reads {read:.3f}"[:9] in tap.get_attribute("aria-label")
    learn.get_by_role("button", name="As trained").press("Enter")
    frame(learn)
    state = check_playground(learn, sent)
    assert np.allclose(state["places"]["hand"], state["places"]["trained"], atol=1e-3)
    learn.locator(".play-weights").select_option("mean_abs")
    frame(learn)
    state = check_playground(learn, sent)
    assert sum(state["weights"]) == pytest.approx(1)
    sums = re.findall(r"\d\.\d{3}", learn.locator(".play-told").inner_text())
    wanted = [np.dot(state["weights"], state["reads"][which]) for which in ("regular", "hand", "trained")]
    assert [float(s) for s in sums] == pytest.approx(wanted, abs=6e-4)


def test_the_sheet_is_drawn_on_by_mouse_and_by_keys(learn):
    sent = open_playground(learn)
    learn.get_by_role("button", name="Clear").press("Enter")
    learn.wait_for_function("() => document.querySelector('.play-kernel').told.map.every(v => v === 0)")
    learn.get_by_role("button", name="Dot", exact=True).press("Enter")
    learn.locator(".play-width").press("End")
    sheet = learn.locator(".play-sheet")
    sheet.scroll_into_view_if_needed()
    box = sheet.bounding_box()
    learn.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    learn.wait_for_function(ASKED, arg=0)
    state = check_playground(learn, sent)
    assert sum(state["map"]) * 64 == pytest.approx(np.pi * 20**2, rel=0.01)  # a dot of 40 px
    learn.get_by_role("button", name="Line", exact=True).press("Enter")
    learn.locator(".play-width").press("Home")
    for key in ["ArrowUp"] * 3 + ["Enter"] + ["Shift+ArrowUp"] * 5 + ["Enter"]:
        sheet.press(key)
    told(learn, "play-pen", "px, up.")
    learn.wait_for_function(ASKED, arg=sum(state["map"]))
    grown = check_playground(learn, sent)
    more = (sum(grown["map"]) - sum(state["map"])) * 64
    assert 2 * 60 < more < 2 * 85  # a line of 80 px, 2 px wide, that begins in the dot
    learn.get_by_role("button", name="Choose the cell").press("Enter")
    for key in ("ArrowUp", "ArrowLeft", "ArrowLeft"):
        sheet.press(key)
    frame(learn)
    assert check_playground(learn, sent)["cell"] == [19, 18]


def test_on_a_phone_everything_fits_and_a_finger_drags(browser, server):
    page = opened(browser, server, viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    for step in STEPS:
        go(page, step)
        page.wait_for_function(AT_THE_BEGINNING, arg=words()[step]["title"])
        expect(page.locator(".learn-step:visible [aria-busy]")).to_have_count(0)  # what it asks the server for has come
        wait_until_it_fits(page)
        page.wait_for_function(f"() => !({TOO_WIDE})().length")
    sent = open_playground(page)
    wait_until_it_fits(page)
    page.wait_for_function(f"() => !({TOO_WIDE})().length")
    kernel = page.locator(".play-kernel")
    kernel.scroll_into_view_if_needed()
    box = kernel.bounding_box()
    cell = box["width"] / 13
    at = {"x": box["x"] + 6.5 * cell, "y": box["y"] + 6.5 * cell}
    touch = page.context.new_cdp_session(page)
    for kind, dx in (("touchStart", 0), ("touchMove", 1), ("touchMove", 2.5), ("touchEnd", None)):
        points = [] if dx is None else [{"x": at["x"] + dx * cell, "y": at["y"]}]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    page.wait_for_function("() => document.querySelector('.play-kernel').told.places.hand[12][1] > 22")
    assert check_playground(page, sent)["places"]["hand"][12] == pytest.approx([20, 22.5], abs=0.15)
    assert page.strangers == page.errors == []
    page.context.close()
