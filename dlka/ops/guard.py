"""What the backends without own kernels share: offsets that are not numbers, and batches without pictures."""

from __future__ import annotations

import torch

from dlka.ops.geometry import Geometry

FAR = 1e6  # cells; further than any map, and still exact enough to compute with


def finite(offset: torch.Tensor) -> torch.Tensor:
    """Offsets that are safe to compute with: NaN becomes 0 (see `poison`), infinite and huge ones lie far outside."""
    return offset.masked_fill(offset.isnan(), 0).clamp(-FAR, FAR)


def broken(offset: torch.Tensor) -> torch.Tensor:
    """[N, 1, Ho, Wo]: True where any offset of a cell is NaN."""
    # A maximum keeps NaN: cheaper than a mask of all offsets.
    return offset.detach().amax(1, keepdim=True).isnan()


def poison(out: torch.Tensor, offset: torch.Tensor) -> torch.Tensor:
    """out [N, C, Ho, Wo] with NaN where any offset of a cell is NaN; no gradient flows back from there."""
    return out.masked_fill(broken(offset), float("nan"))


def empty_output(
    x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
) -> torch.Tensor:
    """The result for a batch without pictures, connected to its inputs: training goes on with zero gradients."""
    zero = x.sum() + offset.sum() + weight.sum() + (0 if bias is None else bias.sum())
    return x.new_zeros(0, x.shape[1], *offset.shape[2:]) * zero
