"""The oracle: loops that say what the operator is, one cell and one tap at a time. Slow on purpose.

The formula is deformable convolution (Dai et al., 2017, arXiv:1703.06211, equations 2 to 4) with one filter per
channel and one offset field for all channels.
"""

from __future__ import annotations

import math

import torch

from dlka.ops.geometry import Geometry


def run(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> torch.Tensor:
    """Shapes as in dlka.ops.deform_dwconv2d; differentiable by torch's own autograd, one dtype."""
    n, channels, height, width = x.shape
    out_height, out_width = offset.shape[2:]
    kh, kw = geometry.kernel
    images = []
    for image in range(n):
        cells = []
        for h in range(out_height):
            for w in range(out_width):
                value = x.new_zeros(channels) if bias is None else bias
                for i in range(kh):
                    for j in range(kw):
                        k = i * kw + j
                        y = h * geometry.stride[0] - geometry.padding[0] + i * geometry.dilation[0] + offset[image, 2 * k, h, w]
                        z = w * geometry.stride[1] - geometry.padding[1] + j * geometry.dilation[1] + offset[image, 2 * k + 1, h, w]
                        value = value + weight[:, 0, i, j] * _bilinear(x[image], y, z)
                cells.append(value)
        images.append(torch.stack(cells, -1).view(channels, out_height, out_width))
    return torch.stack(images) if images else x.new_zeros(0, channels, out_height, out_width) + 0 * (x.sum() + offset.sum() + weight.sum())


def _bilinear(image: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """image [C, H, W] read at a real-valued (y, x): four neighbours, those outside the map count zero."""
    channels, height, width = image.shape
    if math.isnan(float(y)) or math.isnan(float(x)):
        return image.new_full((channels,), float("nan"))
    if not (-1 <= float(y) < height and -1 <= float(x) < width):
        return image.new_zeros(channels)
    y0, x0 = math.floor(float(y)), math.floor(float(x))
    value = image.new_zeros(channels)
    for row, share_y in ((y0, y0 + 1 - y), (y0 + 1, y - y0)):
        for column, share_x in ((x0, x0 + 1 - x), (x0 + 1, x - x0)):
            if 0 <= row < height and 0 <= column < width:
                value = value + share_y * share_x * image[:, row, column]
    return value
