"""The fused operator on CUDA: memory layout, launch and tuning of the kernels in dlka.ops.triton_forward and
triton_backward.

Features are read as they are (float16, bfloat16, float32 or float64); nothing of them is widened in memory but the
gradient of x, which is summed atomically. Each kernel is tuned once per number of channels, kernel size and dtype, on
the first map that it meets, and never for another map size. In Triton's interpreter (TRITON_INTERPRET=1 before triton
is imported) the same kernels run on CPU tensors, untuned.
"""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import torch
import triton
from torch import Tensor

from dlka.ops.geometry import Geometry, accumulation_dtype, channels_last
from dlka.ops.triton_backward import backward_kernel, clean_kernel
from dlka.ops.triton_forward import forward_kernel

INTERPRETED = not isinstance(forward_kernel, triton.JITFunction)
INT32 = 2**31  # an image with so many elements needs 64-bit indices
PROGRAMS = 4096  # of the backward: enough to fill the largest card several times
CHUNK = (32, 256)  # least and most cells of one program of the backward
CHANNEL_BLOCK = 128  # of the backward: one warp's reach in vectors of four float32, so that sums stay in the warp


def forward(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
    """x [N, C, H, W], offset [N, 2K, Ho, Wo], weight [C, 1, kh, kw] -> [N, C, Ho, Wo], channels-last if x is.

    x, weight and bias have one floating dtype, which is the result's; offset is float32 (float64 where x is).
    """
    n, channels = x.shape[:2]
    height, width = offset.shape[2:]
    last = channels_last(x)
    shape = (n, height, width, channels) if last else (n, channels, height, width)
    out = torch.empty(shape, dtype=x.dtype, device=x.device)
    if out.numel():
        cells = height * width

        def grid(block: dict[str, int]) -> tuple[int]:
            return (
                n
                * triton.cdiv(cells, block["BLOCK_P"])
                * triton.cdiv(channels, block["BLOCK_C"] * (1 + block["PAIR"])),
            )

        with torch.cuda.device_of(x):  # Triton launches on the current device
            tuned(forward_kernel, channels, x.element_size())[grid](
                rows(x),
                offset.contiguous(),
                _taps(weight),
                weight if bias is None else bias.contiguous(),
                out,
                *_map(x, offset, geometry),
                C=channels,
                KH=geometry.kernel[0],
                KW=geometry.kernel[1],
                HAS_BIAS=bias is not None,
                CHANNELS_LAST=last,
                LONG=needs_int64(x, offset),
            )
    return out.permute(0, 3, 1, 2) if last else out


def backward(
    grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, geometry: Geometry
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x (channels-last memory), offset and weight, in their dtypes, from grad [N, C, Ho, Wo].

    RuntimeError where torch.use_deterministic_algorithms asks for what the atomic sums of x's gradient cannot give.
    """
    _refuse_determinism()
    n, channels, height_in, width_in = x.shape
    height, width = offset.shape[2:]
    cells, taps = height * width, geometry.kernel[0] * geometry.kernel[1]
    wide = accumulation_dtype(x.dtype)
    grad_x = torch.zeros(n, height_in, width_in, channels, dtype=wide, device=x.device)
    if not grad.numel():
        return grad_x.to(x.dtype).permute(0, 3, 1, 2), torch.zeros_like(offset), torch.zeros_like(weight)

    block_c = min(triton.next_power_of_2(channels), CHANNEL_BLOCK)
    channel_blocks = triton.cdiv(channels, block_c)
    chunk, chunks, tap_programs = split(n, cells, taps, channel_blocks)
    clean = torch.empty(n, cells, channels, dtype=grad.dtype, device=x.device)
    grad_offset = torch.empty(channel_blocks, *offset.shape, dtype=wide, device=x.device)
    grad_weight = torch.empty(n * chunks, taps, channels, dtype=wide, device=x.device)
    flat, offset = grad.reshape(n, channels, cells), offset.contiguous()
    with torch.cuda.device_of(x):
        clean_kernel[(n * triton.cdiv(cells, 64),)](
            *(flat, offset, clean, cells, *flat.stride()),
            C=channels,
            OFFSETS=2 * taps,
            BLOCK_P=64,
            BLOCK_C=min(block_c, 32),
        )
        tuned(backward_kernel, channels, x.element_size())[(n * chunks * tap_programs * channel_blocks,)](
            *(clean, rows(x), offset, _taps(weight), grad_x, grad_offset, grad_weight, n),
            *_map(x, offset, geometry),
            *(chunk, chunks, tap_programs),
            C=channels,
            KH=geometry.kernel[0],
            KW=geometry.kernel[1],
            LONG=needs_int64(x, offset),
        )
    return (
        grad_x.to(x.dtype).permute(0, 3, 1, 2),
        grad_offset[0] if channel_blocks == 1 else grad_offset.sum(0),
        grad_weight.sum(0).t().to(weight.dtype).contiguous().view(weight.shape),
    )


@cache
def tuned(kernel: Any, channels: int, itemsize: int) -> Any:
    """The kernel with its candidates; the fastest is found at the first call for a kernel size and dtype."""
    candidates = configs(kernel, channels, itemsize)
    zeros = ["grad_x"] if kernel is backward_kernel else None
    return triton.autotune(candidates[:1] if INTERPRETED else candidates, ["KH", "KW"], reset_to_zero=zeros)(kernel)


def configs(kernel: Any, channels: int, itemsize: int) -> list[triton.Config]:
    """Block sizes to try, so that no thread is idle: with few channels a block has more cells.

    Forward: a cell's run of channels is a cache line of 128 bytes, a thread has one or two vectors of 16 bytes of it.
    Backward: four channels a thread, the longest vector of float32 that can be summed atomically.
    """
    power = triton.next_power_of_2(channels)
    if kernel is backward_kernel:
        block = min(power, CHANNEL_BLOCK)
        sizes = [(4, 512), (1, 128), (1, 256)]  # warps, elements
        blocks = [({"BLOCK_P": min(elements // block, CHUNK[0]), "BLOCK_C": block}, warps) for warps, elements in sizes]
    else:
        block = min(power, 128 // itemsize)
        cells, pair = min(128 * 16 // itemsize // block, 128), channels % (2 * block) == 0
        tries = [(1, pair, True), (1, pair, False), (2, pair, False), (1, False, True)]
        blocks = [
            ({"BLOCK_P": many * cells, "BLOCK_C": block, "PAIR": two, "UNROLL": unroll}, 4)
            for many, two, unroll in dict.fromkeys(tries)
        ]
    return [triton.Config(sizes, num_warps=warps) for sizes, warps in blocks]


def split(images: int, cells: int, taps: int, channel_blocks: int) -> tuple[int, int, int]:
    """Work of the backward's programs: (cells of a chunk, chunks per image, programs that share a chunk's taps).

    Long chunks mean fewer partial sums of the weight's gradient, [images * chunks, K, C]; the taps of a chunk are
    shared by as many programs as the card needs to be full, and by no more, so that they meet x in the cache.
    """
    chunk = min(max(triton.next_power_of_2(images * cells // 256), CHUNK[0]), CHUNK[1])
    chunks = triton.cdiv(cells, chunk)
    return chunk, chunks, min(taps, triton.cdiv(PROGRAMS, images * chunks * channel_blocks))


def rows(x: Tensor) -> Tensor:
    """[N, C, H, W] -> [N, H, W, C], contiguous; no copy where x is channels-last."""
    return x.permute(0, 2, 3, 1).contiguous()


def _taps(weight: Tensor) -> Tensor:
    """[C, 1, kh, kw] -> [K, C], contiguous."""
    return weight.reshape(weight.shape[0], -1).t().contiguous()


def _map(x: Tensor, offset: Tensor, geometry: Geometry) -> tuple[int, ...]:
    """The kernels' arguments from `height` to `gap_x`."""
    height, width = offset.shape[2:]
    py, px = geometry.padding
    return (*x.shape[2:], width, height * width, *geometry.stride, -py, -px, *geometry.dilation)


def needs_int64(x: Tensor, offset: Tensor) -> bool:
    """Whether an index into one image of x, of the offsets or of the result passes 32 bits."""
    channels, height, width = x.shape[1:]
    cells = offset.shape[2] * offset.shape[3]
    return max(channels * height * width, max(offset.shape[1], channels) * cells) >= INT32


def _refuse_determinism() -> None:
    if torch.are_deterministic_algorithms_enabled():
        text = (
            "dlka: on CUDA the gradient of x is summed in no certain order, and deterministic algorithms were asked "
            "for; use backend='torch', or torch.use_deterministic_algorithms(True, warn_only=True)"
        )
        if not torch.is_deterministic_algorithms_warn_only_enabled():
            raise RuntimeError(text)
        warnings.warn(text, stacklevel=2)
