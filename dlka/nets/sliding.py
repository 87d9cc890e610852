"""A net on what is larger than its crop: overlapping windows, weighted towards their middles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dlka.errors import DlkaError


def starts(side: int, window: int, overlap: float) -> list[int]:
    """Where windows begin along one side of at least a window's length: evenly, the last one ends with the side."""
    step = max(1, int(window * (1 - overlap)))
    count = -(-(side - window) // step) + 1
    return [round(i * (side - window) / max(count - 1, 1)) for i in range(count)]


def gaussian(window: Sequence[int]) -> Tensor:
    """Weights of a window's cells, the largest 1: along each axis a Gaussian whose sigma is an eighth of the side."""
    axes = [torch.exp(-0.5 * ((torch.arange(n) - (n - 1) / 2) / (n / 8)) ** 2) for n in window]
    weights = reduce(lambda a, b: a.unsqueeze(-1) * b, axes)
    return (weights / weights.max()).clamp_min(1e-4)  # none is zero: a corner may have one window alone


@torch.no_grad()
def slide(
    net: Callable[[Tensor], Tensor], x: Tensor, window: Sequence[int], *, overlap: float = 0.5, mirror: bool = False
) -> Tensor:
    """Scores of the whole: x [N, C, ...] of any size -> [N, classes, ...] of the same size.

    net: [N, C, *window] -> scores [N, classes, *window], in evaluation mode. window: a side for each axis; what is
    smaller is filled up with zeros. overlap: the share that neighbouring windows have in common, at least; in 0..1
    without 1. mirror: the mean over all flips, eight times the work in a volume. A window that holds all of x is one
    pass of the net.
    """
    if len(window) != x.dim() - 2 or min(window) < 1 or not 0 <= overlap < 1:
        raise DlkaError(
            f"expected a window of {x.dim() - 2} sides and an overlap of at least 0 and below 1, got {list(window)} "
            f"and {overlap}"
        )
    size = x.shape[2:]
    missing = [max(side - had, 0) for side, had in zip(window, size)]
    x = F.pad(x, [pad for m in reversed(missing) for pad in (m // 2, m - m // 2)])
    weights, total, seen = gaussian(window).to(x), torch.zeros((), device=x.device), torch.zeros_like(x[:1, :1])
    flips: list[list[int]] = [[]]
    if mirror:
        flips = [[a + 2 for a, on in enumerate(f) if on] for f in product((0, 1), repeat=len(window))]
    places = list(product(*(starts(s, w, overlap) for s, w in zip(x.shape[2:], window))))
    for place in places:
        where: tuple[Any, ...] = (..., *(slice(p, p + w) for p, w in zip(place, window)))
        scores = torch.stack([net(x[where].flip(f)).flip(f) for f in flips]).mean(0)
        if len(places) == 1:
            total, seen = scores, torch.ones_like(seen)
            break
        if total.dim() == 0:
            total = x.new_zeros(*scores.shape[:2], *x.shape[2:])
        total[where] += weights * scores
        seen[where] += weights
    inner: tuple[Any, ...] = (..., *(slice(m // 2, m // 2 + side) for m, side in zip(missing, size)))
    return (total / seen)[inner]
