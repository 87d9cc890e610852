"""What the lesson shows of shipped models: offsets and gates of what the page opens with, and a small object."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import numpy as np

from dlka import palette
from dlka.analysis.analysis import Analysis, analyse, block_values, whole
from dlka.analysis.examples import examples, first
from dlka.analysis.suited import opening, settings_for
from dlka.errors import DlkaError
from dlka.render import colour_table, draw_samples, reads_at
from dlka.types import MEDIUM_AREA
from dlka.ui import files
from dlka.ui.see_data import see_value

COLOURS = 51  # of the gate's scale
CROWD = "Far crowd"  # how the label of the example with small copies begins


def scene() -> Analysis:
    """The analysis of the example that the page opens with, by the model whose kernel follows what it looks at."""
    return analyse(examples()[opening()], settings_for(opening()))


def crowd() -> Analysis:
    """The analysis of the example with small copies, by a model with a pyramid; without it, at another photograph."""
    found = [label for label in examples() if label.startswith(CROWD)] or [first("everyday")]
    return analyse(examples()[found[0]], settings_for(found[0]))


def middle(box: np.ndarray) -> tuple[float, float]:
    """(x, y) of a box's middle, at pixel centres."""
    x, y = (box[:2] + box[2:]) / 2 - 0.5
    return float(x), float(y)


def first_point(seen: Analysis) -> tuple[float, float]:
    """Where the lesson looks first, (x, y): the middle of the object that the model is surest of."""
    boxes = seen.dlka.detections.boxes
    height, width = seen.image.shape[:2]
    return middle(boxes[0]) if len(boxes) else (width / 2, height / 2)


@lru_cache(maxsize=1)
def field() -> str:
    """The step on offsets: all offset fields of what the page opens with, as See gets them."""
    seen = scene()
    return see_value(seen, first_point(seen), kept=True)


@lru_cache(maxsize=1)
def _letterboxed() -> str:
    seen = scene()
    return files.address(files.picture(seen.dlka.letterbox.apply(seen.image), kept=True))


def gate_maps(channel: str) -> dict[str, Any]:
    """The step on the gate: maps of the first block on the same picture.

    channel: from 0; "mean" for the mean over channels; "" for a channel with large products of both signs.
    maps: base64 of little-endian float32 [5, H, W]: gated, gate, product, added, input. colours: RGB from the scale's
    lowest to its highest value, with zero in the middle. Raises DlkaError.
    """
    seen = scene()
    values = block_values(seen.key, seen.dlka.gates[0].block)
    product = values.gate * values.gated
    stack = np.stack([values.gated, values.gate, product, values.output - values.input, values.input])  # [5, C, H, W]
    channels = stack.shape[1]
    if channel == "mean":
        maps, shown = stack.mean(1), None
    else:
        up, down = product.clip(min=0).mean((1, 2)), -product.clip(max=0).mean((1, 2))
        first = int(np.minimum(up, down).argmax())
        shown = whole(channel, "Channel", 0, channels - 1) if channel else first
        maps = stack[:, shown]
    return {
        "picture": _letterboxed(),
        "size": maps.shape[1:],
        "channels": channels,
        "channel": shown,
        "colours": colour_table(palette.GATE_MAP)[np.linspace(0, 255, COLOURS).astype(int)].tolist(),
        "maps": base64.b64encode(maps.astype("<f4").tobytes()).decode(),
    }


def on_box(points: np.ndarray, box: np.ndarray) -> int:
    """How many points [n, 2] (x, y, at pixel centres) lie in a box, whose edges count."""
    return int(((points + 0.5 >= box[:2]) & (points + 0.5 <= box[2:])).all(axis=1).sum())


def small_boxes(seen: Analysis) -> np.ndarray:
    """[n] indices of the small and medium objects that the D-LKA model found, smallest first."""
    areas = seen.dlka.detections.areas
    order = np.argsort(areas, kind="stable")
    return order[areas[order] < MEDIUM_AREA]


@lru_cache(maxsize=1)
def small_object() -> dict[str, Any] | None:
    """The step on small objects: how many regular taps and learned samples lie on the smallest one; None if none.

    rows: per stage its label, regular and learned for the smallest, and the means over all small and medium ones.
    """
    seen = crowd()
    found, detections = small_boxes(seen), seen.dlka.detections
    if not len(found):
        return None
    rows: list[list[Any]] = []
    fewer = 0
    for label, capture in zip(seen.stage_labels, seen.dlka.captures):
        counts = []
        for box in detections.boxes[found]:
            reads = reads_at([capture], middle(box), seen.dlka.letterbox)
            counts.append((on_box(reads.regular, box), on_box(reads.samples, box)))
        means = np.mean(counts, axis=0)
        fewer += bool(means[1] < means[0])
        rows.append([label, *counts[0], *(f"{mean:.1f}" for mean in means)])
    box = detections.boxes[found[0]]
    width, height = box[2:] - box[:2]
    inner = (box[2:] - box[:2]) * seen.dlka.letterbox.scale_xy
    return {
        "name": seen.names[int(detections.classes[found[0]])],
        "width": round(float(width)),
        "height": round(float(height)),
        "inner": " x ".join(str(round(float(v))) for v in inner),
        "count": len(found),
        "fewer": fewer,
        "stages": len(rows),
        "rows": rows,
    }


@lru_cache(maxsize=8)
def small_picture(label: str) -> dict[str, str]:
    """Where a stage reads for the smallest object: address and description of a picture. Raises DlkaError."""
    seen = crowd()
    capture = seen.capture(label)
    found = small_boxes(seen)
    if not len(found):
        raise DlkaError("There is no small or medium object in this picture.")
    box = seen.dlka.detections.boxes[found[0]]
    paper = draw_samples(seen.image, [capture], seen.dlka.letterbox, middle(box))
    corners = box[[0, 2, 2, 0, 0]] - 0.5, box[[1, 1, 3, 3, 1]] - 0.5
    for colour, width in ((palette.RIM, 2.2), (palette.REGULAR, 1.1)):
        paper.axes.plot(*corners, color=colour, linewidth=width * paper.line, zorder=5)
    return {"picture": files.address(files.picture(paper, kept=True)), "alt": paper.legend_text}
