"""What the browser needs to show the reads of any cell by itself: geometry as JSON, all offsets as one binary file."""

from __future__ import annotations

import json
from typing import Any

import cv2
import numpy as np

from dlka import palette, render
from dlka.analysis.analysis import Analysis, place_label
from dlka.types import Capture
from dlka.ui import files

LEVELS = 32767  # of an offset's absolute value: the stage's longest component takes the last
NOT_A_NUMBER = -32768
LARGEST = 1600  # px of the picture's longer side in the browser
COLOURS = 32


def probe_value(analysis: Analysis, point: tuple[float, float], kept: bool = False) -> str:
    """JSON for the probe: addresses of the picture and of the offsets, and how both lie on each other.

    point: (x, y) to begin at, pixels of the original picture. sizes are [height, width] or [rows, columns]; kernel,
    step, padding and dilation are [vertical, horizontal], in cells. kept: as in `files.write`.
    """
    captures, letterbox = analysis.dlka.captures, analysis.dlka.letterbox
    weights = analysis.tap_weights
    parts, stages = [], []
    start = 0
    for label, capture in zip(analysis.stage_labels, captures):
        levels, unit = quantised(capture)
        geometry = _geometry(label, capture, analysis)
        stages.append({**geometry, "start": start, "unit": unit, "weights": _shares(weights, capture)})
        parts.append(levels)
        start += levels.size
    offsets = np.concatenate([part.ravel() for part in parts]) if parts else np.zeros(0, "<i2")
    return json.dumps(
        {
            "key": analysis.key,
            "picture": files.address(files.picture(_small(analysis.image), kept=kept)),
            "offsets": files.address(files.write(offsets.tobytes(), "offsets.bin", kept)),
            "size": analysis.image.shape[:2],
            "letterbox": {"scale": letterbox.scale_xy.tolist(), "left": letterbox.left, "top": letterbox.top},
            "point": point,
            "stages": stages,
            "colours": _colours(),
            "path_colour": palette.DLKA,
        }
    )


def quantised(capture: Capture) -> tuple[np.ndarray, float]:
    """Offsets as [H, W, 2K] little-endian int16, interleaved dy, dx, and how many cells one level is.

    Half a level, the rounding error, is 1/65534 of the longest component. What is no finite number is NOT_A_NUMBER.
    """
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
        "place": place_label(label, capture),
        "block": stage.block,
        "stride": stage.stride,
        "kernel": stage.kernel,
        "step": stage.step,
        "padding": stage.padding,
        "dilation": stage.dilation,
        "size": capture.offset.shape[1:],
        "sampled": render.sampled_size(capture, analysis.dlka.letterbox),
        "per_cell": render.pixels_per_cell(stage.stride, analysis.dlka.letterbox),
    }


def _shares(weights: dict[str, np.ndarray], capture: Capture) -> list[float]:
    of_stage = weights[capture.stage.name]
    return (of_stage / max(float(of_stage.max()), 1e-12)).round(4).tolist()


def _small(image: np.ndarray) -> np.ndarray:
    height, width = image.shape[:2]
    share = LARGEST / max(height, width)
    if share >= 1:
        return image
    size = max(1, round(width * share)), max(1, round(height * share))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _colours() -> list[str]:
    table = render.colour_table(palette.WEIGHT_MAP)[np.linspace(0, 255, COLOURS).astype(int)]
    return [f"#{r:02x}{g:02x}{b:02x}" for r, g, b in table]
