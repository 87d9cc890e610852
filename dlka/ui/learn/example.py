"""What the lesson shows of shipped models: offsets and gates of what the page opens with, and a small object."""

from __future__ import annotations

import base64
from functools import lru_cache
from typing import Any

import numpy as np

from dlka import palette
from dlka.analysis.analysis import Analysis, analyse, block_values, whole
from dlka.analysis.examples import examples
from dlka.analysis.figures.pictures import default_object
from dlka.analysis.suited import settings_for
from dlka.errors import DlkaError
from dlka.render import Paper, colour_table, draw_samples, reads_at
from dlka.ui import files
from dlka.ui.files import see_value

COLOURS = 51  # of the gate's scale
# The lesson's pictures, by their names in an address; all are looked at by models that use their offsets.
PICTURES = {
    "letters": "Drawn scene: letters and curves",
    "sizes": "Drawn scene: E of 12 to 90 px",
    "rings": "Drawn scene: rings, 11 to 88 px",
    "scratches": "Steel: scratches",
    "inclusions": "Steel: inclusions",
}


def scene(picture: str = "letters") -> Analysis:
    """The analysis of one of PICTURES, by the model that suits it. Raises DlkaError."""
    if picture not in PICTURES:
        raise DlkaError(f"Picture: expected one of {', '.join(PICTURES)}; got {picture!r:.60}.")
    label = PICTURES[picture]
    return analyse(examples()[label], settings_for(label))


def middle(box: np.ndarray) -> tuple[float, float]:
    """(x, y) of a box's middle, at pixel centres."""
    x, y = (box[:2] + box[2:]) / 2 - 0.5
    return float(x), float(y)


def first_point(seen: Analysis) -> tuple[float, float]:
    """Where the lesson looks first, (x, y): the middle of the object that the model is surest of."""
    boxes = seen.dlka.detections.boxes
    height, width = seen.image.shape[:2]
    return middle(boxes[0]) if len(boxes) else (width / 2, height / 2)


@lru_cache(maxsize=len(PICTURES))
def field(picture: str) -> str:
    """The step on offsets: all offset fields of one of PICTURES, as See gets them. Raises DlkaError."""
    seen = scene(picture)
    return see_value(seen, first_point(seen), kept=True)


@lru_cache(maxsize=len(PICTURES))
def _letterboxed(picture: str) -> str:
    seen = scene(picture)
    return files.address(files.picture(seen.dlka.letterbox.apply(seen.image), kept=True))


def gate_maps(picture: str, channel: str) -> dict[str, Any]:
    """The step on the gate: maps of the first block on one of PICTURES.

    channel: from 0; "mean" for the mean over channels; "" for a channel with large products of both signs.
    maps: base64 of little-endian float32 [5, H, W]: gated, gate, product, added, input. colours: RGB from the scale's
    lowest to its highest value, with zero in the middle. Raises DlkaError.
    """
    seen = scene(picture)
    values = block_values(seen.key, seen.dlka.gates[0].block)
    product = values.gate * values.gated
    stack = np.stack([values.gated, values.gate, product, values.output - values.input, values.input])  # [5, C, H, W]
    channels = stack.shape[1]
    if channel == "mean":
        maps, shown = stack.mean(1), None
    else:
        shown = whole(channel, "Channel", 0, channels - 1) if channel else both_signs(product)
        maps = stack[:, shown]
    return {
        "picture": _letterboxed(picture),
        "size": maps.shape[1:],
        "channels": channels,
        "channel": shown,
        "colours": colour_table(palette.GATE_MAP)[np.linspace(0, 255, COLOURS).astype(int)].tolist(),
        "maps": base64.b64encode(maps.astype("<f4").tobytes()).decode(),
    }


def both_signs(values: np.ndarray) -> int:
    """The channel of [C, H, W] with large values of both signs."""
    up, down = values.clip(min=0).mean((1, 2)), -values.clip(max=0).mean((1, 2))
    return int(np.minimum(up, down).argmax())


def on_box(points: np.ndarray, box: np.ndarray) -> int:
    """How many points [n, 2] (x, y, at pixel centres) lie in a box, whose edges count."""
    return int(((points + 0.5 >= box[:2]) & (points + 0.5 <= box[2:])).all(axis=1).sum())


def small_boxes(seen: Analysis) -> list[int]:
    """Indices of small and medium objects that D-LKA found: the one that Explore opens with, then smallest first."""
    opened = default_object(seen)
    pairs = sorted(enumerate(seen.pairing.pairs), key=lambda numbered: numbered[0] != opened)
    return [pair.first for _, pair in pairs if pair.first is not None and pair.size != "L"]


@lru_cache(maxsize=1)
def small_object() -> dict[str, Any] | None:
    """The step on small objects: how many regular taps and learned samples lie on the first; None if none.

    rows: per stage its label, regular and learned for the first of small_boxes, and the means over all of them.
    """
    seen = scene()
    found, detections = small_boxes(seen), seen.dlka.detections
    if not found:
        return None
    rows: list[list[Any]] = []
    for label, capture in zip(seen.stage_labels, seen.dlka.captures):
        counts = []
        for box in detections.boxes[found]:
            reads = reads_at([capture], middle(box), seen.dlka.letterbox)
            counts.append((on_box(reads.regular, box), on_box(reads.samples, box)))
        rows.append([label, *counts[0], *(f"{mean:.1f}" for mean in np.mean(counts, axis=0))])
    box = detections.boxes[found[0]]
    width, height = (round(float(side)) for side in box[2:] - box[:2])
    name = seen.names[int(detections.classes[found[0]])]
    return {"name": name, "width": width, "height": height, "count": len(found), "rows": rows}


@lru_cache(maxsize=8)
def small_picture(label: str) -> dict[str, str]:
    """Where a stage reads for the first of small_boxes: address of a picture, without a legend. Raises DlkaError."""
    seen = scene()
    capture, box = seen.capture(label), seen.dlka.detections.boxes[small_boxes(seen)[0]]
    paper = draw_samples(seen.image, [capture], seen.dlka.letterbox, middle(box))
    corners = box[[0, 2, 2, 0, 0]] - 0.5, box[[1, 1, 3, 3, 1]] - 0.5
    for colour, width in ((palette.RIM, 2.2), (palette.REGULAR, 1.1)):
        paper.axes.plot(*corners, color=colour, linewidth=width * paper.line, zorder=5)
    return {"picture": files.address(files.picture(without_legend(paper), kept=True))}


def without_legend(paper: Paper) -> np.ndarray:
    """A drawing's picture [H, W, 3] uint8: its legend is in English, the lesson says what is seen in its own words."""
    return paper.to_array()[: paper.picture_height]
