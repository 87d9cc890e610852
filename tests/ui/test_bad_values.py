"""Every endpoint, tool and server function with every kind of wrong value: an answer or one sentence, never a fault."""

from __future__ import annotations

import inspect
import json
import logging
import random

import numpy as np
import pytest
from gradio.state_holder import SessionState
from loop import run
from PIL import Image

from dlka.analysis.analysis import Settings, analyse_pixels, source_of
from dlka.images import read_image
from dlka.ui import api, figure_row, page_learn, tab_see, tools
from dlka.ui.guard import Page
from dlka.ui.learn import example
from dlka.ui.learn.letters import read_letter
from dlka.ui.toolkit import gr

META = {"_type": "gradio.FileData"}
DEEP = []
for _ in range(3000):
    DEEP = [DEEP]
WRONG = [
    None,
    True,
    "",
    "320",
    "\0",
    "\ud800",
    "<b>",
    "data:image/png;base64,AAAA",
    "http://127.0.0.1:9/x.png",
    "/etc/hostname",
    "x" * 100_000,
    float("nan"),
    float("inf"),
    -1,
    0,
    3,
    10**30,
    10**400,
    -(10**30),
    1e308,
    -1e308,
    5e-324,
    [],
    {},
    [1],
    {"a": 1},
    DEEP,
    {"path": "/etc/hostname"},
    {"path": None, "url": "data:image/png;base64,AAAA", "meta": META},
    {"path": "data:image/png;base64,AAAA", "meta": META},
    {"path": "http://127.0.0.1:9/x.png", "meta": META},
    {"path": "http://127.0.0.1:9/x.png", "meta": META, "is_stream": True},
    {"path": "\0", "meta": META},
    {"path": "a" * 5000, "meta": META},
    {"path": "x", "meta": META, "size": "big"},
    {"path": "x", "meta": []},
]


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    path = tmp_path_factory.mktemp("picture") / "noise.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(path)
    return path


@pytest.fixture(scope="module")
def endpoints():
    with Page() as app:
        api.add()
        for tool in tools.TOOLS:  # which take their turns by the request, of which there is none here
            gr.api(api.endpoint(tool), api_name=tool.__name__)
    return app


def good(name, picture):
    """Values that every endpoint takes, by the names of their parameters."""
    return {
        "image": {"path": str(picture), "meta": META},
        "size": 64,
        "x": 5.0,
        "y": 6.0,
        "kind": "Arrows" if name == "offset_overlay" else "difference",
        "arguments": {},
        "stage": "P3 5x5",
        "row": 1,
        "column": 1,
    }


def answered(app, handler, values):
    """The message of a refusal, None for an answer."""
    try:
        run(app.process_api(handler, values, state=SessionState(app)))
    except gr.Error as error:
        return error.message
    return None


def is_sentence(text):
    return 10 < len(text) < 700 and "\n" not in text and "Something broke" not in text


@pytest.mark.slow
@pytest.mark.parametrize("name", [f.__name__ for f in (*api.ENDPOINTS, *tools.TOOLS)])
def test_an_endpoint_answers_or_refuses(name, endpoints, picture, caplog):
    handler = next(fn for fn in endpoints.fns.values() if fn.api_name == name)
    parameters = inspect.signature(handler.fn).parameters
    base = {n: good(name, picture).get(n, p.default) for n, p in parameters.items()}
    assert answered(endpoints, handler, list(base.values())) is None, "the values that are not wrong are right"
    dice = random.Random(0)
    cases = [{n: wrong} for n in parameters for wrong in WRONG]
    cases += [{n: dice.choice(WRONG) for n in parameters} for _ in range(50)]
    for case in cases:
        with caplog.at_level(logging.WARNING):
            said = answered(endpoints, handler, list((base | case).values()))
        assert said is None or is_sentence(said), (str(case)[:200], said)
        assert not caplog.records, (str(case)[:200], said)
    for wrong in (None, 320, [], float("nan")):
        said = answered(endpoints, handler, list((base | {"model": wrong}).values()))
        assert said.startswith("model: expected text; got ")


@pytest.mark.slow
@pytest.mark.parametrize(
    "function",
    [
        tab_see.add_up,
        tab_see.see_field,
        figure_row.take_figure,
        example.see_gate,
        example.see_small_picture,
        page_learn.see_drawing,
        page_learn.make_worksheet,
        read_letter,
    ],
    ids=lambda f: f.__name__,
)
def test_a_server_function_answers_or_refuses(function, picture, caplog):
    analysis = analyse_pixels(read_image(picture), Settings(size=64), source_of(picture))
    base = {
        "add_up": {"key": analysis.key, "stage": "P3 5x5", "row": 1, "column": 1, "channel": "", "tap": ""},
        "see_field": {"key": analysis.key, "stage": "P3 5x5", "row": 1, "column": 1},
        "take_figure": {"key": analysis.key, "kind": "difference", "arguments": {}, "form": "txt"},
        "see_gate": {"picture": "letters", "channel": "3"},
        "see_small_picture": {"stage": "P3 5x5"},
        "see_drawing": {"drawing": "data:image/png;base64,AAAA"},
        "read_letter": {"picture": "AAAA"},
        "make_worksheet": {"language": "de", "answers": True},
    }[function.__name__]
    cases = [wrong for wrong in WRONG if not isinstance(wrong, dict)]
    cases += [{n: v for n, v in base.items() if n != name} for name in base]
    cases += [base | {name: wrong} for name in base for wrong in WRONG]
    for case in cases:
        with caplog.at_level(logging.WARNING):
            said = function(case)
        assert isinstance(said, str) or "error" not in said or is_sentence(said["error"]), (str(case)[:200], said)
        assert not caplog.records, (str(case)[:200], said)
    for wrong in (None, [1], "key"):
        assert function(wrong) == {"error": f"Expected an object with names and values; got {wrong!r}."}


def test_refusals_are_json(endpoints, picture):
    """What is refused is told as it came, so that nothing of it may keep the answer from being sent."""
    handler = next(fn for fn in endpoints.fns.values() if fn.api_name == "stages")
    assert json.dumps(answered(endpoints, handler, ["\ud800", "head", 64])).encode()
