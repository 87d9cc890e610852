"""What the lesson shows of shipped models: offsets and gates of what the page opens with, a small object, a volume; and
what is known of them from code and from models' cards."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from dlka import palette
from dlka.analysis.analysis import Analysis, analyse, block_values, whole
from dlka.analysis.examples import examples
from dlka.analysis.figures.base import one_of
from dlka.analysis.figures.pictures import default_object
from dlka.analysis.suited import settings_for
from dlka.models.blocks import attention
from dlka.models.catalog import cards
from dlka.render import Paper, colour_table, draw_samples, reads_at
from dlka.segment.judge import WITHOUT
from dlka.segment.net_file import NetCard
from dlka.segment.samples import samples
from dlka.segment.scans import read_scan
from dlka.segment.segmenter import Segmenter, shipped
from dlka.ui import files
from dlka.ui.guard import answering
from dlka.ui.segment_data import segment_value

COLOURS = 51  # of the gate's scale
# The lesson's pictures, by their names in an address; all are looked at by models that use their offsets.
PICTURES = {
    "letters": "Drawn scene: letters and curves",
    "sizes": "Drawn scene: E of 12 to 90 px",
    "rings": "Drawn scene: rings, 11 to 88 px",
    "scratches": "Steel: scratches",
    "inclusions": "Steel: inclusions",
}
WAYS = {"own": "own", "off": "off", "shuffled": "shuffled", "another": "another picture's"}  # word -> name in a card
VOLUME_MODEL = "hippocampus"
GATE = "spatial_gating_unit."
# What makes a gate, in its order -> what the names of its parameters begin with; the offset net lies inside the 3x3x3.
PARTS = {
    "five": "conv0.",
    "seven": "conv_spatial.",
    "nets": "deform_conv.conv_offset.",
    "three": "deform_conv.",
    "one": "conv1.",
}
Answer = dict[str, Any]  # to a script of the page; of what cannot be done "error", one sentence


def scene(picture: str = "letters") -> Analysis:
    """The analysis of one of PICTURES, by the model that suits it. Raises DlkaError."""
    one_of("Picture", picture, PICTURES)
    return analyse(examples()[PICTURES[picture]], settings_for(PICTURES[picture]))


def middle(box: np.ndarray) -> tuple[float, float]:
    """(x, y) of a box's middle, at pixel centres."""
    x, y = (box[:2] + box[2:]) / 2 - 0.5
    return float(x), float(y)


@answering
@lru_cache(maxsize=len(PICTURES))
def see_field(picture: str) -> Answer:
    """The step on offsets: all offset fields of one of PICTURES, as See gets them; looked at first is the middle of the
    object that the model is surest of."""
    seen = scene(picture)
    boxes, (height, width) = seen.dlka.detections.boxes, seen.image.shape[:2]
    first = middle(boxes[0]) if len(boxes) else (width / 2, height / 2)
    return json.loads(files.see_value(seen, first, kept=True))


@lru_cache(maxsize=len(PICTURES))
def _letterboxed(picture: str) -> str:
    seen = scene(picture)
    return files.address(files.picture(seen.dlka.letterbox.apply(seen.image), kept=True))


@answering
def see_gate(picture: str, channel: str = "") -> Answer:
    """The step on the gate: maps of the first block on one of PICTURES.

    channel: from 0; "mean" for the mean over channels; "" for a channel with large products of both signs.
    maps: base64 of little-endian float32 [5, H, W]: gated, gate, product, added, input. colours: RGB from the scale's
    lowest to its highest value, with zero in the middle.
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


@answering
@lru_cache(maxsize=1)
def see_small() -> Answer:
    """The step on small objects: how many regular taps and learned samples lie on the first; {} if there is none.

    rows: per stage its label, regular and learned for the first of small_boxes, and the means over all of them.
    """
    seen = scene()
    found, detections = small_boxes(seen), seen.dlka.detections
    if not found:
        return {}
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


@answering
@lru_cache(maxsize=8)
def see_small_picture(stage: str) -> Answer:
    """Where a stage reads for the first of small_boxes: address of a picture, without a legend."""
    seen = scene()
    capture, box = seen.capture(stage), seen.dlka.detections.boxes[small_boxes(seen)[0]]
    paper = draw_samples(seen.image, [capture], seen.dlka.letterbox, middle(box))
    corners = box[[0, 2, 2, 0, 0]] - 0.5, box[[1, 1, 3, 3, 1]] - 0.5
    for colour, width in ((palette.RIM, 2.2), (palette.REGULAR, 1.1)):
        paper.axes.plot(*corners, color=colour, linewidth=width * paper.line, zorder=5)
    return {"picture": files.address(files.picture(without_legend(paper), kept=True))}


def without_legend(paper: Paper) -> np.ndarray:
    """A drawing's picture [H, W, 3] uint8: its legend is in English, the lesson says what is seen in its own words."""
    return paper.to_array()[: paper.picture_height]


@answering
def see_volume() -> Answer:
    """The step "The same in three dimensions": what Segment's canvas gets of a volume, whose it is, what the network's
    card says of its offsets, and its parameters; {} where that network is not there."""
    return _volume() if VOLUME_MODEL in shipped() else {}


@lru_cache(maxsize=1)
def _volume() -> Answer:
    sample = next(sample for sample in samples().values() if sample.model == VOLUME_MODEL)
    scan, segmenter = read_scan(sample.file), Segmenter.of(VOLUME_MODEL)
    value = json.loads(segment_value(scan, segmenter.look(scan), list(segmenter.card.names), kept=True))
    sizes = parts(dict(segmenter.net.named_parameters()))
    return value | {"credit": sample.credit, "measured": measured(segmenter.card), "parts": sizes}


def parts(parameters: Mapping[str, Any]) -> dict[str, int]:
    """How many numbers a network's parameters, by name, hold: those of each of PARTS in all its gates, and the rest."""
    found = dict.fromkeys((*PARTS, "rest"), 0)
    for name, values in parameters.items():
        inside = name.partition(GATE)[2]
        found[next((part for part, begin in PARTS.items() if inside.startswith(begin)), "rest")] += values.numel()
    return found


def measured(card: NetCard) -> dict[str, Any] | None:
    """Dice in per cent by part, with the network's own offsets and with these at zero, on how many cases; None where
    its card does not say it. change: own minus zero, between: its 95 % interval over cases."""
    rows = card.scores.get("rows", [])
    if len(rows) < 2 or not rows[1]["model"].endswith(WITHOUT):
        return None
    own, zero, lead = rows[0], rows[1], card.scores["against"][0]
    told = []
    for part in card.scores["parts"]:
        change, *between = (100 * value for value in lead[part])
        dice = {"own": 100 * own[part]["dice"][0], "zero": 100 * zero[part]["dice"][0]}
        told.append({"part": part, **dice, "change": change, "between": between})
    return {"cases": card.scores["cases"], "parts": told}


def costs() -> dict[str, dict[str, int]]:
    """Parameters of one D-LKA block by its kind of offsets: all, and those of its offset nets."""
    found = {}
    for kind in ("none", "separable", "dense"):
        # As many channels as in the model scenes.
        sizes = {name: parameter.numel() for name, parameter in attention(64, kind).named_parameters()}
        nets = sum(size for name, size in sizes.items() if "offset_net" in name)
        found[kind] = {"all": sum(sizes.values()), "nets": nets}
    return found


def inside() -> list[dict[str, Any]]:
    """By model: what share of the first stage's samples lies in the object's box, of the grid's, and their difference.

    In per cent, as its card says; between: the 95 % interval of the difference over pictures.
    """
    rows = []
    for model, uses in _measured("scenes", "neck", "head"):
        first = uses["stages"][0]
        row = {"learned": 100 * first["in_box"], "grid": 100 * first["in_box_grid"]}
        rows.append({"model": model, "data": uses["data"], **row, **_change(first, "in_box_minus_grid")})
    return rows


def tested() -> list[dict[str, Any]]:
    """By model: its AP in per cent with its own offsets, without and with wrong ones, as its card says.

    ways: word -> AP, and of all but own its difference to own (change) with a 95 % interval over pictures (between).
    """
    rows = []
    for model, uses in _measured("scenes", "neu-det-neck", "head"):
        ways = {}
        for word, name in WAYS.items():
            row = uses["offsets"][name]
            ways[word] = {"ap": 100 * row["AP"], **({} if word == "own" else _change(row, "AP_minus_own"))}
        told = {name: uses[name] for name in ("data", "pictures")}
        rows.append({"model": model, **told, "verdict": uses["verdict"].replace(" ", "_"), "ways": ways})
    return rows


def _measured(*models: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of the models that are there, with the figures of their cards; the data without the word "val"."""
    for model in models:
        uses = cards()[model].uses if model in cards() else None
        if uses:
            yield model, uses | {"data": uses["data"].removesuffix(" val")}


def _change(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {"change": 100 * row[name], "between": [100 * end for end in row[f"{name}_95"]]}
