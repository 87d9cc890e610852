"""The page "Learn" without a browser: kernels, readings, words, answers, worksheet, the model's view of a drawing."""

from __future__ import annotations

import base64
import json
import re
from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from ink import CELL, ink_map

from dlka.inference.predictor import load_predictor
from dlka.layers import RigidConv
from dlka.models.catalog import DEFAULT
from dlka.ops import deform_dwconv2d
from dlka.ui import page_learn
from dlka.ui.learn import answers, drawing, example, kernels, pieces, play_words, words
from dlka.ui.learn.reading import SHEET, read_bilinear
from dlka.ui.learn.worksheet import worksheet


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
    assert len(kernels.path_counts(5, 7, 3)) == 23
    assert np.array_equal(counted[4:27, 4:27], kernels.path_counts())
    assert counted.sum() == kernels.path_counts().sum() == 49 * 25 == 1225


def test_the_pair_leaves_no_cell_out_and_a_wider_dilation_does():
    counts = kernels.path_counts()
    assert counts.shape == (23, 23)
    assert [counts[0, 0], counts[11, 11], counts[0, 3], counts[3, 3]] == [1, 1, 2, 4]
    assert {n: int((counts == n).sum()) for n in np.unique(counts)} == {1: 121, 2: 264, 4: 144}
    assert (kernels.path_counts(5, 7, 5) > 0).all()
    assert (kernels.path_counts(5, 7, 6) == 0).any()


@pytest.mark.parametrize(("kernel", "dilation"), [(1, 1), (3, 2), (5, 3), (7, 3), (7, 4)])
def test_a_dilated_kernel_has_k_squared_taps_within_its_reach(kernel, dilation):
    taps = kernels.taps(kernel, dilation)
    assert taps.shape == (kernels.reach(kernel, dilation),) * 2
    assert taps.sum() == kernel**2


def test_two_dilated_kernels_see_a_quarter_of_their_square_and_share_nothing_with_the_neighbour():
    """What the first answer says."""
    axis = np.convolve(kernels.taps(3, 2)[0], kernels.taps(3, 2)[0]) > 0
    assert len(axis) == 9
    assert np.outer(axis, axis).sum() == 25
    assert not (axis[1:] & axis[:-1]).any()


def test_taps_on_an_object_are_counted_one_by_one():
    for kernel, dilation, side in product((5, 7), (1, 3), (0.4, 1.5, 2.0, 3.0, 7.9, 12.0)):
        away = (np.argwhere(np.ones((kernel, kernel))) - (kernel - 1) / 2) * dilation
        assert kernels.hits(kernel, dilation, side) == (np.abs(away) <= side / 2).all(axis=1).sum()
    assert kernels.hits(5, 1, 12 / 8) == kernels.hits(7, 3, 12 / 8) == 1  # what the last answer says


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
    answer = answers.see_drawing({"drawing": png(curve)})
    levels = np.frombuffer(base64.b64decode(answer["offsets"]), "<i2").reshape(40, 40, 50)
    predictor = load_predictor(DEFAULT)[0]
    capture = predictor.predict(curve, size=SHEET).captures[0]
    assert answer["label"] == capture.stage.label == "P3 5x5"
    assert np.abs(levels.transpose(2, 0, 1) * answer["unit"] - capture.offset).max() <= answer["unit"]
    assert sum(answer["weights"]) == pytest.approx(1)
    wanted = predictor.tap_weights[capture.stage.name]
    assert np.array(answer["weights"]) == pytest.approx(wanted / wanted.sum(), rel=1e-5)


def test_what_the_words_say_of_the_shipped_model_is_so():
    """Its name, its channels, and what the project's measurements say: words that nothing computes."""
    predictor, _ = load_predictor(DEFAULT)
    capture = predictor.predict(np.zeros((64, 64, 3), np.uint8), size=64).captures[0]
    assert f"<code>{DEFAULT}</code>" in play_words.PLAY["help"]
    assert f"{capture.stage.channels} channels of features" in play_words.PLAY["help"]
    readme = (Path(pieces.FOLDER).parents[2] / "README.md").read_text(encoding="utf-8")
    assert "a gain of 0.8 AP, which is often claimed" in " ".join(words.LEVELS["text"].split())
    assert "a gain of 0.8 AP, which is often claimed" in " ".join(readme.split())
    assert "Does it help?" in readme


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        ("", "expected a PNG of the sheet"),
        ("data:image/png;base64,####", "no PNG"),
        (png(np.zeros((32, 64, 3), np.uint8)), "expected 320 x 320 px, got 64 x 32"),
        ("data:image/png;base64," + "A" * drawing.LARGEST, "not a larger file"),
        ("data:image/png;base64,AAAA", "."),
    ],
)
def test_what_is_no_drawing_is_told(sent, told):
    assert told in answers.see_drawing({"drawing": sent})["error"]


def test_gate_maps_are_the_blocks():
    answer = answers.see_gate({"channel": "7"})
    gated, gate, product_, added, put_in = np.frombuffer(base64.b64decode(answer["maps"]), "<f4").reshape(
        5, *answer["size"]
    )
    seen = example.scene()
    assert np.array_equal(gate, seen.dlka.gates[0].values[7])
    assert np.allclose(product_, gate * gated)
    assert np.abs(added).max() > 0
    assert put_in.shape == gate.shape
    means = np.frombuffer(base64.b64decode(answers.see_gate({"channel": "mean"})["maps"]), "<f4").reshape(5, -1)
    assert np.allclose(means[1], seen.dlka.gates[0].values.mean(0).ravel(), atol=1e-6)
    assert "expected a whole number from 0 to 63" in answers.see_gate({"channel": "64"})["error"]


@pytest.mark.slow
def test_the_small_objects_taps_are_counted_on_the_picture():
    told = answers.see_small({})
    seen = example.crowd()
    box = seen.dlka.detections.boxes[int(seen.dlka.detections.areas.argmin())]
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
    assert any(row[1] != row[2] for row in told["rows"])
    assert "P9" in answers.see_small_picture({"stage": "P9"})["error"]


def test_every_word_is_used_and_none_is_missing():
    own = Path(pieces.FOLDER)
    sources = "".join(p.read_text() for p in (*own.glob("*.js"), *own.glob("*.html"), *own.glob("w*sheet.py")))
    sources += Path(page_learn.__file__).read_text() + (own / "pieces.py").read_text()
    pages = {**words.STEPS, "play": play_words.PLAY, "page": words.PAGE, "sheet": words.SHEET}
    for name, known in pages.items():
        for word, sentence in known.items():
            computed = word == "answer" or word.removeprefix("figure_") in words.STEPS
            assert computed or re.search(rf'["\']{word}["\']|\${word}\b', sources), f"{name}: {word} is used nowhere"
            assert sentence.strip()
    for name in (*words.STEPS, "play"):
        # A missing word in HTML is a KeyError.
        html = pieces.play_html() if name == "play" else pieces.step_html(name)
        script = pieces.play_script() if name == "play" else pieces.step_script(name)
        given = json.loads(pieces.play_value() if name == "play" else pieces.step_value(name))["words"]
        assert "$" not in html
        for asked in re.findall(r"say\(([^,)]*)", script):
            for word in re.findall(r'"(\w+)"', asked):
                assert word in given, f"{name}: {word} is missing"


def test_answers_do_not_travel_with_the_page():
    for step, known in words.STEPS.items():
        sent = pieces.step_html(step) + pieces.step_script(step) + pieces.step_value(step)
        assert known["question"] in sent
        assert known["answer"] not in sent
        assert known["answer"] not in json.loads(pieces.step_value(step))["words"].values()
        assert answers.tell_answer({"step": step}) == {"html": known["answer"]}
    assert "expected one of letter, taps, stack" in answers.tell_answer({"step": "eighth"})["error"]


def test_the_worksheet_has_seven_questions_and_answers_only_for_those_who_may_see_them():
    full, bare = worksheet(answers=True), worksheet(answers=False)
    for known in words.STEPS.values():
        assert known["question"] in full
        assert known["question"] in bare
        assert known["answer"] in full
        assert known["answer"] not in bare
    assert words.SHEET["answers"] in full
    assert "3.75" not in bare
    for page in (full, bare):
        assert page.count('<section class="item') == 7
        assert page.count('<img src="data:image/png;base64,') == 2
        assert page.count("<svg") == 7
        assert not re.search(r"(src|href)=\"(?!data:)", page)  # it needs no other file
