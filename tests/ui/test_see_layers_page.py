"""What lies over the picture in See, in a real browser: the same fields, colours and places as Python's drawings."""

from __future__ import annotations

import numpy as np
import pytest
from playwright.sync_api import expect
from test_see_cells_page import first_look, settle

from dlka import palette, render
from dlka.analysis.analysis import Settings, analyse_pixels
from dlka.analysis.examples import examples
from dlka.images import read_image
from dlka.render.geometry import to_picture
from dlka.render.maps import diverging, sequential, wheel
from dlka.render.offsets import log_ratio

LAYER = """canvas => { const { cells, from, to, scale, title, arrows, ticks } = canvas.layer;
  const pixels = cells && [...cells.getContext('2d').getImageData(0, 0, cells.width, cells.height).data];
  return { pixels, size: cells && [cells.height, cells.width], from, to, scale, title, arrows, ticks } }"""


@pytest.fixture(scope="module")
def crowd():
    return analyse_pixels(read_image(examples()["Bus stop"]), Settings("head", "control"))


def choose(page, layer, view="P3 5x5"):
    """The layer that is shown, once it is there."""
    page.get_by_role("button", name=view, exact=True).click()
    page.locator(f"[name=see-layer][value={layer}]").check(force=True)
    expect(page.locator(".see-legend-title")).to_contain_text(":")
    settle(page)
    return page.locator(".see-picture").evaluate(LAYER)


def colours(layer):
    return np.array(layer["pixels"]).reshape(*layer["size"], 4)[..., :3]


def check(layer, wanted, off=0.005):
    """Every cell has its colour, but for what rounding to the next one of a table makes of a few."""
    away = np.abs(colours(layer).astype(int) - wanted.astype(int)).max(axis=-1)
    assert colours(layer).shape == wanted.shape
    assert (away > 4).mean() <= off, f"{(away > 4).mean():.2%} of the cells, up to {away.max()}"


def check_place(layer, analysis, capture):
    """The map lies where its first and its last cell are, to half a pixel of the screen."""
    letterbox, stride = analysis.dlka.letterbox, capture.stage.stride
    height, width = layer["size"]
    for corner, cell in (("from", (-0.5, -0.5)), ("to", (height - 0.5, width - 0.5))):
        wanted = to_picture(np.array(cell), stride, letterbox)
        assert layer[corner] == pytest.approx(wanted.tolist(), abs=0.01)


@pytest.mark.parametrize(("number", "view"), [(0, "P3 5x5"), (3, "P4 7x7 d3")])
def test_offset_fields_are_those_of_python(street, crowd, number, view):
    capture, captures = crowd.dlka.captures[number], crowd.dlka.captures
    length = choose(street, "length", view)
    scale = render.field_scale(captures, of_magnitude=True)
    assert length["scale"] == pytest.approx(scale)
    check(length, sequential(render.magnitude(capture), scale))
    check_place(length, crowd, capture)
    direction = choose(street, "direction", view)
    scale = render.field_scale(captures)
    assert direction["scale"] == pytest.approx(scale)
    check(direction, wheel(render.mean_offset(capture), scale))


def test_a_composed_view_says_whose_offsets_lie_under_it(page):
    note = page.locator(".see-legend-note")
    layer = choose(page, "length", "P3 composed")
    assert layer["title"].startswith("P3 7x7 d3: offset length")
    expect(note).to_contain_text("Composed paths have no offsets of their own")
    choose(page, "density", "P3 composed")
    expect(note).not_to_contain_text("no offsets of their own")


def test_one_tap_on_its_own_scale(page):
    choose(page, "length")
    page.locator(".see-tap-shown").fill("7")
    page.locator(".see-scale").select_option("own")
    settle(page)
    layer, capture = page.locator(".see-picture").evaluate(LAYER), first_look().dlka.captures[0]
    assert layer["title"] == "P3 5x5: offset length, tap 7"
    scale = render.field_scale([capture], 6, of_magnitude=True)
    assert layer["scale"] == pytest.approx(scale)
    check(layer, sequential(render.magnitude(capture, 6), scale))


def test_arrows_point_where_pythons_do(page):
    layer, analysis = choose(page, "arrows"), first_look()
    capture, letterbox = analysis.dlka.captures[0], analysis.dlka.letterbox
    canvas = render.offset_arrows(analysis.image, capture, letterbox, render.field_scale(analysis.dlka.captures))
    drawn = canvas.axes.collections[0]
    starts = np.array([arrow["from"] for arrow in layer["arrows"]])
    moved = np.array([arrow["to"] for arrow in layer["arrows"]]) - starts
    assert np.abs(starts - drawn.get_offsets()).max() < 0.01
    assert np.abs(moved - np.stack([drawn.U, drawn.V], axis=1)).max() < 0.05


@pytest.mark.parametrize("reduction", ["mean", "mean abs", "max abs", "channel"])
def test_the_gate_is_that_of_python_on_a_scale_of_its_values(street, crowd, reduction):
    choose(street, "attention", "P4 5x5")
    street.locator(".see-reduction").select_option(reduction)
    if reduction == "channel":
        street.locator(".see-channel-shown").fill("5")
    street.wait_for_function("() => document.querySelector('.see-picture').layer.cells")
    settle(street)
    layer, gates = street.locator(".see-picture").evaluate(LAYER), crowd.dlka.gates
    channel = 5 if reduction == "channel" else None
    scale = render.gate_scale(gates if channel is None else [gates[1]], reduction, channel)
    assert layer["scale"] == pytest.approx(scale, abs=0.02 * (scale[1] - scale[0]))
    wanted = render.gate_colours(render.reduce_gate(gates[1].values, reduction, channel), layer["scale"])
    away = np.abs(colours(layer).astype(int) - wanted.astype(int)).max(axis=-1)
    assert np.percentile(away, 95) <= 12, "levels of a gate are an eighth of a byte's worth apart"
    assert [float(tick) for tick in layer["ticks"]] == pytest.approx([scale[0], sum(scale) / 2, scale[1]], abs=0.02)


def test_density_counts_what_python_counts(page):
    analysis = first_look()
    first, second = analysis.dlka.captures
    for view, counted in (
        ("P3 7x7 d3", render.sample_density([second], analysis.dlka.letterbox)),
        ("P3 composed", render.sample_density([first, second], analysis.dlka.letterbox)),
    ):
        check(choose(page, "density", view), diverging(log_ratio(*counted), 1.0, palette.DENSITY_MAP))


def test_closer_and_back(page):
    """The wheel, once the picture is worked in, keeps what is under the pointer; a drag moves, a double click zooms."""
    picture = page.locator(".see-picture")
    box = picture.bounding_box()
    at = box["x"] + 0.7 * box["width"], box["y"] + 0.4 * box["height"]

    def view():
        settle(page)
        return picture.evaluate("c => [c.drawn.left, c.drawn.top, c.drawn.scale]")

    def under():
        left, top, scale = view()
        return left + (at[0] - box["x"]) / scale, top + (at[1] - box["y"]) / scale

    whole, point = view(), under()
    page.mouse.move(*at)
    page.mouse.wheel(0, -300)
    assert view() == whole, "a page that is scrolled over the picture is scrolled"
    page.evaluate("() => scrollTo(0, 0)")
    page.get_by_role("button", name="Closer").click()
    assert view()[2] == pytest.approx(1.5 * whole[2])
    page.get_by_role("button", name="Farther").click()
    assert view() == pytest.approx(whole)
    page.mouse.dblclick(*at)
    assert view()[2] == pytest.approx(2 * whole[2])
    assert under() == pytest.approx(point, abs=0.5)
    page.mouse.wheel(0, -300)
    assert view()[2] > 2.5 * whole[2]
    assert under() == pytest.approx(point, abs=0.5)
    before, held = view(), page.locator("#see-told").inner_text()
    page.mouse.move(*at)
    page.mouse.down()
    page.mouse.move(at[0] - 60, at[1] - 30, steps=4)
    page.mouse.up()
    after = view()
    assert (after[0] - before[0]) * after[2] == pytest.approx(60, abs=1)
    assert (after[1] - before[1]) * after[2] == pytest.approx(30, abs=1)
    assert ("pinned" in held) == ("pinned" in page.locator("#see-told").inner_text()), "a drag is no click"


def test_what_only_one_found_is_a_row_that_chooses(street, crowd):
    only = [pair for pair in crowd.pairing.pairs if pair.kind.startswith("only")]
    row = street.locator(".see-only-row button")
    expect(row).to_have_count(min(len(only), 24))
    row.first.click()
    settle(street)
    first = only[0]
    shown, index = crowd.pairing.shown(first)
    name = crowd.names[int(shown.classes[index])]
    expect(row.first).to_contain_text(f"{name} {round(first.area**0.5)} px, {shown.scores[index]:.2f}")
    expect(street.locator("#see-told")).to_contain_text("pinned")


def test_fingers_zoom_and_move(phone):
    """Two of them keep what lies between them; one moves a picture that is larger than its frame, and holds no cell."""
    page = phone
    picture = page.locator(".see-picture")
    box, touch = picture.bounding_box(), page.context.new_cdp_session(page)

    def fingers(kind, *places):
        points = [{"x": box["x"] + x, "y": box["y"] + y, "id": i} for i, (x, y) in enumerate(places)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
        settle(page)

    def view():
        return picture.evaluate("c => [c.drawn.left, c.drawn.top, c.drawn.scale]")

    whole = view()
    fingers("touchStart", (100, 100))
    fingers("touchStart", (100, 100), (140, 100))
    fingers("touchMove", (80, 110), (160, 110))
    left, top, scale = view()
    assert scale == pytest.approx(2 * whole[2], rel=0.01)
    between = whole[0] + 120 / whole[2], whole[1] + 100 / whole[2]
    assert (left + 120 / scale, top + 110 / scale) == pytest.approx(between, abs=1)
    fingers("touchEnd")
    told = page.locator("#see-told").inner_text()
    fingers("touchStart", (150, 120))
    fingers("touchMove", (120, 100))
    fingers("touchEnd")
    assert view()[:2] == pytest.approx([left + 30 / scale, top + 20 / scale], abs=1)
    assert page.locator("#see-told").inner_text() == told


def test_options_stay_within_what_there_is(street):
    choose(street, "length", "P3 7x7 d3")
    tap = street.locator(".see-tap-shown")
    tap.fill("40.7")
    expect(street.locator(".see-legend-title")).to_have_text("P3 7x7 d3: offset length, tap 40")
    street.get_by_role("button", name="P3 5x5", exact=True).click()
    expect(street.locator(".see-legend-title")).to_have_text("P3 5x5: offset length, tap 25")
    expect(tap).to_have_value("25")


def test_dots_are_chosen_by_keys(page):
    page.locator(".see-dots").press("ArrowRight")
    expect(page.locator("#see-told")).to_contain_text("pinned")
    first = page.locator(".see-fact").inner_text()
    page.locator(".see-dots").press("ArrowRight")
    expect(page.locator(".see-fact")).not_to_have_text(first)
