"""Findings of many pictures: what one look gives at two confidences, and what the labels add to the disagreements."""

from __future__ import annotations

import json
from dataclasses import astuple, replace

import numpy as np
import pytest

from dlka.analysis.analysis import Settings, analyse_once
from dlka.analysis.examples import examples
from dlka.analysis.judging import AGREEMENTS, FALSE_ALARMS, MISSED_BY_ONE
from dlka.analysis.labels_yolo import parse_yolo
from dlka.analysis.many.analyses import LEAST, MISSED, ManyAnalyses, above
from dlka.images import read_image
from dlka.models.catalog import cards
from dlka.types import BOTH, KIND_NAMES
from dlka.ui import page_many
from dlka.ui.page_many import viewer_value

SETTINGS = Settings(size=320, confidence=0.02)


@pytest.mark.parametrize("example", ["Bus stop", "Far crowd: bus stop, 4 x 3 small copies"])
@pytest.mark.parametrize("classes", [(), ("person",)])
def test_a_look_with_less_confidence_holds_the_very_boxes_of_a_greater_one(example, classes):
    image, settings = read_image(examples()[example]), Settings(size=640, classes=classes)
    every = analyse_once(image, replace(settings, confidence=LEAST))
    assert len(every.dlka.detections) > 30
    for confidence in (0.01, 0.1, 0.25):
        own, taken = analyse_once(image, replace(settings, confidence=confidence)), above(every, confidence)
        assert taken.settings == own.settings
        assert taken.pairing.pairs == own.pairing.pairs
        for one, other in ((taken.dlka, own.dlka), (taken.baseline, own.baseline)):
            for a, b in zip(astuple(one.detections), astuple(other.detections)):
                np.testing.assert_array_equal(a, b)


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A picture whose labels are what the baseline finds, but for one object that both find, and with one that is not
    there."""
    path = examples()["Bus stop"]
    analysis = analyse_once(image := read_image(path), SETTINGS)
    found, pairing = analysis.baseline.detections, analysis.pairing
    left_out = next(pair.second for pair in pairing.pairs if pair.kind == BOTH)
    size = np.tile([image.shape[1], image.shape[0]], 2)
    lines = [f"{found.classes[0]} 0.99 0.99 0.01 0.01"]
    for i, (x1, y1, x2, y2) in enumerate(found.boxes / size):
        if i != left_out:
            lines.append(f"{found.classes[i]} {(x1 + x2) / 2} {(y1 + y2) / 2} {x2 - x1} {y2 - y1}")
    labels = parse_yolo([("bus.txt", "\n".join(lines).encode())], cards()[SETTINGS.dlka].names, None, "")
    run = ManyAnalyses(SETTINGS, labels, tmp_path_factory.mktemp("run"))
    list(run.add([path]))
    return run


def test_findings_are_what_the_counts_count(many):
    def number(what):
        return sum(what in found.what for found in many.findings)

    for kind, name in KIND_NAMES.items():
        if kind != BOTH:
            assert number(name) == many.rows[0].kinds[kind]
    assert number(MISSED) == sum(n for (which, _), n in many.agreement.items() if which == MISSED) == 1
    by_one = sum(n for (which, _), n in many.agreement.items() if which in AGREEMENTS[1:3])
    assert number(MISSED_BY_ONE) == by_one > 0
    (both,) = [found for found in many.findings if found.kind == "both" and MISSED_BY_ONE not in found.what]
    assert both.what == (FALSE_ALARMS,)
    assert both.verdict == ("neither", "D-LKA: false alarm; baseline: false alarm")
    dlka, baseline = many.truth
    assert number(FALSE_ALARMS) <= dlka.false_alarms.total() + baseline.false_alarms.total()


def test_an_object_that_both_miss_is_a_finding(many):
    (missed,) = [found for found in many.findings if found.kind == MISSED]
    height, width = many.rows[0].size
    np.testing.assert_allclose(missed.box, [0.985 * width, 0.985 * height, 0.995 * width, 0.995 * height], atol=0.1)
    assert missed.scores == (None, None)
    assert missed.verdict == ("neither", "both miss it")
    assert missed.tile[:2] == b"\xff\xd8"


def test_the_viewer_has_every_finding_and_every_picture(many):
    value = json.loads(viewer_value(many))
    assert len(value["items"]) == len(many.findings)
    assert all(len(item["row"]) == len(value["columns"]) for item in value["items"])
    assert value["what"][3:] == [MISSED, MISSED_BY_ONE, FALSE_ALARMS]
    assert {size for item in value["items"] for size in item["size"]} <= {"S", "M", "L"}
    (picture,) = value["pictures"]
    assert picture["kinds"] == {name: many.rows[0].kinds[kind] for kind, name in KIND_NAMES.items()}
    assert picture["wrong"][0] == [many.truth[0].misses.total(), many.truth[0].false_alarms.total()]


def test_what_is_kept_for_ap_goes_down_to_the_least_confidence(many):
    scores = [row["score"] for row in many.found[0]]
    assert LEAST < min(scores) < SETTINGS.confidence
    assert len(many.objects) == many.truth[0].objects()


def test_models_of_other_classes_look_at_the_examples_without_labels():
    given = page_many.examples_for({0: "dragon"})
    assert given.labels is None
    assert given.pictures
    assert page_many.examples_for(cards()[SETTINGS.dlka].names).labels is not None
