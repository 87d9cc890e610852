"""Pictures beside each other, and the gallery of small objects that only one model found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb

from dlka import palette
from dlka.render import legend
from dlka.render.boxes import Names, corners, pair_outline
from dlka.render.canvas import Paper
from dlka.render.picture import View
from dlka.types import KIND_NAMES, ONLY_FIRST, ONLY_SECOND, Pairing

ROUND = 2.6  # side of a crop in longer sides of its box
CAPTION = 0.085  # text height of a caption in sides of its tile
LEAST = 64.0  # pixels of the original picture, the smallest side of a crop


def same_size(*pictures: np.ndarray) -> list[np.ndarray]:
    """Pictures [h, w, 3] uint8, white added at the right and below until all are as large as the largest."""
    height, width = max(p.shape[0] for p in pictures), max(p.shape[1] for p in pictures)
    white = (np.array(to_rgb(palette.PAPER)) * 255).astype(np.uint8)
    out = [np.full((height, width, 3), white, np.uint8) for _ in pictures]
    for sheet, picture in zip(out, pictures):
        sheet[: picture.shape[0], : picture.shape[1]] = picture
    return out


class Crop(NamedTuple):
    """One object to show close up: box x1 y1 x2 y2 at pixel edges, a caption, a colour and a line style.

    truth [N, 4]: labelled objects, which are drawn dotted below it.
    """

    box: np.ndarray
    caption: str
    colour: str
    line: str = "-"
    truth: np.ndarray = np.zeros((0, 4))


def disagreements(pairing: Pairing, names: Names, limit: int = 24) -> list[Crop]:
    """The small objects that only one model found, smallest first; pairing: D-LKA against the baseline."""
    pairs = [p for p in pairing.pairs if p.kind in (ONLY_FIRST, ONLY_SECOND) and p.size == "S"]
    outlines = [(p, pair_outline(pairing, p, names)) for p in pairs[:limit]]
    return [Crop(o.box, f"{o.label} {KIND_NAMES[p.kind]}", o.colour, o.line) for p, o in outlines]


def window(box: np.ndarray, size: tuple[int, int]) -> View:
    """A square view around a box, moved so that it lies on the picture of this (height, width) where it fits.

    It is no larger than the picture's longer side.
    """
    x, y = (box[:2] + box[2:]) / 2 - 0.5
    half = max(min(ROUND * float((box[2:] - box[:2]).max()), max(size)), LEAST) / 2

    # Moved rather than cut, so that a tile stays square; on a side that is too short for it, it is centred.
    def fit(centre: float, length: int) -> float:
        return float(np.clip(centre, half - 0.5, length - 0.5 - half)) if 2 * half <= length else (length - 1) / 2

    return View.around((fit(x, size[1]), fit(y, size[0])), half)


def _tile(paper: Paper, image: np.ndarray, crop: Crop, left: int, top: int, side: int) -> Axes:
    axes = paper.panel(image, window(crop.box, (image.shape[0], image.shape[1])), left, top, side, side)
    path, line = corners(crop.box[None].astype(np.float64)), side / 110
    labelled = corners(crop.truth.astype(np.float64))
    axes.add_collection(LineCollection(labelled, colors=palette.PAPER, linewidths=1.2 * line, alpha=0.7))
    axes.add_collection(LineCollection(labelled, colors=palette.TRUTH, linewidths=0.9 * line, linestyles=":"))
    axes.add_collection(LineCollection(path, colors=palette.PAPER, linewidths=1.6 * line, alpha=0.7))
    axes.add_collection(LineCollection(path, colors=crop.colour, linewidths=line, linestyles=crop.line))
    return axes


def crop_tile(image: np.ndarray, crop: Crop, side: int = 240) -> np.ndarray:
    """One crop with the outline of its box as a square picture [side, side, 3] uint8, for galleries."""
    paper = Paper(side, side)
    _tile(paper, image, crop, 0, 0, side)
    return paper.to_array()


def contact_sheet(image: np.ndarray, crops: Sequence[Crop], columns: int = 4, width: int = 960) -> Paper:
    """All crops as equal square tiles with captions below; without crops a sheet that says so."""
    gap, rows = max(2, width // 80), -(-len(crops) // columns)
    side = (width - gap * (columns - 1)) // columns
    size = CAPTION * side
    # A row is a tile and two lines of caption below it.
    pitch = side + round(3.4 * size)
    paper = Paper(width, max(1, rows * pitch))
    for i, crop in enumerate(crops):
        row, column = divmod(i, columns)
        axes = _tile(paper, image, crop, column * (side + gap), row * pitch, side)
        for k, line in enumerate(legend.wrapped(crop.caption, size, side, bold=True)[:2]):
            down = (1.2 + 1.3 * k) * size / side
            caption = axes.text(0, -down, line, fontsize=size, color=crop.colour, weight="bold", parse_math=False)
            caption.set_transform(axes.transAxes)
    legend.title(paper, "Objects that only one of the two models found")
    if crops:
        # Only the kinds that some tile shows, in the order that they have everywhere.
        styles = {crop.colour: crop for crop in crops}
        kinds = [k for k, colour in palette.KIND_COLOURS.items() if colour in styles]
        legend.key(
            paper, [legend.Entry(KIND_NAMES[k], None, palette.KIND_COLOURS[k], palette.KIND_LINES[k]) for k in kinds]
        )
    else:
        legend.note(paper, "None here: every object of these sizes was found by both models, or by neither.")
    return legend.finish(paper)
