"""What the page's scripts ask the server for: real examples, the worksheet, the model's view of a drawing.

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
from dlka.ui.learn.letters import letter_map
from dlka.ui.learn.volume import volume_field
from dlka.ui.learn.words import LANGUAGES
from dlka.ui.learn.worksheet import worksheet

Answer = dict[str, Any]


@answering
def see_field(picture: str) -> Answer:
    """All offset fields of one of the lesson's pictures."""
    return json.loads(example.field(picture))


@answering
def see_gate(picture: str, channel: str = "") -> Answer:
    """The maps of the first block on one of the lesson's pictures, of one channel or as means."""
    return example.gate_maps(picture, channel)


@answering
def see_small() -> Answer:
    """How many taps lie on the object that Explore opens with on the first picture."""
    return example.small_object() or {}


@answering
def see_small_picture(stage: str) -> Answer:
    """The same as a picture, for a stage."""
    return example.small_picture(stage)


@answering
def see_volume() -> Answer:
    """A volume and all offsets of the network that segments it."""
    return volume_field()


@answering
def make_worksheet(language: str, answers: bool = False) -> Answer:
    """The address of a worksheet in a language, with or without its page of answers."""
    if language not in LANGUAGES:
        raise DlkaError(f"Language: expected one of {', '.join(LANGUAGES)}; got {language!r:.60}.")
    page = worksheet(language, answers)
    return {"address": files.address(files.write(page.encode(), "worksheet.html"))}


@answering
def see_drawing(drawing: str) -> Answer:
    """The trained model's offsets for a drawing."""
    return offsets_of(drawing)


@answering
def read_letter(picture: str) -> Answer:
    """What the letter reader's kernel reads of a drawing."""
    return letter_map(picture)
