"""Small literal captures, gates and detections for the tests of the pictures."""

from __future__ import annotations

import numpy as np

from dlka.inference.letterbox import Letterbox
from dlka.ops.sampling import output_size
from dlka.types import Capture, Detections, Gate, Pair, Pairing, Stage, size_of

NAMES = {0: "person", 2: "car", 5: "bus", 7: "truck"}


def stage(
    kernel=(3, 3), dilation=(1, 1), step=(1, 1), padding=None, stride=8, name="conv0", block="model.15", level="P3"
):
    if padding is None:
        padding = tuple(d * (k - 1) // 2 for k, d in zip(kernel, dilation))
    return Stage(f"{block}.{name}", block, level, stride, kernel, dilation, padding, 16, step)


def capture(of: Stage, letterbox: Letterbox, offset=None, spread=1.0, seed=0) -> Capture:
    """A capture of a stage on a letterboxed picture: random offsets of this spread, or one (dy, dx) for all taps."""
    size = tuple(side // of.stride for side in letterbox.padded)
    shape = output_size(size, of.kernel, of.step, of.padding, of.dilation)
    if offset is None:
        values = np.random.default_rng(seed).uniform(-spread, spread, (2 * of.taps, *shape)).astype(np.float32)
    else:
        values = np.empty((2 * of.taps, *shape), np.float32)
        values[0::2], values[1::2] = offset
    return Capture(of, values)


def block_captures(letterbox: Letterbox, spread=1.0, level="P3", stride=8, block="model.15") -> list[Capture]:
    """The two stages of a D-LKA block: 5x5, and 7x7 with dilation 3."""
    first = stage((5, 5), stride=stride, level=level, block=block)
    second = stage((7, 7), (3, 3), stride=stride, level=level, block=block, name="conv_spatial")
    return [capture(first, letterbox, spread=spread, seed=1), capture(second, letterbox, spread=spread, seed=2)]


def picture(height: int, width: int, seed=0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def gate(values: np.ndarray, stride=8) -> Gate:
    return Gate("model.15", "P3", stride, values.astype(np.float32))


def detections(rows) -> Detections:
    """Rows of x1, y1, x2, y2, score, class."""
    table = np.array(rows, np.float32).reshape(-1, 6)
    n = len(table)
    return Detections(
        table[:, :4], table[:, 4], table[:, 5].astype(np.int64), np.full(n, 3), np.zeros((n, 2), np.int64)
    )


def pairing(first: Detections, second: Detections, triples) -> Pairing:
    """Triples of kind, first index, second index."""

    def pair(kind, i, j):
        area = float(first.areas[i] if i is not None else second.areas[j])
        return Pair(kind, i, j, 0.8 if None not in (i, j) else 0.0, area, size_of(area), 0.1)

    return Pairing(first, second, tuple(sorted((pair(*t) for t in triples), key=lambda p: p.area)))
