"""The page "Learn": a lesson of nine steps, a letter game and a playground; and what its scripts ask the server for.

What a script asks for is answered by a dict; what cannot be done is its "error", one sentence.
"""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any

from dlka.analysis.cache import kept
from dlka.analysis.figures.base import one_of
from dlka.analysis.see import FOLDER as SEE
from dlka.analysis.see import quantised
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.inference.predictor import load_predictor
from dlka.models.catalog import DEFAULT
from dlka.segment.segmenter import shipped
from dlka.ui import files, learn
from dlka.ui.guard import answering
from dlka.ui.learn import FOLDER, LANGUAGES, SHEET, STEPS, example
from dlka.ui.learn.letters import five_sizes, read_letter
from dlka.ui.learn.worksheet import worksheet
from dlka.ui.page_queue import script_in_turn
from dlka.ui.toolkit import gr

NAME, PATH = "Learn", "learn"
SEGMENT = FOLDER.with_name("segment")
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
LARGEST = 400_000  # characters of a drawing; a sheet full of strokes takes some thousands
PREFIX = "data:image/png;base64,"
Answer = dict[str, Any]


def build() -> None:
    """The page's one component: what it shows, its scripts make in the reader's language."""
    gr.HTML(
        value(),
        html_template='<div class="learn-page"></div>',
        js_on_load=script(),
        server_functions=[script_in_turn(function) for function in SERVER],
        elem_id="learn",
        elem_classes="learn",
        padding=False,
    )


def read(name: str) -> str:
    """A file of the lesson's folder, or any by its whole path."""
    return (FOLDER / name).read_text(encoding="utf-8")


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
        "offsets": {"costs": example.costs(), "examples": list(example.PICTURES)},
        "corners": {"map": learn.EXAMPLE_MAP.ravel().tolist(), "point": learn.EXAMPLE_POINT},
        "gate": {"examples": list(example.PICTURES)},
        "levels": {"inside": example.inside()},
        "test": {"tested": example.tested()},
        "volume": {"segment": bool(shipped())},
    }
    html = {piece: read(f"{piece}.html") for piece in ("lesson", "step", *SCRIPTS)}
    spoken = {language: {k: v for k, v in learn.words(language).items() if k != "sheet"} for language in LANGUAGES}
    return json.dumps({"steps": STEPS, "languages": LANGUAGES, "html": html, "words": spoken, "data": data})


@answering
def make_worksheet(language: str, answers: bool = False) -> Answer:
    """The address of a worksheet in a language, with or without its page of answers."""
    one_of("Language", language, LANGUAGES)
    return {"address": files.address(files.write(worksheet(language, answers).encode(), "worksheet.html"))}


@answering
def see_drawing(drawing: str) -> Answer:
    """The first deform stage (P3, 5x5) of the shipped model on a drawing, one sheet pixel as one input pixel.

    drawing: a PNG of SHEET x SHEET px as a data address. offsets: base64 of little-endian int16 [40, 40, 50], dy and dx
    interleaved; times unit: cells. weights: [25] mean of |weight| over channels, with the sum 1.
    """
    if not drawing.startswith(PREFIX) or len(drawing) > LARGEST:
        raise DlkaError("Drawing: expected a PNG of the sheet, and not a larger file.")
    try:
        data = base64.b64decode(drawing.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise DlkaError("Drawing: what the page sent is no PNG.") from None
    return _seen(data)


@kept
def _seen(data: bytes) -> Answer:
    image = read_image(data)
    if image.shape != (SHEET, SHEET, 3):
        raise DlkaError(f"Drawing: expected {SHEET} x {SHEET} px, got {image.shape[1]} x {image.shape[0]}.")
    predictor, _ = load_predictor(DEFAULT)
    capture = predictor.predict(image, size=SHEET).captures[0]
    levels, unit = quantised(capture)
    weights = predictor.tap_weights[capture.stage.name]
    return {
        "offsets": base64.b64encode(levels.tobytes()).decode(),
        "unit": unit,
        "label": capture.stage.label,
        "weights": (weights.astype(float) / float(weights.sum())).tolist(),
    }


SERVER = (
    *(example.see_field, example.see_gate, example.see_small, example.see_small_picture, example.see_volume),
    *(see_drawing, read_letter, make_worksheet),
)
