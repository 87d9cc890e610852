"""What the backends without own kernels share: offsets that are not numbers, and batches without pictures."""

from __future__ import annotations

import torch

from dlka.ops.geometry import Geometry

FRAME = 2  # cells of zeros around a map
FAR = 1e6  # cells; further than any map, and still exact enough to compute with


def finite(offset: torch.Tensor) -> torch.Tensor:
    """Offsets that are safe to compute with: NaN becomes 0 (see `poison`), infinite and huge ones lie far outside."""
    return offset.masked_fill(offset.isnan(), 0).clamp(-FAR, FAR)


def broken(offset: torch.Tensor) -> torch.Tensor:
    """[N, 1, Ho, Wo], of a volume [N, 1, Do, Ho, Wo]: True where any offset of a cell is NaN."""
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
    return x.new_zeros(0, weight.shape[0], *offset.shape[2:]) * zero


def framed(x: torch.Tensor, channels: int | None = None) -> torch.Tensor:
    """[N, C, ...] of any memory layout -> [N, ..., channels] in a frame of zeros, filled up with zeros to so many
    channels (default: C).

    Positions are clamped into the frame, so that whatever lies outside the map reads zero without a mask, and so does
    the neighbour one further on.
    """
    cells = x.movedim(1, -1)
    out = x.new_zeros(len(x), *(side + 2 * FRAME for side in x.shape[2:]), channels or x.shape[1])
    inside(out)[..., : x.shape[1]] = cells
    return out


def inside(frame: torch.Tensor) -> torch.Tensor:
    """The map in a frame: [N, ..., C] -> [N, ..., C], a view."""
    for axis in range(1, frame.dim() - 1):
        frame = frame.narrow(axis, FRAME, frame.shape[axis] - 2 * FRAME)
    return frame
