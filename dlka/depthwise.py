"""Depthwise convolution, with a faster way to the same numbers where the CPU has none for dilated kernels."""

from __future__ import annotations

import torch
import torch.nn.functional as F


def depthwise_conv2d(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int, dilation: int) -> torch.Tensor:
    """x [N, C, H, W], weight [C, 1, kh, kw] -> [N, C, Ho, Wo]: F.conv2d with a group for each channel, without bias.

    In mixed-precision training on the CPU it runs in float32: oneDNN's bfloat16 gradients of such a convolution are the
    slower ones, also on processors with bfloat16 instructions.
    """
    if torch.is_autocast_enabled("cpu") and torch.is_grad_enabled() and x.device.type == "cpu":
        with torch.autocast("cpu", enabled=False):
            return depthwise_conv2d(x.float(), weight.float(), stride, padding, dilation)
    if _pays(x, weight, stride, padding, dilation):
        return by_phases(x, weight, dilation)
    return F.conv2d(x, weight, None, stride, padding, dilation, groups=x.shape[1])


def _pays(x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int, dilation: int) -> bool:
    """Measured on the CPU in channels-last memory only; whoever records the graph should see one convolution."""
    if torch.compiler.is_compiling() or torch.jit.is_tracing():
        return False
    kernel = weight.shape[2]
    return (
        dilation > 1
        and stride == 1
        and kernel == weight.shape[3]
        and kernel % 2 == 1
        and 2 * padding == dilation * (kernel - 1)
        and x.device.type == "cpu"
        and x.is_contiguous(memory_format=torch.channels_last)
    )


def by_phases(x: torch.Tensor, weight: torch.Tensor, dilation: int) -> torch.Tensor:
    """A dilated convolution that keeps the size of the map, as undilated ones.

    Cells whose rows and columns leave the same remainders by the dilation never meet the others: each of the
    dilation^2 phases is a small map of its own. They become a batch, for which oneDNN has a vectorised kernel; for
    dilated ones in this memory layout it has none.
    """
    n, channels, height, width = x.shape
    rows, columns = -(-height // dilation), -(-width // dilation)
    cells = x.permute(0, 2, 3, 1)  # [N, H, W, C], contiguous
    cells = F.pad(cells, (0, 0, 0, columns * dilation - width, 0, rows * dilation - height))
    phases = cells.view(n, rows, dilation, columns, dilation, channels).permute(0, 2, 4, 1, 3, 5)
    phases = phases.reshape(n * dilation**2, rows, columns, channels).permute(0, 3, 1, 2)
    out = F.conv2d(phases, weight, None, 1, weight.shape[2] // 2, groups=channels).permute(0, 2, 3, 1)
    out = out.reshape(n, dilation, dilation, rows, columns, channels).permute(0, 3, 1, 4, 2, 5)
    out = out.reshape(n, rows * dilation, columns * dilation, channels)[:, :height, :width]
    return out.contiguous().permute(0, 3, 1, 2)
