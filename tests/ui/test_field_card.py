"""The picture of what influences one cell, as the page's script asks for it."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from dlka.analysis.analysis import Settings, analyse_pixels
from dlka.analysis.examples import examples
from dlka.images import read_image
from dlka.inference.letterbox import Letterbox
from dlka.render import influence_radius, reads_at, receptive_field_overlay
from dlka.ui.tab_see import see_field


@pytest.fixture(scope="module")
def analysis():
    return analyse_pixels(read_image(examples()["Two people"])[::4, ::4].copy(), Settings(size=320))


def test_a_card_is_a_picture_with_its_text(analysis):
    card = see_field({"key": analysis.key, "stage": "P4 7x7 d3", "row": 4, "column": 7})
    source, text = re.search(r'<img src="gradio_api/file=([^"]+)" alt="([^"]+)">', card).groups()
    assert cv2.imread(source).shape[1] == 960
    assert Path(source).name == "receptive-field.jpg"
    radius = float(re.fullmatch(r"P4, cell \(4, 7\): 90% of its influence lies within (\d+) px of it\.", text)[1])
    assert 10 < radius < 400


@pytest.mark.parametrize(
    ("changed", "told"),
    [({"key": "gone"}, "load it again"), ({"stage": "P9"}, "Stage: expected"), ({"row": "x"}, "Row: expected")],
)
def test_what_cannot_be_done_is_told_in_its_place(analysis, changed, told):
    card = see_field({"key": analysis.key, "stage": "P4 7x7 d3", "row": 4, "column": 7} | changed)
    assert told in card["error"]
    assert "<img" not in card


def test_the_radius_holds_nine_tenths():
    box = Letterbox.fit((64, 64), 64)
    field = np.zeros((16, 16), np.float32)
    field[8, 8], field[8, 11] = 89, 11  # 12 px apart
    centre = np.array([33.5, 33.5])
    assert influence_radius(field, 4, box, centre) == pytest.approx(12)
    field[8, 8] = 100
    assert influence_radius(field, 4, box, centre) == pytest.approx(0)
    assert influence_radius(np.zeros((16, 16)), 4, box, centre) == 0


def test_a_picture_without_influence_says_so(analysis):
    captures = analysis.dlka.captures[:2]
    reads = reads_at(captures, (20.0, 20.0), analysis.dlka.letterbox)
    height, width = analysis.dlka.letterbox.padded
    canvas = receptive_field_overlay(
        analysis.image, np.zeros((height // 4, width // 4)), 4, analysis.dlka.letterbox, reads
    )
    assert "No pixel changes this cell." in canvas.to_svg().decode()
    assert see_field({"key": analysis.key, "stage": "P3 5x5", "row": 0, "column": 0}).startswith("<img")
