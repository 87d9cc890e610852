"""Where the taps of CHUNK cells read: coordinates and bilinear shares, once per (cell, tap) for all channels.

What is prepared for a chunk stays in the first-level cache until it is used. It lies in the order of the offsets'
memory, so that nothing is turned round: entry t = k * next_tap + cell * next_cell, with K*CHUNK entries in all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from dlka.ops.numba_jit import kernel

CHUNK = 16
# A map is copied into a frame of zeros this wide. Positions are clamped into the frame, so that whatever lies outside
# the map reads zero without a branch, and so does the neighbour one further on.
FRAME = 2


class Plan(NamedTuple):
    """What a call is about, beside its numbers. Lengths are in cells."""

    height: int  # of the input map
    width: int
    out_height: int
    out_width: int
    step_y: int  # the convolution's stride
    step_x: int
    planar: bool  # offsets [N, 2K, Ho, Wo] as torch has them by default; or channels-last, [N, Ho, Wo, 2K]
    tap_y: np.ndarray  # [K*CHUNK] undeformed position of every tap from the chunk's first cell
    tap_x: np.ndarray


class Chunk(NamedTuple):
    """Scratch memory of one thread."""

    dy: np.ndarray  # [K*CHUNK] offsets; in the backward kernel afterwards their gradients
    dx: np.ndarray
    corner: np.ndarray  # [K*CHUNK] int32, cell of the framed map: the upper left of the four neighbours
    shares: np.ndarray  # [K*CHUNK*4] of the upper left, upper right, lower left, lower right; NaN where an offset is
    next_tap: int
    next_cell: int


@kernel
def new_chunk(plan: Plan, like: np.ndarray) -> Chunk:
    """Scratch memory for numbers of an array's dtype."""
    entries, dtype = len(plan.tap_y), like.dtype
    next_tap, next_cell = (CHUNK, 1) if plan.planar else (1, entries // CHUNK)
    # The last chunk of a row may be short: the rest is prepared as well, though never used, and must be numbers.
    dy, dx = np.zeros(entries, dtype), np.zeros(entries, dtype)
    return Chunk(dy, dx, np.empty(entries, np.int32), np.empty(4 * entries, dtype), next_tap, next_cell)


@kernel
def prepare(chunk: Chunk, offset: np.ndarray, plan: Plan, row: int, w0: int, count: int) -> None:
    """Fill a chunk for `count` cells from w0 on in a row of the output maps (rows of all pictures, one after another).

    offset: all numbers in the order of their memory.
    """
    dy, dx = chunk.dy, chunk.dx
    taps, plane = len(dy) // CHUNK, plan.out_height * plan.out_width
    n, h = row // plan.out_height, row % plan.out_height
    if plan.planar:
        for k in range(taps):
            start = (n * taps + k) * 2 * plane + h * plan.out_width + w0
            for cell in range(count):
                dy[k * CHUNK + cell] = offset[start + cell]
                dx[k * CHUNK + cell] = offset[start + plane + cell]
    else:
        start = (row * plan.out_width + w0) * 2 * taps
        for t in range(count * taps):
            dy[t] = offset[start + 2 * t]
            dx[t] = offset[start + 2 * t + 1]
    _locate(chunk, plan.tap_y, plan.tap_x, h * plan.step_y, w0 * plan.step_x, plan.height, plan.width)


@kernel
def _locate(chunk: Chunk, tap_y: np.ndarray, tap_x: np.ndarray, top: int, left: int, height: int, width: int) -> None:
    dy, dx, corner, shares = chunk.dy, chunk.dx, chunk.corner, chunk.shares
    number = dy.dtype.type
    least, bottom, right = number(-FRAME), number(height), number(width)
    origin_y, origin_x = number(top), number(left)
    pitch, frame = np.int32(width + 2 * FRAME), np.int32(FRAME)
    for t in range(len(dy)):  # LLVM makes vectors of this one by itself
        y = min(max(origin_y + tap_y[t] + dy[t], least), bottom)
        x = min(max(origin_x + tap_x[t] + dx[t], least), right)
        floor_y, floor_x = np.floor(y), np.floor(x)
        ly, lx = y - floor_y, x - floor_x
        if floor_y != floor_y or floor_x != floor_x:  # NaN has no integer; any cell will do
            floor_y, floor_x = least, least
        corner[t] = (np.int32(floor_y) + frame) * pitch + np.int32(floor_x) + frame
        lower_right = ly * lx
        upper_right = lx - lower_right
        shares[4 * t] = 1 - ly - upper_right
        shares[4 * t + 1] = upper_right
        shares[4 * t + 2] = ly - lower_right
        shares[4 * t + 3] = lower_right


@kernel
def write_gradients(chunk: Chunk, grad_offset: np.ndarray, plan: Plan, row: int, w0: int, count: int) -> None:
    """The way back: dy and dx of a chunk to where its offsets came from, in planar memory."""
    dy, dx = chunk.dy, chunk.dx
    taps, plane = len(dy) // CHUNK, plan.out_height * plan.out_width
    n, h = row // plan.out_height, row % plan.out_height
    for k in range(taps):
        start = (n * taps + k) * 2 * plane + h * plan.out_width + w0
        for cell in range(count):
            grad_offset[start + cell] = dy[k * CHUNK + cell]
            grad_offset[start + plane + cell] = dx[k * CHUNK + cell]
