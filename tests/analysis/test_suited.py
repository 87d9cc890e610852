"""What the page opens with, and which models look at a picture where nobody names any."""

from __future__ import annotations

import json
from dataclasses import replace

import cv2
import numpy as np
import pytest

from dlka.analysis import analysis as analysis_module
from dlka.analysis import suited, what_if
from dlka.analysis.analysis import Settings, analyse, fitted, source_of
from dlka.analysis.examples import ASSETS, examples, first, subject
from dlka.analysis.judging import count, judge
from dlka.analysis.labels_coco import coco_labels
from dlka.drawn.scenes import draw_scene
from dlka.images import read_image
from dlka.inference.kernel_shape import spread
from dlka.models import catalog
from dlka.models.catalog import input_size
from dlka.render import reads_at

SCENE, STREET = suited.opening(), "Bus stop"
DRAWN, COCO = ("scenes", "scenes-rigid"), ("head", "control")
THERMAL = ("hit-uav-head", "hit-uav-control")


@pytest.fixture(scope="module")
def opened():
    return analyse(examples()[SCENE], suited.settings_for(SCENE))


def choose(path, models):
    return suited.suited(path, source_of(path), *models)


def written(path, image):
    path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
    return path


def test_the_page_opens_with_a_drawn_scene_and_the_model_for_it(opened):
    assert subject(SCENE) == "shapes"
    assert (opened.settings.dlka, opened.settings.baseline) == DRAWN
    assert opened.settings.size == 320, "the picture's own pixels"
    assert opened.image.shape == (240, 320, 3)


def test_without_its_files_the_page_opens_with_a_photograph(tmp_path, monkeypatch):
    for name in COCO:
        (tmp_path / f"{name}.safetensors").symlink_to(catalog.WEIGHTS / f"{name}.safetensors")
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    assert suited.opening() == STREET
    assert suited.settings_for(SCENE) == suited.settings_for(STREET) == Settings(*COCO)


def test_an_example_brings_models_that_can_know_it():
    scene, street = examples()[SCENE], examples()[STREET]
    assert choose(street, DRAWN) == COCO
    assert choose(scene, COCO) == DRAWN
    assert choose(street, ("neck", "control")) == ("neck", "control"), "what stands there stays"
    assert choose(scene, ("scenes", "scenes-control")) == ("scenes", "scenes-control")
    thermal = examples()[first("thermal")]
    assert choose(thermal, COCO) == THERMAL
    assert choose(street, THERMAL) == COCO


def test_a_picture_of_ones_own_brings_them_where_it_has_colours(tmp_path):
    drawn = written(tmp_path / "drawn.png", draw_scene(3, 5).picture)
    photograph = written(tmp_path / "photograph.png", np.roll(read_image(examples()[STREET]), 5, axis=1))
    assert choose(drawn, DRAWN) == DRAWN
    assert choose(drawn, COCO) == COCO, "it may be a grey photograph"
    assert choose(photograph, DRAWN) == COCO
    assert choose(photograph, ("neck", "control")) == ("neck", "control")


@pytest.mark.parametrize(
    ("shown", "models", "said"),
    [
        (SCENE, DRAWN, ""),
        (STREET, COCO, ""),
        (first("thermal"), THERMAL, ""),
        (STREET, DRAWN, "scenes was made for drawn scenes, not for pictures like this one: its boxes mean little."),
        (first("thermal"), COCO, "head was made for everyday photographs, not for pictures like this one: "),
        ("grey", COCO, ""),
        ("grey", THERMAL, "hit-uav-head was made for thermal drone frames: on other pictures its boxes mean little"),
        ("colours", COCO, ""),
        ("colours", THERMAL, "hit-uav-head was made for thermal drone frames, not for pictures like this one: "),
    ],
)
def test_a_line_says_where_a_model_was_not_made_for_a_picture(tmp_path, shown, models, said):
    path = examples().get(shown, tmp_path / "own.png")
    if shown not in examples():
        image = np.roll(read_image(examples()[STREET]), 5, axis=1)
        written(path, image if shown == "colours" else image[..., :1].repeat(3, axis=2))
    line = suited.unfit(analyse(path, Settings(*models, size=64)))
    assert line.startswith(said) if said else line == ""


def test_examples_are_not_for_models_of_classes_that_none_of_them_shows():
    seen, names = analyse(examples()[STREET], Settings(*COCO, size=64)), {0: "dragon"}
    card = replace(seen.cards[0], names=names, recipe="", data="caves")
    said = suited.unfit(replace(seen, names=names, cards=(card, card)))
    assert said == "head was made for caves, not for pictures like this one: its boxes mean little."


def test_drawn_scenes_go_in_as_large_as_they_are():
    drawn = catalog.cards()["scenes"]
    assert input_size(drawn, 240, 320) == 320
    assert input_size(drawn, 161, 100) == 192
    assert input_size(catalog.cards()["head"], 240, 320) == 640
    assert catalog.subject_of({0: "ring"}) == "everyday", "others have such classes, too"


def test_a_photograph_is_looked_at_with_the_size_that_its_model_was_measured_at(monkeypatch):
    measured = replace(catalog.cards()["head"], metrics={"size": 416})
    monkeypatch.setattr(analysis_module, "load_predictor", {"head": (None, measured)}.get)
    image = np.zeros((240, 320, 3), np.uint8)
    assert fitted(Settings(*COCO), image).size == 416
    assert fitted(Settings(*COCO, size=320), image).size == 320


def test_on_the_first_picture_only_the_deformable_model_finds_all(opened):
    """What the picture was chosen for, see assets/draw.py."""
    file = ASSETS / "scenes.json"
    labels = coco_labels(json.loads(file.read_bytes()), opened.names, file.name)
    truth = labels.truth(opened.source.name, opened.image.shape[:2])
    both = opened.dlka.detections, opened.baseline.detections
    counts = [count(found, truth, judge(found, truth)) for found in both]
    missed, alarms = zip(*((c.misses.total(), c.false_alarms.total()) for c in counts))
    assert missed[0] == alarms[0] == 0
    assert missed[1] > 0


def test_its_kernel_draws_together_on_small_letters(opened):
    """What the lesson says of the first picture."""
    capture, letterbox = opened.capture("P3 5x5"), opened.dlka.letterbox
    wide = []
    for at in ((81, 161), (150, 133), (136, 179), (238, 50)):  # H of 10, 20, 42 and 84 px
        reads = reads_at([capture], at, letterbox)
        wide.append(spread(reads.samples) / spread(reads.regular))
    assert max(wide[:2]) < 0.75
    assert min(wide[2:]) > 0.95


@pytest.mark.parametrize(
    "change",
    [what_if.RIGID, what_if.Change("given", other=str(examples()["Drawn scene: E of 12 to 90 px"]))],
    ids=["off", "another's"],
)
def test_without_its_own_offsets_it_finds_something_else(opened, change):
    kinds = [pair.kind for pair in what_if.what_if(opened, change).pairing.pairs]
    assert len(kinds) - kinds.count("both") >= 6, "boxes that are gone, new, or of another class"
