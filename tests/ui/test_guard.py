"""Every way from a client to a function of the page ends in a sentence, whatever the function raises."""

from __future__ import annotations

import errno
import inspect
import logging
import re
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
from gradio.state_holder import SessionState
from loop import run

from dlka.errors import DlkaError
from dlka.ui import app as page
from dlka.ui.guard import Page, answering
from dlka.ui.page_queue import LONG_RUN, WORDS, script_in_turn, tool_in_turn
from dlka.ui.toolkit import gr

FAULT = r"Something broke here, it was not your picture\. The log has the details under the number ([0-9a-f]{8})\."
RAISED = [
    (DlkaError("Size: expected\n 640."), re.escape("Size: expected 640.")),
    (ValueError("operands could not be broadcast"), FAULT),
    (TypeError("unsupported operand"), FAULT),
    (KeyError("P3"), FAULT),
    (Exception(), FAULT),
    (DlkaError(), FAULT),
    (OSError(errno.EIO, "Input/output error"), FAULT),
    (OSError(errno.ENOSPC, "No space left on device"), "The disk is full here, .*"),
    (MemoryError(), "There is not enough free memory for this picture here: .*"),
    (
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        "There is not enough.*",
    ),
]


def ask(app, number, values):
    """The answer of the handler with this number, or the error that gradio would send."""
    return run(app.process_api(number, values, state=SessionState(app)))["data"]


@pytest.mark.parametrize(("error", "says"), RAISED, ids=lambda value: str(value)[:20])
def test_whatever_a_handler_raises_is_a_sentence(error, says, caplog):
    def fail():
        raise error

    def steps():
        yield "one"
        raise error

    with Page() as app:
        shown = gr.HTML()
        for handler in (fail, steps):
            gr.Button().click(handler, None, shown)
    with caplog.at_level(logging.ERROR, "dlka"), pytest.raises(gr.Error) as raised:
        ask(app, 0, [])
    found = re.fullmatch(says, raised.value.message)
    assert found, raised.value.message
    if says is FAULT:
        (record,) = caplog.records
        assert found[1] in record.getMessage()
        assert record.exc_info[1] is error, "the traceback stands beside the number"
    else:
        assert not caplog.records, "what the visitor or the machine did is no fault of the program"
    first = run(app.process_api(1, [], state=SessionState(app)))
    assert first["data"] == ["one"]
    with pytest.raises(gr.Error, match=says.replace("([0-9a-f]{8})", "")[:40]):
        run(app.process_api(1, [], state=SessionState(app), iterator=first["iterator"]))


@pytest.mark.parametrize(("error", "says"), RAISED, ids=lambda value: str(value)[:20])
def test_whatever_a_server_function_raises_is_a_sentence(error, says):
    @answering
    def fail():
        raise error

    answer = fail({})
    assert set(answer) == {"error"}
    assert re.fullmatch(says, answer["error"])


def test_what_gradio_cannot_read_is_named():
    def compare(image: gr.FileData, size: int = 640) -> dict[str, Any]:
        return {}

    meta = {"_type": "gradio.FileData"}
    with Page() as app:
        gr.api(compare)
        gr.Button().click(lambda *v: None, [gr.Slider(0, 1, label="IoU"), gr.File(label="Pictures")], gr.HTML())
    for number, values, says in [
        (0, [], r"Expected 2 values \(image, size\); got 0\."),
        (0, [{"path": "\0", "meta": meta}, 640], r"image: expected an uploaded file; got \{'path': '\\x00'.*"),
        (0, [{"path": "", "meta": meta}, 640], r"image: expected an uploaded file; got .*"),
        (0, [{"path": "x", "meta": 3}, 640], r"image: expected an uploaded file; got .*"),
        (1, [True, None], r"IoU: expected a number in its range; got True\."),
        (1, ["much", None], r"IoU: expected a number in its range; got 'much'\."),
        (1, [7, None], "Value 7 is greater than maximum value 1."),
        (1, [0.5, {"path": "/etc/hostname"}], r"Pictures: expected uploaded files; got \{'path': .*"),
    ]:
        with pytest.raises(gr.Error) as raised:
            ask(app, number, values)
        assert re.fullmatch(says, raised.value.message), raised.value.message
        assert not raised.value.print_exception, "a mistake of a visitor's leaves no traceback in the log"


def test_a_full_disk_is_not_the_visitors_mistake(monkeypatch):
    async def full(*arguments, **named):
        raise OSError(errno.ENOSPC, "No space left on device")

    with Page() as app:
        gr.Button().click(lambda file: None, gr.File(label="Pictures"), gr.HTML())
    monkeypatch.setattr(gr.Blocks, "preprocess_data", full)
    with pytest.raises(gr.Error, match="The disk is full here"):
        ask(app, 0, [None])


@pytest.fixture(scope="module")
def whole():
    """The whole page, with everything on it."""
    return page.build_app(page.first_look())


def test_a_script_whose_turn_fails_gets_a_sentence():
    """The request has no admission: a fault of the program, not of the script."""
    answer = run(script_in_turn(print)({}, SimpleNamespace(headers={}, scope={}, client=None)))
    assert re.fullmatch(FAULT, answer["error"])


def test_the_whole_page_is_guarded(whole):
    assert isinstance(whole, Page)
    asked = [fn for block in whole.blocks.values() for fn in getattr(block, "server_fns", ())]
    assert len(asked) > 10
    for function in asked:
        inner = inspect.getclosurevars(function).nonlocals["function"] if in_turn(function) else function
        assert inner.__code__ is answering(print).__code__, f"{function.__name__} is not @answering"


def in_turn(function):
    """Whether a function of the page waits for its turn."""
    return function.__code__ in (script_in_turn(print).__code__, tool_in_turn(answering).__code__)


def test_whatever_costs_takes_its_turn(whole):
    """By name, so that what is new has to be thought of: anything else goes through the line."""
    asked = [fn for block in whole.blocks.values() for fn in getattr(block, "server_fns", ())]
    assert {fn.__name__ for fn in asked if not in_turn(fn)} == set()
    handlers = [handler for handler in whole.fns.values() if handler.fn]
    past = {handler.fn.__name__ for handler in handlers if not handler.queue and not in_turn(handler.fn)}
    assert past == {"_begin", "_stop", "_hidden", "choose_kind", "<lambda>"}
    words = [handler.fn.__name__ for handler in handlers if handler.concurrency_id == WORDS["concurrency_id"]]
    assert Counter(words) == {"<lambda>": 3, "_name": 1, "ask": 3, "choose": 6}
    long = {handler.fn.__name__ for handler in handlers if handler.concurrency_id == LONG_RUN["concurrency_id"]}
    assert long == {"compare_files", "compare_examples", "measure"}


@pytest.mark.slow
def test_every_handler_of_the_page_answers_in_a_sentence(whole, monkeypatch):
    def fail(*values):
        raise IndexError("index 80 is out of bounds")

    async def nothing(*arguments, **named):
        return []

    monkeypatch.setattr(gr.Blocks, "preprocess_data", nothing)
    handlers = [handler for handler in whole.fns.values() if handler.fn]
    assert len(handlers) > 50
    for handler in handlers:
        monkeypatch.setattr(handler, "fn", fail)
        with pytest.raises(gr.Error, match="Something broke here"):
            run(whole.process_api(handler, [None] * len(handler.inputs), state=SessionState(whole)))
