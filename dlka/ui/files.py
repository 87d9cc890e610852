"""Files that the page is made of, and those that it hands out."""

from __future__ import annotations

import base64
import html
from pathlib import Path

import numpy as np

from dlka import render
from dlka.analysis.analysis import Analysis
from dlka.analysis.figures.base import Drawing
from dlka.analysis.see import canvas_value
from dlka.temporary import write


def read(name: str) -> str:
    """A file of the page's folder, or any by its whole path."""
    return (Path(__file__).parent / name).read_text(encoding="utf-8")


def address(path: str) -> str:
    """Where the page's server hands out a file, relative to the page."""
    return f"gradio_api/file={path}"


def see_value(analysis: Analysis, point: tuple[float, float], kept: bool = False) -> str:
    """The canvas's value as of `canvas_value`, its files beside it; kept: as in `temporary.write`."""
    return canvas_value(analysis, point, lambda content, name: address(write(content, name, kept)))


def picture(paper: Drawing | np.ndarray, name: str = "picture.jpg", kept: bool = False) -> str:
    """A drawing, or pixels [H, W, 3] uint8, as a JPEG file for the page; kept: as in `temporary.write`."""
    return write(render.jpeg(_pixels(paper)), name, kept)


def png(paper: Drawing | np.ndarray, name: str = "picture.png") -> str:
    """The same as a PNG file to take along, every pixel as it is."""
    return write(render.png(_pixels(paper)), name)


def image(paper: Drawing, name: str, text: str) -> str:
    """A drawing in HTML, as a file of this name; text: what it shows, for those who do not see it."""
    return f'<img src="{address(picture(paper, name))}" alt="{html.escape(text)}">'


def sized(paper: render.Paper, source: str, text: str) -> str:
    """The same for a file that is at this address already; with its size, so that nothing jumps while it loads."""
    height = paper.picture_height + paper.strip_height
    return f'<img src="{source}" alt="{html.escape(text)}" width="{paper.width}" height="{height}">'


def _pixels(paper: Drawing | np.ndarray) -> np.ndarray:
    return paper if isinstance(paper, np.ndarray) else paper.to_array()


def data_url(content: bytes, kind: str) -> str:
    """An address that holds a file itself; kind: such as image/png."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
