"""Where a tap reads, on the GPU: what the fused CUDA kernels of both directions share.

All channels share one offset field, so maps are channels-last inside: coordinates and bilinear shares are computed once
per (cell, tap), and the four neighbours of a sampling location are four runs of channels, read in vectors.

In the kernels P is the flat index of an output cell in its image, K of a tap (row-major), C of a channel; positions are
(y, x) in cells of the input map. Coordinates and sums have the offsets' dtype: float32, or float64 for float64 maps. A
program works on one image: indices into the batch are 64-bit, those into an image only if LONG says that it needs them.
"""

from __future__ import annotations

import triton
import triton.language as tl

# Arguments that describe the map, in the kernels' order. No value of theirs is a reason to compile again.
# first_y, first_x: minus the padding, where the first tap of the first cell reads; gap_y, gap_x: the dilation.
MAP = ("height", "width", "out_width", "cells", "step_y", "step_x", "first_y", "first_x", "gap_y", "gap_x")


@triton.jit
def locate(base, offset, size):
    """One coordinate: the cell at or before it (int32) and the share of the cell after it.

    Clamped to where both cells lie outside the map, so that the conversion to an integer is defined for every offset.
    NaN becomes such a place too: maximum and minimum take the number of the two.
    """
    at = tl.minimum(tl.maximum(base + offset, -2.0), size.to(offset.dtype))
    low = tl.floor(at)
    return low.to(tl.int32), at - low


@triton.jit
def _inside(at, size):
    """Whether 0 <= at < size, in one comparison: negative numbers are huge without their sign."""
    return at.to(tl.uint32, bitcast=True) < size.to(tl.uint32, bitcast=True)


@triton.jit
def corners(image, y, x, height, width, live, c, real, C: tl.constexpr, LONG: tl.constexpr):
    """Pointers [P, C] to the four neighbours of (y, x) and their masks: 00, 01 (right), 10 (below), 11."""
    index = y.to(tl.int64) * width + x if LONG else y * width + x  # [P]
    top, bottom = live & _inside(y, height), live & _inside(y + 1, height)
    left, right = _inside(x, width), _inside(x + 1, width)
    p00 = image + (index * C)[:, None] + c[None, :]
    p10 = image + ((index + width) * C)[:, None] + c[None, :]
    m00, m01 = (top & left)[:, None] & real[None, :], (top & right)[:, None] & real[None, :]
    m10, m11 = (bottom & left)[:, None] & real[None, :], (bottom & right)[:, None] & real[None, :]
    return p00, p00 + C, p10, p10 + C, m00, m01, m10, m11
