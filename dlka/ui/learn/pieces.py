"""From words, HTML and scripts to the one gr.HTML that the page "Learn" is. No gradio here."""

from __future__ import annotations

import json
from pathlib import Path
from string import Template
from typing import Any

from dlka.analysis.see import FOLDER as SEE
from dlka.segment.segmenter import shipped
from dlka.ui.learn import figures
from dlka.ui.learn.example import PICTURES
from dlka.ui.learn.letters import five_sizes
from dlka.ui.learn.reading import EXAMPLE_MAP, EXAMPLE_POINT
from dlka.ui.learn.words import LANGUAGES, STEPS, words

FOLDER = Path(__file__).parent
SEGMENT = FOLDER.parent / "segment"
# Each piece's scripts become one function, so that their names do not meet.
SCRIPTS = {
    "letter": ("letter.js",),
    "taps": ("taps.js",),
    "stack": ("stack.js",),
    "offsets": (f"{SEE}/geometry.js", f"{SEE}/draw.js", "offsets.js"),
    "corners": ("bilinear.js", "corners.js", "chain.js"),
    "gate": ("gate.js",),
    "levels": ("levels.js",),
    "test": ("test.js",),
    "volume": (f"{SEGMENT}/planes.js", "volume.js"),
    "game": ("bilinear.js", "game.js"),
    "play": ("bilinear.js", "play_sheet.js", "play_kernel.js", "play.js"),
}


def read(name: str) -> str:
    """A file of this folder, or any by its whole path."""
    return (FOLDER / name).read_text(encoding="utf-8")


def filled(file: str, **given: str) -> str:
    """An HTML file with its $words filled in; a word that is missing is a KeyError."""
    return Template(read(file)).substitute(given)


def script() -> str:
    """All scripts of the page, as one function."""
    begin = (
        f"begin.{piece} = (element, {{ given, part, say }}) => {{\n{''.join(map(read, names))}}};\n"
        for piece, names in SCRIPTS.items()
    )
    return "".join((read("common.js"), *begin, read("questions.js"), read("lesson.js")))


def value() -> str:
    """JSON for the scripts: the HTML of every piece, its words in every language, and the figures that it shows."""
    data: dict[str, Any] = {
        "letter": five_sizes(),
        "offsets": {"costs": figures.costs(), "examples": list(PICTURES)},
        "corners": {"map": EXAMPLE_MAP.ravel().tolist(), "point": EXAMPLE_POINT},
        "gate": {"examples": list(PICTURES)},
        "levels": {"inside": figures.inside()},
        "test": {"tested": figures.tested()},
        "volume": {"segment": bool(shipped())},
    }
    html = {piece: read(f"{piece}.html") for piece in ("lesson", "step", *SCRIPTS)}
    spoken = {language: {k: v for k, v in words(language).items() if k != "sheet"} for language in LANGUAGES}
    return json.dumps({"steps": STEPS, "languages": LANGUAGES, "html": html, "words": spoken, "data": data})
