"""The fused CUDA kernel of the forward: a program owns a block of cells and of channels and walks over the taps."""

from __future__ import annotations

import triton
import triton.language as tl

from dlka.ops.triton_sampling import MAP, corners, locate


@triton.jit
def _read(p00, p01, p10, p11, m00, m01, m10, m11, w00, w01, w10, w11):
    """The bilinear read [P, C] at the dtype of the shares w [P]."""
    read = w00[:, None] * tl.load(p00, mask=m00, other=0.0).to(w00.dtype)
    read += w01[:, None] * tl.load(p01, mask=m01, other=0.0).to(w00.dtype)
    read += w10[:, None] * tl.load(p10, mask=m10, other=0.0).to(w00.dtype)
    read += w11[:, None] * tl.load(p11, mask=m11, other=0.0).to(w00.dtype)
    return read


@triton.jit(do_not_specialize=MAP)
def forward_kernel(
    x,  # [N, H, W, C]
    offset,  # [N, K, 2, P]
    weight,  # [K, C]
    bias,  # [C]; anything if not HAS_BIAS
    out,  # [N, P, C] if CHANNELS_LAST, else [N, C, P]
    height,
    width,
    out_width,
    cells,
    step_y,
    step_x,
    first_y,  # minus the padding: where the first tap of the first cell reads
    first_x,
    gap_y,  # dilation
    gap_x,
    C: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    HAS_BIAS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    LONG: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
    PAIR: tl.constexpr,
    UNROLL: tl.constexpr,
):
    """Grid: images x blocks of cells x blocks of channels, the last one fastest: they share offsets in the cache.

    PAIR: a program owns two blocks of channels (C is a multiple of both), for one computation of the coordinates.
    UNROLL: a row of taps at a time, more reads in flight for fewer threads at once.
    """
    dtype = offset.dtype.element_ty
    taps: tl.constexpr = KW if UNROLL else 1
    span: tl.constexpr = 2 * BLOCK_C if PAIR else BLOCK_C
    channel_blocks: tl.constexpr = (C + span - 1) // span
    cell_blocks = (cells + BLOCK_P - 1) // BLOCK_P
    program = tl.program_id(0)
    n = (program // channel_blocks // cell_blocks).to(tl.int64)
    p = program // channel_blocks % cell_blocks * BLOCK_P + tl.arange(0, BLOCK_P)
    c = program % channel_blocks * span + tl.arange(0, BLOCK_C)
    live, real = p < cells, c < C
    image = x + n * height * width * C
    base_y = ((p // out_width) * step_y + first_y).to(dtype)
    base_x = ((p % out_width) * step_x + first_x).to(dtype)
    pointer = offset + n * (2 * KH * KW) * cells + p  # [P], moves on by one channel of offsets at a time
    tap = weight + c

    total = tl.full([BLOCK_P, BLOCK_C], 0.0, dtype)
    second = tl.full([BLOCK_P, BLOCK_C], 0.0, dtype)
    bad = tl.full([BLOCK_P], 0, tl.int1)
    for first in range(0, KH * KW, taps):
        y_of_row = base_y + (first // KW * gap_y).to(dtype)  # whole numbers: these sums are exact
        for j in tl.static_range(taps):
            dy = tl.load(pointer, mask=live, other=0.0)
            dx = tl.load(pointer + cells, mask=live, other=0.0)
            pointer += 2 * cells
            bad = bad | (dy != dy) | (dx != dx)
            y, ly = locate(y_of_row, dy, height)
            z, lx = locate(base_x + ((first % KW + j) * gap_x).to(dtype), dx, width)
            p00, p01, p10, p11, m00, m01, m10, m11 = corners(image, y, z, height, width, live, c, real, C, LONG)
            w11 = ly * lx
            w10, w01 = ly - w11, lx - w11
            w00 = 1 - ly - w01
            read = _read(p00, p01, p10, p11, m00, m01, m10, m11, w00, w01, w10, w11)
            total += tl.load(tap, mask=real, other=0.0).to(dtype)[None, :] * read
            if PAIR:
                p00, p01, p10, p11 = p00 + BLOCK_C, p01 + BLOCK_C, p10 + BLOCK_C, p11 + BLOCK_C
                read = _read(p00, p01, p10, p11, m00, m01, m10, m11, w00, w01, w10, w11)
                second += tl.load(tap + BLOCK_C).to(dtype)[None, :] * read
            tap += C
    out += n * cells * C
    _finish(out, total, bias, bad, p, c, live, real, cells, C, HAS_BIAS, CHANNELS_LAST, LONG)
    if PAIR:
        _finish(out, second, bias, bad, p, c + BLOCK_C, live, real, cells, C, HAS_BIAS, CHANNELS_LAST, LONG)


@triton.jit
def _finish(
    out,
    total,
    bias,
    bad,
    p,
    c,
    live,
    real,
    cells,
    C,
    HAS_BIAS: tl.constexpr,
    CHANNELS_LAST: tl.constexpr,
    LONG: tl.constexpr,
):
    """Add the bias, set NaN where an offset is NaN, and store one tile of one image."""
    if HAS_BIAS:
        total += tl.load(bias + c, mask=real, other=0.0).to(total.dtype)[None, :]
    total = tl.where(bad[:, None], float("nan"), total).to(out.dtype.element_ty)
    p, c = (p.to(tl.int64), c.to(tl.int64)) if LONG else (p, c)
    index = (p * C)[:, None] + c[None, :] if CHANNELS_LAST else p[:, None] + (c * cells)[None, :]
    tl.store(out + index, total, mask=live[:, None] & real[None, :])
