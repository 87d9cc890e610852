"""The printable worksheet: one HTML file that needs nothing beside it, for A4.

Its pictures are drawings of cells as SVG, which the template makes, and real examples as PNG.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import combinations, product
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dlka import palette, render
from dlka.ui import files, learn
from dlka.ui.learn.example import both_signs, middle, scene, small_boxes, tested, without_legend
from dlka.ui.learn.letters import five_sizes

MOVED = 0.6, 0.3, 1.4  # (z, y, x), in cells: where a tap of a 3x3x3 may read
SHOWN = ("scenes", "head")  # of the models that were tested
BARS = {"deformable": "deformable", "features": "features", "rigid": "rigid-2", "off": "off"}  # word -> reader


@lru_cache(maxsize=2 * len(learn.LANGUAGES))
def worksheet(language: str, answers: bool) -> str:
    """HTML with a picture and questions for each step, in a language; with answers, on sheets of their own."""
    told, seen = learn.words(language), scene()
    point = middle(seen.dlka.detections.boxes[small_boxes(seen)[0]])
    box, gate = seen.dlka.letterbox, seen.dlka.gates[0]
    channel = both_signs(gate.values)
    scale = render.gate_scale([gate], "channel", channel)

    def local(figure: object) -> str:
        """A figure with the language's decimal point."""
        return str(figure).replace(".", told["page"]["decimal"])

    templates = Environment(
        loader=FileSystemLoader(learn.FOLDER), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters["local"] = local
    return templates.get_template("worksheet.html").render(
        language=language,
        answers=answers,
        told=told,
        steps=learn.STEPS,
        palette=palette,
        coloured=lambda rows, colours: [[colours[value] for value in row] for row in rows],
        letters=five_sizes(),
        shares={word: local(f"{100 * five_sizes()['bars'][reader]:.1f}") for word, reader in BARS.items()},
        stage=seen.stage_labels[0],
        kernel=taps(7, 3).tolist(),
        paths=path_counts().tolist(),
        example=learn.EXAMPLE_MAP.tolist(),
        point=learn.ASKED_POINT,
        offsets_picture=_address(render.draw_samples(seen.image, seen.dlka.captures[:1], box, point)),
        gate_picture=_address(render.gate_overlay(seen.image, gate, box, "channel", scale, channel)),
        tested=[row for row in tested() if row["model"] in SHOWN],
        **_volume(),
    )


def _address(paper: render.Paper) -> str:
    return files.data_url(render.png(without_legend(paper)), "image/png")


def taps(kernel: int, dilation: int = 1) -> np.ndarray:
    """[reach, reach] int: 1 where a tap lies, else 0; reach: side of the square that one output cell reads."""
    out = np.zeros(((kernel - 1) * dilation + 1,) * 2, int)
    out[::dilation, ::dilation] = 1
    return out


def path_counts(first: int = 5, second: int = 7, dilation: int = 3) -> np.ndarray:
    """[R, R] int: by how many pairs of taps each input cell reaches one output cell, R = first + (second - 1) dilation.

    It is the full convolution of both tap patterns, which are products of their axes.
    """
    axis = np.convolve(np.ones(first, int), taps(second, dilation)[0])
    return np.outer(axis, axis)


def _volume() -> dict[str, Any]:
    """The taps of a 3x3x3 kernel, seen at an angle, the farthest first; one has moved, and reads the cells near it."""

    def seen(z: float, y: float, x: float) -> tuple[float, float]:
        return 3 + 1.8 * x + 0.8 * z, 3 + 1.8 * y - 0.7 * z

    grid = list(product((1, 0, -1), repeat=3))
    near = list(product(*((math.floor(v), math.floor(v) + 1) for v in MOVED)))
    return {
        "edges": [(seen(*a), seen(*b)) for a, b in combinations(grid, 2) if math.dist(a, b) == 1],
        "taps_in_space": [seen(*place) for place in grid],
        "near": [seen(*place) for place in near],
        "moved": seen(*MOVED),
    }
