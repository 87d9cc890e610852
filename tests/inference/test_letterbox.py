"""The letterbox: Ultralytics' pixels, and an inverse that is exact for every size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ultralytics.data.augment import LetterBox

from dlka.inference.letterbox import PAD_VALUE, Letterbox

SIDES = st.integers(1, 5000)
SIZES = st.integers(1, 40).map(lambda n: 32 * n)
ODD = [(333, 517), (517, 333), (37, 211), (606, 512), (1, 640), (1000, 999), (479, 640), (641, 480), (97, 1023), (8, 8)]


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height * 7 + width).integers(0, 256, (height, width, 3), np.uint8)


# Ultralytics cannot resize to a side of zero pixels.
WITH_SIZES = [(o, s) for o in ODD for s in (96, 320, 640) if round(min(o) * s / max(o)) > 0]


@pytest.mark.parametrize(("original", "size"), WITH_SIZES, ids=str)
def test_pixels_are_ultralytics(original, size):
    image = picture(*original)
    expected = LetterBox((size, size), auto=True, stride=32)(image=image)
    np.testing.assert_array_equal(Letterbox.fit(original, size).apply(image), expected)


@given(SIDES, SIDES, SIZES)
@settings(max_examples=100, deadline=None)
def test_geometry(height, width, size):
    box = Letterbox.fit((height, width), size)
    for padded, resized, before in zip(box.padded, box.resized, (box.top, box.left)):
        assert padded % 32 == 0
        assert 0 <= padded - resized < 32
        assert padded - resized - 2 * before in (0, 1)  # centred; the odd pixel goes to the far side
    assert max(box.resized) == size
    assert min(box.resized) >= 1


@given(SIDES, SIDES, SIZES, st.lists(st.tuples(*[st.floats(-200, 5200)] * 4), min_size=1, max_size=5))
@settings(max_examples=100, deadline=None)
def test_inverse_is_exact(height, width, size, rows):
    box, values = Letterbox.fit((height, width), size), np.array(rows)
    for forward, back, given_ in (
        (box.boxes_forward, box.boxes_back, values),
        (box.points_forward, box.points_back, values.reshape(-1, 2)),
    ):
        np.testing.assert_allclose(back(forward(given_)), given_, rtol=1e-9, atol=1e-6)
        np.testing.assert_allclose(forward(back(given_)), given_, rtol=1e-9, atol=1e-6)


@given(SIDES, SIDES, SIZES)
@settings(max_examples=100, deadline=None)
def test_the_picture_fills_its_place(height, width, size):
    box = Letterbox.fit((height, width), size)
    place = [box.left, box.top, box.left + box.resized[1], box.top + box.resized[0]]
    np.testing.assert_allclose(box.boxes_forward(np.array([0.0, 0, width, height])), place, atol=1e-9)


@given(SIDES, SIDES, SIZES, st.floats(0, 5000), st.floats(0, 5000))
@settings(max_examples=100, deadline=None)
def test_points_are_half_a_pixel_before_edges(height, width, size, x, y):
    box = Letterbox.fit((height, width), size)
    edge = box.boxes_forward(np.array([x + 0.5, y + 0.5, x + 0.5, y + 0.5]))
    np.testing.assert_allclose(box.points_forward(np.array([x, y])), edge[:2] - 0.5, atol=1e-9)


@pytest.mark.parametrize("original", [(40, 40), (50, 31), (23, 61), (64, 33)], ids=str)
def test_a_bright_pixel_lands_where_points_say(original):
    box = Letterbox.fit(original, 320)
    for y, x in [(10, 12), (original[0] - 8, 20), (12, original[1] - 9)]:
        image = np.full((*original, 3), PAD_VALUE, np.uint8)
        image[y, x] = 255
        light = box.apply(image)[..., 0].astype(np.float64) - PAD_VALUE
        rows, columns = np.indices(light.shape)
        centre = np.array([(light * columns).sum(), (light * rows).sum()]) / light.sum()
        np.testing.assert_allclose(centre, box.points_forward(np.array([x, y])), atol=0.05)


def test_another_picture_is_refused():
    with pytest.raises(ValueError, match=r"Letterbox made for a picture of \(40, 50\), got \(50, 40\)"):
        Letterbox.fit((40, 50), 64).apply(picture(50, 40))


def test_a_picture_that_fits_is_not_resampled():
    image = picture(64, 96)
    np.testing.assert_array_equal(Letterbox.fit((64, 96), 96).apply(image), image)
