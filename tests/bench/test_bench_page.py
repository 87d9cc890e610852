"""The page's bench: it asks the page as a browser does, and what it says is there. Nothing here depends on speed."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time

import numpy as np
import psutil
import pytest

from dlka.analysis import analysis as analysis_module
from dlka.analysis.analysis import analyse_once
from dlka.bench import page as bench
from dlka.bench import page_parts, visitor
from dlka.bench.visitor import Visitor, pictures, running_page
from dlka.errors import DlkaError
from dlka.images import read_image


def test_a_visitor_changes_controls_of_the_running_page(server, monkeypatch):
    person = Visitor(server.rstrip("/"))
    analyses = []
    once = analyse_once
    monkeypatch.setattr(analysis_module, "analyse_once", lambda *asked: analyses.append(once(*asked)) or analyses[-1])
    person.show_picture(next(pictures(1)))
    person.values["Input size, px"] = 512  # which no other test of this process asks for
    assert person.change("Compare", "click") > 0
    (analysis,) = analyses
    assert (analysis.settings.size, analysis.image.shape[:2]) == (512, (1080, 810))
    assert person.change("what-if-strength", "input") > 0
    assert analyses == [analysis], "what else is asked of a picture does not begin anew"


def test_what_the_page_refuses_is_an_error(server):
    person = Visitor(server.rstrip("/"))
    person.values["picture"] = None
    with pytest.raises(ValueError, match="The page refused Compare: There is no picture yet"):
        person.change("Compare", "click")


def test_frames_are_counted_while_it_draws(page):
    before, measured = page.evaluate(bench.SHOWN), bench.frames(page)
    assert page.evaluate(bench.SHOWN) != before
    assert measured["from a question to its first frame, ms"] > 10
    assert 0 < measured["a second"] <= 1000
    drawn = page.evaluate("() => document.querySelector('.see-picture').drawn.cell")
    page.evaluate(bench.MOVE, 7)
    assert page.evaluate("() => document.querySelector('.see-picture').drawn.cell") != drawn


def test_without_a_browser_no_frames_are_counted(monkeypatch):
    monkeypatch.setattr(bench, "BROWSERS", ())
    assert bench.frames_under_pointer("").startswith("not measured")


def test_pictures_are_different_and_of_one_size():
    shown = [read_image(data) for data in pictures(3)]
    assert {picture.shape for picture in shown} == {(1080, 810, 3)}
    assert all(np.abs(shown[0].astype(int) - other).mean() > 5 for other in shown[1:])


def test_bench_page_says_what_it_measured(server, monkeypatch):
    parts = {"phases": [], "parts": {}, "payload": {}}
    monkeypatch.setattr(bench, "running_page", lambda: contextlib.nullcontext((server.rstrip("/"), psutil.Process())))
    answer = subprocess.CompletedProcess([], 0, f"a library said something\n{json.dumps(parts)}\n", "")
    monkeypatch.setattr(bench.subprocess, "run", lambda *_, **__: answer)
    monkeypatch.setattr(bench, "frames_under_pointer", lambda url: {})
    result = bench.bench_page(3)
    assert json.loads(json.dumps(result)) == result
    measured = {"compare", *bench.CONTROLS}
    assert set(result) == {"start", "phases", "parts", "payload", "memory", "frames", "compares", *measured}
    for spread in map(result.get, measured):
        assert 0 < spread["least"] <= spread["median"] <= spread["most"]
    assert min(result["memory"].values()) > 100


def test_bench_page_refuses_no_comparisons():
    with pytest.raises(ValueError, match="at least 1 comparison, got 0"):
        bench.bench_page(0)


def test_a_page_that_does_not_start_is_an_error(monkeypatch):
    monkeypatch.setattr(visitor, "START", (sys.executable, "-c", "raise SystemExit('no such module')"))
    with pytest.raises(DlkaError, match=r"^The page did not start: no such module$"), running_page():
        pass
    monkeypatch.setattr(visitor, "PATIENCE", 0)
    monkeypatch.setattr(visitor, "START", (sys.executable, "-c", "import time; time.sleep(60)"))
    with pytest.raises(DlkaError, match="did not answer within 0 seconds"), running_page():
        pass


def test_a_start_in_parts_that_fails_is_an_error(monkeypatch):
    monkeypatch.setattr(bench, "running_page", lambda: contextlib.nullcontext(("", psutil.Process())))
    monkeypatch.setattr(bench, "pictures", lambda count: [])
    answer = subprocess.CompletedProcess([], 1, "", "Traceback\n  a line\nValueError: no weights\n")
    monkeypatch.setattr(bench.subprocess, "run", lambda *_, **__: answer)
    monkeypatch.setattr(bench, "frames_under_pointer", lambda url: {})
    monkeypatch.setattr(bench, "Visitor", lambda url: None)
    with pytest.raises(DlkaError, match=r"^The page could not be started in parts: ValueError: no weights$"):
        bench.bench_page(1)


@pytest.mark.slow
def test_a_start_in_parts_goes_through_every_phase(monkeypatch):
    monkeypatch.setattr(page_parts, "ROUNDS", 1)
    result = page_parts.measure(time.time())
    names = [phase["phase"] for phase in result["phases"]]
    assert names[0] == "interpreter"
    assert names[-5:] == ["warm-up", "first look", "page built and drawn", "server started", "first answer"]
    assert "import gradio" in names
    assert all(phase["milliseconds"] >= 0 and phase["megabytes"] > 100 for phase in result["phases"])
    assert {name.split()[-1] for name in result["parts"] if name.startswith("drawing")} == {
        "See",
        "Numbers",
    }
    assert min(result["parts"].values()) > 0
    assert 0.1 < result["payload"]["at once"] < 2
    assert 0.01 < result["payload"]["gates"] < 1
