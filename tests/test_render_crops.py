"""Close-ups: what they show around a box, and the labelled objects on them."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_rgb

from dlka import palette
from dlka.render import Crop, crop_tile
from dlka.render.panels import window

IMAGE = np.full((300, 400, 3), 128, np.uint8)


def test_labelled_objects_are_drawn_where_they_lie():
    """A crop of 64 px at 320: five pixels each; the crop is centred at (100, 100), its upper left corner at 68."""
    box, labelled = np.array([95.0, 95, 105, 105]), np.array([[80.0, 80, 120, 120]])
    plain = crop_tile(IMAGE, Crop(box, "", palette.DLKA), 320).astype(int)
    marked = crop_tile(IMAGE, Crop(box, "", palette.DLKA, truth=labelled), 320).astype(int)
    rows, columns = np.nonzero(np.abs(plain - marked).sum(axis=2) > 30)
    assert abs(rows.min() - 60) < 6
    assert abs(rows.max() - 260) < 6
    assert abs(columns.min() - 60) < 6
    assert abs(columns.max() - 260) < 6
    green = (np.array(to_rgb(palette.TRUTH)) * 255).round()
    assert (np.abs(marked - green).max(axis=2) < 40).any()


def test_a_close_up_is_no_larger_than_its_picture():
    view = window(np.array([10.0, 10, 390, 290]), (300, 400))
    assert view.right - view.left == 400
    assert view.left == -0.5
