"""The CPU kernels of volumes: all reads of some cells side by side, as columns, and the way back.

A row of columns is what one output cell reads, [K*C]: what follows is a matrix product, in the kernels of whoever does
these best. The inner loop runs along the channels of channels-last memory in vectors, and coordinates are prepared for
CHUNK cells at a time, once for all channels.

C is the number of channels, filled up to a multiple of LANES; P counts the output cells of one picture. Volumes are
framed, [(D + 2*FRAME) * (H + 2*FRAME) * (W + 2*FRAME) * C] numbers.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from dlka.ops.numba_jit import inlined, kernel
from dlka.ops.simd import item, load, spread, store, total, zeros

CHUNK, FRAME = 16, 2
LANES, PAIR = 16, 32  # channels to a vector; PAIR at a time where there are enough of them


class Volume(NamedTuple):
    """What a call is about, beside its numbers."""

    size: tuple[int, ...]  # of the input volume, in cells
    channels: int  # C
    cells: tuple[np.ndarray, np.ndarray, np.ndarray]  # of each axis [P + CHUNK]: where every cell's kernel begins
    taps: np.ndarray  # [3, K] of every tap, from there
    next_number: int  # in memory, from an offset to the next of the same cell
    next_cell: int  # and to the same one of the next cell


class Places(NamedTuple):
    """Where CHUNK cells read, tap by tap; scratch memory. Entry t = k * CHUNK + cell."""

    z: np.ndarray  # [K*CHUNK] places, then the fractions towards the neighbours further on; NaN where an offset is
    y: np.ndarray
    x: np.ndarray
    corner: np.ndarray  # [K*CHUNK] int32, cell of the framed volume: the first of the eight neighbours
    shares: np.ndarray  # [K*CHUNK*8] trilinear weights


@kernel
def new_places(volume: Volume, like: np.ndarray) -> Places:
    """Scratch memory for numbers of an array's dtype."""
    entries, kind = volume.taps.shape[1] * CHUNK, like.dtype
    # The last chunk may be short: the rest is prepared as well, though never used, and must be numbers.
    z, y, x = np.zeros(entries, kind), np.zeros(entries, kind), np.zeros(entries, kind)
    return Places(z, y, x, np.empty(entries, np.int32), np.empty(8 * entries, kind))


@kernel
def locate(places: Places, offset: np.ndarray, volume: Volume, first: int, count: int) -> None:
    """Fill places for `count` cells from `first` on. offset: of one picture, in the order of its memory."""
    for axis in range(3):
        at = places.z if axis == 0 else places.y if axis == 1 else places.x
        cells = volume.cells[axis]
        for k in range(volume.taps.shape[1]):
            tap, t = volume.taps[axis, k], k * CHUNK
            source = (3 * k + axis) * volume.next_number + first * volume.next_cell
            if volume.next_cell == 1:
                for i in range(count):
                    at[t + i] = cells[first + i] + tap + offset[source + i]
            else:
                for i in range(count):
                    at[t + i] = cells[first + i] + tap + offset[source + i * volume.next_cell]
    _split(places.z, places.y, places.x, places.corner, places.shares, volume.size)


@kernel
def _split(
    z: np.ndarray, y: np.ndarray, x: np.ndarray, corner: np.ndarray, shares: np.ndarray, size: tuple[int, ...]
) -> None:
    number = z.dtype.type
    least, depth, height, width = number(-FRAME), number(size[0]), number(size[1]), number(size[2])
    rows, pitch, frame = np.int32(size[1] + 2 * FRAME), np.int32(size[2] + 2 * FRAME), np.int32(FRAME)
    for t in range(len(z)):  # LLVM makes vectors of this one by itself
        at_z, at_y, at_x = min(max(z[t], least), depth), min(max(y[t], least), height), min(max(x[t], least), width)
        floor_z, floor_y, floor_x = np.floor(at_z), np.floor(at_y), np.floor(at_x)
        lz, ly, lx = at_z - floor_z, at_y - floor_y, at_x - floor_x
        z[t], y[t], x[t] = lz, ly, lx
        if lz != lz or ly != ly or lx != lx:  # NaN has no integer; any cell will do
            floor_z, floor_y, floor_x = least, least, least
        plane = (np.int32(floor_z) + frame) * rows + np.int32(floor_y) + frame
        corner[t] = plane * pitch + np.int32(floor_x) + frame
        near_y, near_x = 1 - ly, 1 - lx
        s00, s01, s10, s11 = near_y * near_x, near_y * lx, ly * near_x, ly * lx
        shares[8 * t], shares[8 * t + 1], shares[8 * t + 2], shares[8 * t + 3] = (
            s00 - lz * s00,
            s01 - lz * s01,
            s10 - lz * s10,
            s11 - lz * s11,
        )
        shares[8 * t + 4], shares[8 * t + 5], shares[8 * t + 6], shares[8 * t + 7] = (
            lz * s00,
            lz * s01,
            lz * s10,
            lz * s11,
        )


@kernel
def read_rows(
    x: np.ndarray,  # [framed volume]
    offset: np.ndarray,  # of one picture, in the order of its memory
    volume: Volume,
    begin: int,  # the cell of the first row of columns
    columns: np.ndarray,  # [rows*K*C], out
    first: int,  # rows
    last: int,
) -> None:
    """What some cells read; NaN where an offset is."""
    places, one, two = new_places(volume, x), zeros(x, LANES), zeros(x, PAIR)
    corner, shares = places.corner, places.shares
    channels, taps = volume.channels, volume.taps.shape[1]
    right, down = channels, (volume.size[2] + 2 * FRAME) * channels
    back = (volume.size[1] + 2 * FRAME) * down
    for start in range(first, last, CHUNK):
        count = min(CHUNK, last - start)
        locate(places, offset, volume, begin + start, count)
        for k in range(taps):
            for cell in range(count):
                t, to = k * CHUNK + cell, ((start + cell) * taps + k) * channels
                for c in range(0, channels - LANES, PAIR):
                    _read(
                        x,
                        np.int64(item(corner, t)) * channels + c,
                        right,
                        down,
                        back,
                        shares,
                        8 * t,
                        columns,
                        to + c,
                        two,
                    )
                if channels % PAIR:
                    c = channels - LANES
                    _read(
                        x,
                        np.int64(item(corner, t)) * channels + c,
                        right,
                        down,
                        back,
                        shares,
                        8 * t,
                        columns,
                        to + c,
                        one,
                    )


@inlined
def _read(
    x: np.ndarray,
    p: int,  # of the first of eight neighbours in x; as many channels as `like` has lanes
    right: int,  # from there to the next along each axis
    down: int,
    back: int,
    shares: np.ndarray,
    s: int,  # of the first of eight shares
    columns: np.ndarray,
    to: int,
    like: Any,
) -> None:
    q = p + back
    read = spread(shares, s, like) * load(x, p, like)
    read = read + spread(shares, s + 1, like) * load(x, p + right, like)
    read = read + spread(shares, s + 2, like) * load(x, p + down, like)
    read = read + spread(shares, s + 3, like) * load(x, p + down + right, like)
    read = read + spread(shares, s + 4, like) * load(x, q, like)
    read = read + spread(shares, s + 5, like) * load(x, q + right, like)
    read = read + spread(shares, s + 6, like) * load(x, q + down, like)
    read = read + spread(shares, s + 7, like) * load(x, q + down + right, like)
    store(columns, to, read)


@kernel
def spread_rows(
    x: np.ndarray,  # [framed volume]
    offset: np.ndarray,  # of one picture, in the order of its memory
    volume: Volume,
    begin: int,  # the cell of the first row of columns
    poisoned: np.ndarray,  # [P] a cell with a NaN offset is NaN whatever x and weight are: nothing flows back from it
    columns: np.ndarray,  # [rows*K*C] in: gradients of what was read; out: what was read, zero in poisoned cells
    grad_x: np.ndarray,  # like x; this call's own
    grad_offset: np.ndarray,  # [3K, P], out
    first: int,  # rows
    last: int,
) -> None:
    """The way back, and at once what is needed for the gradient of the weights."""
    places, like = new_places(volume, x), zeros(x, LANES)
    corner, shares = places.corner, places.shares
    channels, taps = volume.channels, volume.taps.shape[1]
    right, down = channels, (volume.size[2] + 2 * FRAME) * channels
    back = (volume.size[1] + 2 * FRAME) * down
    for start in range(first, last, CHUNK):
        count = min(CHUNK, last - start)
        locate(places, offset, volume, begin + start, count)
        for k in range(taps):
            for cell in range(count):
                t, to = k * CHUNK + cell, ((start + cell) * taps + k) * channels
                dz, dy, dx = x.dtype.type(0), x.dtype.type(0), x.dtype.type(0)
                if poisoned[begin + start + cell]:
                    columns[to : to + channels] = 0
                else:
                    lz, ly, lx = spread(places.z, t, like), spread(places.y, t, like), spread(places.x, t, like)
                    for c in range(0, channels, LANES):
                        p = np.int64(item(corner, t)) * channels + c
                        q = p + back
                        g = load(columns, to + c, like)
                        # Eight neighbours, mixed along x to four, along y to two, along z to one; their slopes too.
                        x000, x001 = load(x, p, like), load(x, p + right, like)
                        x010, x011 = load(x, p + down, like), load(x, p + down + right, like)
                        x100, x101 = load(x, q, like), load(x, q + right, like)
                        x110, x111 = load(x, q + down, like), load(x, q + down + right, like)
                        s00, s01, s10, s11 = x001 - x000, x011 - x010, x101 - x100, x111 - x110
                        x00, x01, x10, x11 = x000 + lx * s00, x010 + lx * s01, x100 + lx * s10, x110 + lx * s11
                        t0, t1 = x01 - x00, x11 - x10
                        x0, x1 = x00 + ly * t0, x10 + ly * t1
                        s0, s1 = s00 + ly * (s01 - s00), s10 + ly * (s11 - s10)
                        store(columns, to + c, x0 + lz * (x1 - x0))
                        dz += total(g * (x1 - x0))
                        dy += total(g * (t0 + lz * (t1 - t0)))
                        dx += total(g * (s0 + lz * (s1 - s0)))
                        for j in range(8):
                            at = p + (j >> 2) * back + ((j >> 1) & 1) * down + (j & 1) * right
                            store(grad_x, at, load(grad_x, at, like) + spread(shares, 8 * t + j, like) * g)
                grad_offset[3 * k, begin + start + cell] = dz
                grad_offset[3 * k + 1, begin + start + cell] = dy
                grad_offset[3 * k + 2, begin + start + cell] = dx
