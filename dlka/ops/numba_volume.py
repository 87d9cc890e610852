"""deform_conv3d on the CPU: columns of reads by the fused kernels, matrix products by torch.

Columns exist for some cells at a time, few enough to stay in the cache between the two.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from dlka.ops import workers
from dlka.ops.geometry import Geometry, channels_last, is_depthwise
from dlka.ops.guard import broken, framed, inside
from dlka.ops.numba_columns import CHUNK, LANES, Volume, read_rows, spread_rows

_NUMBERS = 1 << 18  # of the columns that exist at once, for every thread
_MOST_MAPS = 16  # threads of the backward: each sums into a map of its own


def forward(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """x [N, C, D, H, W], offset [N, 3K, Do, Ho, Wo] -> [N, C_out, Do, Ho, Wo], channels-last if x is."""
    n, outputs = len(x), len(weight)
    volume, numbers = _volume(x, offset, geometry)
    cells = math.prod(offset.shape[2:])
    size = offset.shape[2:]
    # Products are written in the order of x's memory, at no cost.
    memory = x.new_empty(n, *size, outputs).movedim(-1, 1) if channels_last(x) else x.new_empty(n, outputs, *size)
    out = memory.flatten(2)  # [N, C_out, P]
    frames, matrix = framed(x, volume.channels).flatten(1).numpy(), _matrix(x, weight, volume)
    biases = (x.new_zeros(outputs) if bias is None else bias.detach()).unsqueeze(1)
    threads = torch.get_num_threads()
    for i, begin, columns in _chunks(n, cells, volume, x, threads):
        shared = (frames[i], numbers[i], volume, begin, columns.view(-1).numpy())
        workers.run(read_rows, [(*shared, *r) for r in workers.ranges(len(columns), threads)], threads)
        to = out[i, :, begin : begin + len(columns)]
        if is_depthwise(x, weight):
            torch.add(columns.mul_(matrix).sum(1).t()[:outputs], biases, out=to)
        else:
            torch.addmm(biases, matrix.flatten(0, 1).t(), columns.flatten(1).t(), out=to)
    return memory


def backward(grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, geometry: Geometry) -> tuple[Tensor, ...]:
    """Gradients of x (channels-last memory), offset and weight."""
    n, channels = x.shape[:2]
    volume, numbers = _volume(x, offset, geometry)
    frames, matrix = framed(x, volume.channels), _matrix(x, weight, volume)
    depthwise, filled = is_depthwise(x, weight), volume.channels
    poisoned = broken(offset)
    grads = grad.detach().masked_fill(poisoned, 0).flatten(2)  # [N, C_out, P]
    threads = min(torch.get_num_threads(), _MOST_MAPS)
    grad_frames = x.new_zeros(threads, *frames.shape)
    cells = math.prod(offset.shape[2:])
    grad_offset = offset.new_empty(n, offset.shape[1], cells)
    grad_matrix = torch.zeros_like(matrix)
    bad, x_numbers = poisoned.flatten(1).numpy(), frames.flatten(1).numpy()
    for i, begin, columns in _chunks(n, cells, volume, x, threads):
        g = grads[i, :, begin : begin + len(columns)].t()
        if depthwise:
            g = torch.nn.functional.pad(g, (0, filled - channels)).unsqueeze(1)
            torch.mul(g, matrix, out=columns)
        else:
            torch.mm(g, matrix.flatten(0, 1).t(), out=columns.flatten(1))
        shared = (x_numbers[i], numbers[i], volume, begin, bad[i], columns.view(-1).numpy())
        jobs = [
            (*shared, grad_frames[part, i].view(-1).numpy(), grad_offset[i].numpy(), *r)
            for part, r in enumerate(workers.ranges(len(columns), threads))
        ]
        workers.run(spread_rows, jobs, threads)
        if depthwise:
            grad_matrix += columns.mul_(g).sum(0)
        else:
            grad_matrix.flatten(0, 1).addmm_(columns.flatten(1).t(), g)
    total = grad_frames[0] if threads == 1 else grad_frames.sum(0)
    grad_x = inside(total)[..., :channels].contiguous().movedim(-1, 1)
    return grad_x, grad_offset.view(offset.shape), _weight(grad_matrix, weight)


def _chunks(n: int, cells: int, volume: Volume, x: Tensor, threads: int) -> Iterator[tuple[int, int, Tensor]]:
    """Picture, first cell and columns [cells, K, C], not yet filled, of some cells at a time."""
    taps = volume.taps.shape[1]
    most = min(max(threads * _NUMBERS // (taps * volume.channels), CHUNK), cells)
    columns = x.new_empty(most, taps, volume.channels)
    for i in range(n):
        for begin in range(0, cells, most):
            yield i, begin, columns[: cells - begin]


def _volume(x: Tensor, offset: Tensor, geometry: Geometry) -> tuple[Volume, np.ndarray]:
    """The plan, and the offsets of every picture in the order of their memory."""
    dtype = np.float64 if offset.dtype == torch.float64 else np.float32
    size = offset.shape[2:]
    taps = np.meshgrid(*(axis[:, 0] for axis in geometry.axes(1, 1, 1)), indexing="ij")
    cells = np.meshgrid(*(np.arange(side) * step for side, step in zip(size, geometry.stride)), indexing="ij")
    z, y, x_ = (np.pad(axis.ravel(), (0, CHUNK)).astype(dtype) for axis in cells)
    steps = (size.numel(), 1)
    if offset.is_contiguous(memory_format=torch.channels_last_3d):
        offset, steps = offset.movedim(1, -1), (1, offset.shape[1])
    channels = -(-x.shape[1] // LANES) * LANES
    numbers = offset.detach().contiguous().flatten(1).numpy()
    return Volume(
        tuple(x.shape[2:]), channels, (z, y, x_), np.stack(taps).reshape(3, -1).astype(dtype), *steps
    ), numbers


def _matrix(x: Tensor, weight: Tensor, volume: Volume) -> Tensor:
    """The weights tap by tap, channels filled up: [K, C, C_out], depthwise [K, C]."""
    weight = weight.detach()
    taps = weight.flatten(1).t() if is_depthwise(x, weight) else weight.flatten(2).permute(2, 1, 0)
    out = weight.new_zeros(len(taps), volume.channels, *taps.shape[2:])
    out[:, : x.shape[1]] = taps
    return out


def _weight(matrix: Tensor, weight: Tensor) -> Tensor:
    """The way back from _matrix."""
    if matrix.dim() == 2:
        return matrix[:, : len(weight)].t().reshape(weight.shape).contiguous()
    return matrix[:, : weight.shape[1]].permute(2, 1, 0).reshape(weight.shape).contiguous()
