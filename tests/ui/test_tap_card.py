"""The card of one tap's arithmetic, as the page's script asks for it."""

from __future__ import annotations

import re

import numpy as np
import pytest

from dlka.analysis.analysis import Settings, analyse_pixels, block_values
from dlka.analysis.examples import examples
from dlka.analysis.report import tap_card
from dlka.images import read_image
from dlka.ui.tab_see import add_up


@pytest.fixture(scope="module")
def analysis():
    return analyse_pixels(read_image(examples()["Two people"])[::4, ::4].copy(), Settings(size=320))


def rows(card):
    found = re.findall(r"<tr>(.*?)</tr>", card.replace("<thead>", "").replace("</thead>", ""))
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in found]


def test_a_card_holds_numbers_that_add_up(analysis):
    card = tap_card(analysis.key, "P3 7x7 d3", "10", "12", "3", "25")
    assert "cell (10, 12), channel 3, tap 25 of 49" in card
    table = rows(card)
    four = np.array([[float(v) for v in row[1:]] for row in table[1:5]])
    assert four[:, 0].sum() == pytest.approx(1, abs=2e-4)
    assert float(table[5][3]) == pytest.approx(four[:, 2].sum(), abs=3e-6)
    steps = {row[0].split(":")[0].split(",")[0]: row[1:] for row in table[7:]}
    for name in ("sum over 49 taps", "gate", "+ the block's input"):
        total, network = map(float, next(v for k, v in steps.items() if k.replace("&#x27;", "'").startswith(name)))
        assert total == pytest.approx(network, abs=1e-5)
    capture = analysis.capture("P3 7x7 d3")
    dy, dx = capture.offset[48:50, 10, 12]
    assert f"row {10 + dy:.3f}, column {12 + dx:.3f}" in card


def test_empty_fields_are_the_largest(analysis):
    values = block_values(analysis.key, analysis.capture("P4 5x5").stage.block)
    channel = int(np.abs(values.gate * values.gated)[:, 2, 3].argmax())
    card = add_up({"key": analysis.key, "stage": "P4 5x5", "row": 2, "column": 3, "channel": "", "tap": ""})
    assert f"cell (2, 3), channel {channel}, tap " in card
    tap = int(re.search(r"tap (\d+) of 25", card)[1])
    read, weight = map(float, re.search(r"read ([+\-.\d]+) x weight ([+\-.\d]+)", card).groups())
    others = [
        tap_card(analysis.key, "P4 5x5", "2", "3", str(channel), str(other)) for other in (1, 13, 25) if other != tap
    ]
    for other in others:
        r, w = map(float, re.search(r"read ([+\-.\d]+) x weight ([+\-.\d]+)", other).groups())
        assert abs(r * w) <= abs(read * weight) + 1e-6
    assert "one of the numbers that P4 7x7 d3 reads" in card


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"key": "gone"}, "load it again"),
        ({"stage": "<b>"}, "Stage: expected one of P3 5x5, .*; got '<b>'"),
        ({"row": 999}, "Row: expected a whole number from 0 to"),
        ({"channel": "-1"}, "Channel: expected a whole number from 0 to"),
        ({"tap": "26"}, "Tap: expected a whole number from 1 to 25; got '26'"),
        ({"tap": None}, "tap: expected text; got None"),
        ({"row": [2]}, r"row: expected a whole number or text; got \[2\]"),
    ],
)
def test_what_cannot_be_done_is_told_in_its_place(analysis, changed, told):
    asked = {"key": analysis.key, "stage": "P4 5x5", "row": 2, "column": 3, "channel": "", "tap": ""}
    card = add_up(asked | changed)
    assert re.search(told, card["error"])


def test_the_deformation_that_is_shown_is_added_up():
    image = read_image(examples()["Two people"])[::4, ::4].copy()
    rigid = analyse_pixels(image, Settings(size=320, strength=0.0))
    card = tap_card(rigid.key, "P3 5x5", "4", "5", "0", "13")
    assert "row 4.000, column 5.000" in card
