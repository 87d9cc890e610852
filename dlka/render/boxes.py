"""Boxes of one model, and what two models found differently."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import to_rgb

from dlka import palette
from dlka.render import legend
from dlka.render.canvas import Canvas
from dlka.types import BOTH, CLASS_CHANGED, KINDS, ONLY_FIRST, ONLY_SECOND, SIZES, Detections, Pair, Pairing, size_of

Names = Mapping[int, str] | Sequence[str]
TOLD = 0.05  # least change of a score that is written beside a box that stayed
Rect = tuple[float, float, float, float]  # left, top, right, bottom


class Outline(NamedTuple):
    """One box to draw: x1 y1 x2 y2 at pixel edges, with its label ("" for none) and look."""

    box: np.ndarray
    label: str
    colour: str
    line: str = "-"
    thin: bool = False


def corners(boxes: np.ndarray) -> list[np.ndarray]:
    """[n, 4] boxes at pixel edges -> n closed outlines [5, 2] in point coordinates (half a pixel up and left)."""
    x1, y1, x2, y2 = (boxes - 0.5).T
    return list(np.stack([x1, y1, x2, y1, x2, y2, x1, y2, x1, y1], -1).reshape(-1, 5, 2))


def ink_on(colour: str) -> str:
    """Black or white, whichever reads better on a colour (by its relative luminance, WCAG 2)."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    luminance = float(np.dot(linear, (0.2126, 0.7152, 0.0722)))
    return "white" if luminance < 0.25 else palette.INK


def draw_outlines(canvas: Canvas, outlines: Sequence[Outline]) -> int:
    """Draw boxes, then their labels; returns how many labels found no free place."""
    for line in dict.fromkeys(o.line for o in outlines):
        group = [o for o in outlines if o.line == line]
        paths = corners(np.array([o.box for o in group], np.float64))
        widths = np.array([canvas.line * (0.5 if o.thin else 1.3) for o in group])
        # A light rim: the accents are dark enough for bright pictures, and dashes need gaps that show on dark ones.
        rim = LineCollection(paths, colors=palette.PAPER, linewidths=widths + 0.6 * canvas.line, alpha=0.7, zorder=2)
        canvas.axes.add_collection(rim)
        canvas.axes.add_collection(
            LineCollection(paths, colors=[o.colour for o in group], linewidths=widths, linestyles=line, zorder=3)
        )
    labelled = [o for o in outlines if o.label]
    return _draw_labels(canvas, labelled) if labelled else 0


def _draw_labels(canvas: Canvas, outlines: Sequence[Outline]) -> int:
    size, pad = 0.74 * canvas.font, 0.22 * canvas.font
    # Type does not shrink with the picture: places are found in pixels of the sheet, and drawn in the picture's.
    scale = np.array([canvas.picture_width / canvas.image_size[1], canvas.picture_height / canvas.image_size[0]])
    boxes = np.array([o.box for o in outlines], np.float64) * np.tile(scale, 2)  # sheet pixels from here
    widths = [legend.text_width(o.label, size, bold=True) + 2 * pad for o in outlines]
    sizes = np.column_stack([widths, np.full(len(widths), size + 1.8 * pad)])
    places = place_labels(boxes, sizes, (canvas.picture_width, canvas.picture_height), 1.2 * canvas.line)
    plates, leaders, colours, far = [], [], [], []
    for outline, box, rect in zip(outlines, boxes, places):
        if rect is None:
            continue
        left, top, right, bottom = rect
        plates.append(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]) / scale - 0.5)
        colours.append(outline.colour)
        # A label right beside its box needs no line to it.
        start, end = leader(rect, box)
        if np.hypot(*(end - start)) > 3 * canvas.line:
            leaders.append(np.array([start, end]) / scale - 0.5)
            far.append(outline.colour)
        x, y = np.array([left + pad, bottom - pad - 0.16 * size]) / scale - 0.5
        canvas.axes.text(
            x,
            y,
            outline.label,
            fontsize=size,
            color=ink_on(outline.colour),
            weight="bold",
            parse_math=False,
            clip_on=True,
            zorder=7,
        )
    canvas.axes.add_collection(LineCollection(leaders, colors=far, linewidths=0.5 * canvas.line, zorder=5))
    canvas.axes.add_collection(PolyCollection(plates, facecolors=colours, edgecolors="none", zorder=6))
    return sum(p is None for p in places)


def size_counts(counts: Sequence[int]) -> str:
    """Counts in the order of SIZES as a legend says them."""
    return ", ".join(f"{size} {n}" for size, n in zip(SIZES, counts))


def close(canvas: Canvas, missing: int, sizes: bool = True) -> Canvas:
    """The last rows of a legend about boxes; missing: labels that found no place; sizes: whether they are told."""
    if sizes:
        legend.note(canvas, "Sizes by box area in px of the picture: S under 32x32, M under 96x96, L above.")
    if missing:
        legend.note(canvas, f"{missing} {'label' if missing == 1 else 'labels'} left out for want of room.")
    return legend.finish(canvas)


def draw_boxes(image: np.ndarray, detections: Detections, names: Names, colour: str, title: str) -> Canvas:
    """All boxes of one model in its accent colour, with class and score."""
    canvas = Canvas(image)
    outlines = [
        Outline(box, f"{names[int(c)]} {score:.2f}", colour)
        for box, c, score in zip(detections.boxes, detections.classes, detections.scores)
    ]
    missing = draw_outlines(canvas, outlines)
    legend.title(canvas, title)
    sizes = [size_of(float(a)) for a in detections.areas]
    n = len(sizes)
    text = f"{n} {'box' if n == 1 else 'boxes'}: {size_counts([sizes.count(s) for s in SIZES])}"
    legend.key(canvas, [legend.Entry(text if n else "no box found", colour=colour)])
    return close(canvas, missing)


class Sides(NamedTuple):
    """How two looks at a picture are called, and the colours of the boxes that only one of them has.

    renamed: what an object of another class is called; moved: from which change of a score on it is written beside a
    box that stayed.
    """

    before: str
    after: str
    before_colour: str
    after_colour: str
    renamed: str = "another class"
    moved: float = TOLD

    def entry(self, kind: str) -> legend.Entry:
        """How a kind of pair, of after against before, is called and drawn."""
        text, colour = {
            BOTH: ("both", palette.KIND_COLOURS[BOTH]),
            CLASS_CHANGED: (self.renamed, palette.CHANGED),
            ONLY_FIRST: (f"only {self.after}", self.after_colour),
            ONLY_SECOND: (f"only {self.before}", self.before_colour),
        }[kind]
        return legend.Entry(text, colour=colour, line=palette.KIND_LINES[kind], thin=kind == BOTH)

    def key(self, pairing: Pairing) -> list[legend.Entry]:
        """The entries of all kinds with their counts, in all and by size."""
        out = []
        for kind in KINDS:
            entry, sizes = self.entry(kind), size_counts([pairing.count(kind, size) for size in SIZES])
            out.append(entry._replace(text=f"{entry.text} {pairing.count(kind)} ({sizes})"))
        return out


MODELS = Sides("baseline", "D-LKA", palette.BASELINE, palette.DLKA, "class changed", np.inf)


def pair_outline(pairing: Pairing, pair: Pair, names: Names, sides: Sides = MODELS) -> Outline:
    """How an object of after against before is drawn: its box after where it has one, in the look of its kind."""
    found, index = pairing.shown(pair)
    look, name = sides.entry(pair.kind), names[int(found.classes[index])]
    if pair.kind == BOTH:
        label = f"{pair.score_change:+.2f}" if abs(pair.score_change) >= sides.moved else ""
    elif pair.kind == CLASS_CHANGED:
        label = f"{name}, {sides.before} {names[int(pairing.second.classes[pair.second])]}"
    else:
        label = f"{name} {found.scores[index]:.2f}"
    return Outline(found.boxes[index], label, look.colour, look.line, look.thin)


def draw_difference(image: np.ndarray, pairing: Pairing, names: Names) -> Canvas:
    """What only one model found, in its accent and line style; what both found, grey and thin.

    pairing: D-LKA against the baseline.
    """
    canvas = Canvas(image)
    missing = draw_outlines(canvas, [pair_outline(pairing, pair, names) for pair in pairing.pairs])
    legend.title(canvas, "What the two models found differently")
    legend.key(canvas, MODELS.key(pairing))
    return close(canvas, missing)


# Where labels go, so that none covers a small object or another label: plain geometry.


def overlap(rect: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Shared area of one rectangle [4] with each of others [n, 4]."""
    wide = np.minimum(rect[2], others[:, 2]) - np.maximum(rect[0], others[:, 0])
    high = np.minimum(rect[3], others[:, 3]) - np.maximum(rect[1], others[:, 1])
    return np.clip(wide, 0, None) * np.clip(high, 0, None)


def candidates(box: np.ndarray, width: float, height: float, gap: float) -> list[Rect]:
    """Places for a label around a box, best first: above, below, beside, then farther off."""
    left, top, right, bottom = box
    spots = []
    for away in (gap, gap + 1.2 * height, gap + 2.6 * height):
        for x in (left, right - width):
            spots += [(x, top - away - height), (x, bottom + away)]
        spots += [(right + away, top), (left - away - width, top)]
    return [(x, y, x + width, y + height) for x, y in spots]


def place_labels(boxes: np.ndarray, sizes: np.ndarray, frame: tuple[float, float], gap: float) -> list[Rect | None]:
    """A rectangle for each label, or None where no place is free.

    boxes [n, 4] and sizes [n, 2] (width, height) in pixels of the sheet; frame (width, height). Labels stay inside the
    frame, off each other, and off every box that is not clearly larger than its label. Small boxes choose first; a
    label may lie inside the top edge of its own large box.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    small = areas < 12 * sizes[:, 0] * sizes[:, 1]
    # [taken, 4]: a label may cover a part of a large box, but would hide a small one.
    taken = boxes[small]
    placed: list[Rect | None] = [None] * len(boxes)
    for i in np.argsort(areas, kind="stable"):
        width, height = sizes[i]
        spots = candidates(boxes[i], width, height, gap)
        if not small[i]:
            left, top = boxes[i, :2]
            spots.insert(1, (left, top, left + width, top + height))
        for spot in spots:
            # Slide along the frame's sides, but never past its top or bottom: there another place is better.
            shift = min(max(spot[0], 0), max(frame[0] - width, 0)) - spot[0]
            rect = np.array([spot[0] + shift, spot[1], spot[2] + shift, spot[3]])
            if rect[1] >= 0 and rect[3] <= frame[1] and rect[2] <= frame[0] and not overlap(rect, taken).any():
                placed[i] = (float(rect[0]), float(rect[1]), float(rect[2]), float(rect[3]))
                taken = np.vstack([taken, rect])
                break
    return placed


def leader(rect: Rect, box: np.ndarray) -> np.ndarray:
    """[2, 2]: both ends (x, y) of the shortest line from a label to its box, in the middle of what they share."""
    low, high = np.maximum(rect[:2], box[:2]), np.minimum(rect[2:], box[2:])  # high is below low where they are apart
    ends = np.where(np.array(rect[2:]) < box[:2], [high, low], [low, high])
    return np.where(high < low, ends, (low + high) / 2)
