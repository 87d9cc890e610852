"""The page "Learn" without a browser: kernels, readings, words, answers, worksheet, the model's view of a drawing."""

from __future__ import annotations

import base64
import re
from itertools import product

import cv2
import numpy as np
import pytest
import torch
from bilinear_read import read_bilinear
from ink import CELL, ink_map
from kernel_reach import hits, reach

from dlka.drawn.letters import plain_letter
from dlka.drawn.shapes import LETTERS
from dlka.inference.predictor import load_predictor
from dlka.layers import RigidConv
from dlka.models.catalog import DEFAULT
from dlka.ops import deform_dwconv2d
from dlka.ui import page_learn
from dlka.ui.learn import ASKED_POINT, EXAMPLE_MAP, LANGUAGES, SHEET, STEPS, example, words
from dlka.ui.learn.letters import five_sizes, read_letter
from dlka.ui.learn.worksheet import path_counts, taps, worksheet


def png(image):
    return "data:image/png;base64," + base64.b64encode(cv2.imencode(".png", image)[1].tobytes()).decode()


@pytest.fixture(scope="module")
def curve():
    sheet = np.full((SHEET, SHEET, 3), 255, np.uint8)
    cv2.ellipse(sheet, (160, 160), (80, 40), 20, 0, 270, (0, 0, 0), 10)
    return sheet


def test_reach_and_path_counts_are_those_of_real_convolutions():
    """The gradient of one output cell with respect to the input, all weights one, counts its paths."""
    x = torch.zeros(1, 1, 31, 31, requires_grad=True)
    small, large = RigidConv(1, (5, 5), 2), RigidConv(1, (7, 7), 9, dilation=3)
    for layer in (small, large):
        torch.nn.init.ones_(layer.deform_conv.weight)
    large(small(x))[0, 0, 15, 15].backward()
    counted = x.grad[0, 0].numpy()
    assert len(path_counts(5, 7, 3)) == 23
    assert np.array_equal(counted[4:27, 4:27], path_counts())
    assert counted.sum() == path_counts().sum() == 49 * 25 == 1225


def test_the_pair_leaves_no_cell_out_and_a_wider_dilation_does():
    counts = path_counts()
    assert counts.shape == (23, 23)
    assert [counts[0, 0], counts[11, 11], counts[0, 3], counts[3, 3]] == [1, 1, 2, 4]
    assert {n: int((counts == n).sum()) for n in np.unique(counts)} == {1: 121, 2: 264, 4: 144}
    assert (path_counts(5, 7, 5) > 0).all()
    assert (path_counts(5, 7, 6) == 0).any()


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 2), (5, 3), (7, 3), (7, 4)])
def test_a_dilated_kernel_has_k_squared_taps_within_its_reach(kernel, dilation):
    pattern = taps(kernel, dilation)
    assert pattern.shape == (reach(kernel, dilation),) * 2
    assert pattern.sum() == kernel**2


def test_taps_on_an_object_are_counted_one_by_one():
    for kernel, dilation, side in product((5, 7), (1, 3), (0.4, 1.5, 2.0, 3.0, 7.9, 12.0)):
        away = (np.argwhere(np.ones((kernel, kernel))) - (kernel - 1) / 2) * dilation
        assert hits(kernel, dilation, side) == (np.abs(away) <= side / 2).all(axis=1).sum()


def test_bilinear_reading_is_the_operators():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(4, 6))
    x = torch.from_numpy(values)[None, None]
    for y, at in rng.uniform((-2, -2), (5, 7), (60, 2)).tolist() + [
        [-1, 0],
        [4, 2],
        [0, -1],
        [3, 6],
        [3, 5],
        [-0.5, 2],
    ]:
        offset = torch.tensor([y, at], dtype=torch.float64).reshape(1, 2, 1, 1).expand(1, 2, 4, 6).contiguous()
        out = deform_dwconv2d(x, offset, torch.ones(1, 1, 1, 1, dtype=torch.float64), backend="reference")
        assert read_bilinear(values, y, at) == pytest.approx(out[0, 0, 0, 0].item(), abs=1e-12)
    assert read_bilinear(values, -1, 2) == read_bilinear(values, 4, 2) == 0
    assert read_bilinear(values, -0.5, 2) == pytest.approx(values[0, 2] / 2)


def test_ink_is_a_share_of_each_cell(curve):
    ink = ink_map(curve)
    assert ink.shape == (SHEET // CELL, SHEET // CELL)
    assert ink[0, 0] == 0
    assert ink.sum() * CELL**2 == pytest.approx((1 - curve[..., 0] / 255).sum())


def test_offsets_of_a_drawing_are_the_models(curve):
    answer = page_learn.see_drawing({"drawing": png(curve)})
    levels = np.frombuffer(base64.b64decode(answer["offsets"]), "<i2").reshape(40, 40, 50)
    predictor = load_predictor(DEFAULT)[0]
    capture = predictor.predict(curve, size=SHEET).captures[0]
    assert answer["label"] == capture.stage.label == "P3 5x5"
    assert np.abs(levels.transpose(2, 0, 1) * answer["unit"] - capture.offset).max() <= answer["unit"]
    assert sum(answer["weights"]) == pytest.approx(1)
    wanted = predictor.tap_weights[capture.stage.name]
    assert np.array(answer["weights"]) == pytest.approx(wanted / wanted.sum(), rel=1e-5)


def test_what_the_words_say_of_the_shipped_model_is_so():
    """Its name and its channels: words that nothing computes."""
    predictor, _ = load_predictor(DEFAULT)
    capture = predictor.predict(np.zeros((64, 64, 3), np.uint8), size=64).captures[0]
    assert f"<code>{DEFAULT}</code>" in words()["play"]["help"]
    assert f"{capture.stage.channels} channels of features" in words()["play"]["help"]


@pytest.mark.parametrize("letter", LETTERS)
def test_one_tap_of_the_grid_lies_on_a_letter_of_8_px_the_one_in_the_middle(letter):
    grid = np.array(five_sizes()["grid"])
    inked = np.argwhere(plain_letter(letter, 8) > 90)[:, ::-1]  # x, y; dark paper, light ink
    on_it = ((grid > inked.min(0) - 0.5) & (grid < inked.max(0) + 0.5)).all(axis=1)
    assert np.flatnonzero(on_it).tolist() == [12]


def test_the_asked_value_of_the_map_is_what_is_read_there():
    assert words()["corners"]["questions"][0]["number"] == read_bilinear(EXAMPLE_MAP, *ASKED_POINT)
    assert "row {}, column {}".format(*ASKED_POINT) in words()["corners"]["questions"][0]["ask"]


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("", "expected a PNG of the sheet"),
        ("data:image/png;base64,####", "no PNG"),
        (png(np.zeros((32, 64, 3), np.uint8)), "expected 320 x 320 px, got 64 x 32"),
        ("data:image/png;base64," + "A" * page_learn.LARGEST, "not a larger file"),
        ("data:image/png;base64,AAAA", "."),
    ],
)
def test_what_is_no_drawing_is_told(sent, told):
    assert told in page_learn.see_drawing({"drawing": sent})["error"]


def test_gate_maps_are_the_blocks():
    answer = example.see_gate({"picture": "letters", "channel": "7"})
    gated, gate, product_, added, put_in = np.frombuffer(base64.b64decode(answer["maps"]), "<f4").reshape(
        5, *answer["size"]
    )
    seen = example.scene()
    assert np.array_equal(gate, seen.dlka.gates[0].values[7])
    assert np.allclose(product_, gate * gated)
    assert np.abs(added).max() > 0
    assert put_in.shape == gate.shape
    mean = example.see_gate({"picture": "letters", "channel": "mean"})
    means = np.frombuffer(base64.b64decode(mean["maps"]), "<f4").reshape(5, -1)
    assert np.allclose(means[1], seen.dlka.gates[0].values.mean(0).ravel(), atol=1e-6)
    assert "expected one of letters, sizes, rings" in example.see_gate({"picture": "cat"})["error"]
    assert "expected a whole number from 0 to 63" in example.see_gate({"picture": "letters", "channel": "64"})["error"]


@pytest.mark.slow
def test_the_small_objects_taps_are_counted_on_the_picture():
    told = example.see_small({})
    seen, explored = example.scene(), example.see_field({"picture": "letters"})
    chosen = explored["objects"][explored["chosen"]]
    box = np.array(chosen["dlka"][:4], np.float32)
    assert told["name"] == chosen["name"]  # Explore opens with it, too
    assert max(told["width"], told["height"]) <= 12  # it is small
    assert [told["width"], told["height"]] == [round(float(v)) for v in box[2:] - box[:2]]
    assert [row[0] for row in told["rows"]] == seen.stage_labels
    scale = seen.dlka.letterbox
    for row, capture in zip(told["rows"], seen.dlka.captures):
        stride, size = capture.stage.stride, capture.stage.kernel[0]
        # The map's cells whose middles lie in the box, counted by hand around the cell under the box's middle.
        x, y = scale.points_forward((box[:2] + box[2:]) / 2 - 0.5)
        middle = np.round([(y + 0.5) / stride - 0.5, (x + 0.5) / stride - 0.5]).astype(int)
        count = 0
        for i, j in product(range(size), range(size)):
            cell = middle + (np.array([i, j]) - (size - 1) // 2) * capture.stage.dilation
            at = scale.points_back((cell[::-1] + 0.5) * stride - 0.5) + 0.5
            count += bool((at >= box[:2]).all() and (at <= box[2:]).all())
        assert row[1] == count
        assert 0 <= row[2] <= capture.stage.taps
    assert told["rows"][0][2] > told["rows"][0][1]  # its samples draw together on it
    assert "P9" in example.see_small_picture({"stage": "P9"})["error"]


@pytest.mark.parametrize("sent", ["", "####", "é", base64.b64encode(bytes(100)).decode()])
def test_what_is_no_picture_of_a_letter_is_told(sent):
    assert "expected 48 x 48 greys in base64" in read_letter({"picture": sent})["error"]


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_worksheet_has_all_questions_and_answers_only_for_those_who_may_see_them(language):
    full, bare = worksheet(language, answers=True), worksheet(language, answers=False)
    told = words(language)
    for step in STEPS:
        for question in told[step]["questions"]:
            assert question["ask"] in full
            assert question["ask"] in bare
            assert question["why"] in full
            assert question["why"] not in bare
            assert all(choice in bare for choice in question.get("choices", ()))
    assert told["sheet"]["answers"] in full
    assert not re.search(r"3[.,]75", bare)
    decimal = re.escape(told["page"]["decimal"])
    assert re.search(rf"<b>3{decimal}75</b>", full)
    for figure in (rf"\b99{decimal}2 %", rf"</i> 61{decimal}0</p>"):  # of a caption, beside a bar
        assert re.search(figure, bare), figure
    for page in (full, bare):
        assert f'<html lang="{language}">' in page
        assert page.count('<section class="item') == 9
        assert page.count('<img src="data:image/png;base64,') == 2
        assert page.count("<svg") == 8
        assert not re.search(r"(src|href)=\"(?!data:)", page)  # it needs no other file
    assert "expected one of en, de, zh" in page_learn.make_worksheet({"language": "fr"})["error"]
