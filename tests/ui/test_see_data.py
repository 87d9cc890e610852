"""What the browser gets to draw the canvas from: offsets as whole numbers, geometry, weights of the taps."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from deforming import deforming
from render_builders import capture, stage

from dlka.analysis.analysis import Settings, analyse, analyse_pixels
from dlka.analysis.examples import ASSETS, examples
from dlka.analysis.see import LARGEST, NOT_A_NUMBER, quantised
from dlka.images import read_image
from dlka.inference.letterbox import Letterbox
from dlka.inference.predictor import load_predictor
from dlka.inference.probe import stages, tap_weights
from dlka.ui.files import see_value


@pytest.fixture(scope="module")
def analysis():
    return analyse_pixels(read_image(examples()["Two people"])[::3, ::2].copy(), Settings(size=320))


def test_labels_of_an_example_say_which_boxes_are_right():
    """Of the scene that the page opens with every object is labelled; offsets that are off give boxes of nothing."""
    example = "Drawn scene: letters and curves"
    settings = Settings("scenes", "scenes-rigid", size=320)
    own, off = (analyse(examples()[example], replace(settings, strength=strength)) for strength in (1.0, 0.0))
    value, without = (json.loads(see_value(each, (0, 0))) for each in (own, off))
    rows = json.loads((ASSETS / "scenes.json").read_text())
    number = next(image["id"] for image in rows["images"] if image["file_name"] == examples()[example].name)
    assert sum(value["truth"]["all"]) == sum(row["image_id"] == number for row in rows["annotations"])
    hits = [sum(each["right"][0] is True for each in data["objects"]) for data in (value, without)]
    assert hits[0] == value["truth"]["all"][0] + value["truth"]["all"][1]
    alarms = [sum(each["right"][0] is False for each in data["objects"]) for data in (value, without)]
    assert alarms[1] > alarms[0]
    assert hits[1] < hits[0]
    few = json.loads(see_value(analyse(examples()[example], replace(settings, classes=("H",))), (0, 0)))
    assert 0 < sum(few["truth"]["all"]) < sum(value["truth"]["all"])


def test_a_picture_without_labels_is_not_judged(analysis):
    value = json.loads(see_value(analysis, (0, 0)))
    assert value["truth"] is None
    assert all("right" not in each for each in value["objects"])


def file_of(address):
    prefix = "gradio_api/file="
    assert address.startswith(prefix)
    return Path(address.removeprefix(prefix))


def unpacked(file):
    """Offsets as the browser reads them: the low bytes of all, then the high bytes."""
    planes = np.frombuffer(zlib.decompress(file.read_bytes()), np.uint8).reshape(2, -1)
    return np.ascontiguousarray(planes.T).view("<i2").ravel()


def test_offsets_come_back_to_within_half_a_level():
    box = Letterbox.fit((60, 80), 128)
    field = capture(stage((5, 3)), box, spread=3.0)
    levels, unit = quantised(field)
    assert levels.dtype == np.dtype("<i2")
    assert levels.shape == (*field.offset.shape[1:], 30)
    back = levels.transpose(2, 0, 1) * unit
    assert np.abs(back - field.offset).max() <= unit / 2 * 1.001
    assert np.abs(levels).max() == 4095


def test_no_offset_and_what_is_no_number():
    box = Letterbox.fit((60, 80), 128)
    still = capture(stage(), box, (0.0, 0.0))
    levels, unit = quantised(still)
    assert not levels.any()
    assert unit > 0
    still.offset[4, 2, 3], still.offset[5, 2, 3], still.offset[0, 0, 0] = np.nan, np.inf, 2.0
    levels, unit = quantised(still)
    assert levels[2, 3, 4] == levels[2, 3, 5] == NOT_A_NUMBER
    assert levels[0, 0, 0] * unit == pytest.approx(2.0)
    assert (levels == NOT_A_NUMBER).sum() == 2


def test_the_value_holds_every_stage_where_the_file_has_it(analysis):
    value = json.loads(see_value(analysis, (3.0, 4.5)))
    offsets = unpacked(file_of(value["offsets"]))
    assert len(value["stages"]) == len(analysis.dlka.captures) == 6
    assert value["point"] == [3.0, 4.5]
    for told, seen in zip(value["stages"], analysis.dlka.captures):
        rows, columns = told["size"]
        taps = told["kernel"][0] * told["kernel"][1]
        part = offsets[told["start"] :][: rows * columns * 2 * taps].reshape(rows, columns, 2 * taps)
        assert np.abs(part.transpose(2, 0, 1) * told["unit"] - seen.offset).max() <= told["unit"]
        assert len(told["weights"]) == taps
        assert max(told["weights"]) == 1
        assert min(told["weights"]) >= 0
    assert value["size"] == list(analysis.image.shape[:2])
    shown = cv2.imread(str(file_of(value["picture"])))[..., ::-1]
    assert np.abs(shown.astype(int) - analysis.image).mean() < 2, "a JPEG of it"
    assert [s["place"] for s in value["stages"]] == ["P3", "P3", "P4", "P4", "P5", "P5"]


def test_a_large_picture_is_sent_smaller_and_a_model_without_stages_has_none(analysis):
    wide = replace(analysis, picture=np.zeros((10, 4000, 3), np.uint8), dlka=replace(analysis.dlka, captures=()))
    value = json.loads(see_value(wide, (0.0, 0.0)))
    assert cv2.imread(str(file_of(value["picture"]))).shape == (4, LARGEST, 3)
    assert value["stages"] == []
    assert value["size"] == [10, 4000]


def test_tap_weights_are_means_of_absolute_weights():
    model = deforming("residual")
    found = tap_weights(model)
    assert list(found) == [s.name for s in stages(model)]
    name = next(iter(found))
    weight = model.get_submodule(name).deform_conv.weight
    assert found[name] == pytest.approx([weight[:, 0, i, j].abs().mean().item() for i in range(5) for j in range(5)])
    predictor = load_predictor("control")[0]
    assert predictor.tap_weights == {}


def test_a_picture_opens_at_what_both_models_hit():
    """The smallest box of the crossroads is of a traffic light that is none, in both models."""
    analysis = analyse(examples()["Aerial: crossroads"], Settings())
    value = json.loads(see_value(analysis, (0, 0)))
    assert value["objects"][value["chosen"]]["right"] == [True, True]
    assert any(each["right"] == [False, False] for each in value["objects"][: value["chosen"]])
