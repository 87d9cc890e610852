# ruff: noqa: RUF001 (− is the lesson's)
"""Ten questions of a student, and where the lesson's words answer each: nothing else has to be asked or opened."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from kernel_reach import hits, reach

from dlka.layers import DeformConv
from dlka.ui.learn import example, words
from dlka.ui.learn.worksheet import path_counts, taps

ROOT = Path(__file__).resolve().parents[2]
# The question -> step, and sentences of its text that answer it.
ANSWERS = {
    "Why does a fixed grid not fit other sizes and shapes?": (
        "letter",
        "Only one of them lies on a letter of 8 px, the one in the middle. A letter of 40 px is larger than the whole "
        "grid.",
        "No single spacing fits both.",
        "a square grid wastes taps on a long, thin thing",
    ),
    "How many numbers does a cell get, and why is sharing them cheaper?": (
        "offsets",
        "50 numbers for 25 taps, 98 for 49",
        "A field of its own for each of 64 channels would be 64 · 50 = 3200 numbers per cell, and an offset net 64 "
        "times as large.",
    ),
    "What does a tap read between cells, and outside the map?": (
        "corners",
        "It reads a mixture of the four around it: the nearer a cell, the larger its share.",
        "every cell counts as 0. So a tap that is moved over the edge fades, and from one cell beyond it reads 0.",
    ),
    "How far do 5x5 and then 7x7 with dilation 3 reach, and what do offsets do to that?": (
        "stack",
        "reach = 5 + (7 − 1) · 3 = 23",
        "by up to a whole cells",
        "reach ≤ 23 + 2a + 2b",
        "the kernel reaches as far as its offsets say there.",
    ),
    "Which parameters make the offsets, and how do gradients reach them?": (
        "corners",
        "Offsets are not parameters: they are computed for every picture. What is learned are the weights of the "
        "offset net.",
        "loss → read value → slope → offset → offset net",
        "The slope says in which direction there is more",
        "Training takes a small part of that, the learning rate, here 0.015.",
    ),
    "What is the gate, may it be negative, and what if it is zero?": (
        "gate",
        "It is a gate that multiplies the very map that the first kernel has read",
        "1 lets pass, 0 stops, and a negative gate turns the sign.",
        "where the gate is 0 in every channel, the cell is not lost",
    ),
    "Which pixel belongs to a cell?": (
        "offsets",
        "x = (p + 0.5) · s − 0.5",
        "both are taken off again to find the pixel of the picture.",
    ),
    "What is an object of 10 px on P3?": (
        "levels",
        "An object of 10 px is 1.25 cells wide on P3, the finest level. Of 25 regular taps one lies on it",
    ),
    "How does one test that a network uses its offsets?": (
        "test",
        "one takes the offsets away and measures again, on the same pictures, with the same weights",
        "off: all offsets zero;",
        "shuffled: the offsets of other cells;",
        "If it falls with the offsets off and with another picture's, beyond the interval, the network uses them.",
    ),
    "Did D-LKA help here, and how sure is that?": (
        "test",
        "AP is 60.0 with offsets and 55.2 for the rigid twin, the same blocks without: +4.9 [+4.2, +5.5], three "
        "trainings",
        "stock YOLOv8n, with its pyramid and 40 times the parameters, has 78.1.",
        "+0.1 [−1.1, +1.1] against stock YOLOv8n, two trainings each.",
        "no gain was found. On drone pictures the placement residual is at −0.4 [−0.8, −0.1], head at −0.1 "
        "[−0.4, +0.2]",
        "The brackets are 95 % intervals over pictures.",
        "Seeds are few: at most three.",
    ),
}


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


@pytest.mark.parametrize("question", ANSWERS)
def test_the_lesson_answers(question):
    step, *sentences = ANSWERS[question]
    text = plain(re.sub(r"</(p|li)>", " ", words()[step]["text"]))
    for sentence in sentences:
        assert sentence in text, sentence


def test_there_are_ten_of_them():
    assert len(ANSWERS) == 10


def test_what_the_answers_say_of_parameters_is_counted():
    costs = example.costs()
    shares = {kind: f"{100 * cost['nets'] / cost['all']:.1f} %" for kind, cost in costs.items()}
    text = plain(words()["offsets"]["text"])
    assert f"A full (dense) one holds {shares['dense']}" in text
    assert f"it holds {shares['separable']} of a block that is" in text
    assert f"{costs['dense']['all'] / costs['separable']['all']:.0f} times smaller" in text
    field = DeformConv(64, (5, 5), 2).offset_net(torch.zeros(1, 64, 3, 3))
    assert field.shape[1] == 50
    assert f"64 · {field.shape[1]} = {64 * field.shape[1]} numbers per cell" in text


def test_what_the_answers_say_of_measurements_stands_in_the_readme_and_the_report():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    report = (ROOT / "assets" / "evidence" / "report.md").read_text(encoding="utf-8")
    text = plain(words()["test"]["text"]).replace("−", "-")
    for place in (readme, report):
        assert not [i for i in re.findall(r"[-+]\d+\.\d+ \[[^]]*\]", text) if i not in place]
    for row in (
        r"\(`scenes`\) \| 75,837 \| 3 \| 60\.0 ",
        r"\(`scenes-rigid`\) \| 61,481 \| 3 \| 55\.2 ",
        r"\(`scenes-control`\) \| 3,012,603 \| 1 \| 78\.1 ",
    ):
        assert re.search(row, readme), row
    assert 39 < 3_012_603 / 75_837 < 41
    assert "a gain of 0.8 AP, which is often claimed" in " ".join(readme.split())
    assert "A gain of 0.8 AP, which is often claimed, lies outside these intervals." in text
    falls = {row["model"]: row["ways"]["off"]["change"] for row in example.tested()}
    assert f"loses {-falls['scenes']:.1f} AP with its offsets off" in words()["test"]["questions"][2]["ask"]


def test_a_moved_tap_can_only_widen_the_reach_by_what_it_is_moved():
    """23 + 2a + 2b: the answer's 29 for a = 1 and b = 2."""
    asked = words()["stack"]["questions"][2]
    assert asked["number"] == len(path_counts()) + 2 * 1 + 2 * 2
    assert reach(7, 3) == words()["taps"]["questions"][0]["number"]
    shifted = taps(7, 3)[:, 1:] * taps(7, 3)[:, :-1]
    assert shifted.sum() == words()["taps"]["questions"][1]["number"]
    assert hits(5, 1, 10 / 8) == words()["levels"]["questions"][1]["number"]
    assert words()["levels"]["questions"][0]["number"] == 10 / 8


def test_the_head_reads_around_objects_and_the_neck_does_not():
    changes = {row["model"]: row["between"] for row in example.inside()}
    assert max(changes["head"]) < 0 < min(changes["neck"]) < max(changes["neck"]) < 10 < min(changes["scenes"])
