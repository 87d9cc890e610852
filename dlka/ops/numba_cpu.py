"""The fused CPU kernels: coordinates and bilinear weights once per (cell, tap), then along the channels.

All channels share one offset field, so the inner loop runs over channels-last memory and vectorises. Kernels release
the GIL and are run over ranges of rows by an own small thread pool instead of numba's ``parallel=True``: that one
resets torch's thread count at its first call (numba#9387), aborts in forked data-loader workers, and one of its two
default layers must not be called from two threads of a server at once.

fastmath leaves out nnan and ninf on purpose: with them, NaN offsets would turn into ordinary numbers.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numba
import numpy as np
import torch

from dlka.ops.geometry import Geometry

_FLAGS: dict[str, Any] = {
    "nogil": True,
    "cache": True,
    "fastmath": {"reassoc", "contract", "nsz", "arcp", "afn"},
    "error_model": "numpy",
}

# The map is copied into a frame of zeros this wide. Positions are clamped into the frame, so that whatever lies outside
# reads zero without a branch, and so does the neighbour one further on.
_FRAME = 2


@numba.njit(inline="always", **_FLAGS)
def _prepare(
    base: float,  # undeformed y of this tap and row
    bases: np.ndarray,  # [Wo], undeformed x of this tap
    dy: np.ndarray,  # [Wo]
    dx: np.ndarray,  # [Wo]
    height: float,
    width: float,
    pitch: int,
    index: np.ndarray,  # [Wo], out: cell of the framed map, upper left of the four neighbours
    ly: np.ndarray,  # [Wo], out: fraction towards the lower neighbours; NaN where the offset is
    lx: np.ndarray,  # [Wo], out: fraction towards the right ones
) -> None:
    """Bilinear reads of one tap along one row. Vectorises over the row: done once for all channels."""
    least = ly.dtype.type(-_FRAME)
    for w in range(len(dy)):
        y = min(max(base + dy[w], least), height)
        x = min(max(bases[w] + dx[w], least), width)
        floor_y, floor_x = np.floor(y), np.floor(x)
        ly[w] = y - floor_y
        lx[w] = x - floor_x
        if floor_y != floor_y or floor_x != floor_x:  # NaN has no integer; any cell will do
            floor_y, floor_x = least, least
        index[w] = (np.int32(floor_y) + _FRAME) * pitch + np.int32(floor_x) + _FRAME


@numba.njit(**_FLAGS)
def _forward_rows(
    x: np.ndarray,  # [N, (H+4)*(W+4), C], framed
    height: int,
    width: int,
    offset: np.ndarray,  # [N, K, 2, Ho, Wo]
    weight: np.ndarray,  # [K, C]
    bias: np.ndarray,  # [C]
    base_y: np.ndarray,  # [kh, Ho]
    base_x: np.ndarray,  # [kw, Wo]
    out: np.ndarray,  # [N, Ho, Wo, C]
    first: int,
    last: int,
) -> None:
    channels, pitch = x.shape[2], width + 2 * _FRAME
    out_height = base_y.shape[1]
    taps_x, out_width = base_x.shape
    bottom, right = x.dtype.type(height), x.dtype.type(width)
    index = np.empty(out_width, np.int64)
    lys, lxs = np.empty(out_width, x.dtype), np.empty(out_width, x.dtype)
    for row in range(first, last):
        n, h = row // out_height, row % out_height
        image, cells = x[n], out[n, h]
        for w in range(out_width):
            for c in range(channels):
                cells[w, c] = bias[c]
        for k in range(len(weight)):
            i, j = k // taps_x, k % taps_x
            _prepare(
                base_y[i, h], base_x[j], offset[n, k, 0, h], offset[n, k, 1, h], bottom, right, pitch, index, lys, lxs
            )
            tap = weight[k]
            for w in range(out_width):
                w11 = lys[w] * lxs[w]
                w10, w01 = lys[w] - w11, lxs[w] - w11
                w00 = 1 - lys[w] - w01
                p = index[w]
                p00, p01, p10, p11 = image[p], image[p + 1], image[p + pitch], image[p + pitch + 1]
                cell = cells[w]
                for c in range(channels):
                    cell[c] += tap[c] * (w00 * p00[c] + w01 * p01[c] + w10 * p10[c] + w11 * p11[c])


@numba.njit(**_FLAGS)
def _backward_rows(
    grad: np.ndarray,  # [N, Ho, Wo, C]
    x: np.ndarray,  # [N, (H+4)*(W+4), C], framed
    height: int,
    width: int,
    offset: np.ndarray,  # [N, K, 2, Ho, Wo]
    weight: np.ndarray,  # [K, C]
    base_y: np.ndarray,  # [kh, Ho]
    base_x: np.ndarray,  # [kw, Wo]
    grad_x: np.ndarray,  # like x, zeros, this call's own
    grad_offset: np.ndarray,  # [N, K, 2, Ho, Wo]
    grad_weight: np.ndarray,  # [K, C], zeros, this call's own
    first: int,
    last: int,
) -> None:
    channels, pitch = x.shape[2], width + 2 * _FRAME
    out_height = base_y.shape[1]
    taps_x, out_width = base_x.shape
    bottom, right = x.dtype.type(height), x.dtype.type(width)
    index = np.empty(out_width, np.int64)
    lys, lxs = np.empty(out_width, x.dtype), np.empty(out_width, x.dtype)
    poison = np.empty(out_width, x.dtype)
    scaled = np.empty(channels, x.dtype)
    for row in range(first, last):
        n, h = row // out_height, row % out_height
        image, image_grad = x[n], grad_x[n]
        poison[:] = 0  # NaN where any offset is: that output was NaN whatever x and weight are, nothing flows back
        for k in range(len(weight)):
            for w in range(out_width):
                poison[w] += (offset[n, k, 0, h, w] + offset[n, k, 1, h, w]) * 0
        for k in range(len(weight)):
            i, j = k // taps_x, k % taps_x
            _prepare(
                base_y[i, h], base_x[j], offset[n, k, 0, h], offset[n, k, 1, h], bottom, right, pitch, index, lys, lxs
            )
            tap, tap_grad = weight[k], grad_weight[k]
            for w in range(out_width):
                if poison[w] != poison[w]:
                    grad_offset[n, k, 0, h, w] = 0
                    grad_offset[n, k, 1, h, w] = 0
                    continue
                w11 = lys[w] * lxs[w]
                w10, w01 = lys[w] - w11, lxs[w] - w11
                w00 = 1 - lys[w] - w01
                p = index[w]
                p00, p01, p10, p11 = image[p], image[p + 1], image[p + pitch], image[p + pitch + 1]
                g = grad[n, h, w]
                s00 = s01 = s10 = s11 = x.dtype.type(0)  # gradient of each neighbour's share, summed over channels
                for c in range(channels):
                    scaled[c] = g[c] * tap[c]
                    s00 += scaled[c] * p00[c]
                    s01 += scaled[c] * p01[c]
                    s10 += scaled[c] * p10[c]
                    s11 += scaled[c] * p11[c]
                for c in range(channels):
                    tap_grad[c] += g[c] * (w00 * p00[c] + w01 * p01[c] + w10 * p10[c] + w11 * p11[c])
                q00, q01, q10, q11 = image_grad[p], image_grad[p + 1], image_grad[p + pitch], image_grad[p + pitch + 1]
                for c in range(channels):
                    q00[c] += w00 * scaled[c]
                for c in range(channels):
                    q01[c] += w01 * scaled[c]
                for c in range(channels):
                    q10[c] += w10 * scaled[c]
                for c in range(channels):
                    q11[c] += w11 * scaled[c]
                grad_offset[n, k, 0, h, w] = s10 - s00 + lxs[w] * (s11 - s01 - s10 + s00)
                grad_offset[n, k, 1, h, w] = s01 - s00 + lys[w] * (s11 - s10 - s01 + s00)


_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_forget_pool)


def _run(kernel: Any, jobs: list[tuple[Any, ...]], threads: int) -> None:
    """Run kernel(*job) for every job on so many threads, this one included; each takes the next job when it is free."""
    global _pool
    queue = iter(jobs)  # handing out the next job is atomic

    def work() -> None:
        for job in queue:
            kernel(*job)

    others = min(threads, len(jobs)) - 1
    if others and _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="dlka-numba")
    futures = [_pool.submit(work) for _ in range(others)] if _pool else []
    work()
    for future in futures:
        future.result()


def _ranges(rows: int, parts: int) -> list[tuple[int, int]]:
    edges = np.linspace(0, rows, min(parts, rows) + 1).astype(int)
    return [(int(a), int(b)) for a, b in pairwise(edges)]


def _framed(x: torch.Tensor) -> np.ndarray:
    """[N, C, H, W] of any memory layout -> [N, (H+4)*(W+4), C] with a frame of zeros."""
    n, channels, height, width = x.shape
    frame = torch.zeros(n, height + 2 * _FRAME, width + 2 * _FRAME, channels, dtype=x.dtype)
    frame[:, _FRAME:-_FRAME, _FRAME:-_FRAME] = x.detach().permute(0, 2, 3, 1)
    return frame.view(n, -1, channels).numpy()


def _arrays(offset: torch.Tensor, weight: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """offset [N, K, 2, Ho, Wo] and weight [K, C] as the kernels read them."""
    channels, taps = weight.shape[0], weight.shape[2] * weight.shape[3]
    n, _, height, width = offset.shape
    return (
        offset.detach().contiguous().view(n, taps, 2, height, width).numpy(),
        weight.detach().reshape(channels, taps).t().contiguous().numpy(),
    )


def forward(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> torch.Tensor:
    """x [N, C, H, W], offset [N, 2K, Ho, Wo], weight [C, 1, kh, kw] -> [N, C, Ho, Wo] in channels-last memory."""
    n, channels = x.shape[:2]
    height, width = offset.shape[2:]
    out = torch.empty(n, height, width, channels, dtype=x.dtype)
    if out.numel():
        shared = (
            *(_framed(x), *x.shape[2:]),
            *_arrays(offset, weight),
            (torch.zeros(channels, dtype=x.dtype) if bias is None else bias.detach().contiguous()).numpy(),
            *geometry.axes(height, width),
            out.numpy(),
        )
        # More ranges than threads: a core that is busy with something else then holds up a small part only.
        threads = torch.get_num_threads()
        _run(_forward_rows, [(*shared, *r) for r in _ranges(n * height, 4 * threads)], threads)
    return out.permute(0, 3, 1, 2)


def backward(
    grad: torch.Tensor, x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, geometry: Geometry
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Gradients of x (channels-last memory), offset and weight; every range of rows sums into arrays of its own."""
    n, channels, height_in, width_in = x.shape
    height, width = offset.shape[2:]
    ranges = _ranges(n * height, torch.get_num_threads()) if grad.numel() else []
    framed = (n, height_in + 2 * _FRAME, width_in + 2 * _FRAME, channels)
    grad_x = torch.zeros(len(ranges), *framed, dtype=x.dtype)
    grad_offset = torch.zeros(offset.shape, dtype=x.dtype)
    grad_weight = torch.zeros(len(ranges), weight.shape[2] * weight.shape[3], channels, dtype=x.dtype)
    if ranges:
        offset_array, weight_array = _arrays(offset, weight)
        shared = (
            grad.detach().permute(0, 2, 3, 1).contiguous().numpy(),
            *(_framed(x), height_in, width_in),
            *(offset_array, weight_array),
            *geometry.axes(height, width),
        )
        own = [(gx.view(n, -1, channels).numpy(), gw.numpy()) for gx, gw in zip(grad_x, grad_weight)]
        offset_out = grad_offset.view(offset_array.shape).numpy()
        _run(_backward_rows, [(*shared, gx, offset_out, gw, *r) for (gx, gw), r in zip(own, ranges)], len(ranges))
    inner = grad_x.sum(0)[:, _FRAME:-_FRAME, _FRAME:-_FRAME].contiguous()
    return inner.permute(0, 3, 1, 2), grad_offset, grad_weight.sum(0).t().contiguous().view(weight.shape)
