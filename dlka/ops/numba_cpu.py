"""The operator on the CPU: lays tensors out for the fused kernels and shares the rows out among threads."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch

from dlka.ops import workers
from dlka.ops.geometry import Geometry
from dlka.ops.numba_chunk import CHUNK, FRAME, Plan
from dlka.ops.numba_kernels import LANES, backward_rows, forward_rows, frame_rows

# Ranges of rows per thread: a core that is busy with something else then holds up a small part only. Where several
# ranges of the backward share a picture, each sums into a map of its own, so there are fewer of them, and never more
# than _MOST_MAPS; how many does not depend on which thread is free, and so neither does a bit of the result.
_FORWARD_RANGES, _BACKWARD_RANGES, _MOST_MAPS = 4, 2, 16
_WORTH_SHARING = 1 << 18  # numbers; copying fewer takes less time than waking a thread


def forward(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> torch.Tensor:
    """x [N, C, H, W], offset [N, 2K, Ho, Wo], weight [C, 1, kh, kw] -> [N, C, Ho, Wo] in channels-last memory."""
    n, channels = x.shape[:2]
    out_height, out_width = offset.shape[2:]
    out = torch.empty(n, out_height, out_width, _filled(channels), dtype=x.dtype)
    if out.numel():
        plan = _plan(x, offset, geometry, _planar(offset))
        biases = torch.zeros(_filled(channels), dtype=x.dtype)
        if bias is not None:
            biases[:channels] = bias.detach()
        shared = (_framed(x, plan), _numbers(offset), _taps(weight), _numbers(biases), plan, out.view(-1).numpy())
        threads = torch.get_num_threads()
        jobs = [(*shared, *r) for r in workers.ranges(n * out_height, _FORWARD_RANGES * threads)]
        workers.run(forward_rows, jobs, threads)
    return _unfilled(out, channels)


def backward(
    grad: torch.Tensor, x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, geometry: Geometry
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of x (channels-last memory), offset and weight."""
    n, channels, height, width = x.shape
    out_height, out_width = offset.shape[2:]
    filled, taps = _filled(channels), weight.shape[2] * weight.shape[3]
    threads = torch.get_num_threads()
    maps = min(-(-_BACKWARD_RANGES * threads // max(n, 1)), _MOST_MAPS)
    parts = workers.ranges(out_height, maps) if grad.numel() else []
    grad_x = torch.zeros(len(parts), n, height + 2 * FRAME, width + 2 * FRAME, filled, dtype=x.dtype)
    grad_offset = torch.empty(offset.shape, dtype=offset.dtype)
    grad_weight = torch.zeros(n, len(parts), taps, filled, dtype=x.dtype)
    if parts:
        plan = _plan(x, offset, geometry, planar=True)
        grads = torch.zeros(n, out_height, out_width, filled, dtype=x.dtype)
        grads[..., :channels] = grad.detach().permute(0, 2, 3, 1)
        offset_out = grad_offset.view(-1).numpy()
        shared = (_numbers(grads), _framed(x, plan), _numbers(offset.contiguous()), _taps(weight), filled, plan)
        jobs = [
            (*shared, gx.view(n, -1).numpy(), offset_out, gw.view(-1).numpy(), row + first, row + last)
            for i, row in enumerate(range(0, n * out_height, out_height))
            for gx, gw, (first, last) in zip(grad_x, grad_weight[i], parts)
        ]
        workers.run(backward_rows, jobs, threads)
    inner = _summed(grad_x)[:, FRAME : FRAME + height, FRAME : FRAME + width]
    weights = grad_weight.sum((0, 1))[:, :channels].t().contiguous()
    return _unfilled(inner, channels), grad_offset, weights.view(weight.shape)


def _summed(maps: torch.Tensor) -> torch.Tensor:
    return maps[0] if len(maps) == 1 else maps.sum(0)


def _filled(channels: int) -> int:
    """Channels of the kernels' maps: filled up to whole vectors."""
    return -(-channels // LANES) * LANES


def _unfilled(maps: torch.Tensor, channels: int) -> torch.Tensor:
    """[N, H, W, filled] -> [N, channels, H, W] in channels-last memory."""
    return maps[..., :channels].contiguous().permute(0, 3, 1, 2)


def _planar(maps: torch.Tensor) -> bool:
    return not maps.is_contiguous(memory_format=torch.channels_last)


def _numbers(tensor: torch.Tensor) -> np.ndarray:
    """All numbers of a tensor in the order of its memory, a copy where that is neither planar nor channels-last."""
    if tensor.dim() == 4 and not _planar(tensor):
        tensor = tensor.permute(0, 2, 3, 1)
    return tensor.detach().contiguous().view(-1).numpy()


def _framed(x: torch.Tensor, plan: Plan) -> np.ndarray:
    """[N, C, H, W] of any memory layout -> [N, framed map]."""
    n, channels = x.shape[:2]
    rows, filled = n * (plan.height + 2 * FRAME), _filled(channels)
    frame = torch.empty(n, (plan.height + 2 * FRAME) * (plan.width + 2 * FRAME) * filled, dtype=x.dtype)
    shared = (_numbers(x), _planar(x), channels, plan, filled, frame.view(-1).numpy())
    threads = torch.get_num_threads() if x.numel() > _WORTH_SHARING else 1
    workers.run(frame_rows, [(*shared, *r) for r in workers.ranges(rows, threads)], threads)
    return frame.numpy()


def _taps(weight: torch.Tensor) -> np.ndarray:
    """[C, 1, kh, kw] -> [K * filled C]."""
    channels, taps = weight.shape[0], weight.shape[2] * weight.shape[3]
    filled = torch.zeros(taps, _filled(channels), dtype=weight.dtype)
    filled[:, :channels] = weight.detach().reshape(channels, taps).t()
    return _numbers(filled)


def _plan(x: torch.Tensor, offset: torch.Tensor, geometry: Geometry, planar: bool) -> Plan:
    (height, width), (out_height, out_width) = x.shape[2:], offset.shape[2:]
    taps = _tap_positions(geometry, planar, np.float64 if offset.dtype == torch.float64 else np.float32)
    step_y, step_x = geometry.stride
    return Plan(height, width, out_height, out_width, step_y, step_x, planar, *taps)


@lru_cache(maxsize=64)
def _tap_positions(geometry: Geometry, planar: bool, dtype: type) -> tuple[np.ndarray, np.ndarray]:
    """Undeformed y and x [K*CHUNK] of every tap from a chunk's first cell, in the order of the offsets' memory."""
    rows, columns = (axis[:, 0] for axis in geometry.axes(1, 1))
    y, x = np.repeat(rows, len(columns)), np.tile(columns, len(rows))  # [K]
    cells = np.arange(CHUNK) * geometry.stride[1]
    if planar:
        tap_y, tap_x = np.repeat(y, CHUNK), np.add.outer(x, cells).ravel()
    else:
        tap_y, tap_x = np.tile(y, CHUNK), np.add.outer(cells, x).ravel()
    return tap_y.astype(dtype), tap_x.astype(dtype)
