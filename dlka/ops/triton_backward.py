"""The fused CUDA kernels of the backward: first the output's gradient is made clean, then all three in one pass."""

from __future__ import annotations

import triton
import triton.language as tl

from dlka.ops.triton_sampling import MAP, corners, locate


@triton.jit
def _add(a, b):
    return a + b


@triton.jit(do_not_specialize=["cells"])
def clean_kernel(
    grad,  # [N, C, P] in any strides
    offset,  # [N, 2K, P]
    clean,  # [N, P, C], out
    cells,
    grad_n,
    grad_c,
    grad_p,
    C: tl.constexpr,
    OFFSETS: tl.constexpr,  # 2K
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """The output's gradient channels-last, zero at cells with a NaN offset. Grid: images x blocks of cells."""
    cell_blocks = (cells + BLOCK_P - 1) // BLOCK_P
    n = (tl.program_id(0) // cell_blocks).to(tl.int64)
    p = (tl.program_id(0) % cell_blocks * BLOCK_P + tl.arange(0, BLOCK_P)).to(tl.int64)
    live = p < cells
    bad = tl.full([BLOCK_P], 0, tl.int1)
    for k in range(OFFSETS):
        d = tl.load(offset + (n * OFFSETS + k) * cells + p, mask=live, other=0.0)
        bad = bad | (d != d)
    for start in range(0, C, BLOCK_C):
        c = (start + tl.arange(0, BLOCK_C)).to(tl.int64)
        mask = live[:, None] & (c < C)[None, :]
        g = tl.load(grad + n * grad_n + (p * grad_p)[:, None] + (c * grad_c)[None, :], mask=mask, other=0.0)
        g = tl.where(bad[:, None], 0.0, g)
        tl.store(clean + ((n * cells + p) * C)[:, None] + c[None, :], g, mask=mask)


@triton.jit(do_not_specialize=[*MAP, "chunk", "chunks", "tap_programs"])
def backward_kernel(
    grad,  # [N, P, C], clean
    x,  # [N, H, W, C]
    offset,  # [N, K, 2, P]
    weight,  # [K, C]
    grad_x,  # [N, H, W, C] of the sums' dtype, zeros
    grad_offset,  # [blocks of channels, N, K, 2, P], summed by the caller
    grad_weight,  # [N * chunks, K, C] of the sums' dtype, summed by the caller
    images,
    height,
    width,
    out_width,
    cells,
    step_y,
    step_x,
    first_y,
    first_x,
    gap_y,
    gap_x,
    chunk,  # cells of one program, a multiple of BLOCK_P
    chunks,  # per image
    tap_programs,
    C: tl.constexpr,
    KH: tl.constexpr,
    KW: tl.constexpr,
    LONG: tl.constexpr,
    BLOCK_P: tl.constexpr,
    BLOCK_C: tl.constexpr,
):
    """Grid: images x chunks of cells x shares of the taps x blocks of channels, the last one fastest.

    A tap's weights and the sums of their gradient stay in registers over the whole chunk. Only grad_x is shared with
    other programs: atomic sums, in no certain order.
    """
    dtype = offset.dtype.element_ty
    channel_blocks: tl.constexpr = (C + BLOCK_C - 1) // BLOCK_C
    program = tl.program_id(0)
    block = program % channel_blocks
    first_tap = program // channel_blocks % tap_programs
    part = program // channel_blocks // tap_programs  # [N * chunks]
    n = (part // chunks).to(tl.int64)
    begin = part % chunks * chunk
    c = block * BLOCK_C + tl.arange(0, BLOCK_C)
    real = c < C
    image, image_grad = x + n * height * width * C, grad_x + n * height * width * C
    grad += n * cells * C
    offset += n * (2 * KH * KW) * cells
    grad_offset += (block * images + n) * (2 * KH * KW) * cells
    column_step, row_step = BLOCK_P % out_width, BLOCK_P // out_width
    for k in range(first_tap, KH * KW, tap_programs):
        tap = tl.load(weight + k * C + c, mask=real, other=0.0).to(dtype)
        base_y, base_x = (k // KW) * gap_y + first_y, (k % KW) * gap_x + first_x
        summed = tl.full([BLOCK_P, BLOCK_C], 0.0, dtype)
        p = begin + tl.arange(0, BLOCK_P)
        row, column = p // out_width, p % out_width
        for _ in range(begin, tl.minimum(begin + chunk, cells), BLOCK_P):
            live = p < cells
            at = p + 2 * k * (cells.to(tl.int64) if LONG else cells)
            dy = tl.load(offset + at, mask=live, other=0.0)
            dx = tl.load(offset + at + cells, mask=live, other=0.0)
            y, ly = locate((row * step_y + base_y).to(dtype), dy, height)
            z, lx = locate((column * step_x + base_x).to(dtype), dx, width)
            p00, p01, p10, p11, m00, m01, m10, m11 = corners(image, y, z, height, width, live, c, real, C, LONG)
            a = tl.load(p00, mask=m00, other=0.0).to(dtype)
            b = tl.load(p01, mask=m01, other=0.0).to(dtype) - a
            d = tl.load(p10, mask=m10, other=0.0).to(dtype)
            e = tl.load(p11, mask=m11, other=0.0).to(dtype) - d
            rows = p.to(tl.int64) if LONG else p
            g = tl.load(grad + (rows * C)[:, None] + c[None, :], mask=live[:, None] & real[None, :], other=0.0)
            g = g.to(dtype)
            above = a + lx[:, None] * b
            along_y = d + lx[:, None] * e - above  # what the read gains per cell downwards
            along_x = b + ly[:, None] * (e - b)
            summed += g * (above + ly[:, None] * along_y)

            g = g * tap[None, :]  # gradient of the read
            tl.store(grad_offset + at, tl.reduce(g * along_y, 1, _add), mask=live)
            tl.store(grad_offset + at + cells, tl.reduce(g * along_x, 1, _add), mask=live)

            p00, p01, p10, p11, m00, m01, m10, m11 = corners(image_grad, y, z, height, width, live, c, real, C, LONG)
            w11 = ly * lx
            w10, w01 = ly - w11, lx - w11
            w00 = 1 - ly - w01
            tl.atomic_add(p00, w00[:, None] * g, mask=m00, sem="relaxed")
            tl.atomic_add(p01, w01[:, None] * g, mask=m01, sem="relaxed")
            tl.atomic_add(p10, w10[:, None] * g, mask=m10, sem="relaxed")
            tl.atomic_add(p11, w11[:, None] * g, mask=m11, sem="relaxed")

            p += BLOCK_P
            column += column_step
            wrapped = column >= out_width
            column = tl.where(wrapped, column - out_width, column)
            row += row_step + wrapped.to(tl.int32)
        tl.store(grad_weight + (part.to(tl.int64) * KH * KW + k) * C + c, tl.reduce(summed, 0, _add), mask=real)
