"""What the samples of one cell have to do with the box that it gave, and those of all cells with all boxes: numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dlka.inference.kernel_shape import KernelShape, kernel_shape, spread
from dlka.inference.letterbox import Letterbox
from dlka.ops.sampling import composed_locations
from dlka.render.geometry import Cell, Reads, locations, reads_of, sample_points, to_picture
from dlka.render.offsets import given_counts
from dlka.types import Capture


def inside(points: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """points [..., 2] (x, y) at pixel centres, boxes [n, 4] at pixel edges -> [...] bool: within any of the boxes.

    The edges of all boxes cut the picture into strips both ways; where two strips cross all is inside, or nothing.
    """
    xs, ys = (np.unique(boxes[:, sides]).astype(np.float64) for sides in ([0, 2], [1, 3]))
    covered = np.zeros((len(ys) + 1, len(xs) + 1), bool)  # strip i lies between edges i - 1 and i
    for left, top, right, bottom in boxes.astype(np.float64):
        down = slice(np.searchsorted(ys, top) + 1, np.searchsorted(ys, bottom) + 1)
        across = slice(np.searchsorted(xs, left) + 1, np.searchsorted(xs, right) + 1)
        covered[down, across] = True
    row, column = (np.searchsorted(edges, points[..., i] + 0.5, side="right") for edges, i in ((ys, 1), (xs, 0)))
    return covered[row, column]


@dataclass(frozen=True)
class BoxSamples:
    """The samples of one cell in one stage, or composed in a block, against a box. Shares 0..1, lengths in px.

    reads                    the samples themselves
    share, regular_share     of all taps, or paths: the part that reads inside the box, with and without offsets. What
                             reads zero, outside the map, is not inside
    spread, regular_spread   standard deviation of the places that are read: root mean square distance from their mean
    shape                    the deformation as an affine map
    """

    reads: Reads
    share: float
    regular_share: float
    spread: float
    regular_spread: float
    shape: KernelShape


def box_samples(captures: Sequence[Capture], cell: Cell, box: np.ndarray, letterbox: Letterbox) -> BoxSamples:
    """captures: one stage, or the two of a block in order for the composed field; cell of the last; box [4] x1 y1 x2 y2
    in original pixels."""
    samples, regular = (sample_points(captures, cell, letterbox, deformed) for deformed in (True, False))
    known, known_regular = (np.isfinite(p).all(axis=1) for p in (samples, regular))  # lost paths are not finite
    both = known & known_regular
    reads = reads_of(captures, cell, letterbox)
    fit = kernel_shape(*(p[both, ::-1] / reads.per_cell for p in (regular, samples)))
    return BoxSamples(
        reads=reads,
        share=float(inside(samples, box[None]).mean()),
        regular_share=float(inside(regular, box[None]).mean()),
        spread=spread(samples[known]),
        regular_spread=spread(regular[known_regular]),
        shape=fit,
    )


def shares_inside(captures: Sequence[Capture], boxes: np.ndarray, letterbox: Letterbox) -> tuple[float, float]:
    """(learned, regular): the share 0..1 of all samples of all cells that lies inside any of the boxes [n, 4].

    captures: one stage, or the two of a block in order: then every sample of the first stage counts as often as the
    second one reads the cell that it belongs to. (BoxSamples takes the mean place of each path, as it is drawn.)
    """
    first, last = captures[0], captures[-1]
    shares = []
    for deformed in (True, False):
        places = locations(first, deformed)  # [K, 2, H, W]
        hit = inside(to_picture(places.transpose(0, 2, 3, 1), first.stage.stride, letterbox), boxes)
        if first is last:
            shares.append(float(hit.mean()))
        else:
            weight = given_counts(captures, deformed)
            reads = last.offset[0].size * last.stage.taps * first.stage.taps  # those that leave the map, too
            shares.append(float((hit * weight).sum() / reads))
    return shares[0], shares[1]


def cell_spreads(captures: Sequence[Capture], cells: np.ndarray, letterbox: Letterbox) -> tuple[np.ndarray, np.ndarray]:
    """(learned [n], regular [n]): the spread in original pixels of the samples of many cells [n, 2], as in BoxSamples.

    captures: one stage, or the two of a block in order.
    """
    first, last = captures[0], captures[-1]
    found = []
    for deformed in (True, False):
        outer, inner = locations(last, deformed), None if first is last else locations(first, deformed)
        spreads = []
        for row, column in cells:
            reads = outer[:, :, row, column]
            if inner is not None:
                reads = composed_locations(reads, inner).reshape(-1, 2)
                reads = reads[np.isfinite(reads).all(axis=1)]
            spreads.append(spread(to_picture(reads, first.stage.stride, letterbox)))
        found.append(np.array(spreads))
    return found[0], found[1]
