"""Where D-LKA sits in a model and how its offsets are predicted: the words of cards, commands and pages, in one place.

A new placement is its yaml in configs/ and an entry here.
"""

from __future__ import annotations

from typing import NamedTuple


class Placement(NamedTuple):
    """file: the name of its yaml, {} for the scale; short: in a few words, as the page says it; sentence: what the
    model is, for its card, {} for the scale; twin: the placement with the same detection maps and no D-LKA that it is
    compared with, None for such a twin; replaces: whether D-LKA blocks take the place of stock ones, whose weights are
    then lost in part."""

    file: str
    short: str
    sentence: str
    twin: str | None = "control"
    replaces: bool = False


class OffsetNet(NamedTuple):
    """word: in the narrow field of a choice; short: in a few words; sentence: for a card; moves: whether taps move."""

    word: str
    short: str
    sentence: str
    moves: bool = True


SCALES = ("n", "s", "m", "l", "x")
SCRATCH = "none"  # in a recipe: the start of a model whose weights are all new
PLACEMENTS = {
    "control": Placement(
        "yolov8{}.yaml",
        "stock",
        "stock YOLOv8{}, without D-LKA, trained as the others are: the fair comparison",
        twin=None,
    ),
    "neck": Placement(
        "yolov8{}-dlka-neck.yaml",
        "D-LKA in the neck",
        "YOLOv8{} with D-LKA in the bottlenecks of the neck's last three C2f",
        replaces=True,
    ),
    "residual": Placement(
        "yolov8{}-dlka-residual.yaml",
        "D-LKA after the neck",
        "YOLOv8{} with a residual D-LKA block after each of the neck's last three C2f",
    ),
    "head": Placement(
        "yolov8{}-dlka-head.yaml",
        "D-LKA in the head",
        "YOLOv8{} with D-LKA before the last convolution of every class branch",
    ),
    "neck-head": Placement(
        "yolov8{}-dlka-neck-head.yaml",
        "D-LKA in neck and head",
        "YOLOv8{} with D-LKA in the neck's last three C2f and in every class branch",
        replaces=True,
    ),
    "one-level": Placement(
        "yolov8{}-dlka-one-level.yaml",
        "D-LKA on one level, no pyramid",
        "YOLOv8{} without its pyramid: residual D-LKA blocks on P3, the one map that boxes are read from",
        twin="one-level-plain",
    ),
    "one-level-plain": Placement(
        "yolov8{}-one-level.yaml",
        "plain",
        "YOLOv8{} without its pyramid and without D-LKA: boxes are read from P3 alone",
        twin=None,
    ),
}
PLAIN = tuple(word for word, placement in PLACEMENTS.items() if placement.twin is None)
# See dlka.offset_nets and dlka.layers.
OFFSETS = {
    "dense": OffsetNet("dense", "dense offsets", "Offsets are predicted by a full convolution, as in the paper."),
    "separable": OffsetNet(
        "separable", "separable offsets", "Offsets are predicted by a depthwise and a 1x1 convolution."
    ),
    "none": OffsetNet("rigid", "rigid kernels", "Its large kernels are rigid: there are no offsets.", moves=False),
    "features": OffsetNet(
        "features",
        "rigid kernels, offset nets as features",
        "Its large kernels are rigid: what the separable offset nets give out is added as features.",
        moves=False,
    ),
}
RIGID = tuple(word for word, net in OFFSETS.items() if not net.moves)
