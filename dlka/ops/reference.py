"""The oracle: loops that say what the operator is, one cell and one tap at a time. Slow on purpose.

The formula is deformable convolution (Dai et al., 2017, arXiv:1703.06211, equations 2 to 4) with one filter per
channel and one offset field for all channels.
"""

from __future__ import annotations

import math

import torch

from dlka.ops.geometry import Geometry
from dlka.ops.guard import empty_output, finite, poison


def run(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> torch.Tensor:
    """Shapes as in dlka.ops.deform_dwconv2d; differentiable by torch's own autograd, one dtype."""
    n, channels = x.shape[:2]
    out_height, out_width = offset.shape[2:]
    (kh, kw), (sy, sx), (py, px), (ry, rx) = geometry.kernel, geometry.stride, geometry.padding, geometry.dilation
    if n == 0:
        return empty_output(x, offset, weight, bias, geometry)
    safe = finite(offset)
    images = []
    for image in range(n):
        cells = []
        for h in range(out_height):
            for w in range(out_width):
                value = x.new_zeros(channels) if bias is None else bias
                for i in range(kh):
                    for j in range(kw):
                        k = i * kw + j
                        y = h * sy - py + i * ry + safe[image, 2 * k, h, w]
                        z = w * sx - px + j * rx + safe[image, 2 * k + 1, h, w]
                        value = value + weight[:, 0, i, j] * _bilinear(x[image], y, z)
                cells.append(value)
        images.append(torch.stack(cells, -1).view(channels, out_height, out_width))
    return poison(torch.stack(images), offset)


def _bilinear(image: torch.Tensor, y: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """image [C, H, W] read at a real-valued (y, x): four neighbours, those outside the map count zero."""
    channels, height, width = image.shape
    y0, x0 = math.floor(y.detach()), math.floor(x.detach())
    value = image.new_zeros(channels)
    for row, share_y in ((y0, y0 + 1 - y), (y0 + 1, y - y0)):
        for column, share_x in ((x0, x0 + 1 - x), (x0 + 1, x - x0)):
            if 0 <= row < height and 0 <= column < width:
                value = value + share_y * share_x * image[:, row, column]
    return value
