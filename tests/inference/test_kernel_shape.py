"""The summary of a kernel's deformation against deformations that were made by hand."""

from __future__ import annotations

import numpy as np
import pytest
from render_builders import capture, stage

from dlka.inference.kernel_shape import kernel_shape, spread, stage_shapes
from dlka.inference.letterbox import Letterbox
from dlka.ops.sampling import tap_grid

LETTERBOX = Letterbox.fit((64, 96), 96)
SEVEN = stage((7, 7), (3, 3))
GRID = tap_grid((1, 1), SEVEN.kernel, SEVEN.step, SEVEN.padding, SEVEN.dilation)[:, :, 0, 0].astype(np.float64)


def turned(degrees):
    """Clockwise on a picture, for (y, x) with y down: the point right of the middle goes down."""
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[c, s], [-s, c]])


def stretched(zoom, shear, axis):
    """Symmetric, principal stretches zoom * (1 +- shear), the larger one along an axis at so many degrees."""
    frame = turned(axis)
    return frame @ np.diag([zoom * (1 - shear), zoom * (1 + shear)]) @ frame.T


@pytest.mark.parametrize(
    ("shift", "zoom", "rotation", "shear", "axis"),
    [((0, 0), 1, 0, 0, 0), ((0.3, -1.2), 1.4, 25, 0.2, 35), ((-2, 0.5), 0.6, -140, 0.45, 100), ((0, 0), 1.1, 90, 0, 0)],
)
def test_a_known_deformation_is_found_again(shift, zoom, rotation, shear, axis):
    places = GRID @ (turned(rotation) @ stretched(zoom, shear, axis)).T + shift
    shape = kernel_shape(GRID, places)
    np.testing.assert_allclose(shape.shift, shift, atol=1e-9)
    assert shape.zoom == pytest.approx(zoom, abs=1e-9)
    assert shape.rotation == pytest.approx(rotation, abs=1e-6)
    assert shape.shear == pytest.approx(shear, abs=1e-9)
    assert shape.rest == pytest.approx(0, abs=1e-9)


def test_a_simple_shear_is_told_as_documented():
    shape = kernel_shape(GRID, np.stack([GRID[:, 0], GRID[:, 1] + 0.5 * GRID[:, 0]], axis=1))
    assert shape.shear == pytest.approx(0.5 / np.sqrt(4.25))
    assert shape.rotation == pytest.approx(-np.degrees(np.arctan(0.25)))  # what is below goes right: anticlockwise


def test_rest_is_what_no_affine_map_explains():
    # x * y is orthogonal to a constant, to x and to y on a symmetric grid.
    bent = np.stack([0 * GRID[:, 0], GRID.prod(axis=1)], axis=1) / 50
    shape = kernel_shape(GRID, 1.3 * GRID + bent)
    assert shape.zoom == pytest.approx(1.3)
    assert shape.rest == pytest.approx(np.sqrt((bent**2).sum(1).mean()))


def test_a_mirrored_kernel_and_one_on_a_line():
    assert kernel_shape(GRID, GRID * (0.5, -1)).shear == pytest.approx(3)
    assert kernel_shape(GRID, GRID * (1, 0)).shear == pytest.approx(1)
    with pytest.raises(ValueError, match="one line"):
        kernel_shape(GRID * (1, 0), GRID)


@pytest.mark.parametrize("of", [SEVEN, stage((3, 2), (2, 1), step=(2, 1), padding=(1, 1))])
def test_every_cell_of_a_stage(of):
    seen = capture(of, LETTERBOX, offset=(0.25, -0.5))  # all taps alike: a shift and nothing else
    shapes = stage_shapes(seen)
    assert shapes.zoom.shape == seen.offset.shape[1:]
    np.testing.assert_allclose(shapes.shift, np.broadcast_to((0.25, -0.5), (*shapes.zoom.shape, 2)), atol=1e-6)
    np.testing.assert_allclose([shapes.zoom - 1, shapes.rotation, shapes.shear, shapes.rest], 0, atol=1e-6)


def test_many_cells_at_once_are_the_same_as_one_by_one():
    seen = capture(SEVEN, LETTERBOX, spread=2.0)
    shapes, (row, column) = stage_shapes(seen), (3, 7)
    one = kernel_shape(GRID, GRID + seen.offset[:, row, column].reshape(-1, 2))
    for name in ("shift", "zoom", "rotation", "shear", "rest"):
        np.testing.assert_allclose(getattr(shapes, name)[row, column], getattr(one, name), atol=1e-5)


def test_spread_of_points():
    assert spread(np.array([[0, 0], [6, 0], [0, 8], [6, 8.0]])) == pytest.approx(5)
    assert spread(np.zeros((0, 2))) == 0
