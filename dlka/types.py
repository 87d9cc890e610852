"""The data that travels between the parts, told once: shapes, units and coordinate orders.

Everything here is plain numpy; this file imports nothing of the project.

Coordinates. Boxes are (x1, y1, x2, y2) in pixels of the original upright picture, measured at pixel
*edges* (a box over the whole picture is 0, 0, W, H). Points are measured at pixel *centres*
(the first pixel is at 0, 0), as are feature-map cells: cell ``p`` of a map with stride ``s`` has its
centre at ``(p + 0.5) * s - 0.5`` letterboxed pixels.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# COCO's size bins by box area in the original picture, half-open: S < 32^2 <= M < 96^2 <= L.
SMALL_AREA = 32.0**2
MEDIUM_AREA = 96.0**2
SIZES = ("S", "M", "L")

# What can become of an object in two sets of detections, and what that is called where the first set is the D-LKA
# model's and the second one the baseline's.
KINDS = BOTH, CLASS_CHANGED, ONLY_FIRST, ONLY_SECOND = ("both", "class_changed", "only_first", "only_second")
KIND_NAMES = {BOTH: "both", CLASS_CHANGED: "class changed", ONLY_FIRST: "only D-LKA", ONLY_SECOND: "only baseline"}


def size_of(area: float) -> str:
    """Size bin "S", "M" or "L" of a box area in square pixels of the original picture."""
    return "S" if area < SMALL_AREA else "M" if area < MEDIUM_AREA else "L"


@dataclass(frozen=True)
class Detections:
    """Boxes of one model on one picture, best score first.

    boxes   [N, 4] float32, x1 y1 x2 y2, pixels of the original picture
    scores  [N] float32, confidence in 0..1
    classes [N] int64
    levels  [N] int64, pyramid level of the cell that produced the box (3, 4, 5 for P3, P4, P5)
    cells   [N, 2] int64, (row, column) of that cell on its level's map
    """

    boxes: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    levels: np.ndarray
    cells: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.boxes)
        shapes = {"boxes": (n, 4), "scores": (n,), "classes": (n,), "levels": (n,), "cells": (n, 2)}
        for name, shape in shapes.items():
            got = getattr(self, name).shape
            if got != shape:
                raise ValueError(f"Detections.{name}: expected shape {shape}, got {got}")
        if not (np.isfinite(self.boxes).all() and np.isfinite(self.scores).all()):
            raise ValueError("Detections: boxes and scores must be finite")
        if (self.boxes[:, 2:] < self.boxes[:, :2]).any():
            raise ValueError("Detections.boxes: expected x1 <= x2 and y1 <= y2")

    def __len__(self) -> int:
        return len(self.boxes)

    def above(self, score: float) -> Detections:
        """Those that are surer than a score in 0..1."""
        kept = self.scores > score
        return Detections(self.boxes[kept], self.scores[kept], self.classes[kept], self.levels[kept], self.cells[kept])

    @property
    def areas(self) -> np.ndarray:
        """[N] float32, box areas in square pixels of the original picture."""
        wh = self.boxes[:, 2:] - self.boxes[:, :2]
        return wh[:, 0] * wh[:, 1]


@dataclass(frozen=True)
class Stage:
    """One deformable convolution of a model; a D-LKA block has two, 5x5 and 7x7 with dilation 3.

    name     module path inside the model, for example "model.15.m.0.cv2.spatial_gating_unit.conv0"
    block    module path of the D-LKA block that it belongs to
    level    "P3", "P4" or "P5"
    stride   letterboxed image pixels per cell of the map it samples
    kernel, step, padding, dilation   (vertical, horizontal), in cells; step is the convolution's own stride
    channels depth of the map it samples
    """

    name: str
    block: str
    level: str
    stride: int
    kernel: tuple[int, int]
    dilation: tuple[int, int]
    padding: tuple[int, int]
    channels: int
    step: tuple[int, int] = (1, 1)

    @property
    def taps(self) -> int:
        """K = kh * kw, the number of kernel positions."""
        return self.kernel[0] * self.kernel[1]

    @property
    def label(self) -> str:
        """Short name for people, for example "P3 7x7 d3"."""
        kernel = f"{self.kernel[0]}x{self.kernel[1]}"
        return f"{self.level} {kernel}" + (f" d{self.dilation[0]}" if self.dilation != (1, 1) else "")


def block_places(blocks: Mapping[str, str]) -> dict[str, str]:
    """What tells D-LKA blocks of one level apart, in words: "" where a level has one, "neck" or "head" where it has one
    in each, else a number in the order given, "block 2" or "neck 2".

    blocks: module path of every block of a model -> its level, in the order they run.
    """
    kinds = {block: "head" if ".cv3." in block else "neck" for block in blocks}
    places = {}
    for block, level in blocks.items():
        beside = [other for other in blocks if blocks[other] == level]
        alike = [other for other in beside if kinds[other] == kinds[block]]
        words = [kinds[block]] if len(alike) < len(beside) else ["block"] if len(beside) > 1 else []
        places[block] = " ".join(words + ([str(alike.index(block) + 1)] if len(alike) > 1 else []))
    return places


def stage_labels(stages: Sequence[Stage]) -> list[str]:
    """The label of every stage of a model, with its block's place where others are on its level: "P3 5x5 neck"."""
    places = block_places({stage.block: stage.level for stage in stages})
    return [f"{stage.label} {places[stage.block]}".rstrip() for stage in stages]


@dataclass(frozen=True)
class Capture:
    """The offset field that one deform stage used on one picture.

    offset [2K, H, W] float32, in cells, channels interleaved dy, dx per tap, taps row-major;
           H, W is the stage's output map.
    """

    stage: Stage
    offset: np.ndarray

    def __post_init__(self) -> None:
        if self.offset.ndim != 3 or self.offset.shape[0] != 2 * self.stage.taps:
            raise ValueError(
                f"Capture {self.stage.name}: expected offset [{2 * self.stage.taps}, H, W], "
                f"got {list(self.offset.shape)}"
            )


@dataclass(frozen=True)
class Gate:
    """The attention map of one D-LKA block on one picture, before any reduction.

    block  module path of the D-LKA block
    level  "P3", "P4" or "P5"; stride in letterboxed pixels per cell
    values [C, H, W] float32: what multiplies the block's input, signed and unbounded
    """

    block: str
    level: str
    stride: int
    values: np.ndarray


@dataclass(frozen=True)
class Pair:
    """One object in two sets of detections: in both of them, or in one.

    kind           one of KINDS
    first, second  index into that set, or None
    iou            overlap of the two boxes, 0 where there is one box only
    area           square pixels in the original picture, of the first set's box where it has one
    size           "S", "M" or "L" by that area
    score_change   first score minus second score; a missing box counts as 0
    """

    kind: str
    first: int | None
    second: int | None
    iou: float
    area: float
    size: str
    score_change: float


@dataclass(frozen=True)
class Pairing:
    """All objects in two sets of detections on one picture, smallest first; every detection is in one pair.

    Whoever makes it says what first and second are: the first is the one in question, the second what it is held
    against (D-LKA and baseline, a changed model and the learned one, after and before).
    """

    first: Detections
    second: Detections
    pairs: tuple[Pair, ...]

    def count(self, kind: str, size: str | None = None) -> int:
        """How many objects are of this kind (one of KINDS), in one size bin or in all."""
        return count_pairs(self.pairs, kind, size)

    def shown(self, pair: Pair) -> tuple[Detections, int]:
        """The box that stands for an object, as a set and an index: the first set's where it has one."""
        if pair.first is not None:
            return self.first, pair.first
        assert pair.second is not None
        return self.second, pair.second


def count_pairs(pairs: Iterable[Pair], kind: str, size: str | None = None) -> int:
    """How many pairs, of one picture or of many, are of this kind (one of KINDS), in one size bin or in all."""
    return sum(p.kind == kind and size in (None, p.size) for p in pairs)
