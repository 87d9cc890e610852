"""What networks that segment are trained by: soft Dice and cross-entropy, summed, at every size that they give out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F

SMOOTH = 1e-5


def segmentation_loss(outputs: torch.Tensor | Sequence[torch.Tensor], labels: torch.Tensor) -> torch.Tensor:
    """outputs: logits [N, classes, *map], or a list of them at several sizes, the full one first, each of which counts
    half as much as the one before (4/7, 2/7, 1/7 of three); labels: int64 [N, *space], for smaller maps those of the
    nearest cells. Returns a scalar."""
    outputs = [outputs] if isinstance(outputs, torch.Tensor) else list(outputs)
    shares = [2.0**-i for i in range(len(outputs))]
    total = labels.new_zeros((), dtype=torch.float32)
    for share, logits in zip(shares, outputs):
        size = logits.shape[2:]
        there = labels if labels.shape[1:] == size else F.interpolate(labels[:, None].float(), size).long()[:, 0]
        own = F.cross_entropy(logits.float(), there) + soft_dice(logits.float(), there)
        total = total + share / sum(shares) * own
    return total


def soft_dice(logits: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """One minus the mean over classes, without the background, of Dice with probabilities, over the whole batch."""
    shares = logits.softmax(1)
    true = F.one_hot(labels, logits.shape[1]).movedim(-1, 1).to(shares.dtype)
    over = [0, *range(2, logits.dim())]
    both, all_ = (shares * true).sum(over)[1:], (shares + true).sum(over)[1:]
    return 1 - ((2 * both + SMOOTH) / (all_ + SMOOTH)).mean()
