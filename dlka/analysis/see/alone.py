"""The canvas of the page by itself: one HTML page that needs no server and no other file, as for a notebook's cell."""

from __future__ import annotations

import base64
import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dlka.analysis.analysis import Analysis
from dlka.analysis.figures import pictures
from dlka.analysis.see.data import canvas_value

FOLDER = Path(__file__).parent
# One after the other, as one function; what follows them says how they get their value, and how they ask for more.
SCRIPTS = (
    *("geometry.js", "fields.js", "draw.js", "objects.js", "layers.js"),
    *("view.js", "canvas.js", "input.js"),
)


def read(name: str) -> str:
    """The text of a file of this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


def page(analysis: Analysis) -> str:
    """The page, with picture, offsets and gates inside: some MB for a photograph. What the server computes for the
    canvas of the big page (a receptive field, the arithmetic of a tap, files to take) is not on it."""
    value = json.loads(canvas_value(analysis, pictures.default_point(analysis), _inside))
    templates = Environment(loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, autoescape=True)
    # "<" as an escape: no text of a picture or a class ends the script.
    data = json.dumps(value).replace("<", r"\u003c")
    return templates.get_template("alone.html").render(data=data, read=read, scripts=SCRIPTS)


def _inside(content: bytes, name: str) -> str:
    """A file as an address that holds it."""
    kind = "image/jpeg" if name.endswith(".jpg") else "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
