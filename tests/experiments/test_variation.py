"""How much of the offsets' variance belongs to the picture, on offsets made so that it is known."""

from __future__ import annotations

import numpy as np
import pytest

from dlka.experiments.measure import OffsetVariation
from dlka.types import Capture, Stage

STAGE = Stage("m.conv0", "m", "P3", 8, (3, 3), (1, 1), (1, 1), 4)
SHAPE = (18, 12, 16)


def rows(*fields):
    variation = OffsetVariation()
    for field in fields:
        variation.add([Capture(STAGE, np.asarray(field, np.float32))])
    (row,) = variation.rows().values()
    return row


def made(place: float, content: float, pictures: int, seed: int = 0, shape=SHAPE):
    """A constant for each tap, plus a part of the cell and a part of cell and picture with these deviations."""
    rng = np.random.default_rng(seed)
    common = rng.normal(0, 3, (shape[0], 1, 1)) + place * rng.normal(0, 1, shape)
    return [common + content * rng.normal(0, 1, shape) for _ in range(pictures)]


@pytest.mark.parametrize("pictures", [2, 5, 40])
@pytest.mark.parametrize(("place", "content"), [(1.0, 0.5), (0.2, 0.6), (1.0, 0.02), (0.0, 0.3)])
def test_variance_is_split(place, content, pictures):
    row = rows(*made(place, content, pictures))
    assert row["between_cells"] == pytest.approx(content, rel=0.05)
    assert row["content"] == pytest.approx(content**2 / (content**2 + place**2), rel=0.1)
    assert row["within_cells"] == pytest.approx(np.hypot(place, content), rel=0.05)
    assert row["varies"] is (content > 0.1)
    assert row["pictures"] == pictures


def test_offsets_that_are_always_the_same_have_no_content():
    same = made(1.0, 0.0, 1)[0]
    assert rows(same, same, same) | {"within_cells": 0} == {
        "within_cells": 0,
        "between_cells": pytest.approx(0, abs=1e-6),
        "content": pytest.approx(0, abs=1e-6),
        "varies": False,
        "pictures": 3,
    }
    assert rows(0 * same, 0 * same)["content"] == 0  # a dead stage


def test_a_shift_of_the_whole_field_is_content():
    """The same at every cell of a picture, but another in each picture: nothing within, everything between."""
    row = rows(*(np.full(SHAPE, shift) for shift in (0.0, 1.0, 2.0)))
    assert (row["within_cells"], row["between_cells"], row["content"]) == (0, pytest.approx(1), pytest.approx(1))


def test_the_most_frequent_shape_is_split():
    wide = (18, 6, 20)
    row = rows(*made(0.0, 0.5, 2), *made(1.0, 0.0, 3, shape=wide))
    assert row["pictures"] == 3
    assert row["content"] == pytest.approx(0, abs=1e-6)
    assert row["within_cells"] == pytest.approx((2 * 0.5 + 3 * 1.0) / 5, rel=0.05)


def test_one_picture_tells_nothing():
    row = rows(made(1.0, 1.0, 1)[0])
    assert (row["between_cells"], row["content"], row["varies"], row["pictures"]) == (None, None, None, 1)
