"""From words, HTML and scripts to what a gr.HTML is made of. No gradio here."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

from dlka.ui.learn.letters import five_sizes
from dlka.ui.learn.play_words import PLAY
from dlka.ui.learn.reading import EXAMPLE_MAP, EXAMPLE_POINT
from dlka.ui.learn.words import PAGE, STEPS

FOLDER = Path(__file__).parent
READ_ONLY = ("title", "text", "caption", "question", "answer")  # words that no script needs; least of all the answer
SCRIPTS = {
    "letter": ("letter.js",),
    "taps": ("taps.js",),
    "stack": ("stack.js",),
    "offsets": ("../see/geometry.js", "../see/draw.js", "offsets.js"),
    "corners": ("bilinear.js", "corners.js"),
    "gate": ("gate.js",),
    "levels": ("levels.js",),
}


def read(name: str) -> str:
    """A file of this folder, or of See's as "../see/NAME"."""
    return (FOLDER / name).read_text(encoding="utf-8")


def filled(file: str, **words: str) -> str:
    """An HTML file with its $words filled in; a word that is missing is a KeyError."""
    return Template(read(file)).substitute(words)


def step_html(step: str) -> str:
    """A step's text, figure and question. The answer is not part of it."""
    words = {key: text for key, text in STEPS[step].items() if key != "answer"}
    return filled("step.html", **words, figure=filled(f"{step}.html", **words), question_word=PAGE["question"])


def step_script(step: str) -> str:
    """All scripts of a step, one after the other, as one function."""
    return "\n".join(map(read, ("common.js", "answer.js", *SCRIPTS[step])))


def step_value(step: str) -> str:
    """JSON for a step's script: its name and the words that it fills in."""
    words = {key: text for key, text in STEPS[step].items() if key not in READ_ONLY}
    shown: dict[str, Any] = five_sizes() if step == "letter" else {}
    if step == "corners":
        shown = {"map": EXAMPLE_MAP.ravel().tolist(), "point": EXAMPLE_POINT}
    return _value(words, step=step, **shown)


def bar_html() -> str:
    """The row above the lesson: teacher's mode and worksheet."""
    return filled("bar.html", **PAGE)


def bar_script() -> str:
    """Its scripts."""
    return "\n".join(map(read, ("common.js", "bar.js", "turn.js")))


def bar_value() -> str:
    """JSON for its script."""
    return _value({key: PAGE[key] for key in ("making", "made")})


def play_html() -> str:
    """The playground."""
    return filled("play.html", **PLAY)


def play_script() -> str:
    """Its scripts."""
    names = ("common.js", "bilinear.js", "play_sheet.js", "play_kernel.js", "play.js")
    return "\n".join(map(read, names))


def play_value() -> str:
    """JSON for its scripts."""
    return _value(PLAY)


def _value(words: dict[str, str], **more: Any) -> str:
    shared = {key: PAGE[key] for key in ("answer", "failed", "waiting")}
    return json.dumps({"words": {**shared, **words}, **more})
