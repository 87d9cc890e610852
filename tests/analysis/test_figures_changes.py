"""Figures of what changes: their numbers, captions and vectors, and their recipes in another process."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

from dlka.analysis import adapt, recipes, what_if
from dlka.analysis import analysis as analysis_module
from dlka.analysis.analysis import Settings, analyse_pixels, source_of
from dlka.analysis.examples import examples
from dlka.analysis.figures import changes, figure
from dlka.analysis.transforms import Change, map_boxes, matrix
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.ui import tab_adapt, tab_what_if, words

WHAT_IF = {"picture": "difference", "kind": "shuffled", "strength": 2, "stages": "P3 5x5", "seed": 3, "example": ""}
GIVEN = {"picture": "changed", "kind": "given", "strength": 0.5, "stages": "", "seed": 0, "example": "Two people"}
CHANGE = {"shrink": 0.5, "rotate": 10, "right": 0, "down": 0, "blur": 1.5, "brightness": 1}
ADAPTED = {"side": "dlka", "number": 1, **CHANGE}
SAMPLES = {"stage": "P4 5x5", "number": 1, "x": None, "y": None, **CHANGE}
EVERY = [
    ("what if", WHAT_IF),
    ("what if", GIVEN),
    ("four ways", {"way": "baseline"}),
    ("four ways", {"way": "sliced baseline"}),
    ("adapted", ADAPTED),
    ("adapted", ADAPTED | {"side": "baseline", "number": None}),
    ("adapted samples", SAMPLES),
    ("adapted samples", SAMPLES | {"number": None, "x": 80.5, "y": 90.0}),
]
SVG = "{http://www.w3.org/2000/svg}"
# Writes the figure of every recipe that it is given; says what differs.
REPLAY = """
import sys
from dlka.analysis.recipes import replay
for path in sys.argv[1:]:
    replayed = replay(path)
    print(path, replayed.same, len(replayed.told), *replayed.told)
"""


@pytest.fixture(scope="module")
def analysis():
    file = examples()["Bus stop"]
    return analyse_pixels(read_image(file), Settings(size=320, strength=1.5), source_of(file))


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "arguments"), EVERY)
def test_every_kind_can_be_taken(analysis, kind, arguments):
    made = figure(kind, arguments).drawn(analysis)
    assert made.arrays
    assert "Bus stop" in made.caption
    assert made.caption == figure(kind, arguments).caption(analysis)
    root = ElementTree.fromstring(made.paper.to_svg(made.caption))
    assert root.find(f"{SVG}desc").text == made.caption
    assert len(list(root.iter(f"{SVG}path"))) > 20
    assert made.paper.to_pdf(made.caption).startswith(b"%PDF")


def test_kinds_are_all_tested():
    assert {kind for kind, _ in EVERY} == {figure.name for figure in changes.FIGURES}


@pytest.mark.slow
def test_recipes_make_the_same_arrays_in_another_process(analysis, tmp_path):
    """Also where torch would share sums among another number of threads."""
    paths = []
    for i, (kind, arguments) in enumerate(EVERY):
        recipe = recipes.recipe_of(analysis, figure(kind, arguments), figure(kind, arguments).drawn(analysis))
        paths.append(tmp_path / f"{i}.recipe.json")
        paths[-1].write_text(json.dumps(recipe))
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-c", REPLAY, *map(str, paths)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [[str(path), "True"] for path in paths], done.stdout
    for line, path in zip(lines, paths):
        arrays = json.loads(path.read_text())["arrays"]
        assert int(line.split()[2]) == len(arrays)
        assert all(f"{name} [" in line for name in arrays)


def test_arrays_are_those_of_the_changed_model(analysis):
    made = figure("what if", WHAT_IF).drawn(analysis).arrays
    learned = figure("what if", WHAT_IF | {"kind": "learned", "strength": 1}).drawn(analysis).arrays
    first, other = (
        made[f"offsets/{stage}"].reshape(2 * taps, -1) for stage, taps in (("P3 5x5", 25), ("P3 7x7 d3", 49))
    )
    before = learned["offsets/P3 5x5"].reshape(len(first), -1)
    # The look's own stand at 1.5; this stage is the first, so that nothing before it differs.
    np.testing.assert_allclose(1.5 * before, analysis.capture("P3 5x5").offset.reshape(50, -1), rtol=1e-5)
    assert not np.array_equal(first, 2 * before)
    np.testing.assert_array_equal(np.sort(first, axis=1), np.sort(2 * before, axis=1))
    assert np.abs(other).mean() < 1.5 * np.abs(learned["offsets/P3 7x7 d3"]).mean(), "that stage is not doubled"
    seen = what_if.what_if(analysis, what_if.Change("shuffled", 2.0, ("P3 5x5",), seed=3))
    np.testing.assert_array_equal(made["changed_boxes"], seen.changed.boxes)
    np.testing.assert_array_equal(made["learned_scores"], learned["changed_scores"])
    assert made["pairs"].tolist() == [[-1 if i is None else i for i in (p.first, p.second)] for p in seen.pairing.pairs]


def test_arrays_are_those_of_the_changed_picture(analysis):
    made = figure("adapted", ADAPTED).drawn(analysis).arrays
    moved = matrix(Change(**CHANGE), analysis.image.shape[:2])
    np.testing.assert_array_equal(made["matrix"], moved)
    np.testing.assert_allclose(made["expected"], map_boxes(analysis.dlka.detections.boxes, moved), atol=0.5)
    before = [*made["kept"][:, 0], *made["renamed"][:, 0], *made["lost"], *made["gone"]]
    assert sorted(before) == list(range(len(analysis.dlka.detections)))
    after = [*made["kept"][:, 1], *made["renamed"][:, 1], *made["new"]]
    assert sorted(after) == list(range(len(made["after_boxes"])))
    read = figure("adapted samples", SAMPLES).drawn(analysis)
    np.testing.assert_array_equal(read.arrays["before_box"], adapt.targets(analysis)[0].box)
    away = np.hypot(*(read.arrays["after_samples"] - read.arrays["after_regular"]).T).mean()
    told = re.search(r"moved by ([\d.]+) px and ([\d.]+) px", read.caption)
    assert float(told[2]) == pytest.approx(away, rel=0.02)


def test_captions_run_no_model(analysis, monkeypatch):
    said = [figure(kind, arguments).caption(analysis) for kind, arguments in EVERY]
    monkeypatch.setattr(analysis_module, "load_predictor", None)
    monkeypatch.setattr(what_if, "load_predictor", None)
    assert said == [figure(kind, arguments).caption(analysis) for kind, arguments in EVERY]


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("what if", {}, "expected picture, kind, strength, stages, seed, example; got"),
        ("what if", WHAT_IF | {"picture": "both"}, "Picture: expected one of difference, learned, changed"),
        ("what if", WHAT_IF | {"kind": "magic"}, "Kind: expected one of learned, shuffled, given, gate off"),
        ("what if", WHAT_IF | {"strength": 9}, "Strength: expected -1 to 2; got 9"),
        ("what if", WHAT_IF | {"strength": float("nan")}, "strength: expected a number; got nan"),
        ("what if", WHAT_IF | {"stages": "P3 5x5, P9"}, "Stage: expected one of P3 5x5"),
        ("what if", WHAT_IF | {"stages": ["P3 5x5"]}, "stages: expected text"),
        ("what if", WHAT_IF | {"seed": -1}, "Seed: expected a whole number from 0"),
        ("what if", GIVEN | {"example": "/etc/passwd"}, "Example: expected one of Bus stop"),
        ("what if", GIVEN | {"example": ""}, "Example: expected one of Bus stop"),
        ("four ways", {"way": "fifth"}, "Way: expected one of baseline, rigid LKA, D-LKA, sliced baseline"),
        ("adapted", ADAPTED | {"side": "left"}, "Side: expected dlka or baseline"),
        ("adapted", ADAPTED | {"number": 0}, "Object: expected 1 to"),
        ("adapted", ADAPTED | {"number": 99}, "Object: expected 1 to"),
        ("adapted", ADAPTED | {"shrink": 0}, "shrink: expected above 0 up to 1; got 0"),
        ("adapted samples", SAMPLES | {"stage": "P9"}, "Stage: expected one of P3 5x5"),
        ("adapted samples", SAMPLES | {"x": 1.0}, "Place: expected the number of an object, or x and y"),
        ("adapted samples", SAMPLES | {"number": None}, "Place: expected the number of an object, or x and y"),
        ("adapted samples", SAMPLES | {"right": 100}, "The chosen place has left the picture"),
    ],
)
def test_what_does_not_exist_is_refused(analysis, kind, arguments, says):
    with pytest.raises(DlkaError, match=re.escape(says)) as refusal:
        figure(kind, arguments).drawn(analysis)
    assert "\n" not in str(refusal.value)


@pytest.mark.slow
def test_the_tabs_hand_out_what_they_show(analysis):
    """Each figure of a tab's row can be drawn, and is about the same; of an own donor's offsets there is none."""
    settings = ("given", 0.5, [], 0, "Two people")
    (one,) = json.loads(tab_what_if.draw(analysis.key, *settings, None, "Difference")["figures"])
    assert one["arguments"] == GIVEN | {"picture": "difference"}
    assert figure(one["kind"], one["arguments"]).drawn(analysis).caption == one["caption"]
    swiped = json.loads(tab_what_if.draw(analysis.key, *settings, None, "Swipe")["figures"])
    assert [shown["arguments"]["picture"] for shown in swiped] == ["learned", "changed"]
    other = str(examples()["Cheetah"])
    without = tab_what_if.draw(analysis.key, *settings, other, "Difference")
    assert set(without) == set(tab_what_if.PICTURE_OUTPUTS)
    assert without["figures"] == "[]"
    assert words.NO_RECIPE in without["headline"]
    assert tab_what_if.draw(analysis.key, "gate off", *settings[1:], other, "Difference")["figures"] != "[]"
    ways = json.loads(tab_what_if.draw_ways(analysis.key)["apart_figures"])
    assert [shown["arguments"]["way"] for shown in ways] == ["baseline", "rigid LKA", "D-LKA", "sliced baseline"]

    adapted = json.loads(tab_adapt.draw(analysis, (3.0, 4.0), 0, "P4 5x5", tuple(CHANGE.values()))["figures"])
    assert [shown["arguments"] for shown in adapted] == [ADAPTED | {"side": "baseline"}, ADAPTED, SAMPLES]
    assert all(
        figure(shown["kind"], shown["arguments"]).drawn(analysis).caption == shown["caption"] for shown in adapted
    )
    gone = tuple((CHANGE | {"right": 100}).values())
    assert len(json.loads(tab_adapt.draw(analysis, (3.0, 4.0), 0, "P4 5x5", gone)["figures"])) == 2
    *_, point = json.loads(tab_adapt.draw(analysis, (300.0, 400.0), None, "P4 5x5", tuple(CHANGE.values()))["figures"])
    assert point["arguments"] == SAMPLES | {"number": None, "x": 300.0, "y": 400.0}
