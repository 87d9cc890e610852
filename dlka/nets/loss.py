"""What the 3D net is trained by: soft Dice and cross-entropy, summed, on the map of every head."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

SMOOTH = 1e-5


def soft_dice_loss(scores: Tensor, labels: Tensor) -> Tensor:
    """1 minus the mean soft Dice of all classes but the background (class 0), each over the whole batch.

    scores [N, classes, ...], before softmax; labels [N, ...], whole numbers. Returns a number in 0..1.
    """
    chances = scores.softmax(1).movedim(1, -1).flatten(0, -2)
    truth = F.one_hot(labels.flatten(), scores.shape[1]).to(chances)
    both, either = (chances * truth).sum(0)[1:], (chances + truth).sum(0)[1:]
    return 1 - ((2 * both + SMOOTH) / (either + SMOOTH)).mean()


def segmentation_loss(outputs: Tensor | Sequence[Tensor], labels: Tensor) -> Tensor:
    """Soft Dice plus cross-entropy; of several heads the weighted mean, each worth half of the one before it.

    outputs: scores [N, classes, ...], or a list of them, the finest first: three weigh 4/7, 2/7 and 1/7. labels
    [N, ...], whole numbers, of the finest size; for the others they are sampled at the nearest cell.
    """
    heads = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    weights = [2.0**-i for i in range(len(heads))]
    total = torch.zeros((), device=labels.device)
    for weight, scores in zip(weights, heads):
        small = F.interpolate(labels.unsqueeze(1).float(), scores.shape[2:], mode="nearest-exact")[:, 0].long()
        total = total + weight * (soft_dice_loss(scores, small) + F.cross_entropy(scores, small))
    return total / sum(weights)
