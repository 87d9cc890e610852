"""A changed picture and where its points and boxes go, against drawn dots whose place is known."""

from __future__ import annotations

import numpy as np
import pytest

from dlka.analysis.transforms import Change, apply, map_boxes, map_points, matrix

CHANGES = [
    Change(shrink=0.5),
    Change(shrink=0.37, right=20, down=-11.3),
    Change(rotate=33),
    Change(rotate=-120, shrink=0.8),
    Change(shrink=0.61, rotate=200 - 360, right=-7.5, down=4),
    Change(right=12.34),
]


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (48, 67, 3), np.uint8)


def dot(size, x, y, sigma=4.0):
    """A soft bright dot around (x, y) on the letterbox's grey, [H, W, 3] uint8."""
    rows, columns = np.mgrid[: size[0], : size[1]]
    light = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat((114 + 141 * light)[..., None], 3, axis=2).round().astype(np.uint8)


def centre_of(image):
    """(x, y): centre of what is brighter than the grey."""
    light = (image[..., 0].astype(float) - 114).clip(0)
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(columns * light).sum(), (rows * light).sum()]) / light.sum()


def test_no_change_is_the_picture_bit_by_bit(noise):
    image, moved = apply(noise, Change())
    np.testing.assert_array_equal(image, noise)
    assert image is not noise
    np.testing.assert_array_equal(moved, np.eye(2, 3))


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("size", [(160, 221), (240, 121)])
def test_a_dot_goes_where_the_matrix_says(change, size):
    point = np.array([size[1] * 0.58 + 0.3, size[0] * 0.46])
    image, moved = apply(dot(size, *point), change)
    assert image.shape == (*size, 3)
    np.testing.assert_allclose(centre_of(image), map_points(point, moved), atol=0.1)


def test_a_quarter_turn_is_clockwise(noise):
    square = noise[:, :48]
    image, _ = apply(square, Change(rotate=90))
    np.testing.assert_array_equal(image, np.rot90(square, -1))


def test_half_size_is_the_mean_of_four_pixels(noise):
    noise = noise[:, :64]
    image, _ = apply(noise, Change(shrink=0.5))
    means = noise.reshape(24, 2, 32, 2, 3).mean(axis=(1, 3))
    assert np.abs(image[12:36, 16:48].astype(float) - means).max() <= 1
    assert (image[:11] == 114).all()
    assert (image[:, :15] == 114).all()


def test_darkening_leaves_the_uncovered_part_alone(noise):
    image, _ = apply(noise, Change(shrink=0.5, brightness=0.3))
    assert (image[:10] == 114).all()
    assert image[16:32, 20:46].max() <= np.ceil(255 * 0.3)
    plain, _ = apply(noise, Change(brightness=0.5))
    assert np.abs(plain - noise / 2.0).max() <= 0.5


def test_blur_has_the_told_width():
    image = np.full((101, 101, 3), 0, np.uint8)
    image[:, 50:] = 200
    blurred, moved = apply(image, Change(blur=6))
    slope = np.diff(blurred[50, :, 0].astype(float))
    places = np.arange(100) + 0.5
    middle = (slope * places).sum() / slope.sum()
    assert np.sqrt((slope * (places - middle) ** 2).sum() / slope.sum()) == pytest.approx(6, abs=0.15)
    np.testing.assert_array_equal(moved, np.eye(2, 3))


def test_boxes_are_mapped_at_pixel_edges():
    size = (100, 200)
    whole = np.array([[0, 0, 200, 100]], np.float32)
    np.testing.assert_allclose(map_boxes(whole, matrix(Change(shrink=0.5), size)), [[50, 25, 150, 75]])
    shifted = matrix(Change(right=10, down=-5), size)
    np.testing.assert_allclose(map_boxes(whole, shifted), [[20, -5, 220, 95]])
    turned = matrix(Change(rotate=90), size)
    np.testing.assert_allclose(map_boxes(whole, turned), [[50, -50, 150, 150]], atol=1e-9)


def test_a_turned_box_is_the_hull_of_its_ellipse():
    moved = matrix(Change(rotate=30), (90, 140))
    angle = np.linspace(0, 2 * np.pi, 100_000)
    box = np.array([10.0, 30, 60, 50])
    ellipse = np.stack([35 + 25 * np.cos(angle), 40 + 10 * np.sin(angle)], axis=-1)
    points = map_points(ellipse - 0.5, moved) + 0.5
    np.testing.assert_allclose(map_boxes(box, moved), [*points.min(axis=0), *points.max(axis=0)], atol=1e-6)


@pytest.mark.parametrize(
    "wrong",
    [{"shrink": 0}, {"shrink": 1.2}, {"brightness": -1}, {"rotate": 181}, {"blur": -1}, {"right": float("nan")}],
)
def test_values_out_of_range_are_refused(wrong):
    name = next(iter(wrong))
    with pytest.raises(ValueError, match=f"^{name}: expected"):
        Change(**wrong)
