"""Which cells a box comes from: the one that won, and those whose boxes the suppression merged into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import box_iou

from dlka.models.decode import suppress

FAR = 7680  # letterboxed pixels between the boxes of different classes while they are suppressed; Ultralytics' max_wh
SAME = 0.5  # IoU from which two boxes are of one object, as in dlka.compare


@dataclass(frozen=True)
class Candidates:
    """All boxes of a picture that went into the suppression: those of cells whose best score is high enough.

    index   [N] int64, cell over all levels, finest level first and row-major
    scores  [N] float32, the best class' score; classes [N] int64
    boxes   [N, 4] float32, x1 y1 x2 y2 in letterboxed pixels
    owner   [N] int64, place of the detection (in the order of Detections) that won over this box, or is this box; -1
            where that detection was left out, as there were too many
    overlap [N] float32, IoU with the owner's box, 1 for the winner
    """

    index: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    owner: np.ndarray
    overlap: np.ndarray


def candidates(output: torch.Tensor, confidence: float, iou: float, classes: list[int] | None = None) -> Candidates:
    """Repeat the suppression of one picture and keep who won over whom; arguments as in `suppress`.

    The suppression goes through the boxes by score and takes out every later one of the same class with an IoU above
    `iou`: a box that several winners overlap belongs to the best of them.
    """
    rows, winners = suppress(output, confidence, iou, classes)
    scores, best = output[0, 4:].max(0)
    allowed = scores > confidence
    if classes is not None:
        allowed &= torch.isin(best, torch.tensor(classes, device=best.device))
    index = allowed.nonzero().view(-1)
    boxes = corners(output[0, :4, index].T)
    apart = boxes + FAR * best[index, None]
    won = rows[:, :4] + FAR * rows[:, 5:6]  # far apart as in the suppression, so that IoUs are rounded alike
    overlap, owner = torch.zeros(len(index)), torch.full((len(index),), -1)
    if len(winners):
        overlaps = box_iou(apart, won).cpu()  # [candidates, detections]
        taken = overlaps > iou
        first = taken.int().argmax(dim=1)  # detections come best first
        owner = torch.where(taken.any(dim=1), first, owner)
        owner[torch.searchsorted(index, winners).cpu()] = torch.arange(len(winners))
        overlap = torch.where(owner < 0, overlap, overlaps[torch.arange(len(index)), owner])
    arrays = (index, scores[index], best[index], boxes, owner, overlap)
    return Candidates(*(a.cpu().numpy() for a in arrays))


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """[N, 4] centre and size -> x1, y1, x2, y2."""
    half = boxes[:, 2:] / 2
    return torch.cat([boxes[:, :2] - half, boxes[:, :2] + half], dim=1)


def best_cell(output: torch.Tensor, number: int, box: np.ndarray) -> tuple[int, float] | None:
    """(index, IoU) of the cell that scores best for a class among those whose boxes overlap a box [4] by SAME or more.

    output as in `suppress`, box x1 y1 x2 y2 in letterboxed pixels. None where there is no such cell.
    """
    target = torch.as_tensor(box, dtype=output.dtype, device=output.device)[None]
    overlaps = box_iou(corners(output[0, :4].T), target)[:, 0]
    fits = overlaps >= SAME
    if not fits.any():
        return None
    index = int(torch.where(fits, output[0, 4 + number], -1).argmax())
    return index, float(overlaps[index])
