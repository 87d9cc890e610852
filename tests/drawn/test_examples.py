"""The drawn scenes among the example pictures are what assets/draw.py draws, and their labels are exact."""

from __future__ import annotations

import json

import numpy as np
import pytest

from assets.draw import SCENES, scene
from dlka.analysis.examples import ASSETS, PICTURES
from dlka.drawn.scenes import GAP
from dlka.drawn.shapes import SHAPES
from dlka.images import read_image

LABELS = json.loads((ASSETS / "scenes.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("file", SCENES)
def test_pictures_and_labels_are_of_the_arrangement(file):
    drawn = scene(file)
    height, width = drawn.picture.shape
    stored = read_image(ASSETS / file)[..., 0].astype(int)
    assert np.abs(stored - drawn.picture).max() <= 1  # OpenCV rounds by the processor
    image = next(row for row in LABELS["images"] if row["file_name"] == file)
    assert (image["height"], image["width"]) == (height, width)
    names = {row["id"]: row["name"] for row in LABELS["categories"]}
    assert list(names.values()) == list(SHAPES)
    rows = [row for row in LABELS["annotations"] if row["image_id"] == image["id"]]
    assert [names[row["category_id"]] for row in rows] == [one.name for one in drawn.objects]
    boxes = np.array([row["bbox"] for row in rows])
    boxes[:, 2:] += boxes[:, :2]
    np.testing.assert_allclose(boxes, [one.box() for one in drawn.objects], atol=0.11)
    assert boxes.min() >= 1
    assert (boxes[:, 2:] <= np.array([width, height]) - 1).all()
    for i, (x1, y1, x2, y2) in enumerate(boxes):
        for a1, b1, a2, b2 in boxes[:i]:
            assert max(x1 - a2, a1 - x2, y1 - b2, b1 - y2) > GAP


def test_all_of_them_are_shown():
    assert sorted(one.file for one in PICTURES.values() if one.subject == "shapes") == sorted(SCENES)


def test_one_letter_has_several_sizes():
    sizes = [one.size for one in scene("scene-1.png").objects if one.name == "E"]
    assert sizes == [90, 48, 24, 12]
