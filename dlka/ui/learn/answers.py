"""What the page's scripts ask the server for: answers, real examples, the worksheet, the model's view of a drawing.

Every function takes what the script sends, a dict, and gives a dict; what cannot be done is its "error", one sentence.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import wraps
from typing import Any

from dlka.inference.predictor import PredictionFailed
from dlka.ui import files
from dlka.ui.learn import drawing, example
from dlka.ui.learn.words import STEPS
from dlka.ui.learn.worksheet import worksheet
from dlka.ui.session import Refused

Asked = dict[str, Any]


def _told(function: Callable[[Asked], Asked]) -> Callable[[Asked], Asked]:
    """Refusals become the answer's "error"."""

    @wraps(function)
    def answer(asked: Asked) -> Asked:
        try:
            return function(asked)
        except (ValueError, PredictionFailed) as error:
            return {"error": str(error)}

    return answer


@_told
def tell_answer(asked: Asked) -> Asked:
    """The answer to a step's question, as HTML."""
    step = str(asked.get("step", ""))
    if step not in STEPS:
        raise Refused(f"Step: expected one of {', '.join(STEPS)}; got {step!r}.")
    return {"html": STEPS[step]["answer"]}


@_told
def see_field(asked: Asked) -> Asked:
    """All offset fields of the first example."""
    return json.loads(example.field())


@_told
def see_gate(asked: Asked) -> Asked:
    """The maps of one block of the first example, of one channel or as means."""
    return example.gate_maps(str(asked.get("channel", "")))


@_told
def see_small(asked: Asked) -> Asked:
    """How many taps lie on the smallest object of the example with small copies."""
    return example.small_object() or {}


@_told
def see_small_picture(asked: Asked) -> Asked:
    """The same as a picture, for a stage."""
    return example.small_picture(str(asked.get("stage", "")))


@_told
def make_worksheet(asked: Asked) -> Asked:
    """The address of a worksheet, with or without its page of answers."""
    page = worksheet(answers=asked.get("answers") is True)
    return {"address": files.address(files.write(page.encode(), "worksheet.html"))}


@_told
def see_drawing(asked: Asked) -> Asked:
    """The trained model's offsets for a drawing."""
    return drawing.offsets_of(str(asked.get("drawing", "")))
