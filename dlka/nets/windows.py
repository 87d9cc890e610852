"""A network over a scan that is too large for it: overlapping windows, their logits added with a Gaussian weight."""

from __future__ import annotations

import itertools
import math

import torch
from torch import nn

SIGMA = 0.125  # of a window's side


def sliding_window(net: nn.Module, x: torch.Tensor, window: int, overlap: float = 0.5) -> torch.Tensor:
    """Logits [1, classes, *space] of one scan x [1, C, *space].

    window: side of a window in cells, a multiple of what the net takes; of a side that is shorter, the whole of it.
    overlap: share of a window that the next one covers, too, 0 to below 1.
    """
    sides = [min(window, side) for side in x.shape[2:]]
    starts = [_starts(side, own, overlap) for side, own in zip(x.shape[2:], sides)]
    weight = _gaussian(sides).to(x.device)
    total, weights = None, x.new_zeros(x.shape[2:])
    for corner in itertools.product(*starts):
        part = tuple(slice(begin, begin + own) for begin, own in zip(corner, sides))
        all_of = (slice(None), slice(None), *part)
        logits = net(x[all_of]).float() * weight
        if total is None:
            total = logits.new_zeros(1, logits.shape[1], *x.shape[2:])
        total[all_of] += logits
        weights[part] += weight
    if total is None:
        raise ValueError(f"x: expected a scan with cells, got {[*x.shape]}")
    return total / weights


def _starts(side: int, own: int, overlap: float) -> list[int]:
    """First cells of the windows along an axis: evenly apart, the last one ends with the axis."""
    count = 1 + math.ceil((side - own) / max(1, own * (1 - overlap)))
    return [round(i * (side - own) / max(1, count - 1)) for i in range(count)]


def _gaussian(sides: list[int]) -> torch.Tensor:
    weight = torch.ones(())
    for side in sides:
        away = (torch.arange(side) - (side - 1) / 2) / (SIGMA * side)
        weight = weight[..., None] * torch.exp(-0.5 * away**2)
    return weight.clamp_min(1e-4 * float(weight.max()))
