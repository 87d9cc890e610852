"""Plain torch, for machines without numba and devices without a kernel: weighted gathers, tap by tap.

``embedding_bag`` sums rows of a table with given weights, which is exactly a bilinear read of channels-last memory
(four rows a cell), and so are the gradients: of an offset with the derivatives of the four weights, of the map with
the same reads turned round (the output cells that read a map cell, found by sorting). Coordinates are prepared for
many taps at once and features handled tap by tap: nothing as large as a column buffer is ever alive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dlka.ops.geometry import Geometry
from dlka.ops.guard import broken, empty_output

# The map is copied into a frame of zeros this wide. Positions are clamped into the frame, so that whatever lies outside
# reads zero without a mask, and so does the neighbour one further on.
_FRAME = 2
AT_ONCE = 1 << 15  # taps times cells whose coordinates are prepared at once: they stay in the cache


def run(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """Shapes as in dlka.ops.deform_dwconv2d; one dtype, float32 or float64. Differentiable once."""
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
    """What some taps in a row read in the framed map: cells are all output cells of the batch."""

    first: int  # the first of these taps
    rows: Tensor  # [taps, 4 * cells]: for every cell its upper left, upper right, lower left, lower right neighbour
    ly: Tensor  # [taps, cells]: fraction towards the lower neighbours
    lx: Tensor  # [taps, cells]: fraction towards the right ones

    def shares(self) -> Tensor:
        """[taps, 4 * cells]: bilinear weight of every neighbour."""
        both = self.ly * self.lx
        right, lower = self.lx - both, self.ly - both
        return _by_corner(1 - self.ly - right, right, lower, both)

    def slopes(self) -> tuple[Tensor, Tensor]:
        """Derivatives of the shares by y and by x."""
        up, left = 1 - self.ly, 1 - self.lx
        return _by_corner(-left, -self.lx, left, self.lx), _by_corner(-up, up, -self.ly, self.ly)


def _forward(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    table, taps = _framed(x), weight.reshape(x.shape[1], -1).t().contiguous()  # [rows, C], [K, C]
    n, _, height, width = offset.shape
    cells = n * height * width
    out = x.new_zeros(cells, x.shape[1]) if bias is None else bias.repeat(cells, 1)
    for reads in _reads(x, offset, geometry):
        starts = torch.arange(0, 4 * cells, 4, dtype=reads.rows.dtype, device=x.device)
        for k, (rows, shares) in enumerate(zip(reads.rows, reads.shares()), reads.first):
            out.addcmul_(_bags(table, rows, starts, shares), taps[k])
    out.masked_fill_(broken(offset).reshape(cells, 1), float("nan"))
    return out.view(n, height, width, -1).permute(0, 3, 1, 2)


def _backward(
    grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, geometry: Geometry
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of x, offset, weight and bias; nothing flows back from a cell with a NaN among its offsets."""
    table, taps = _framed(x), weight.reshape(x.shape[1], -1).t().contiguous()  # [rows, C], [K, C]
    n, channels, height, width = grad.shape
    cells = n * height * width
    grad = grad.masked_fill(broken(offset), 0).permute(0, 2, 3, 1).reshape(cells, channels).contiguous()
    grad_table, grad_taps = torch.zeros_like(table), torch.zeros_like(taps)
    grad_offset = offset.new_empty(len(taps), 2, cells)
    for reads in _reads(x, offset, geometry):
        starts = torch.arange(0, 4 * cells, 4, dtype=reads.rows.dtype, device=x.device)
        shares = reads.shares()
        turned = _turned(reads.rows, shares, len(table))
        along_y, along_x = reads.slopes()
        for i, rows in enumerate(reads.rows):
            k = reads.first + i
            scaled = grad * taps[k]
            grad_taps[k] = _bags(table, rows, starts, shares[i]).mul_(grad).sum(0)
            grad_offset[k, 0] = _bags(table, rows, starts, along_y[i]).mul_(scaled).sum(1)
            grad_offset[k, 1] = _bags(table, rows, starts, along_x[i]).mul_(scaled).sum(1)
            grad_table += _bags(scaled, *(t[i] for t in turned))
    inner = grad_table.view(n, *(s + 2 * _FRAME for s in x.shape[2:]), channels)[:, _FRAME:-_FRAME, _FRAME:-_FRAME]
    return (
        inner.permute(0, 3, 1, 2),
        grad_offset.view(-1, n, height, width).transpose(0, 1).contiguous(),
        grad_taps.t().reshape(weight.shape),
        grad.sum(0),
    )


def _reads(x: Tensor, offset: Tensor, geometry: Geometry) -> Iterator[_Reads]:
    """The reads of all taps, some taps at a time."""
    n, _, height, width = x.shape
    kh, kw = geometry.kernel
    taps, pitch = kh * kw, width + 2 * _FRAME
    image = (height + 2 * _FRAME) * pitch
    integer = torch.int32 if n * image * taps < 2**31 else torch.int64
    base_y, base_x = (torch.from_numpy(a).to(offset) for a in geometry.axes(*offset.shape[2:]))
    base_y = base_y.repeat_interleave(kw, 0)[:, None, :, None]  # [K, 1, Ho, 1]
    base_x = base_x.repeat(kh, 1)[:, None, None, :]  # [K, 1, 1, Wo]
    dy, dx = offset.unflatten(1, (taps, 2)).permute(2, 1, 0, 3, 4)  # [K, N, Ho, Wo] each
    origin = torch.arange(n, device=x.device).view(n, 1, 1) * image + _FRAME * (pitch + 1)  # row of each map's (0, 0)
    corners = torch.tensor([0, 1, pitch, pitch + 1], dtype=integer, device=x.device)
    step = max(1, AT_ONCE // (n * image))
    for first in range(0, taps, step):
        some = slice(first, first + step)
        y, ly = _split(base_y[some] + dy[some], height)
        z, lx = _split(base_x[some] + dx[some], width)
        cell = y.to(integer).mul_(pitch).add_(z.to(integer)).add_(origin.to(integer))
        yield _Reads(first, (cell.unsqueeze(-1) + corners).flatten(1), ly.flatten(1), lx.flatten(1))


def _split(position: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Whole and fractional part of positions along an axis, clamped into the frame; NaN lies outside the map too."""
    position = position.clamp_(-_FRAME, size).nan_to_num_(nan=-_FRAME)
    whole = position.floor()
    return whole, position.sub_(whole)


def _by_corner(*parts: Tensor) -> Tensor:
    """Four [taps, cells] -> [taps, 4 * cells], the four of a cell side by side."""
    out = parts[0].new_empty(*parts[0].shape, 4)
    for corner, part in enumerate(parts):
        out[..., corner] = part
    return out.flatten(1)


def _turned(rows: Tensor, shares: Tensor, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same reads seen from the map, as arguments of `_bags` for each tap: which cells read a row of the table.

    rows and shares [taps, 4 * cells], a table of `size` rows -> cells [taps, 4 * cells], starts [taps, size],
    shares [taps, 4 * cells], all in the order of the rows that are read.
    """
    count = rows.shape[1]
    tap = torch.arange(len(rows), dtype=rows.dtype, device=rows.device).unsqueeze(1)
    keys = (rows + tap * size).flatten()  # one sort for all: those of a tap stay together
    counts = keys.bincount(minlength=len(rows) * size).view(-1, size)
    starts = (counts.cumsum(1) - counts).to(rows.dtype)
    order = keys.sort(stable=True).indices
    shares = shares.flatten()[order].view(-1, count)
    cells = order.view(-1, count).sub_(tap * count).bitwise_right_shift_(2)  # four neighbours each
    return cells.to(rows.dtype), starts, shares


def _bags(table: Tensor, rows: Tensor, starts: Tensor, shares: Tensor) -> Tensor:
    """[bags, C]: sums of table[rows] * shares, each from its start to the next one's."""
    return F.embedding_bag(rows, table, starts, mode="sum", per_sample_weights=shares)


def _framed(x: Tensor) -> Tensor:
    """[N, C, H, W] of any memory layout -> [N * (H+4) * (W+4), C] with a frame of zeros."""
    n, channels, height, width = x.shape
    frame = x.new_zeros(n, height + 2 * _FRAME, width + 2 * _FRAME, channels)
    frame[:, _FRAME:-_FRAME, _FRAME:-_FRAME] = x.permute(0, 2, 3, 1)
    return frame.view(-1, channels)
