"""Whatever has made room in memory is made again when a visitor comes back to it; nobody is told to press Compare."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from dlka.analysis import adapt, boxes, cache
from dlka.analysis import analysis as analysis_module
from dlka.analysis.analysis import Settings, analyse, analyse_pixels, get_analysis
from dlka.analysis.cache import Kept
from dlka.analysis.examples import examples
from dlka.bench.visitor import Visitor
from dlka.ui import app, figure_row, files, tab_objects, tab_see, tab_what_if

EXAMPLE = "Two people"


@pytest.fixture
def store(monkeypatch):
    """An empty memory, which a test may empty again by calling it."""

    def forget(limit=2**30):
        fresh = Kept(limit)
        for module in (cache, analysis_module):
            monkeypatch.setattr(module, "STORE", fresh)
        monkeypatch.setattr(analysis_module, "PICTURES", Kept(limit))
        return fresh

    forget()
    return forget


def asked(analysis, **more):
    first = analysis.stage_labels[0]
    return {"key": analysis.key, "stage": first, "row": "3", "column": "4"} | more


def what_if(analysis):
    return tab_what_if.draw(analysis.key, "learned", 0.5, [], 0, EXAMPLE, None, "Difference")["headline"]


def adapted(analysis):
    return adapt.follow(get_analysis(analysis.key), adapt.Change(shrink=0.5), 0, (9, 9)).scores


def taken(analysis):
    return figure_row.take_figure({"key": analysis.key, "kind": "difference", "arguments": {}, "form": "npz"})["told"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        what_if,
        adapted,
        taken,
        lambda analysis: tab_what_if.draw_ways(analysis.key)["apart"].split("<div")[0],
        lambda analysis: tab_objects.draw(analysis.key)["box"],
        lambda analysis: tab_objects.draw(analysis.key)["tables"],
        lambda analysis: tab_see.add_up(asked(analysis, channel="", tap="")),
        lambda analysis: tab_see.see_field(asked(analysis)).split("alt=")[1],
        lambda analysis: boxes.find(get_analysis(analysis.key), boxes.listed(analysis)[0][1])[0].where,
    ],
    ids=["what if", "adapt", "figure", "four ways", "boxes", "box tables", "tap", "field", "box"],
)
def test_every_tab_works_on_a_look_that_made_room(store, use):
    analysis = analyse(examples()[EXAMPLE], Settings(size=320))
    before = use(analysis)
    store()
    assert use(analysis) == before
    assert len(str(before)) > 5
    assert "load it again" not in str(before)


@pytest.mark.slow
def test_the_first_look_stays_while_others_come_and_go(store):
    fresh = store(40 * 2**20)
    first = app.first_look()
    for i in range(8):
        analyse_pixels(np.full((640, 640, 3), 20 * i, np.uint8), Settings())
    assert get_analysis(first.key) is first
    assert fresh.used <= fresh.limit
    assert ("analysis", first.key) in fresh


def test_what_questions_are_made_from_is_bounded_too(store, monkeypatch):
    monkeypatch.setattr(analysis_module, "QUESTIONS", few := Kept(20_000))
    first = app.first_look()
    for i in range(60):
        few.put(str(i), (*few.get(first.key, lambda: pytest.fail("it is known")),))
    assert few.used <= 20_000
    assert first.key in few


def test_a_visitor_comes_back_to_a_look_that_made_room(server, store):
    """Over HTTP, as a browser asks."""
    visitor = Visitor(server.rstrip("/"))
    visitor.values["Input size, px"] = 320
    visitor.show_picture(
        cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8))[1].tobytes()
    )
    visitor.change("Compare", "click")
    for control, value in (("what-if-strength", 0.5), ("adapt-shrink", 0.7)):
        store()
        visitor.values[control] = value
        assert visitor.change(control, "input") > 0


def test_a_new_visitor_has_the_first_look_after_many_others(server, store):
    """Its own What if is asked for before anything else, in a memory that holds next to nothing."""
    store(1)
    assert Visitor(server.rstrip("/")).change("what-if-strength", "input") > 0


@pytest.mark.slow
def test_pictures_of_the_page_are_small_and_look_the_same(store):
    """A page's picture against every pixel of the one to take along: PSNR, and the largest error."""
    from dlka.analysis.figures.views import Difference, Samples
    from dlka.images import read_image

    analysis = analyse(examples()["Bus stop"], Settings(size=320))
    for drawn in (Difference().draw(analysis), Samples(400, 500).draw(analysis)):
        shown, whole = (read_image(make(drawn)) for make in (files.picture, files.png))
        error = np.abs(shown.astype(int) - whole.astype(int))
        assert shown.shape == whole.shape
        assert 10 * np.log10(255**2 / (error**2).mean()) > 41
        assert error.max() < 40, "thin coloured lines keep their colours"
    sizes = [Path(make(Difference().draw(analysis))).stat().st_size for make in (files.picture, files.png)]
    assert sizes[0] < 0.5 * sizes[1]
