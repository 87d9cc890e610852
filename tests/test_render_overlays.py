"""Offsets, gates and densities over the picture: right values, right places, honest scales and legends."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.quiver import Quiver
from render_builders import capture, gate, picture, stage

from dlka.inference.letterbox import Letterbox
from dlka.render import (
    cell_centres,
    density_overlay,
    field_scale,
    gate_colours,
    gate_overlay,
    gate_scale,
    magnitude,
    mean_offset,
    offset_arrows,
    offset_flow,
    offset_magnitude,
    reduce_gate,
    sample_density,
)
from dlka.render.maps import colour_table, diverging, influence_radius, sequential, wheel
from dlka.render.offsets import friendly, outside_share, splat

LETTERBOX = Letterbox.fit((224, 320), 320)  # unscaled, no padding: 28 x 40 cells at stride 8
IMAGE = picture(224, 320)
OVERLAYS = [offset_magnitude, offset_flow, offset_arrows]


def test_mean_and_magnitude():
    of = capture(stage(), LETTERBOX)
    dy, dx = of.offset[0::2], of.offset[1::2]
    np.testing.assert_allclose(mean_offset(of), [dy.mean(0), dx.mean(0)])
    np.testing.assert_array_equal(mean_offset(of, 4), of.offset[8:10])
    np.testing.assert_allclose(magnitude(of), np.sqrt(dy**2 + dx**2).mean(0), rtol=1e-6)
    with pytest.raises(ValueError, match=r"tap in 0\.\.8"):
        mean_offset(of, 9)


def test_scales_are_shared_friendly_and_never_blow_up_noise():
    small = capture(stage(), LETTERBOX, offset=(0.3, 0.4))  # length 0.5
    large = capture(stage(), LETTERBOX, offset=(0.0, 2.3))
    assert field_scale([small]) == 0.5
    assert field_scale([large]) == 2.5
    assert field_scale([small, large]) == 2.5
    noise = capture(stage(), LETTERBOX, spread=0.02)
    assert field_scale([noise]) == field_scale([]) == 0.25
    spread = capture(stage(), LETTERBOX, spread=2.0)
    assert field_scale([spread], of_magnitude=True) > field_scale([spread])
    assert [friendly(v) for v in (1, 1.01, 0.26, 9.1, 130)] == pytest.approx([1, 1.2, 0.3, 10, 150])
    broken = capture(stage(), LETTERBOX, offset=(np.nan, 1.0))
    assert field_scale([broken, large]) == 2.5


def colour_over(canvas, x, y):
    """The colour that the sheet shows at an original pixel."""
    row = int((y + 0.5) / canvas.image_size[0] * canvas.picture_height)
    return canvas.to_array()[row, int(canvas.left + (x + 0.5) * canvas.scale)]


@pytest.mark.parametrize("draw", [offset_magnitude, offset_flow])
def test_scale_is_honoured(draw):
    """Same value and same scale: same colour in two pictures; another scale: another colour."""

    def shown(background, scale):
        of = capture(stage(), LETTERBOX, offset=(0.6, 0.8))
        of.offset[:, :5] = background  # what else is in the picture must not matter
        return tuple(colour_over(draw(IMAGE, of, LETTERBOX, scale, opacity=1), 160, 200))

    assert shown(0.0, 2.0) == shown(9.0, 2.0)
    assert shown(0.0, 2.0) != shown(0.0, 4.0)
    if draw is offset_magnitude:
        assert shown(0.0, 2.0) == tuple(colour_table("viridis")[128])  # 1.0 of 2.0: the middle of the bar


@pytest.mark.parametrize("original", [(480, 640), (500, 375), (333, 517), (700, 61)])
@pytest.mark.parametrize("step", [(1, 1), (2, 2)])
def test_every_cell_covers_its_own_pixels(original, step):
    """One lit cell colours the picture exactly where it is the nearest cell, through a letterbox with padding."""
    letterbox = Letterbox.fit(original, 320)
    of = capture(stage(step=step), letterbox, offset=(0, 0))
    row, column = of.offset.shape[1] // 3, of.offset.shape[2] // 2
    of.offset[1::2, row, column] = 1.0
    canvas = offset_magnitude(np.zeros((*original, 3), np.uint8), of, letterbox, 1.0, opacity=1)
    shown = canvas.to_array()[: canvas.picture_height, canvas.left : canvas.left + canvas.picture_width]
    lit = (shown == colour_table("viridis")[255]).all(2)
    x, y = canvas.columns_and_rows()
    centres = cell_centres(of, letterbox)

    def nearest(values, of_axis, index):
        distance = np.abs(values[:, None] - of_axis)
        first, second = np.sort(distance, axis=1)[:, :2].T
        covered = first < np.diff(of_axis)[0] / 2  # a step of 2 may leave half a cell at the map's far edge
        return (distance.argmin(1) == index) & covered, second - first > 1e-6  # between two cells either is right

    (near_row, clear_row), (near_column, clear_column) = (
        nearest(y, centres[:, 0, 1], row),
        nearest(x, centres[0, :, 0], column),
    )
    clear = clear_row[:, None] & clear_column
    np.testing.assert_array_equal(lit[clear], (near_row[:, None] & near_column)[clear])
    assert lit.any()


def arrows_of(canvas) -> Quiver:
    return next(a for a in canvas.axes.get_children() if isinstance(a, Quiver))


@pytest.mark.parametrize("tap", [None, 3])
def test_arrows_start_at_centres_and_end_where_they_say(tap):
    letterbox = Letterbox.fit((333, 517), 320)
    of = capture(stage(stride=16), letterbox, spread=1.0)
    canvas = offset_arrows(picture(333, 517), of, letterbox, 1.0, tap=tap)
    arrows = arrows_of(canvas)
    centres = cell_centres(of, letterbox)
    np.testing.assert_allclose(arrows.get_offsets(), centres.reshape(-1, 2), atol=1e-9)
    field = mean_offset(of, tap)
    # True pixels: 16 letterboxed pixels per cell, over the letterbox's scale of each axis; factor 1 here.
    assert "at true length, from every cell" in canvas.legend_text
    np.testing.assert_allclose(arrows.U, (field[1] * 16 * 517 / letterbox.resized[1]).ravel(), rtol=1e-5)
    np.testing.assert_allclose(arrows.V, (field[0] * 16 * 333 / letterbox.resized[0]).ravel(), rtol=1e-5)
    assert (arrows.scale, arrows.angles, arrows.scale_units) == (1, "xy", "xy")


def test_arrow_factor_and_thinning_are_said():
    letterbox = Letterbox.fit((640, 640), 640)  # 80 x 80 cells
    of = capture(stage(), letterbox, offset=(0.0, 0.5))
    canvas = offset_arrows(picture(640, 640), of, letterbox, 0.5)
    arrows = arrows_of(canvas)
    assert "at 5 times their true length, from every 3rd cell" in canvas.legend_text
    np.testing.assert_allclose(arrows.U, 0.5 * 8 * 5)
    assert set(np.diff(np.unique(arrows.get_offsets()[:, 0])).round(6)) == {24.0}


def test_arrow_is_drawn_to_its_tip():
    """On the sheet itself: an offset straight down by 4 cells of 32 px colours 128 px below the cell's centre."""
    letterbox = Letterbox.fit((320, 320), 320)
    of = capture(stage(stride=32), letterbox, offset=(0, 0))
    of.offset[0::2, 2, 5] = 4.0
    canvas = offset_arrows(np.zeros((320, 320, 3), np.uint8), of, letterbox, 4.0)
    shown = canvas.to_array()[:960].astype(int)
    rows, columns = np.nonzero(np.abs(shown - colour_table("viridis")[255]).sum(2) < 60)
    x, y = cell_centres(of, letterbox)[2, 5]
    assert rows.min() / 3 == pytest.approx(y, abs=2)
    assert rows.max() / 3 == pytest.approx(y + 128, abs=2)
    assert columns.mean() / 3 == pytest.approx(x, abs=1)


@pytest.mark.parametrize("draw", OVERLAYS)
def test_legends_name_stage_reduction_cells_and_pixels(draw):
    letterbox = Letterbox.fit((512, 640), 320)  # halved: one cell is 16 px of the picture
    of = capture(stage((5, 5), (2, 2)), letterbox)
    text = draw(picture(512, 640), of, letterbox, 1.5).legend_text
    assert "P3 · 5x5 kernel, dilation 2 · map 40x32 · 1 cell = 16 px" in text
    assert "over 25 taps" in text
    assert "1.5 cells" in text
    assert "24 px" in text
    assert "near zero" not in text
    assert "tap 7 (row 2, column 3 of the kernel)" in draw(picture(512, 640), of, letterbox, 1.5, tap=7).legend_text


@pytest.mark.parametrize("draw", OVERLAYS)
def test_noise_and_broken_offsets_are_called_by_name(draw):
    noise = capture(stage(), LETTERBOX, spread=0.04)
    assert "near zero: untrained or switched off" in draw(IMAGE, noise, LETTERBOX, 0.25).legend_text
    broken = capture(stage(), LETTERBOX)
    broken.offset[3, 4, 5], broken.offset[4, 4, 5] = np.nan, np.inf
    with np.errstate(all="ignore"):
        canvas = draw(IMAGE, broken, LETTERBOX, 1.0)
        assert canvas.to_array().any()
    assert "not finite" in canvas.legend_text


@pytest.mark.parametrize("draw", OVERLAYS)
def test_overlays_refuse_wrong_inputs(draw):
    of = capture(stage(), LETTERBOX)
    for scale in (0.0, -1.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="positive, finite colour scale in cells"):
            draw(IMAGE, of, LETTERBOX, scale)
    with pytest.raises(ValueError, match="expected an offset map"):
        draw(IMAGE, of, Letterbox.fit((320, 224), 320), 1.0)
    with pytest.raises(ValueError, match="expected a picture of"):
        draw(picture(120, 160), of, LETTERBOX, 1.0)


def test_wheel_directions():
    right, down, left, up = wheel(np.array([[0, 1, 0, -1], [1, 0, -1, 0]], float), 1.0).astype(int)
    assert right.tolist() == [0xD5, 0x5E, 0x00]
    np.testing.assert_allclose(left, [0x56, 0xB4, 0xE9])
    assert down[1] > down[0]  # between orange and green
    assert up[2] > up[1]  # between blue and purple
    zero, half, beyond = wheel(np.array([[0, 0, 0], [0, 0.5, 7.0]]), 1.0).astype(int)
    assert zero.tolist() == [0xF7] * 3
    np.testing.assert_allclose(half, (zero + right) / 2, atol=1)
    assert beyond.tolist() == right.tolist()


def test_colours_of_values():
    table = colour_table("viridis")
    np.testing.assert_array_equal(sequential(np.array([0, 2, 99, np.nan]), 2.0), table[[0, 255, 255, 0]])
    ends = diverging(np.array([-1.0, 1.0]), 1.0, "RdBu_r")
    np.testing.assert_array_equal(ends, colour_table("RdBu_r")[[0, 255]])


def test_reductions_are_named():
    values = np.random.default_rng(0).normal(size=(5, 28, 40)).astype(np.float32)
    np.testing.assert_allclose(reduce_gate(values, "mean"), values.mean(0))
    np.testing.assert_allclose(reduce_gate(values, "mean abs"), abs(values).mean(0))
    np.testing.assert_allclose(reduce_gate(values, "max abs"), abs(values).max(0))
    np.testing.assert_array_equal(reduce_gate(values, "channel", 3), values[3])
    with pytest.raises(ValueError, match=r"channel in 0\.\.4, got 5"):
        reduce_gate(values, "channel", 5)
    with pytest.raises(ValueError, match=r"expected a gate \[C, 28, 40\], got \[5, 40, 28\]"):
        gate_overlay(IMAGE, gate(values.transpose(0, 2, 1)), LETTERBOX, "mean", (0.0, 1.0))
    with pytest.raises(ValueError, match="mean, mean abs, max abs or channel"):
        reduce_gate(values, "sum")


def test_gate_zero_is_neutral_and_signs_differ():
    values = np.zeros((2, 28, 40))
    values[:, 10, :] = 0.5
    values[:, 20, :] = -0.5
    canvas = gate_overlay(IMAGE, gate(values), LETTERBOX, "mean", (-0.5, 1.0), opacity=1)
    zero, plus, minus = (colour_over(canvas, 100, 8 * row + 4).astype(int) for row in (2, 10, 20))
    assert zero.max() - zero.min() <= 2  # no hue
    assert zero.min() > 240
    assert plus[0] - plus[2] > 40  # red
    assert minus[2] - minus[0] > 40  # blue
    assert "mean over 2 channels" in canvas.legend_text
    assert "-0.50 | 0.25 | 1.00" in canvas.legend_text
    assert "White: zero on average." in canvas.legend_text
    assert "1 cell = 8 px" in canvas.legend_text
    assert "from -0.5 to 0.5" in canvas.legend_text
    single = gate_overlay(IMAGE, gate(values), LETTERBOX, "channel", (-1.0, 1.0), channel=1)
    assert "channel 1" in single.legend_text
    assert "White: nothing passes." in single.legend_text


def test_thinned_arrows_stand_in_the_middle_of_the_cells_they_speak_for():
    arrows = arrows_of(offset_arrows(IMAGE, capture(stage(), LETTERBOX), LETTERBOX, 1.0))  # 40 cells across: every 2nd
    places = cell_centres(capture(stage(), LETTERBOX), LETTERBOX)[1::2, 1::2].reshape(-1, 2)
    np.testing.assert_allclose(arrows.get_offsets(), places)


def test_the_circle_holds_nine_tenths_of_the_influence():
    field = np.zeros((2, 100))
    field[0, [0, 10, 20, 30]] = 0.85, 0.04, 0.06, 0.05
    identity = Letterbox((8, 400), (8, 400), (8, 400), 0, 0)
    assert influence_radius(field, 4, identity, np.array([1.5, 1.5])) == pytest.approx(80)


def test_gate_of_one_sign_uses_all_colours():
    scale, between = (0.37, 1.17), np.linspace(0.37, 1.17, 3)
    dark, middle, bright = gate_colours(between, scale).astype(int).sum(axis=-1)
    assert dark < 30 < 250 < middle < 600 < bright
    np.testing.assert_array_equal(gate_colours(np.array([0.1, 9.0]), scale), gate_colours(between[[0, 2]], scale))
    values = np.full((1, 28, 40), 0.5)
    assert "White" not in gate_overlay(IMAGE, gate(values), LETTERBOX, "mean", scale).legend_text


def test_gate_scale_is_shared():
    low, high = gate(np.full((3, 28, 40), 0.2)), gate(np.full((3, 28, 40), -1.4))
    assert gate_scale([low]) == pytest.approx((-0.3, 0.7))
    assert gate_scale([low, high]) == pytest.approx((-1.4, 0.2))
    assert gate_scale([gate(np.full((3, 28, 40), np.nan))]) == (0.0, 1.0)


def test_gate_scale_leaves_a_hundredth_out_at_each_end():
    ramp = np.arange(1120, dtype=float).reshape(1, 28, 40)
    assert gate_scale([gate(ramp)]) == pytest.approx((0.01 * 1119, 0.99 * 1119))
    assert gate_scale([gate(ramp)], percentile=75) == pytest.approx((0.25 * 1119, 0.75 * 1119))
    halves = gate(ramp[:, :14]), gate(ramp[:, 14:])
    assert gate_scale(halves) == pytest.approx((0.01 * 1119, 0.99 * 1119)), "one percentile of all gates together"


def test_splat_conserves_and_places():
    rng = np.random.default_rng(0)
    inside = rng.uniform(0, 9, (4, 2, 5, 6)) * np.array([1, 0.9]).reshape(1, 2, 1, 1)
    counts = splat(inside, (10, 10))
    assert counts.sum() == pytest.approx(4 * 5 * 6)
    one = splat(np.array([3.25, 6.5]).reshape(1, 2, 1, 1), (10, 10))
    assert one[3, 6] == one[3, 7] == pytest.approx(0.375)
    assert one[4, 6] == one[4, 7] == pytest.approx(0.125)
    edge = splat(np.array([-0.25, 9.75]).reshape(1, 2, 1, 1), (10, 10))
    assert edge.sum() == pytest.approx(0.75 * 0.25)
    lost = np.array([[-1.0, 3.0], [10.0, 3.0], [np.nan, 3.0], [np.inf, 3.0], [1e30, -1e30]]).reshape(5, 2, 1, 1)
    assert splat(lost, (10, 10)).sum() == 0


def test_density_of_regular_samples_is_even():
    of = capture(stage((5, 5)), LETTERBOX, offset=(0, 0))
    samples, regular = sample_density([of], LETTERBOX)
    np.testing.assert_allclose(samples, regular, atol=1e-6)
    assert regular[15, 20] == 25  # every tap of some cell
    assert regular[0, 0] == 9  # a corner is read by nine cells only
    moved = capture(stage((5, 5)), LETTERBOX, offset=(0, 40))
    assert outside_share(moved, LETTERBOX) > 0.9
    shifted = capture(stage((1, 1)), LETTERBOX, offset=(0.0, 4.0))
    assert outside_share(shifted, LETTERBOX) == pytest.approx(4 / 40)
    canvas = density_overlay(IMAGE, [shifted], LETTERBOX)
    assert "10 % of the samples lie outside the map" in canvas.legend_text
    assert "1 cell = 8 px" in canvas.legend_text


def test_inputs_stay_unchanged():
    of, image = capture(stage((5, 5)), LETTERBOX), IMAGE.copy()
    offset = of.offset.copy()
    for draw in OVERLAYS:
        draw(image, of, LETTERBOX, 1.0).to_array()
    density_overlay(image, [of], LETTERBOX).to_array()
    np.testing.assert_array_equal(of.offset, offset)
    np.testing.assert_array_equal(image, IMAGE)
