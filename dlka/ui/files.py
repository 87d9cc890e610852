"""Files that the page hands out: pictures and downloads. They lie in one temporary folder of bounded size."""

from __future__ import annotations

import csv
import io
import os
import tempfile
import threading
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dlka import render
from dlka.ui import figure_recipe, pictures, tables
from dlka.ui.figure_type import Drawing
from dlka.ui.figures import figure
from dlka.ui.session import Look

KEPT = 300  # files; the page has fetched a picture long before as many newer ones were made

_lock = threading.Lock()
_made: list[Path] = []


def folder() -> str:
    """The folder that all files lie in; it lives as long as the process. The server must be allowed to read it."""
    return _temporary().name


@lru_cache(maxsize=1)
def _temporary() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="dlka-")


def write(data: bytes, name: str, kept: bool = False) -> str:
    """Path of a new file with this content; the oldest files of the folder make room.

    kept: as long as the process lives, for what every new visitor is given.
    """
    with _lock:
        parent = Path(tempfile.mkdtemp(dir=folder()))
        path = parent / name
        if not kept:
            _made.append(path)
        while len(_made) > KEPT:
            old = _made.pop(0)
            old.unlink(missing_ok=True)
            old.parent.rmdir()
    path.write_bytes(data)
    os.chmod(path, 0o644)
    return str(path)


def address(path: str) -> str:
    """Where the page's server hands out a file, relative to the page."""
    return f"gradio_api/file={path}"


def picture(paper: Drawing | np.ndarray, name: str = "picture.png", kept: bool = False) -> str:
    """A drawing, or pixels [H, W, 3] uint8, as a PNG file; kept: as in `write`."""
    return write(render.png(paper) if isinstance(paper, np.ndarray) else paper.to_png(), name, kept)


def downloads(look: Look) -> list[str]:
    """Everything about a look: objects and stages as CSV, the report as JSON, offsets and gates as NPZ, two figures.

    Those are the difference, and the first stage's offsets where there are any: drawing, numbers, caption, recipe.
    """
    made = [
        write(_csv(tables.OBJECT_COLUMNS, tables.object_rows(look)), "objects.csv"),
        write(_csv(tables.STAGE_COLUMNS, tables.stage_rows(look)), "stages.csv"),
        write(tables.report_text(look).encode(), "report.json"),
        write(_arrays(look), "offsets-and-gates.npz"),
    ]
    shown: list[tuple[str, dict[str, Any]]] = [("difference", {})]
    if look.stage_labels:
        shown.append(("offsets", pictures.summary_overlay(look)))
    for kind, arguments in shown:
        drawn = figure(look, kind, arguments)
        recipe = figure_recipe.recipe_of(look, kind, arguments, drawn)
        made += [write(data, f"{kind}.{form}") for form, data in figure_recipe.files(drawn, recipe).items()]
    return made


def _csv(columns: list[str], rows: list[list[object]]) -> bytes:
    out = io.StringIO(newline="")
    csv.writer(out).writerows([columns, *rows])
    return out.getvalue().encode("utf-8-sig")


def _arrays(look: Look) -> bytes:
    """offset/STAGE [2K, H, W] in cells, interleaved dy, dx; gate/BLOCK [C, H, W]."""
    arrays = {f"offset/{c.stage.name}": c.offset for c in look.dlka.captures}
    return figure_recipe.npz(arrays | {f"gate/{g.block}": g.values for g in look.dlka.gates})
