"""The printable worksheet: one HTML file that needs nothing beside it, for A4.

Its pictures are drawings of cells as SVG and real examples as PNG.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache

import numpy as np

from dlka import palette, render
from dlka.ui.learn import kernels
from dlka.ui.learn.example import first_point, scene
from dlka.ui.learn.letters import drawing
from dlka.ui.learn.pieces import filled
from dlka.ui.learn.reading import EXAMPLE_MAP, EXAMPLE_POINT, read_bilinear
from dlka.ui.learn.words import PAGE, SHEET, STEPS

LINES = 6  # to write on, below each question
GREY = "#F1F2F4"
HALF = 10  # cells on either side of the middle, on the levels of the last step
OBJECT = 24  # px


@lru_cache(maxsize=2)
def worksheet(answers: bool) -> str:
    """HTML with a picture, a question and room to write for each step; with answers, on sheets of their own."""
    key = f'<section class="answers"><h1>{SHEET["answers"]}</h1>{"".join(_answers())}</section>' if answers else ""
    return filled("worksheet.html", **SHEET, items="".join(_items()), key=key)


def _items() -> Iterator[str]:
    stage = scene().stage_labels[0]
    for number, (step, words) in enumerate(STEPS.items(), 1):
        caption = SHEET[f"figure_{step}"].format(stage=stage)
        figure = f"<figure>{FIGURES[step]()}<figcaption>{caption}</figcaption></figure>"
        room = '<div class="line"></div>' * LINES
        text = f"<h2>{number}. {words['title']}</h2><p><b>{PAGE['question']}.</b> {words['question']}</p>{room}"
        yield f'<section class="item {step}">{figure}<div>{text}</div></section>'


def _answers() -> Iterator[str]:
    for number, (step, words) in enumerate(STEPS.items(), 1):
        total = read_bilinear(EXAMPLE_MAP, *EXAMPLE_POINT)
        more = f"<p>{SHEET['sum_corners'].format(sum=f'{total:g}')}</p>" if step == "corners" else ""
        yield f"<h2>{number}. {words['title']}</h2>{words['answer']}{more}"


def taps() -> str:
    """The taps of a 7x7 kernel with dilation 3."""
    grid = kernels.taps(7, 3)
    return _svg(grid.shape, _cells(grid.shape, lambda row, column: palette.DLKA if grid[row, column] else GREY))


def stack() -> str:
    """How many paths lead through 5x5 and 7x7 d3 to each cell, as colour and number."""
    counts = kernels.path_counts()
    shades = {1: "#F6D5BC", 2: "#E8995C", 4: palette.DLKA}
    numbers = (_text(column, row + 0.22, str(counts[row, column]), 0.6) for row, column in np.ndindex(counts.shape))
    return _svg(counts.shape, [*_cells(counts.shape, lambda row, column: shades[counts[row, column]]), *numbers])


def corners() -> str:
    """The small map with a point between its cells."""
    size, (y, x) = EXAMPLE_MAP.shape, EXAMPLE_POINT
    values = (_text(column, row + 0.12, str(EXAMPLE_MAP[row, column]), 0.4) for row, column in np.ndindex(size))
    point = f'<circle cx="{x}" cy="{y}" r="0.09" fill="{palette.DLKA}" stroke="white" stroke-width="0.03"/>'
    return _svg(size, [*_cells(size, lambda row, column: GREY), *values, point], "small")


def levels() -> str:
    """An object under the regular taps of the 7x7 d3 on three levels, side by side."""
    side = 2 * HALF + 1
    panels = []
    for level, stride in (("P3", 8), ("P4", 16), ("P5", 32)):
        cells = OBJECT / stride
        corner = HALF - cells / 2
        parts = [*_cells((side, side), lambda row, column: GREY)]
        parts.append(f'<rect x="{corner}" y="{corner}" width="{cells}" height="{cells}" fill="{palette.DLKA}"/>')
        for row, column in np.argwhere(kernels.taps(7, 3)) + HALF - 9:
            parts.append(f'<circle cx="{column}" cy="{row}" r="0.32" fill="white" stroke="black" stroke-width="0.12"/>')
        panels.append(f"<div>{_svg((side, side), parts)}<p>{level}</p></div>")
    return f'<div class="three">{"".join(panels)}</div>'


def offsets() -> str:
    """Where a cell of the shipped model's first stage reads on what the page opens with."""
    seen = scene()
    return _png(render.draw_samples(seen.image, seen.dlka.captures[:1], seen.dlka.letterbox, first_point(seen)))


def gate() -> str:
    """The mean gate of the shipped model's first block on what the page opens with."""
    seen = scene()
    first = seen.dlka.gates[0]
    return _png(render.gate_overlay(seen.image, first, seen.dlka.letterbox, "mean", render.gate_scale([first])))


def letter() -> str:
    """One letter at five sizes, with the samples of the shipped reader."""
    return drawing("E")


FIGURES: dict[str, Callable[[], str]] = {
    "letter": letter,
    "taps": taps,
    "stack": stack,
    "offsets": offsets,
    "corners": corners,
    "gate": gate,
    "levels": levels,
}


def _png(paper: render.Paper) -> str:
    address = "data:image/png;base64," + base64.b64encode(render.png(paper.to_array())).decode()
    return f'<img src="{address}" alt="{html.escape(paper.legend_text)}">'


def _svg(size: tuple[int, ...], parts: Iterable[str], name: str = "") -> str:
    box = f"-0.6 -0.6 {size[1] + 0.2} {size[0] + 0.2}"
    return f'<svg class="{name}" viewBox="{box}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'


def _cells(size: tuple[int, ...], colour: Callable[[int, int], str]) -> Iterator[str]:
    for row, column in np.ndindex(size):
        place = f'x="{column - 0.47}" y="{row - 0.47}" width="0.94" height="0.94"'
        yield f'<rect {place} fill="{colour(row, column)}" stroke="#B9BEC6" stroke-width="0.03"/>'


def _text(x: float, y: float, text: str, size: float) -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="middle">{text}</text>'
