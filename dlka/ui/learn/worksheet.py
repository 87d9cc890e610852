"""The printable worksheet: one HTML file that needs nothing beside it, for A4.

Its pictures are drawings of cells as SVG and real examples as PNG.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from itertools import combinations, product
from typing import Any

import numpy as np

from dlka import palette, render
from dlka.ui.learn import kernels
from dlka.ui.learn.example import both_signs, middle, scene, small_boxes, without_legend
from dlka.ui.learn.figures import tested
from dlka.ui.learn.letters import drawing, five_sizes
from dlka.ui.learn.pieces import filled
from dlka.ui.learn.reading import ASKED_POINT, EXAMPLE_MAP
from dlka.ui.learn.words import LANGUAGES, STEPS, words

GREY = "#F1F2F4"
HALF = 4  # cells on either side of the middle, on the levels of the step on small objects
OBJECT = 10  # px
MOVED = 0.6, 0.3, 1.4  # (z, y, x), in cells: where a tap of a 3x3x3 may read
SHOWN = ("scenes", "head")  # of the models that were tested
Words = dict[str, dict[str, Any]]
BARS = {"deformable": "deformable", "features": "features", "rigid": "rigid-2", "off": "off"}  # word -> reader


@lru_cache(maxsize=2 * len(LANGUAGES))
def worksheet(language: str, answers: bool) -> str:
    """HTML with a picture and questions for each step, in a language; with answers, on sheets of their own."""
    told = words(language)
    key = f'<section class="answers"><h1>{told["sheet"]["answers"]}</h1>{"".join(_answers(told))}</section>'
    parts = {"items": "".join(_items(told)), "key": key if answers else "", "language": language}
    return filled("worksheet.html", **told["sheet"], **parts)


def _items(told: Words) -> Iterator[str]:
    shares = {word: _local(f"{100 * five_sizes()['bars'][reader]:.1f}", told) for word, reader in BARS.items()}
    for number, step in enumerate(STEPS, 1):
        caption = told["sheet"][f"figure_{step}"].format(stage=scene().stage_labels[0], **shares)
        figure = f"<figure>{FIGURES[step](told)}<figcaption>{caption}</figcaption></figure>"
        asked = "".join(f"<li>{question['ask']}{_room(question)}</li>" for question in told[step]["questions"])
        text = f"<h2>{number}. {told[step]['title']}</h2><ol>{asked}</ol>"
        yield f'<section class="item {step}">{figure}<div>{text}</div></section>'


def _room(question: dict[str, Any]) -> str:
    """Boxes to tick, or a line to write a number on."""
    if "number" in question:
        return '<div class="line"></div>'
    return "".join(f'<div class="choice">{choice}</div>' for choice in question["choices"])


def _answers(told: Words) -> Iterator[str]:
    for number, step in enumerate(STEPS, 1):
        yield f"<h2>{number}. {told[step]['title']}</h2><ol>"
        for question in told[step]["questions"]:
            number = "number" in question
            right = _local(question["number"], told) if number else question["choices"][question["right"]]
            yield f"<li><b>{right}</b><br>{question['why']}</li>"
        yield "</ol>"


def _local(figure: object, told: Words) -> str:
    """A figure with the language's decimal point."""
    return str(figure).replace(".", told["page"]["decimal"])


def taps(_: Words) -> str:
    """The taps of a 7x7 kernel with dilation 3."""
    grid = kernels.taps(7, 3)
    return _svg(grid.shape, _cells(grid.shape, lambda row, column: palette.DLKA if grid[row, column] else GREY))


def stack(_: Words) -> str:
    """How many paths lead through 5x5 and 7x7 d3 to each cell, as colour and number."""
    counts = kernels.path_counts()
    shades = {1: "#F6D5BC", 2: "#E8995C", 4: palette.DLKA}
    numbers = (_text(column, row + 0.22, str(counts[row, column]), 0.6) for row, column in np.ndindex(counts.shape))
    return _svg(counts.shape, [*_cells(counts.shape, lambda row, column: shades[counts[row, column]]), *numbers])


def corners(_: Words) -> str:
    """The small map with a point between its cells."""
    size, (y, x) = EXAMPLE_MAP.shape, ASKED_POINT
    values = (_text(column, row + 0.12, str(EXAMPLE_MAP[row, column]), 0.4) for row, column in np.ndindex(size))
    point = f'<circle cx="{x}" cy="{y}" r="0.09" fill="{palette.DLKA}" stroke="white" stroke-width="0.03"/>'
    return _svg(size, [*_cells(size, lambda row, column: GREY), *values, point], "small")


def levels(_: Words) -> str:
    """An object under the regular taps of the 5x5 on three levels, side by side."""
    side = 2 * HALF + 1
    panels = []
    for level, stride in (("P3", 8), ("P4", 16), ("P5", 32)):
        cells = OBJECT / stride
        corner = HALF - cells / 2
        parts = [*_cells((side, side), lambda row, column: GREY)]
        parts.append(f'<rect x="{corner}" y="{corner}" width="{cells}" height="{cells}" fill="{palette.DLKA}"/>')
        for row, column in np.ndindex(5, 5):
            place = f'cx="{column + HALF - 2}" cy="{row + HALF - 2}"'
            parts.append(f'<circle {place} r="0.1" fill="white" stroke="black" stroke-width="0.05"/>')
        panels.append(f"<div>{_svg((side, side), parts)}<p>{level}</p></div>")
    return f'<div class="three">{"".join(panels)}</div>'


def offsets(_: Words) -> str:
    """Where a cell of the shipped model's first stage reads for the object that Explore opens a scene with."""
    seen = scene()
    point = middle(seen.dlka.detections.boxes[small_boxes(seen)[0]])
    return _png(render.draw_samples(seen.image, seen.dlka.captures[:1], seen.dlka.letterbox, point))


def gate(_: Words) -> str:
    """One channel of the gate of the shipped model's first block on the same scene."""
    seen = scene()
    first = seen.dlka.gates[0]
    channel = both_signs(first.values)
    scale = render.gate_scale([first], "channel", channel)
    return _png(render.gate_overlay(seen.image, first, seen.dlka.letterbox, "channel", scale, channel))


def letter(_: Words) -> str:
    """One letter at five sizes, with the samples of the shipped reader."""
    return drawing("E")


def test(told: Words) -> str:
    """AP of two models with and without their own offsets, as bars."""
    rows = []
    for model in (row for row in tested() if row["model"] in SHOWN):
        rows.append(f"<p><b>{model['model']}</b></p>")
        for way, share in model["ways"].items():
            bar, ap = f'<i style="width: {0.6 * share["ap"]:.1f}mm"></i>', _local(f"{share['ap']:.1f}", told)
            rows.append(f'<p class="bar"><span>{told["test"][way]}</span>{bar} {ap}</p>')
    return "".join(rows)


def volume(_: Words) -> str:
    """The taps of a 3x3x3 kernel, seen at an angle; one has moved, and reads the eight cells around it."""

    def at(place: Iterable[float]) -> tuple[float, float]:
        z, y, x = place
        return 3 + 1.8 * x + 0.8 * z, 3 + 1.8 * y - 0.7 * z

    def line(start: Iterable[float], end: Iterable[float], look: str) -> str:
        (x1, y1), (x2, y2) = at(start), at(end)
        return f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" {look}/>'

    grid = list(product((1, 0, -1), repeat=3))  # the farthest first
    near = list(product(*((math.floor(v), math.floor(v) + 1) for v in MOVED)))
    thin, blue = 'stroke="#B9BEC6" stroke-width="0.05"', f'stroke="{palette.BASELINE}" stroke-width="0.08"'
    parts = [line(a, b, thin) for a, b in combinations(grid, 2) if math.dist(a, b) == 1]
    parts += [line(MOVED, cell, blue) for cell in near]
    for x, y in map(at, near):
        parts.append(f'<rect x="{x - 0.2:.2f}" y="{y - 0.2:.2f}" width="0.4" height="0.4" fill="{palette.BASELINE}"/>')
    for x, y in map(at, grid):
        parts.append(f'<circle cx="{x:.2f}" cy="{y:.2f}" r="0.14" fill="white" stroke="black" stroke-width="0.06"/>')
    x, y = at(MOVED)
    parts.append(
        f'<circle cx="{x:.2f}" cy="{y:.2f}" r="0.24" fill="{palette.DLKA}" stroke="white" stroke-width="0.05"/>'
    )
    return _svg((7, 7), parts, "small")


FIGURES: dict[str, Callable[[Words], str]] = {
    "letter": letter,
    "taps": taps,
    "stack": stack,
    "offsets": offsets,
    "corners": corners,
    "gate": gate,
    "levels": levels,
    "test": test,
    "volume": volume,
}


def _png(paper: render.Paper) -> str:
    address = "data:image/png;base64," + base64.b64encode(render.png(without_legend(paper))).decode()
    return f'<img src="{address}" alt="">'


def _svg(size: tuple[int, ...], parts: Iterable[str], name: str = "") -> str:
    box = f"-0.6 -0.6 {size[1] + 0.2} {size[0] + 0.2}"
    return f'<svg class="{name}" viewBox="{box}" xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'


def _cells(size: tuple[int, ...], colour: Callable[[int, int], str]) -> Iterator[str]:
    for row, column in np.ndindex(size):
        place = f'x="{column - 0.47}" y="{row - 0.47}" width="0.94" height="0.94"'
        yield f'<rect {place} fill="{colour(row, column)}" stroke="#B9BEC6" stroke-width="0.03"/>'


def _text(x: float, y: float, text: str, size: float) -> str:
    return f'<text x="{x}" y="{y}" font-size="{size}" text-anchor="middle">{text}</text>'
