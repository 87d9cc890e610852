"""The oracle: the formula as torch operations, one tap and one neighbour at a time.

The formula is deformable convolution (Dai et al., 2017, arXiv:1703.06211, equations 2 to 4) with one filter per
channel and one offset field for all channels. Every step is an operation of torch's that forward mode, vmap and any
order of derivatives know, and what it keeps for them is large: C * K * Ho * Wo numbers many times over.
"""

from __future__ import annotations

import torch

from dlka.ops.geometry import Geometry
from dlka.ops.guard import empty_output, finite, poison


def run(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> torch.Tensor:
    """Shapes as in dlka.ops.deform_dwconv2d; differentiable by torch's own autograd, one dtype."""
    if x.shape[0] == 0:
        return empty_output(x, offset, weight, bias, geometry)
    (kh, kw), (sy, sx), (py, px), (ry, rx) = geometry.kernel, geometry.stride, geometry.padding, geometry.dilation
    rows = torch.arange(offset.shape[2], dtype=offset.dtype, device=x.device)[:, None]
    columns = torch.arange(offset.shape[3], dtype=offset.dtype, device=x.device)
    safe = finite(offset)
    out = torch.zeros((), dtype=x.dtype, device=x.device) if bias is None else bias[:, None, None]
    for i in range(kh):
        for j in range(kw):
            k = i * kw + j
            y = rows * sy - py + i * ry + safe[:, 2 * k]
            z = columns * sx - px + j * rx + safe[:, 2 * k + 1]
            out = out + weight[:, 0, i, j, None, None] * _bilinear(x, y, z)
    return poison(out, offset)


def _bilinear(maps: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """maps [N, C, H, W] read at real-valued y and x [N, Ho, Wo]: four neighbours, those outside the map count zero."""
    n, channels, height, width = maps.shape
    y0, x0 = y.floor(), x.floor()
    value = torch.zeros((), dtype=maps.dtype, device=maps.device)
    for row, share_y in ((y0, y0 + 1 - y), (y0 + 1, y - y0)):
        for column, share_x in ((x0, x0 + 1 - x), (x0 + 1, x - x0)):
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
            cell = row.clamp(0, height - 1).long() * width + column.clamp(0, width - 1).long()
            cells = cell.view(n, 1, -1).expand(n, channels, -1)
            read = maps.flatten(2).gather(2, cells).view(n, channels, *y.shape[1:])
            value = value + (share_y * share_x).unsqueeze(1) * read.where(inside.unsqueeze(1), 0)
    return value
