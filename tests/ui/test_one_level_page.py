"""The page with models of one detection map, without a browser: D-LKA against stock, and a twin that moves nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from dlka.analysis import adapt, adapt_curve, box_figures, boxes, four_ways, model_words, report, what_if
from dlka.analysis.analysis import Settings, analyse_pixels
from dlka.analysis.batch import run_batch
from dlka.analysis.examples import examples
from dlka.analysis.figures import figure, pictures
from dlka.analysis.figures.views import Attention, Offsets
from dlka.analysis.models import baseline_for, baseline_models, dlka_models
from dlka.analysis.stages import NO_STAGES
from dlka.analysis.transforms import Change as PictureChange
from dlka.bench.model import lively
from dlka.errors import DlkaError
from dlka.layers import DeformableLKAAttention
from dlka.models import catalog
from dlka.models.build import model_config
from dlka.models.model_yaml import ATTENTION
from dlka.models.weights import Card, load_card, save_weights
from dlka.ui import address, app, files, tab_objects, tab_see, tab_what_if
from dlka.ui.toolkit import gr

pytestmark = pytest.mark.slow

COCO = load_card(catalog.WEIGHTS / "control.safetensors").names
BLOCKS = [row[2] for row in model_config("one-level")["head"]].count(ATTENTION)
PLACES = [f"P3 block {n + 1}" for n in range(BLOCKS)] if BLOCKS > 1 else ["P3"]
LABELS = [place.replace("P3", f"P3 {kernel}", 1) for place in PLACES for kernel in ("5x5", "7x7 d3")]
MODELS = {
    "scenes-one-level": ("one-level", "separable"),
    "scenes-features": ("one-level", "features"),
    "scenes-plain": ("one-level-plain", "dense"),
    "scenes-control": ("control", "dense"),
}


@pytest.fixture(scope="module", autouse=True)
def weights(tmp_path_factory):
    """A catalog of random models, none of whose scores is small."""
    folder = tmp_path_factory.mktemp("weights")
    for model, (placement, offsets) in MODELS.items():
        torch.manual_seed(0)
        net = lively(placement, "n", offsets)
        for block in (m for m in net.modules() if isinstance(m, DeformableLKAAttention)):
            nn.init.normal_(block.proj_2.weight, std=0.05)
        for branch in net.model[-1].cv3:
            branch[-1].bias.data[0] = -1.0
        card = Card(placement, "n", offsets, COCO, 320, "drawn scenes", "none", "AGPL-3.0", 0, {})
        save_weights(folder / f"{model}.safetensors", net.state_dict(), card)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "WEIGHTS", folder)
        yield folder


def seen_by(dlka: str, baseline: str):
    image = np.random.default_rng(0).integers(0, 255, (90, 120, 3), np.uint8)
    return analyse_pixels(image, Settings(dlka=dlka, baseline=baseline, size=128, confidence=0.1))


@pytest.fixture(scope="module")
def analysis(weights):
    return seen_by("scenes-one-level", "scenes-control")


def test_what_is_offered_beside_what():
    assert dlka_models() == ["scenes-features", "scenes-one-level"]
    assert baseline_models() == ["scenes-control", "scenes-features", "scenes-plain"]
    assert baseline_for("scenes-one-level", "gone") == "scenes-control"
    assert model_words.label("a", catalog.cards()["scenes-plain"]).endswith("plain)")
    assert "D-LKA on one level, no pyramid" in model_words.line("scenes-one-level")
    assert "offset nets as features" in model_words.line("scenes-features")
    assert model_words.line("scenes-plain").startswith("stock YOLOv8n, one level, no pyramid")


def test_a_comparison_with_a_model_that_has_a_pyramid(analysis):
    assert len(analysis.dlka.detections) > 0
    assert len(analysis.baseline.detections) > 0
    assert analysis.dlka.letterbox == analysis.baseline.letterbox
    assert analysis.stage_labels == LABELS
    assert analysis.gate_labels == PLACES
    assert [len(analysis.capture(label).offset) for label in LABELS] == [50, 98] * BLOCKS
    assert list(analysis.views) == [
        view for n, place in enumerate(PLACES) for view in (*LABELS[2 * n : 2 * n + 2], f"{place} composed")
    ]
    assert {row[-1].split()[0] for row in report.object_rows(analysis)} <= {"P3", "-"}
    assert [row[0] for row in report.stage_rows(analysis)] == LABELS
    costs = {row[0]: row[1:] for row in report.cost_rows(analysis)}
    assert costs["G multiply-adds, deformable step"][1] == "0.00"
    assert [stage["label"] for stage in report.report(analysis)["stages"]] == LABELS


@pytest.mark.parametrize("tab", app.TABS, ids=lambda tab: tab.NAME)
def test_a_tab_gives_exactly_what_it_names(tab, analysis):
    """With stages and gates, and without stages."""
    with gr.Blocks():
        built = tab.build(analysis)
    for shown in (analysis, seen_by("scenes-features", "scenes-plain")):
        point = pictures.default_point(shown)
        asked = {name: point if name == "point" else built[name].value for name in tab.INPUTS}
        assert set(tab.values(shown, **asked)) == set(tab.OUTPUTS)
    assert set(tab.OUTPUTS) <= set(built)


def test_every_tab_shows_every_stage(analysis):
    point = pictures.default_point(analysis)
    for label, place in zip(LABELS, [place for place in PLACES for _ in range(2)]):
        assert f"of the offsets of {label}" in Offsets(label, "Arrows", 0, 0.7, "All stages", *point).caption(analysis)
        assert f"of block {place}, mean" in Attention(place, "mean", 0, 0.5).caption(analysis)
        assert "receptive-field" in tab_see.see_field({"key": analysis.key, "stage": label, "row": 2, "column": 3})
        assert "tap" in report.tap_card(analysis.key, label, "2", "3", "0", "1")
    assert tab_what_if.values(analysis, LABELS[:1], next(iter(examples())))["stages"]["value"] == LABELS[:1]
    value = json.loads(files.see_value(analysis, point))
    assert [gate["label"] for gate in value["gates"]] == PLACES
    sent = value["stages"]
    assert [stage["label"] for stage in sent] == LABELS
    assert [stage["place"] for stage in sent] == [place for place in PLACES for _ in range(2)]
    wanted = address.Asked("", analysis.settings, stage=f"{PLACES[-1]} composed", cell=(1, 2))
    place, where = address.place(analysis, wanted)
    assert place.wrong == ()
    assert where is not None


def test_changed_models_and_four_ways(analysis):
    gate_off = what_if.what_if(analysis, what_if.Change(what_if.GATE_OFF, stages=tuple(LABELS[:2])))
    assert len(gate_off.learned) == len(analysis.dlka.detections)
    only = what_if.offsets_used(analysis, what_if.Change(strength=0.0, stages=(LABELS[0],)))
    assert [bool(only[label].any()) for label in LABELS] == [False] + [True] * (len(LABELS) - 1)
    ways = four_ways.four_ways(analysis.key)
    assert [row[0] for row in four_ways.rows(ways)] == [f"{n}. {name}" for n, name in enumerate(four_ways.NAMES, 1)]


def test_boxes_and_what_they_come_from(analysis):
    own, other = boxes.find(analysis, "dlka 0")
    assert (own.level, other.side) == (3, "baseline")
    assert LABELS[0] in str(tab_objects.cells_part(analysis, (own, other)))
    assert tab_objects.evidence_part(analysis, (own, other))
    assert list(box_figures.samples_of(analysis, own)) == list(analysis.views)
    assert box_figures.samples_of(analysis, replace(own, level=4)) == {}
    for kind, arguments in (
        ("box samples", {"box": "dlka 0"}),
        ("condensation", {"stage": f"{PLACES[-1]} composed"}),
        ("receptive field", {"stage": LABELS[-1], "row": 2, "column": 3}),
        ("reads", {"view": f"{PLACES[-1]} composed", "row": 2, "column": 3}),
    ):
        assert figure(kind, arguments).drawn(analysis).arrays


def test_a_changed_picture_is_followed(analysis):
    seen = adapt.follow(analysis, PictureChange(shrink=0.7), 0, (0.0, 0.0))
    assert adapt.samples(seen, LABELS[-1]) is not None
    large = adapt.targets(analysis)[-1]
    steps = adapt_curve.measure(analysis, large)
    assert next(steps).dlka > 0


def test_a_twin_in_which_nothing_moves_says_so():
    analysis = seen_by("scenes-features", "scenes-plain")
    assert analysis.stage_labels == []
    assert analysis.gate_labels == PLACES
    point = pictures.default_point(analysis)
    assert NO_STAGES in tab_objects.cells_part(analysis, boxes.find(analysis, "dlka 0"))
    assert four_ways.four_ways(analysis.key).found
    value = json.loads(files.see_value(analysis, point))
    assert value["stages"] == []
    assert [gate["label"] for gate in value["gates"]] == PLACES, "its gates are there to be seen"
    assert value["objects"]


def test_many_pictures_from_the_command_line(tmp_path):
    file = next(iter(examples().values()))
    (outcome,) = run_batch([file], Settings("scenes-one-level", "scenes-control", 0.5, size=128), tmp_path)
    assert outcome.problem is None
    drawn = {path.name for path in outcome.folder.iterdir()}
    assert len([name for name in drawn if name.startswith("offsets-")]) == 4 * BLOCKS
    assert len([name for name in drawn if name.startswith("gate-")]) == BLOCKS


def test_a_stage_that_several_blocks_have_is_named_whole(analysis):
    with pytest.raises(DlkaError, match=f"Stage: expected one of {', '.join(LABELS)}; got 'P4 5x5'"):
        analysis.capture("P4 5x5")
    assert replace(analysis).capture(LABELS[-1]) is analysis.dlka.captures[-1]


def _png(image: np.ndarray) -> bytes:
    import cv2

    return cv2.imencode(".png", image)[1].tobytes()
