"""The model whose kernel follows what it looks at, and a drawing from the playground."""

from __future__ import annotations

import base64
import binascii
from typing import Any

from dlka.analysis.cache import kept
from dlka.analysis.see import quantised
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.inference.predictor import load_predictor
from dlka.models.catalog import DEFAULT
from dlka.ui.learn.reading import SHEET

LARGEST = 400_000  # characters; a sheet full of strokes takes some thousands
PREFIX = "data:image/png;base64,"


def offsets_of(drawing: str) -> dict[str, Any]:
    """The first deform stage (P3, 5x5) of the shipped model on a drawing, one sheet pixel as one input pixel.

    drawing: a PNG of SHEET x SHEET px as a data address. offsets: base64 of little-endian int16 [40, 40, 50], dy and dx
    interleaved; times unit: cells. weights: [25] mean of |weight| over channels, with the sum 1. Raises ValueError.
    """
    if not drawing.startswith(PREFIX) or len(drawing) > LARGEST:
        raise DlkaError("Drawing: expected a PNG of the sheet, and not a larger file.")
    try:
        data = base64.b64decode(drawing.removeprefix(PREFIX), validate=True)
    except binascii.Error:
        raise DlkaError("Drawing: what the page sent is no PNG.") from None
    return _seen(data)


@kept
def _seen(data: bytes) -> dict[str, Any]:
    image = read_image(data)
    if image.shape != (SHEET, SHEET, 3):
        raise DlkaError(f"Drawing: expected {SHEET} x {SHEET} px, got {image.shape[1]} x {image.shape[0]}.")
    predictor, _ = load_predictor(DEFAULT)
    capture = predictor.predict(image, size=SHEET).captures[0]
    levels, unit = quantised(capture)
    stage, weights = capture.stage, predictor.tap_weights[capture.stage.name]
    return {
        "offsets": base64.b64encode(levels.tobytes()).decode(),
        "unit": unit,
        "label": stage.label,
        "weights": (weights.astype(float) / float(weights.sum())).tolist(),
    }
