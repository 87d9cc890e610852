"""Plain torch, for machines without numba and devices without a kernel: weighted gathers, tap by tap.

``embedding_bag`` sums rows of a table with given weights, which is exactly a bilinear read of channels-last memory
(four rows a cell; eight in a volume), and so are the gradients: of an offset with the derivatives of these weights, of
the map with the same reads turned round (the output cells that read a map cell, found by sorting). Coordinates are
prepared for many taps at once and features handled tap by tap: nothing as large as a column buffer is ever alive.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import product
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dlka.ops.geometry import Geometry, is_depthwise
from dlka.ops.guard import FRAME, broken, empty_output, framed, inside

AT_ONCE = 1 << 15  # taps times cells whose coordinates are prepared at once: they stay in the cache


def run(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Shapes as in dlka.ops.deform_dwconv2d or deform_conv3d; one dtype, float32 or float64. Differentiable once."""
    if x.shape[0] == 0:
        return empty_output(x, offset, weight, bias, geometry)
    if torch.is_grad_enabled() and any(t is not None and t.requires_grad for t in (x, offset, weight, bias)):
        return _Deform.apply(x, offset, weight, bias, geometry)
    return _forward(x, offset, weight, bias, geometry)


class _Deform(torch.autograd.Function):
    """Autograd by itself would keep every tap's reads, indices and shares: more than a column buffer."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        ctx.save_for_backward(x, offset, weight)
        ctx.geometry = geometry
        return _forward(x, offset, weight, bias, geometry)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        *grads, grad_bias = _Gradients.apply(grad, *ctx.saved_tensors, ctx.geometry)
        return *grads, grad_bias if ctx.needs_input_grad[3] else None, None


class _Gradients(torch.autograd.Function):
    """Not torch's once_differentiable: that one says that no gradient flows back to `grad`, and so gives zeros."""

    @staticmethod
    def forward(
        ctx: Any, grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, geometry: Geometry
    ) -> tuple[Tensor, ...]:
        return _backward(grad, x, offset, weight, geometry)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError("this deformable convolution is differentiable once; use backend='reference' for more")


class _Reads(NamedTuple):
    """What some taps in a row read in the framed map: cells are all output cells of the batch.

    A cell has so many neighbours, corners, as two to the number of axes; the last axis counts fastest among them.
    """

    first: int  # the first of these taps
    rows: Tensor  # [taps, corners * cells]: of every cell all its neighbours
    fractions: list[Tensor]  # of each axis [taps, cells]: towards the neighbours further on

    def shares(self, slope: int | None = None) -> Tensor:
        """[taps, corners * cells]: linear weight of every neighbour, or its derivative along an axis."""
        shares = [torch.ones_like(self.fractions[0])]
        for axis, further in enumerate(self.fractions):
            pair = (-1.0, 1.0) if axis == slope else (1 - further, further)
            shares = [share * factor for share in shares for factor in pair]
        return torch.stack(shares, -1).flatten(1)


def _forward(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    table, taps = framed(x).flatten(0, -2), _taps(x, weight)  # [rows, C]
    n, _, *size = offset.shape
    cells = n * math.prod(size)
    out = x.new_zeros(cells, len(weight)) if bias is None else bias.repeat(cells, 1)
    for reads in _reads(x, offset, geometry):
        starts = _starts(reads, cells)
        for k, (rows, shares) in enumerate(zip(reads.rows, reads.shares()), reads.first):
            read = _bags(table, rows, starts, shares)
            if taps.dim() == 2:
                out.addcmul_(read, taps[k])
            else:
                out.addmm_(read, taps[k])
    out.masked_fill_(broken(offset).reshape(cells, 1), float("nan"))
    return out.view(n, *size, -1).movedim(-1, 1)


def _backward(
    grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, geometry: Geometry
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, offset, weight and bias; nothing flows back from a cell with a NaN among its offsets."""
    frame, taps = framed(x), _taps(x, weight)
    table = frame.flatten(0, -2)  # [rows, C]
    n, outputs, *size = grad.shape
    cells, axes = n * math.prod(size), len(size)
    grad = grad.masked_fill(broken(offset), 0).movedim(1, -1).reshape(cells, outputs).contiguous()
    grad_frame, grad_taps = torch.zeros_like(frame), torch.zeros_like(taps)
    grad_table = grad_frame.flatten(0, -2)
    grad_offset = offset.new_empty(len(taps), axes, cells)
    for reads in _reads(x, offset, geometry):
        starts = _starts(reads, cells)
        shares = reads.shares()
        turned = _turned(reads.rows, shares, len(table), 2**axes)
        slopes = [reads.shares(axis) for axis in range(axes)]
        for i, rows in enumerate(reads.rows):
            k = reads.first + i
            read = _bags(table, rows, starts, shares[i])
            if taps.dim() == 2:
                scaled = grad * taps[k]
                grad_taps[k] = read.mul_(grad).sum(0)
            else:
                scaled = grad @ taps[k].t()
                grad_taps[k] = read.t() @ grad
            for axis, slope in enumerate(slopes):
                grad_offset[k, axis] = _bags(table, rows, starts, slope[i]).mul_(scaled).sum(1)
            grad_table += _bags(scaled, *(t[i] for t in turned))
    return (
        inside(grad_frame).movedim(-1, 1),
        grad_offset.view(-1, n, *size).transpose(0, 1).contiguous(),
        grad_taps.movedim(0, -1).movedim(0, -2 if taps.dim() == 3 else 0).reshape(weight.shape),
        grad.sum(0),
    )


def _taps(x: Tensor, weight: Tensor) -> Tensor:
    """The weights tap by tap: depthwise [K, C], otherwise [K, C, C_out]."""
    if is_depthwise(x, weight):
        return weight.flatten(1).t().contiguous()
    return weight.flatten(2).permute(2, 1, 0).contiguous()


def _starts(reads: _Reads, cells: int) -> Tensor:
    """Where the neighbours of each cell begin among those of a tap."""
    return torch.arange(cells, dtype=reads.rows.dtype, device=reads.rows.device) * 2 ** len(reads.fractions)


def _reads(x: Tensor, offset: Tensor, geometry: Geometry) -> Iterator[_Reads]:
    """The reads of all taps, some taps at a time."""
    n, _, *size = x.shape
    axes, taps = len(size), math.prod(geometry.kernel)
    framed_size = [side + 2 * FRAME for side in size]
    pitches = [math.prod(framed_size[axis + 1 :]) for axis in range(axes)]  # rows from a cell to the next of each axis
    image = math.prod(framed_size)
    integer = torch.int32 if n * image * taps < 2**31 else torch.int64
    positions = [torch.from_numpy(a).to(offset) for a in geometry.axes(*offset.shape[2:])]  # [taps, cells] of an axis
    deltas = offset.unflatten(1, (taps, axes)).movedim((2, 1), (0, 1))  # [axes, K, N, ...]
    # Row of each map's first cell.
    origin = torch.arange(n, device=x.device).view(n, *[1] * axes) * image + FRAME * sum(pitches)
    corners = torch.tensor(
        [sum(c) for c in product(*((0, pitch) for pitch in pitches))], dtype=integer, device=x.device
    )
    tap_of = torch.cartesian_prod(*(torch.arange(k, device=x.device) for k in geometry.kernel)).view(taps, axes)
    step = max(1, AT_ONCE // (n * image))
    for first in range(0, taps, step):
        some = slice(first, first + step)
        cell, fractions = origin.to(integer), []
        for axis, (side, pitch) in enumerate(zip(size, pitches)):
            base = positions[axis][tap_of[some, axis]]
            base = base.view(len(base), 1, *(-1 if a == axis else 1 for a in range(axes)))
            whole, fraction = _split(base + deltas[axis, some], side)
            cell = cell + whole.to(integer).mul_(pitch)
            fractions.append(fraction.flatten(1))
        yield _Reads(first, (cell.unsqueeze(-1) + corners).flatten(1), fractions)


def _split(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Whole and fractional part of positions along an axis, clamped into the frame; NaN lies outside the map too."""
    position = position.clamp_(-FRAME, size).nan_to_num_(nan=-FRAME)
    whole = position.floor()
    return whole, position.sub_(whole)


def _turned(rows: Tensor, shares: Tensor, size: int, corners: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same reads seen from the map, as arguments of `_bags` for each tap: which cells read a row of the table.

    rows and shares [taps, corners * cells], a table of `size` rows -> cells [taps, corners * cells], starts
    [taps, size], shares [taps, corners * cells], all in the order of the rows that are read.
    """
    count = rows.shape[1]
    tap = torch.arange(len(rows), dtype=rows.dtype, device=rows.device).unsqueeze(1)
    keys = (rows + tap * size).flatten()  # one sort for all: those of a tap stay together
    counts = keys.bincount(minlength=len(rows) * size).view(-1, size)
    starts = (counts.cumsum(1) - counts).to(rows.dtype)
    order = keys.sort(stable=True).indices
    shares = shares.flatten()[order].view(-1, count)
    cells = order.view(-1, count).sub_(tap * count).floor_divide_(corners)
    return cells.to(rows.dtype), starts, shares


def _bags(table: Tensor, rows: Tensor, starts: Tensor, shares: Tensor) -> Tensor:
    """[bags, C]: sums of table[rows] * shares, each from its start to the next one's."""
    return F.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=shares)
