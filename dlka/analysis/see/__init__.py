"""The page's canvas: what the browser needs to show the samples of any cell by itself, geometry and boxes as JSON,
offsets as one file; and the canvas alone, a page that needs no server and no other file, as for a notebook's cell."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dlka import palette, render
from dlka.analysis.analysis import Analysis, place_label
from dlka.analysis.figures import pictures
from dlka.analysis.judging import AGREEMENTS, FALSE_ALARM, HIT, agreement, judge_example
from dlka.analysis.suited import unfit
from dlka.models.catalog import GUESTS
from dlka.render.geometry import to_picture
from dlka.types import Capture

FOLDER = Path(__file__).parent
# One after the other, as one function; what follows them says how they get their value, and how they ask for more.
SCRIPTS = (*("geometry.js", "fields.js", "draw.js", "objects.js", "layers.js"), *("view.js", "canvas.js", "input.js"))
LEVELS = 4095  # of an offset's absolute value: the stage's longest component takes the last
NOT_A_NUMBER = -32768
LARGEST = 1600  # px of the picture's longer side in the browser
COLOURS = 32
TABLES = {
    "magnitude": palette.MAGNITUDE_MAP,
    "gate": palette.GATE_MAP,
    "one_sign": palette.ONE_SIGN_MAP,
    "density": palette.DENSITY_MAP,
}


def canvas_value(analysis: Analysis, point: tuple[float, float], address: Callable[[bytes, str], str]) -> str:
    """JSON for the canvas: addresses of the picture and of the offsets, and how both lie on each other.

    point: (x, y) to begin at, pixels of the original picture. sizes are [height, width] or [rows, columns]; kernel,
    step, padding and dilation are [vertical, horizontal], in cells. address(content, name) is where a file is found.
    """
    letterbox = analysis.dlka.letterbox
    parts, stages, start = [np.zeros(0, "<i2")], [], 0
    for label, capture in zip(analysis.stage_labels, analysis.dlka.captures):
        levels, unit = quantised(capture)
        weights = analysis.tap_weights[capture.stage.name]
        shares = (weights / max(float(weights.max()), 1e-12)).round(4).tolist()
        stages.append({**_geometry(label, capture, analysis), "start": start, "unit": unit, "weights": shares})
        parts.append(levels.ravel())
        start += levels.size
    # For the way to the browser the low bytes of all come first, then the high bytes: so they compress better.
    offsets = np.concatenate(parts).view(np.uint8).reshape(-1, 2).T.tobytes()
    gates, gate_levels = _gates(analysis)
    objects = _objects(analysis)
    return json.dumps(
        {
            "key": analysis.key,
            "source": analysis.source.sha256 if analysis.source else analysis.key,
            "picture": address(render.jpeg(_small(analysis.image)), "picture.jpg"),
            "offsets": address(zlib.compress(offsets, 1), "offsets.bin"),
            "gate_values": address(zlib.compress(gate_levels, 1), "gates.bin"),
            "gates": gates,
            "size": analysis.image.shape[:2],
            "letterbox": {"scale": letterbox.scale_xy.tolist(), "left": letterbox.left, "top": letterbox.top},
            "point": point,
            "objects": objects,
            "truth": _judge(analysis, objects),
            "classes": len(analysis.names),
            "unfit": "" if analysis.settings.dlka in GUESTS else unfit(analysis),  # nobody knows what theirs are for
            "uses": (analysis.cards[0].uses or {}).get("verdict"),
            "chosen": pictures.default_object(analysis),
            "stages": stages,
            "alone": analysis.alone,
            "small": bool(pictures.crops_of(analysis)),
            # The 256 colours of a map as hexadecimal digits, six each.
            "tables": {name: render.colour_table(colours).tobytes().hex() for name, colours in TABLES.items()},
            "wheel": palette.FLOW_WHEEL,
            "wheel_zero": palette.FLOW_ZERO,
            "colours": render.hex_colours(palette.WEIGHT_MAP, COLOURS),
            "path_colour": palette.DLKA,
            "kind_colours": palette.KIND_COLOURS,
            "accents": {"DLKA": palette.DLKA, "BASELINE": palette.BASELINE},
        }
    )


def quantised(capture: Capture) -> tuple[np.ndarray, float]:
    """Offsets as [H, W, 2K] little-endian int16, interleaved dy, dx, and how many cells one level is. Half a level, the
    rounding error, is 1/8190 of the longest component. What is no finite number is NOT_A_NUMBER."""
    offset = capture.offset.transpose(1, 2, 0).astype(np.float64)
    finite = np.isfinite(offset)
    longest = float(np.abs(offset, where=finite, out=np.zeros_like(offset)).max(initial=0))
    unit = longest / LEVELS or 1.0
    levels = np.where(finite, np.rint(np.where(finite, offset, 0) / unit), NOT_A_NUMBER)
    return levels.astype("<i2"), unit


def _geometry(label: str, capture: Capture, analysis: Analysis) -> dict[str, Any]:
    stage = capture.stage
    return {
        "label": label,
        "level": stage.level,
        "place": place_label(label, capture),
        **{name: getattr(stage, name) for name in ("block", "stride", "kernel", "step", "padding", "dilation")},
        "size": capture.offset.shape[1:],
        "sampled": render.sampled_size(capture, analysis.dlka.letterbox),
        "per_cell": render.pixels_per_cell(stage.stride, analysis.dlka.letterbox),
    }


def _gates(analysis: Analysis) -> tuple[list[dict[str, Any]], bytes]:
    """Every gate's place in a file of int8 levels, each [H, W, C], and the file. unit: what one level is; half of one,
    the rounding error, is 1/254 of the gate's largest absolute value. What is no finite number counts as zero."""
    found, parts, start = [], [], 0
    for label, gate in zip(analysis.gate_labels, analysis.dlka.gates):
        values = np.nan_to_num(gate.values, nan=0, posinf=0, neginf=0).transpose(1, 2, 0)
        unit = float(np.abs(values).max(initial=0)) / 127 or 1.0
        height, width, channels = values.shape
        geometry = {"label": label, "block": gate.block, "stride": gate.stride, "size": (height, width)}
        found.append({**geometry, "channels": channels, "start": start, "unit": unit})
        parts.append(np.rint(values / unit).astype(np.int8).tobytes())
        start += values.size
    return found, b"".join(parts)


def _objects(analysis: Analysis) -> list[dict[str, Any]]:
    """What either model found, smallest first.

    kind: one of types.KINDS, the D-LKA model first; name: its class, the D-LKA model's where both found it; size: root
    of the box's area, px; dlka, baseline: the box of each, x1 y1 x2 y2 in pixels of the picture at their edges, with
    its score, or null; point: (x, y) of the cell that gave the D-LKA model's box, else the middle of the other's box;
    level: of that cell, or null.
    """
    pairing, found = analysis.pairing, []
    for pair in pairing.pairs:
        shown, index = pairing.shown(pair)
        box, level = shown.boxes[index].astype(np.float64), None
        point = (box[:2] + box[2:]) / 2 - 0.5
        if pair.first is not None:
            level = int(shown.levels[index])
            point = to_picture(shown.cells[index], 2**level, analysis.dlka.letterbox)
        boxes = [
            None if i is None else [*side.boxes[i].round(2).tolist(), round(float(side.scores[i]), 3)]
            for side, i in ((pairing.first, pair.first), (pairing.second, None if analysis.alone else pair.second))
        ]
        found.append(
            {
                "kind": pair.kind,
                "name": analysis.names[int(shown.classes[index])],
                "size": round(float(pair.area) ** 0.5, 2),
                **dict(zip(("dlka", "baseline"), boxes)),
                "point": point.round(2).tolist(),
                "level": None if level is None else f"P{level}",
            }
        )
    return found


def _judge(analysis: Analysis, objects: list[dict[str, Any]]) -> dict[str, list[int]] | None:
    """Give every object "right", for each model whether its box is a hit (true), a false alarm (false) or not judged
    (null), by the labels of an example. Returns how many labelled objects were hit by both, only by D-LKA, only by the
    baseline, and by none ("all", and "small" of them); None where the picture has no labels.
    """
    judged = judge_example(analysis)
    if judged is None:
        return None
    truth, sides = judged
    told = {HIT: True, FALSE_ALARM: False}
    for pair, shown in zip(analysis.pairing.pairs, objects):
        boxes = zip(sides, (pair.first, pair.second))
        shown["right"] = [None if i is None else told.get(side.verdicts[i]) for side, i in boxes]
    hits = agreement(truth, *sides)
    small = [hits[who, "S"] for who in AGREEMENTS]
    return {"all": [s + hits[who, "M"] + hits[who, "L"] for who, s in zip(AGREEMENTS, small)], "small": small}


def _small(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    share = LARGEST / max(height, width)
    if share >= 1:
        return image
    size = max(1, round(width * share)), max(1, round(height * share))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def read(name: str) -> str:
    """The text of a file of this folder."""
    return (FOLDER / name).read_text(encoding="utf-8")


def page(analysis: Analysis) -> str:
    """The page, with picture, offsets and gates inside: some MB for a photograph. What the server computes for the
    canvas of the big page (a receptive field, the arithmetic of a tap, files to take) is not on it."""
    value = json.loads(canvas_value(analysis, pictures.default_point(analysis), _inside))
    templates = Environment(loader=FileSystemLoader(FOLDER), undefined=StrictUndefined, autoescape=True)
    # "<" as an escape: no text of a picture or a class ends the script.
    data = json.dumps(value).replace("<", r"\u003c")
    return templates.get_template("alone.html").render(data=data, read=read, scripts=SCRIPTS)


def _inside(content: bytes, name: str) -> str:
    """A file as an address that holds it."""
    kind = "image/jpeg" if name.endswith(".jpg") else "application/octet-stream"
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
