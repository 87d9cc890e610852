"""Plain torch, for machines without numba and devices without a kernel: one weighted gather per tap.

``embedding_bag`` sums four rows of a table with given weights, which is exactly a bilinear read of channels-last
memory, and it has both gradients (of the table and of the weights).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from dlka.ops.geometry import Geometry
from dlka.ops.guard import finite, poison


def run(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> torch.Tensor:
    """Shapes as in dlka.ops.deform_dwconv2d; one dtype, float32 or float64."""
    n, channels, height, width = x.shape
    out_height, out_width = offset.shape[2:]
    kh, kw = geometry.kernel
    cells = x.permute(0, 2, 3, 1).reshape(-1, channels)  # [N*H*W, C]
    table = torch.cat([cells, cells.new_zeros(1, channels)])  # the last row is what lies outside the map
    outside = n * height * width
    base_y, base_x = (torch.from_numpy(a).to(offset) for a in geometry.axes(out_height, out_width))
    safe = finite(offset)
    image = torch.arange(n, device=x.device).view(n, 1, 1) * (height * width)
    taps = weight.reshape(channels, -1).t()  # [K, C]

    out = (
        x.new_zeros(n * out_height * out_width, channels)
        if bias is None
        else bias.expand(n * out_height * out_width, -1)
    )
    for k in range(kh * kw):
        # Clamped to just outside the map: reads zero, and the integer conversion of huge numbers is defined.
        y = (base_y[k // kw].view(1, -1, 1) + safe[:, 2 * k]).clamp(-2, height + 1)
        z = (base_x[k % kw].view(1, 1, -1) + safe[:, 2 * k + 1]).clamp(-2, width + 1)
        y0, x0 = y.detach().floor(), z.detach().floor()
        ly, lx = y - y0, z - x0
        rows, shares = [], []
        for dy, share_y in ((0, 1 - ly), (1, ly)):
            for dx, share_x in ((0, 1 - lx), (1, lx)):
                cy, cx = y0.long() + dy, x0.long() + dx
                inside = (cy >= 0) & (cy < height) & (cx >= 0) & (cx < width)
                rows.append(torch.where(inside, image + cy * width + cx, outside))
                shares.append(share_y * share_x)
        read = F.embedding_bag(
            torch.stack(rows, -1).view(-1, 4),
            table,
            mode="sum",
            per_sample_weights=torch.stack(shares, -1).view(-1, 4),
        )  # [N*Ho*Wo, C]
        out = out + read * taps[k]
    out = out.view(n, out_height, out_width, channels).permute(0, 3, 1, 2)
    return poison(out, offset)
