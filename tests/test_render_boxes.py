"""Boxes, differences, galleries and panels."""

from __future__ import annotations

from itertools import cycle

import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex
from render_builders import NAMES, detections, pairing, picture

from dlka import palette
from dlka.render import contact_sheet, crop_tile, disagreements, draw_boxes, draw_difference, same_size
from dlka.render.boxes import ink_on, leader, place_labels
from dlka.render.panels import window
from dlka.types import BOTH, CLASS_CHANGED, ONLY_FIRST, ONLY_SECOND

IMAGE = picture(300, 400)
DLKA = detections(
    [(20, 30, 220, 260, 0.9, 5), (300, 40, 320, 60, 0.5, 0), (250, 100, 330, 180, 0.8, 2), (5, 5, 20, 18, 0.3, 0)]
)
BASELINE = detections([(22, 31, 222, 262, 0.85, 5), (251, 101, 331, 181, 0.7, 7), (100, 270, 120, 290, 0.4, 2)])
PAIRS = pairing(
    DLKA,
    BASELINE,
    [
        (BOTH, 0, 0),
        (CLASS_CHANGED, 2, 1),
        (ONLY_FIRST, 1, None),
        (ONLY_FIRST, 3, None),
        (ONLY_SECOND, None, 2),
    ],
)


def outlines(canvas, colour: str) -> list[np.ndarray]:
    """The closed outlines of one colour that are in the figure."""
    found = []
    for artist in canvas.axes.get_children():
        if isinstance(artist, LineCollection) and artist.get_segments():
            colours = artist.get_colors()
            for i, segment in enumerate(artist.get_segments()):
                if len(segment) == 5 and to_hex(colours[i % len(colours)]).upper() == colour.upper():
                    found.append(segment)
    return found


def texts(canvas) -> list[str]:
    return [t.get_text() for t in canvas.axes.texts]


def test_boxes_lie_on_pixel_edges():
    """A box over the whole picture is drawn along its rim: edges are half a pixel before the pixel centres."""
    canvas = draw_boxes(IMAGE, detections([(0, 0, 400, 300, 0.9, 5)]), NAMES, palette.DLKA, "All")
    (outline,) = outlines(canvas, palette.DLKA)
    assert outline.min(0).tolist() == [-0.5, -0.5]
    assert outline.max(0).tolist() == [399.5, 299.5]


def test_all_boxes_are_drawn_and_counted():
    canvas = draw_boxes(IMAGE, DLKA, NAMES, palette.DLKA, "YOLOv8n with D-LKA")
    assert len(outlines(canvas, palette.DLKA)) == 4
    assert sorted(texts(canvas)) == ["bus 0.90", "car 0.80", "person 0.30", "person 0.50"]
    assert canvas.legend_text.splitlines()[:2] == ["YOLOv8n with D-LKA", "4 boxes: S 2, M 1, L 1"]
    empty = draw_boxes(IMAGE, detections([]), NAMES, palette.DLKA, "Nothing")
    assert "no box found" in empty.legend_text
    assert empty.to_array().any()


def test_outlines_are_thick_thin_and_rimmed():
    """What only one model found stands out; each line has a light rim 0.3 of a line wide on either side."""
    canvas = draw_difference(IMAGE, PAIRS, NAMES)
    drawn = {}
    for artist in (a for a in canvas.axes.collections if isinstance(a, LineCollection)):
        for segment, colour, width in zip(
            artist.get_segments(), cycle(artist.get_colors()), cycle(artist.get_linewidths())
        ):
            if len(segment) == 5:
                drawn[tuple(segment[0]), to_hex(colour).upper()] = width / canvas.line
    for pair in PAIRS.pairs:
        box = DLKA.boxes[pair.first] if pair.first is not None else BASELINE.boxes[pair.second]
        corner, width = tuple(box[:2] - 0.5), 0.5 if pair.kind == BOTH else 1.3
        assert drawn[corner, palette.KIND_COLOURS[pair.kind].upper()] == pytest.approx(width)
        assert drawn[corner, palette.PAPER.upper()] == pytest.approx(width + 0.6)


def test_labels_without_room_are_confessed():
    rng = np.random.default_rng(0)
    corner = rng.uniform(0, 380, (150, 2)) * [1, 0.74]
    rows = [(x, y, x + 12, y + 12, 0.5, 0) for x, y in corner]
    canvas = draw_boxes(IMAGE, detections(rows), NAMES, palette.DLKA, "Crowd")
    shown = len(texts(canvas))
    assert len(outlines(canvas, palette.DLKA)) == 150
    assert 0 < shown < 150
    assert f"{150 - shown} labels left out for want of room" in canvas.legend_text


def test_places_of_labels():
    """Above the box; where that is off the frame, inside a box twelve times the label's size, else below or nowhere."""

    def place(box, size, frame=(40, 40)):
        return place_labels(np.array([box], float), np.array([size], float), frame, 1)[0]

    assert place((0, 10, 10, 20), (3, 3)) == (0, 6, 3, 9)
    assert place((0, 0, 11, 10), (3, 3)) == (0, 0, 3, 3)
    assert place((0, 0, 10, 10), (3, 3)) == (0, 11, 3, 14)
    assert place((0, 0, 10, 18), (8, 3), (12, 19)) is None


def test_leaders_join_nearest_points():
    assert leader((0, 0, 10, 4), np.array([4, 20, 20, 30])).tolist() == [[7, 4], [7, 20]]
    assert leader((30, 0, 40, 4), np.array([4, 1, 20, 3])).tolist() == [[30, 2], [20, 2]]


def test_difference_by_colour_line_and_label():
    canvas = draw_difference(IMAGE, PAIRS, NAMES)
    counts = {kind: len(outlines(canvas, colour)) for kind, colour in palette.KIND_COLOURS.items()}
    assert counts == {BOTH: 1, CLASS_CHANGED: 1, ONLY_FIRST: 2, ONLY_SECOND: 1}
    assert sorted(texts(canvas)) == ["car 0.40", "car, baseline truck", "person 0.30", "person 0.50"]
    text = canvas.legend_text
    assert "only D-LKA 2 (S 2, M 0, L 0)" in text
    assert "only baseline 1 (S 1, M 0, L 0)" in text
    assert "class changed 1" in text
    assert "both 1 (S 0, M 0, L 1)" in text
    # Colour is not the only cue.
    lines = palette.KIND_LINES
    assert lines[ONLY_FIRST] != lines[ONLY_SECOND] != lines[CLASS_CHANGED]
    (baseline_box,) = outlines(canvas, palette.BASELINE)
    np.testing.assert_allclose(baseline_box.min(0), [99.5, 269.5])


def test_dashes_are_really_drawn():
    """The dashed and the solid outline differ in the pixels, not only in the artist."""

    def coverage(kind, dlka, baseline, colour):
        canvas = draw_difference(
            np.zeros((300, 400, 3), np.uint8),
            pairing(DLKA, BASELINE, [(kind, dlka, baseline)]),
            NAMES,
        )
        target = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)])
        box = (DLKA if dlka is not None else BASELINE).boxes[dlka if dlka is not None else baseline]
        x = int((box[0]) * canvas.scale)
        rows = slice(int((box[1] + 2) * canvas.scale), int((box[3] - 2) * canvas.scale))
        strip = canvas.to_array()[rows, x - 1 : x + 2].astype(int)
        return (np.abs(strip - target).sum(2).min(1) < 40).mean()

    assert coverage(ONLY_FIRST, 1, None, palette.DLKA) == 1.0
    assert 0.2 < coverage(ONLY_SECOND, None, 2, palette.BASELINE) < 0.95


def test_labels_read_on_their_colour():
    assert ink_on(palette.BASELINE) == "white"
    assert ink_on(palette.CHANGED) == palette.INK


def test_odd_names_are_plain_text():
    canvas = draw_boxes(IMAGE, DLKA, {0: "a$b$", 2: r"\frac{", 5: "bus", 7: "truck"}, palette.DLKA, "$x$")
    assert "a$b$ 0.50" in texts(canvas)
    canvas.to_array()


def test_gallery_takes_small_ones_that_one_model_found():
    crops = disagreements(PAIRS, NAMES)
    assert [c.caption for c in crops] == ["person 0.30 only D-LKA", "person 0.50 only D-LKA", "car 0.40 only baseline"]
    assert [c.colour for c in crops] == [palette.DLKA, palette.DLKA, palette.BASELINE]
    assert [c.caption for c in disagreements(PAIRS, NAMES, limit=1)] == ["person 0.30 only D-LKA"]


def test_crops_are_square_and_on_the_picture():
    for box in ([0, 0, 10, 8], [395, 290, 400, 300], [150, 100, 180, 110]):
        view = window(np.array(box, float), (300, 400))
        assert view.right - view.left == pytest.approx(view.bottom - view.top)
        assert view.left >= -0.5
        assert view.top >= -0.5
        assert view.right <= 399.5
        assert view.bottom <= 299.5
        assert view.left <= box[0] - 0.5
        assert box[2] - 0.5 <= view.right
    tile = crop_tile(IMAGE, disagreements(PAIRS, NAMES)[0], 200)
    assert tile.shape == (200, 200, 3)
    assert (np.abs(tile.astype(int) - [0xD5, 0x5E, 0x00]).sum(2) < 40).sum() > 100


def test_contact_sheet():
    crops = disagreements(PAIRS, NAMES)
    sheet = contact_sheet(IMAGE, crops, columns=2, width=480)
    assert len(sheet.panels) == 3
    sides = {rect[2:] for _, rect in sheet.panels}
    assert len(sides) == 1
    assert "only D-LKA" in sheet.legend_text
    assert sheet.to_array().shape[1] == 480
    empty = contact_sheet(IMAGE, [])
    assert "None here" in empty.legend_text
    assert empty.to_array().shape[1] == 960


def test_panels_have_the_same_size():
    a, b = np.zeros((50, 40, 3), np.uint8), np.full((30, 60, 3), 7, np.uint8)
    left, right = same_size(a, b)
    assert left.shape == right.shape == (50, 60, 3)
    assert not left[:50, :40].any()
    assert (left[:, 40:] == 255).all()
    assert (right[:30, :60] == 7).all()
    assert not a.any()


def test_inputs_stay_unchanged():
    image, boxes = IMAGE.copy(), DLKA.boxes.copy()
    draw_difference(image, PAIRS, NAMES).to_array()
    contact_sheet(image, disagreements(PAIRS, NAMES)).to_array()
    np.testing.assert_array_equal(image, IMAGE)
    np.testing.assert_array_equal(DLKA.boxes, boxes)
