"""The figures of the tab "Objects": vectors, captions and numbers, and the same numbers in another process."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest

from dlka.analysis import analysis as analysis_module
from dlka.analysis import box_figures, boxes, condensation, recipes
from dlka.analysis.analysis import Settings, analyse_pixels, source_of
from dlka.analysis.examples import examples
from dlka.analysis.figures import KINDS, figure, one_box
from dlka.analysis.pairing import match_detections
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.types import BOTH, Detections
from dlka.ui import tab_objects

SVG = "{http://www.w3.org/2000/svg}"
CAM = {"box": "dlka 0", "side": "dlka", "of": "layercam"}
EVERY = [
    ("box cells", {"box": "baseline 1"}),
    ("box samples", {"box": "baseline 1"}),
    ("box evidence", CAM),
    ("box evidence", CAM | {"side": "baseline", "of": "gradient"}),
    ("condensation", {"stage": "P3 composed"}),
    ("spread", {}),
]
# Arguments: recipes. Exit status: how many of them do not give the same arrays.
REPLAY = """
import sys
from dlka.analysis.recipes import replay
made = [replay(path) for path in sys.argv[1:]]
print(*(line for one in made for line in one.told), sep="\\n")
sys.exit(sum(not one.same for one in made))
"""


@pytest.fixture(scope="module")
def analysis():
    file = examples()["Bus stop"]
    return analyse_pixels(read_image(file), Settings(size=320, strength=1.5), source_of(file))


@pytest.fixture(scope="module")
def drawn(analysis):
    return [figure(kind, arguments).drawn(analysis) for kind, arguments in EVERY]


def svg(made):
    return ElementTree.fromstring(made.paper.to_svg(made.caption))


def marks(made):
    """[n, 2]: where marks stand on the sheet."""
    found = [(use.get("x"), use.get("y")) for use in svg(made).iter(f"{SVG}use")]
    return np.array([place for place in found if all(place)], np.float64).reshape(-1, 2)


def corners(made):
    """Every place where a path of the drawing goes, on the sheet."""
    paths = " ".join(path.get("d") or "" for path in svg(made).iter(f"{SVG}path"))
    return np.array([[float(v) for v in place] for place in re.findall(r"[ML] (\S+) (\S+)", paths)])


def on_sheet(canvas, points):
    """Points (x, y) of the picture; sheets have whole numbers of pixels, so that both axes differ by a hair."""
    left, top, right, bottom = canvas.view
    scale = np.array([canvas.picture_width / (right - left), canvas.picture_height / (bottom - top)])
    return (points - (left, top)) * scale + (canvas.left, 0)


def distance(places, point):
    return np.hypot(*(places - point).T).min()


def test_every_kind_is_here():
    assert {kind for kind, _ in EVERY} == {figure.name for figure in one_box.FIGURES}
    assert set(one_box.FIGURES) <= set(KINDS.values())


@pytest.mark.slow
def test_only_photographs_and_maps_are_pixels(drawn):
    bars = {"box evidence": 1, "condensation": 1}
    for (kind, _), made in zip(EVERY, drawn):
        panels, drawing = {"box cells": 2, "box samples": 3, "spread": 0}.get(kind, 1), svg(made)
        assert len(list(drawing.iter(f"{SVG}image"))) <= panels + bars.get(kind, 0), kind
        assert made.paper.to_pdf(made.caption).startswith(b"%PDF"), kind
        assert drawing.find(f"{SVG}desc").text == made.caption, kind


@pytest.mark.slow
def test_marks_of_the_drawings_are_vectors_at_their_places(drawn):
    _, samples, cam, _, density, spread = drawn
    views = {name.split("/")[0] for name in samples.arrays if "/" in name}
    assert len(views) == 3
    assert len(marks(samples)) > sum(len(samples.arrays[f"{v}/samples"]) for v in views)
    kinds = {name.split("/")[0] for name in spread.arrays}
    assert len(marks(spread)) >= 2 * sum(len(spread.arrays[f"{k}/side"]) for k in kinds)
    (left, top, right, bottom), places = cam.arrays["box"] - 0.5, corners(cam)
    for corner in ((left, top), (right, bottom)):
        assert distance(places, on_sheet(cam.paper, np.array(corner))) < 0.01
    places = corners(density)
    for box in np.concatenate([density.arrays["dlka_boxes"], density.arrays["baseline_boxes"]]):
        assert distance(places, on_sheet(density.paper, box[2:] - 0.5)) < 0.01


@pytest.mark.slow
def test_arrays_are_the_numbers_of_the_tab(analysis, drawn):
    cells, samples, cam, gradient, density, spread = (made.arrays for made in drawn)
    own, other = boxes.find(analysis, "baseline 1")
    for trace in (own, other):
        np.testing.assert_array_equal(cells[f"{trace.side}/merged_cells"], trace.cells)
        assert cells[f"{trace.side}/score"] == trace.score
        assert tuple(cells[f"{trace.side}/cell"]) == trace.cell
    view = f"P{own.level} 5x5"
    within = samples[f"{view}/inside"].mean(), samples[f"{view}/share"][0]
    assert within[0] == pytest.approx(within[1])
    assert f"{view} {within[1]:.1%}, regular grid" in drawn[1].caption
    twin = figure("box evidence", CAM | {"side": "baseline"}).drawn(analysis)
    assert cam["scale"] == twin.arrays["scale"] == max(cam["map"].max(), twin.arrays["map"].max())
    seen = boxes.find(analysis, "dlka 0")[1]
    np.testing.assert_array_equal(
        gradient["map"], boxes.gradients(analysis.key, "baseline", seen.level, seen.cell, seen.number).field
    )
    assert density["samples"].sum() < density["regular"].sum()
    assert f"{len(boxes.listed(analysis))} boxes" in drawn[5].caption
    assert sum(len(v) for name, v in spread.items() if name.endswith("composed/side")) == len(boxes.listed(analysis))


def test_one_scale_for_both_models_whichever_depends_more(analysis):
    larger = set()
    for name in [name for _, name in boxes.listed(analysis) if name.startswith("dlka")]:
        for kind in box_figures.KINDS:
            maps = box_figures.maps(analysis, boxes.find(analysis, name), kind).values()
            ends = [float(of.values.max()) for of in maps]
            assert {of.largest for of in maps} == {max(ends)}
            larger.add(int(np.argmax(ends)))
    assert larger == {0, 1}, "the picture has both"


@pytest.mark.slow
def test_another_process_makes_the_same_arrays(analysis, drawn, tmp_path):
    paths = []
    for (kind, arguments), made in zip(EVERY, drawn):
        paths.append(tmp_path / f"{len(paths)}.recipe.json")
        paths[-1].write_text(json.dumps(recipes.recipe_of(analysis, figure(kind, arguments), made)))
    done = subprocess.run([sys.executable, "-c", REPLAY, *map(str, paths)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": same\n") == sum(len(made.arrays) for made in drawn)


def test_the_tab_tells_what_can_be_taken_and_no_model_runs_for_it(analysis, monkeypatch):
    drawn = tab_objects.draw(analysis.key)
    shown = json.loads(drawn["figures"]) + json.loads(drawn["map_figures"])
    names = ["box cells", "box samples", *["box evidence"] * 4, "condensation", "spread"]
    assert [one["kind"] for one in shown] == names
    monkeypatch.setattr(analysis_module, "load_predictor", lambda _: pytest.fail("a model runs"))
    for one in shown:
        assert figure(one["kind"], one["arguments"]).caption(analysis) == one["caption"]
        assert figure(one["kind"], one["arguments"]).drawn(analysis).caption == one["caption"]


def test_a_box_of_one_model_alone(analysis):
    """A box of the baseline whose D-LKA twin is taken away."""
    pair = next(p for p in analysis.pairing.pairs if p.kind == BOTH)
    found = analysis.dlka.detections
    left = Detections(*(np.delete(getattr(found, n), pair.first, axis=0) for n in found.__dataclass_fields__))
    alone = replace(
        analysis,
        key=f"{analysis.key} alone",
        dlka=replace(analysis.dlka, detections=left),
        pairing=match_detections(left, analysis.baseline.detections),
    )
    analysis_module.STORE.put(("analysis", alone.key), alone)
    name = f"baseline {pair.second}"
    cells = figure("box cells", {"box": name}).drawn(alone)
    assert "D-LKA: no box, cell P" in cells.caption
    assert cells.arrays["dlka/found"].tolist() == [False]
    seen = figure("box evidence", CAM | {"box": name}).drawn(alone)
    assert "which has no box there" in seen.caption


@pytest.mark.parametrize(
    ("kind", "arguments", "says"),
    [
        ("box cells", {"box": "dlka 99"}, "This box is not one of the picture"),
        ("box evidence", CAM | {"side": "left"}, "Side: expected dlka or baseline; got 'left'"),
        ("box evidence", CAM | {"of": "magic"}, "Evidence: expected layercam or gradient; got 'magic'"),
        ("condensation", {"stage": "P9"}, "Stage: expected one of P3 5x5"),
    ],
)
def test_what_does_not_exist_is_refused(analysis, kind, arguments, says):
    with pytest.raises(DlkaError, match=re.escape(says)):
        figure(kind, arguments).drawn(analysis)


def test_a_model_without_stages_has_no_samples(analysis):
    stock = replace(
        analysis,
        key=f"{analysis.key} stock",
        settings=replace(analysis.settings, dlka="control"),
        dlka=analysis.baseline,
    )
    stock = replace(stock, pairing=match_detections(analysis.baseline.detections, analysis.baseline.detections))
    analysis_module.STORE.put(("analysis", stock.key), stock)
    for kind, arguments, says in (
        ("box samples", {"box": "dlka 0"}, "no deform stage on P"),
        ("condensation", {"stage": "P3 5x5"}, "none: this model does not deform"),
        ("spread", {}, "does not deform"),
    ):
        with pytest.raises(DlkaError, match=says):
            figure(kind, arguments).drawn(stock)
    assert condensation.chart(stock) is None
