"""The oracle: the formula as torch operations, one tap and one neighbour at a time, for maps and for volumes.

The formula is deformable convolution (Dai et al., 2017, arXiv:1703.06211, equations 2 to 4) with one offset field for
all channels; a third axis changes nothing in it but that a read has eight neighbours. Every step is an operation of
torch's that forward mode, vmap and any order of derivatives know, and what it keeps for them is large: C * K * Ho * Wo
numbers many times over.
"""

from __future__ import annotations

from functools import reduce
from itertools import product
from operator import and_, mul

import torch
from torch import Tensor

from dlka.ops.geometry import Geometry, is_depthwise
from dlka.ops.guard import empty_output, finite, poison


def run(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Shapes as in dlka.ops.deform_dwconv2d or deform_conv3d; differentiable by torch's own autograd, one dtype."""
    if x.shape[0] == 0:
        return empty_output(x, offset, weight, bias, geometry)
    size = offset.shape[2:]
    axes, ones = len(size), (1,) * len(size)
    # Output cells along each axis, each in a shape that meets the others: [Ho, 1] and [1, Wo], or three of them.
    cells = [
        torch.arange(side, dtype=offset.dtype, device=x.device).view(*ones[:axis], -1, *ones[axis + 1 :])
        for axis, side in enumerate(size)
    ]
    safe = finite(offset).unflatten(1, (-1, axes))  # [N, K, axes, ...]
    out = torch.zeros((), dtype=x.dtype, device=x.device) if bias is None else bias.view(-1, *ones)
    for k, tap in enumerate(product(*map(range, geometry.kernel))):
        steps = zip(cells, geometry.stride, geometry.padding, tap, geometry.dilation)
        at = [cell * s - p + i * d + safe[:, k, axis] for axis, (cell, s, p, i, d) in enumerate(steps)]
        read = _linear(x, at)
        share = weight.flatten(2)[:, :, k]  # [C_out, C] or [C, 1]
        if is_depthwise(x, weight):
            out = out + share.view(-1, *ones) * read
        else:
            out = out + torch.einsum("oc,nc...->no...", share, read)
    return poison(out, offset)


def _linear(maps: Tensor, at: list[Tensor]) -> Tensor:
    """maps [N, C, ...] read at real-valued places, of each axis [N, ...]: neighbours outside the map count zero."""
    n, channels, *size = maps.shape
    value = torch.zeros((), dtype=maps.dtype, device=maps.device)
    lower = [a.floor() for a in at]
    for corner in product((0, 1), repeat=len(at)):
        near = [low + step for low, step in zip(lower, corner)]
        share = reduce(mul, (a - low if step else low + 1 - a for a, low, step in zip(at, lower, corner)))
        inside = reduce(and_, ((place >= 0) & (place < side) for place, side in zip(near, size)))
        cell = torch.zeros((), dtype=torch.long, device=maps.device)
        for place, side in zip(near, size):
            cell = cell * side + place.clamp(0, side - 1).long()
        cells = cell.view(n, 1, -1).expand(n, channels, -1)
        read = maps.flatten(2).gather(2, cells).view(n, channels, *at[0].shape[1:])
        value = value + share.unsqueeze(1) * read.where(inside.unsqueeze(1), 0)
    return value
