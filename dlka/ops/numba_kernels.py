"""The fused CPU kernels. All channels share one offset field, so what is prepared for a chunk of cells (see
numba_chunk.py) serves them all, and the inner loop runs along the channels of channels-last memory in vectors.

C is the number of channels, filled up to a multiple of LANES. A framed map is [(H + 2*FRAME) * (W + 2*FRAME) * C]
numbers. Kernels take rows of all pictures' maps, one after the other, from `first` up to `last`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dlka.ops.numba_chunk import CHUNK, FRAME, Chunk, Plan, new_chunk, prepare, write_gradients
from dlka.ops.numba_jit import inlined, kernel
from dlka.ops.simd import item, load, spread, store, total, zeros

LANES, PAIR = 16, 32  # channels to a vector; PAIR at a time where there are enough of them


@kernel
def frame_rows(
    x: np.ndarray,  # [N*C*H*W] planar or [N*H*W*C] channels-last, C as it is
    planar: bool,
    channels: int,
    plan: Plan,
    filled: int,  # C filled up
    out: np.ndarray,  # framed maps, out
    first: int,  # rows of framed maps
    last: int,
) -> None:
    """Copy maps into their frames."""
    height, width = plan.height, plan.width
    framed_height, pitch = height + 2 * FRAME, (width + 2 * FRAME) * filled
    for row in range(first, last):
        n, h = row // framed_height, row % framed_height - FRAME
        to = out[row * pitch : (row + 1) * pitch]
        if h < 0 or h >= height:
            to[:] = 0
            continue
        to[: FRAME * filled] = 0
        to[-FRAME * filled :] = 0
        if not planar and channels == filled:
            start = (n * height + h) * width * channels
            to[FRAME * filled : -FRAME * filled] = x[start : start + width * channels]
            continue
        for w in range(width):
            cell = to[(w + FRAME) * filled : (w + FRAME + 1) * filled]
            start, step = ((n * height + h) * width + w) * channels, 1
            if planar:
                start, step = (n * channels * height + h) * width + w, height * width
            for c in range(channels):
                cell[c] = x[start + c * step]
            cell[channels:] = 0


@kernel
def forward_rows(
    x: np.ndarray,  # [N, framed map]
    offset: np.ndarray,  # in the order of its memory
    weight: np.ndarray,  # [K*C]
    bias: np.ndarray,  # [C]
    plan: Plan,
    out: np.ndarray,  # [N*Ho*Wo*C], out
    first: int,
    last: int,
) -> None:
    """out = bias + the sum over taps of weight * bilinear read, in some rows of the output maps; NaN passes through."""
    channels = len(bias)
    chunk = new_chunk(plan, x)
    one, two = zeros(x, LANES), zeros(x, PAIR)
    for row in range(first, last):
        image = x[row // plan.out_height]
        for w0 in range(0, plan.out_width, CHUNK):
            count = min(CHUNK, plan.out_width - w0)
            prepare(chunk, offset, plan, row, w0, count)
            for cell in range(count):
                to = (row * plan.out_width + w0 + cell) * channels
                for c in range(0, channels - LANES, PAIR):
                    _sum_taps(image, chunk, cell, weight, bias, plan.width, c, out, to, two)
                if channels % PAIR:
                    _sum_taps(image, chunk, cell, weight, bias, plan.width, channels - LANES, out, to, one)


@inlined
def _sum_taps(
    image: np.ndarray,
    chunk: Chunk,
    cell: int,
    weight: np.ndarray,
    bias: np.ndarray,
    width: int,
    c: int,  # channels from here on, as many as `like` has lanes
    out: np.ndarray,
    to: int,
    like: Any,
) -> None:
    channels = len(bias)
    down = (width + 2 * FRAME) * channels
    corner, shares = chunk.corner, chunk.shares
    sums = load(bias, c, like)
    for k in range(len(weight) // channels):
        t = k * chunk.next_tap + cell * chunk.next_cell
        p = np.int64(item(corner, t)) * channels + c
        q = p + down
        read = spread(shares, 4 * t, like) * load(image, p, like)
        read = read + spread(shares, 4 * t + 1, like) * load(image, p + channels, like)
        read = read + spread(shares, 4 * t + 2, like) * load(image, q, like)
        read = read + spread(shares, 4 * t + 3, like) * load(image, q + channels, like)
        sums = sums + read * load(weight, k * channels + c, like)
    store(out, to + c, sums)


@kernel
def backward_rows(
    grad: np.ndarray,  # [N*Ho*Wo*C]
    x: np.ndarray,  # [N, framed map]
    offset: np.ndarray,  # planar
    weight: np.ndarray,  # [K*C]
    channels: int,
    plan: Plan,
    grad_x: np.ndarray,  # like x, zeros, this call's own
    grad_offset: np.ndarray,  # like offset, out
    grad_weight: np.ndarray,  # [K*C], zeros, this call's own
    first: int,
    last: int,
) -> None:
    """Gradients from some rows of the output maps: of the offsets of their cells, and sums for x and weight."""
    chunk = new_chunk(plan, x)
    taps = len(weight) // channels
    poisoned = np.empty(CHUNK, np.bool_)
    one, two = zeros(x, LANES), zeros(x, PAIR)
    for row in range(first, last):
        n = row // plan.out_height
        for w0 in range(0, plan.out_width, CHUNK):
            count = min(CHUNK, plan.out_width - w0)
            prepare(chunk, offset, plan, row, w0, count)
            bad = poisoned[:count]
            _find_poisoned(chunk, taps, bad)
            chunk.dy[:] = 0
            chunk.dx[:] = 0
            start = (row * plan.out_width + w0) * channels
            for k in range(taps):
                for c in range(0, channels - LANES, PAIR):
                    _tap_back(
                        grad, start, x[n], grad_x[n], chunk, bad, weight, grad_weight, channels, plan.width, k, c, two
                    )
                if channels % PAIR:
                    c = channels - LANES
                    _tap_back(
                        grad, start, x[n], grad_x[n], chunk, bad, weight, grad_weight, channels, plan.width, k, c, one
                    )
            write_gradients(chunk, grad_offset, plan, row, w0, count)


@kernel
def _find_poisoned(chunk: Chunk, taps: int, poisoned: np.ndarray) -> None:
    """A cell with a NaN offset is NaN whatever x and weight are: nothing flows back from it."""
    poisoned[:] = False
    for k in range(taps):
        for cell in range(len(poisoned)):
            t = k * chunk.next_tap + cell * chunk.next_cell
            poisoned[cell] |= chunk.dy[t] != chunk.dy[t] or chunk.dx[t] != chunk.dx[t]


@inlined
def _tap_back(
    grad: np.ndarray,
    start: int,  # of the chunk's first cell in grad
    image: np.ndarray,
    image_grad: np.ndarray,
    chunk: Chunk,
    poisoned: np.ndarray,  # [cells of the chunk]
    weight: np.ndarray,
    grad_weight: np.ndarray,
    channels: int,
    width: int,
    k: int,
    c: int,  # channels from here on, as many as `like` has lanes
    like: Any,
) -> None:
    """One tap in all cells of a chunk: its weights and their gradient stay in registers."""
    down = (width + 2 * FRAME) * channels
    corner, shares, dy, dx = chunk.corner, chunk.shares, chunk.dy, chunk.dx
    tap = load(weight, k * channels + c, like)
    tap_grad = load(grad_weight, k * channels + c, like)
    for cell in range(len(poisoned)):
        if poisoned[cell]:
            continue
        t = k * chunk.next_tap + cell * chunk.next_cell
        p00 = np.int64(item(corner, t)) * channels + c
        p01, p10, p11 = p00 + channels, p00 + down, p00 + down + channels
        x00, x01, x10, x11 = (
            load(image, p00, like),
            load(image, p01, like),
            load(image, p10, like),
            load(image, p11, like),
        )
        s00, s01 = spread(shares, 4 * t, like), spread(shares, 4 * t + 1, like)
        s10, s11 = spread(shares, 4 * t + 2, like), spread(shares, 4 * t + 3, like)
        g = load(grad, start + cell * channels + c, like)
        tap_grad = tap_grad + g * (s00 * x00 + s01 * x01 + s10 * x10 + s11 * x11)
        g = g * tap
        store(image_grad, p00, load(image_grad, p00, like) + s00 * g)
        store(image_grad, p01, load(image_grad, p01, like) + s01 * g)
        store(image_grad, p10, load(image_grad, p10, like) + s10 * g)
        store(image_grad, p11, load(image_grad, p11, like) + s11 * g)
        # Slopes of the bilinear read: along y it is the lower pair minus the upper pair, each mixed along x.
        twist = (x11 - x10) - (x01 - x00)
        dy[t] += total(g * ((x10 - x00) + (s01 + s11) * twist))
        dx[t] += total(g * ((x01 - x00) + (s10 + s11) * twist))
    store(grad_weight, k * channels + c, tap_grad)
