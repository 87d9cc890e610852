"""What the page's scripts ask the server for: answers, real examples, the worksheet, the model's view of a drawing.

Every function gives a dict; what cannot be done is its "error", one sentence.
"""

from __future__ import annotations

import json
from typing import Any

from dlka.errors import DlkaError
from dlka.ui import files
from dlka.ui.guard import answering
from dlka.ui.learn import example
from dlka.ui.learn.drawing import offsets_of
from dlka.ui.learn.words import STEPS
from dlka.ui.learn.worksheet import worksheet

Answer = dict[str, Any]


@answering
def tell_answer(step: str) -> Answer:
    """The answer to a step's question, as HTML."""
    if step not in STEPS:
        raise DlkaError(f"Step: expected one of {', '.join(STEPS)}; got {step!r:.60}.")
    return {"html": STEPS[step]["answer"]}


@answering
def see_field() -> Answer:
    """All offset fields of what the page opens with."""
    return json.loads(example.field())


@answering
def see_gate(channel: str = "") -> Answer:
    """The maps of one block of what the page opens with, of one channel or as means."""
    return example.gate_maps(channel)


@answering
def see_small() -> Answer:
    """How many taps lie on the smallest object of the example with small copies."""
    return example.small_object() or {}


@answering
def see_small_picture(stage: str) -> Answer:
    """The same as a picture, for a stage."""
    return example.small_picture(stage)


@answering
def make_worksheet(answers: bool = False) -> Answer:
    """The address of a worksheet, with or without its page of answers."""
    page = worksheet(answers=answers)
    return {"address": files.address(files.write(page.encode(), "worksheet.html"))}


@answering
def see_drawing(drawing: str) -> Answer:
    """The trained model's offsets for a drawing."""
    return offsets_of(drawing)
