"""The sheet: where the picture lies, clicks, legend, and the three kinds of output."""

from __future__ import annotations

import re
import threading
import xml.etree.ElementTree as ElementTree

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.axis import Axis
from render_builders import picture

from dlka import palette
from dlka.render import Canvas, View, legend
from dlka.render.boxes import leader, overlap, place_labels
from dlka.render.canvas import Paper
from dlka.render.legend import SAMPLE, draw_marks
from dlka.render.picture import muted, resample, whole


def test_picture_stands_pixel_for_pixel_above_the_legend():
    image = picture(60, 80)
    canvas = Canvas(image, width=80)
    legend.title(canvas, "A title")
    legend.finish(canvas)
    out = canvas.to_array()
    assert out.shape == (60 + canvas.strip_height, 80, 3)
    np.testing.assert_array_equal(out[:60], image)
    assert (out[-1] == 255).all()


@pytest.mark.parametrize(("height", "width"), [(8, 8), (480, 640), (1080, 810), (3000, 200), (20, 2000), (333, 517)])
def test_sheet_sizes(height, width):
    canvas = Canvas(picture(height, width), width=480)
    assert canvas.width <= 480
    assert canvas.picture_height <= 1.15 * 480 + 1
    assert canvas.scale == pytest.approx(canvas.picture_height / height, rel=0.1, abs=0.05)
    assert canvas.to_array().shape[:2] == (canvas.picture_height + canvas.strip_height, canvas.width)


@given(
    height=st.integers(8, 2500),
    width=st.integers(8, 2500),
    across=st.floats(0, 1, exclude_max=True),
    down=st.floats(0, 1, exclude_max=True),
)
@settings(deadline=None, max_examples=25)
def test_click_round_trip(height, width, across, down):
    """The click on the sheet where matplotlib draws an original point gives that point back."""
    canvas = Canvas(np.zeros((height, width, 3), np.uint8), width=360)
    legend.title(canvas, "below")
    x, y = across * (width - 1), down * (height - 1)
    from_left, from_bottom = canvas.axes.transData.transform((x, y))  # edges of sheet pixels, from the bottom
    total = canvas.picture_height + canvas.strip_height
    back = canvas.pixel_of(from_left - 0.5, total - from_bottom - 0.5)
    assert back == pytest.approx((x, y), abs=1e-3)


def test_clicks_beside_the_picture_are_none():
    canvas = Canvas(picture(1000, 100), width=400)  # stands in the middle of a sheet of 240
    legend.title(canvas, "below")
    assert canvas.left > 0
    middle = canvas.picture_height / 2
    assert canvas.pixel_of(canvas.width / 2, middle) is not None
    assert canvas.pixel_of(canvas.left - 2, middle) is None
    assert canvas.pixel_of(canvas.width / 2, canvas.picture_height + 1) is None
    closeup = Canvas(picture(50, 50), 200, View(-20, -20, 30, 30))
    assert closeup.pixel_of(10, 10) is None  # paper beyond the picture's corner
    assert closeup.pixel_of(100 - 0.5, 100 - 0.5) == pytest.approx((5, 5))


def test_view_is_placed_exactly():
    image = np.zeros((40, 60, 3), np.uint8)
    image[10:20, 20:30] = 255
    out = resample(image, View(15 - 0.5, 5 - 0.5, 35 - 0.5, 25 - 0.5), 400, 400)  # 20x; far enlarged: nearest
    lit = np.argwhere(out[..., 0] > 127)
    assert lit.min(0).tolist() == [100, 100]
    assert lit.max(0).tolist() == [299, 299]
    beyond = resample(image, View(-10.5, -10.5, 9.5, 9.5), 100, 100)
    assert (beyond[:50] == beyond[0, 0]).all()
    assert not beyond[50:, 50:].any()


def test_shrunk_views_keep_their_place():
    """A blob's centre of mass stays where the view says, also when the picture is shrunk before it is cut out."""
    image = np.zeros((900, 1200, 3), np.uint8)
    cv2.circle(image, (700, 400), 60, (255, 255, 255), -1)
    view = View(-100.0, -50.0, 1300.0, 1000.0)
    out = resample(image, view, 280, 210)[..., 0].astype(float)
    out[: round(50 * 0.2) + 1], out[-22:], out[:, :21], out[:, -21:] = 0, 0, 0, 0  # the paper around
    y, x = (np.indices(out.shape) * out).sum((1, 2)) / out.sum()
    assert x == pytest.approx((700 + 100) * 0.2 - 0.5, abs=0.15)
    assert y == pytest.approx((400 + 50) * 0.2 - 0.5, abs=0.15)


@pytest.mark.parametrize("corner", [(0, 0), (331, 256), (800, 500)])
def test_a_shrunk_cut_out_is_the_shrunk_part_alone(corner):
    """Only what is seen is shrunk: the picture around a cut-out may not move it."""
    left, top = corner
    image = cv2.resize(picture(30, 40), (1200, 900), interpolation=cv2.INTER_CUBIC)
    view = View(left - 0.5, top - 0.5, left + 400 - 0.5, top + 400 - 0.5)
    alone = cv2.resize(image[top : top + 400, left : left + 400], (100, 100), interpolation=cv2.INTER_AREA)
    difference = np.abs(resample(image, view, 100, 100).astype(int) - alone)[2:-2, 2:-2]
    assert difference.max() <= 4


def test_marks_have_the_right_pixels():
    canvas = Canvas(np.zeros((50, 100, 3), np.uint8), width=400)
    draw_marks(canvas.axes, np.array([[30.0, 20.0]]), SAMPLE, 10, 2)
    out = canvas.to_array().astype(int)
    rows, columns = np.nonzero(np.abs(out - [0xD5, 0x5E, 0x00]).sum(2) < 40)
    assert columns.mean() == pytest.approx((30 + 0.5) * 4 - 0.5, abs=0.5)
    assert rows.mean() == pytest.approx((20 + 0.5) * 4 - 0.5, abs=0.5)


def test_marks_outside_are_clipped():
    canvas = Canvas(np.zeros((50, 50, 3), np.uint8), width=200)
    legend.title(canvas, " ")
    blank = canvas.to_array()
    draw_marks(canvas.axes, np.array([[25.0, 60.0], [25.0, 56.0], [-30.0, 10.0]]), SAMPLE, 8, 2)
    np.testing.assert_array_equal(canvas.to_array(), blank)


def test_outputs_agree_and_parse():
    canvas = Canvas(picture(60, 80), width=200)
    legend.title(canvas, r"$\frac{$ costs 5 & <more>")
    draw_marks(canvas.axes, np.array([[30.0, 20.0]]), SAMPLE, 8, 2)
    array = canvas.to_array()
    decoded = cv2.imdecode(np.frombuffer(canvas.to_png(), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(decoded, array)
    root = ElementTree.fromstring(canvas.to_svg())
    size = [float(re.match(r"[\d.]+", root.get(k)).group()) for k in ("width", "height")]
    assert size == pytest.approx([array.shape[1], array.shape[0]], abs=0.01)
    tags = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert {"image", "path", "use"} <= tags
    np.testing.assert_array_equal(canvas.to_array(), array)  # an SVG on the way changes nothing


def test_svg_holds_the_picture_the_right_way_up():
    import base64

    image = np.zeros((40, 40, 3), np.uint8)
    image[:20] = 200
    svg = Canvas(image, width=40).to_svg().decode()
    data = re.search(r"base64,\s*([A-Za-z0-9+/=\s]+)\"", svg).group(1)
    inner = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    flipped = "scale(1 -1)" in svg
    top = inner[-1] if flipped else inner[0]
    assert (top == 200).all()


def test_legend_fits_and_is_kept_as_text():
    paper = Paper(360, 10)
    sentence = "a sentence that is far too long for one line of a narrow sheet " * 3
    legend.title(paper, "Title", "subtitle")
    legend.note(paper, sentence)
    legend.key(paper, [legend.Entry(f"entry number {i}", SAMPLE) for i in range(6)])
    legend.colour_bar(paper, np.zeros((256, 3), np.uint8), [["0", "1", "2 cells"], ["0", "8", "16 px"]])
    legend.finish(paper)
    assert paper.legend_text.splitlines()[:2] == ["Title", "subtitle"]
    assert "0 | 8 | 16 px" in paper.legend_text
    paper.to_array()
    renderer = paper.figure.canvas.get_renderer()
    for text in paper.strip.texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0
        assert box.x1 <= 360
        assert box.y0 >= 0
        assert box.y1 <= paper.strip_height
        assert text.get_fontsize() >= 0.8 * palette.FONT_SIZE  # readable at 360 px


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (1.0, "1"),
        (0.632, "0.63"),
        (17.34, "17.3"),
        (123.4, "123"),
        (-0.5, "-0.5"),
        (0.0012, "0.0012"),
        (1e30, "1.0e+30"),
    ],
)
def test_numbers_for_people(value, text):
    assert legend.number(value) == text


@given(data=st.data())
@settings(deadline=None, max_examples=40)
def test_labels_cover_nothing_small(data):
    n = data.draw(st.integers(1, 25))
    rng = np.random.default_rng(data.draw(st.integers(0, 10**6)))
    corner, size = rng.uniform(0, 560, (n, 2)), rng.uniform(4, 300, (n, 2))
    boxes = np.hstack([corner, np.minimum(corner + size, 600)])
    sizes = np.column_stack([rng.uniform(40, 120, n), np.full(n, 18.0)])
    places = place_labels(boxes, sizes, (600, 600), 3)
    placed = np.array([p for p in places if p is not None]).reshape(-1, 4)
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    small = boxes[areas < 2 * sizes[:, 0].min() * 18]
    for i, rect in enumerate(placed):
        assert rect.min() >= 0
        assert rect.max() <= 600
        assert not overlap(rect, np.delete(placed, i, axis=0)).any()
        assert not overlap(rect, small).any()


def test_leader_joins_label_and_box():
    assert leader((0, 0, 10, 5), np.array([20, 30, 40, 50])).tolist() == [[10, 5], [20, 30]]
    assert leader((22, 0, 30, 5), np.array([20, 30, 40, 50])).tolist() == [[26, 5], [26, 30]]


def test_nothing_is_drawn_in_place():
    image = picture(40, 50)
    before = image.copy()
    canvas = Canvas(image, width=50)
    canvas.tint(np.zeros((1, 1, 3), np.uint8), np.zeros(40, int), np.zeros(50, int), 0.5)
    muted(image)
    resample(image, whole(image), 50, 40)
    canvas.to_array()
    np.testing.assert_array_equal(image, before)


def test_wrong_pictures_are_refused():
    for wrong in (
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((4, 4, 3)),
        np.zeros((0, 4, 3), np.uint8),
    ):
        with pytest.raises(ValueError, match="expected a picture"):
            Canvas(wrong)


def test_threads_draw_the_same():
    def draw():
        canvas = Canvas(picture(60, 80), width=200)
        legend.title(canvas, "The same in every thread", "0.5 cells = 4 px")
        draw_marks(canvas.axes, np.array([[30.0, 20.0]]), SAMPLE, 8, 2)
        return canvas.to_array()

    expected, results = draw(), []
    threads = [threading.Thread(target=lambda: results.extend(draw() for _ in range(5))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 20
    assert all(np.array_equal(result, expected) for result in results)


def test_no_version_of_matplotlib_needs_a_tick(monkeypatch):
    """matplotlib 3.9 asks while it draws where the ticks are; making one takes frames that are not there."""
    canvas = Canvas(np.zeros((20, 30, 3), np.uint8))
    monkeypatch.setattr(Axis, "_get_tick", lambda *_, **__: pytest.fail("a tick was made"))
    for axes in canvas.figure.axes:
        assert axes.xaxis.get_ticks_position() == axes.yaxis.get_ticks_position() == "default"
    canvas.to_array()
