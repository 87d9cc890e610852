"""Which cells a box comes from: the one that won, and those whose boxes the suppression merged into it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torchvision.ops import box_iou

from dlka.errors import DlkaError
from dlka.models.blocks import suppress

FAR = 7680  # letterboxed pixels between the boxes of different classes while they are suppressed; Ultralytics' max_wh
SAME = 0.5  # IoU from which two boxes are of one object, as in dlka.analysis.pairing


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


@dataclass(frozen=True)
class BoxOrigins:
    """A model's answer to one picture before the suppression, and what the suppression made of it.

    output      [4 + classes, cells] float32, boxes as centre and size in letterboxed pixels, scores in 0..1
    levels      [cells] int64, 3 for P3, ...; places [cells, 2] int64, (row, column) on that level's map
    candidates  those that went into the suppression
    """

    output: np.ndarray
    levels: np.ndarray
    places: np.ndarray
    candidates: Candidates

    def index(self, level: int, place: tuple[int, int]) -> int:
        """The index of a cell over all levels. Raises ValueError for a cell that is not there."""
        found = np.flatnonzero((self.levels == level) & (self.places == place).all(axis=1))
        if not len(found):
            raise DlkaError(f"cell: expected one of the maps of this picture, got {place} on P{level}")
        return int(found[0])

    def merged(self, index: int) -> np.ndarray:
        """[n] places in `candidates`, best first, of the boxes that the one of this cell won over."""
        own = self.candidates.index == index
        others = np.flatnonzero(np.isin(self.candidates.owner, self.candidates.owner[own]) & ~own)
        return others[self.candidates.scores[others].argsort()[::-1]]


def candidates(output: torch.Tensor, confidence: float, iou: float, classes: list[int] | None = None) -> Candidates:
    """Repeat the suppression of one picture and keep who won over whom; arguments as in `suppress`.

    The suppression goes through the boxes by score and takes out every later one of the same class with an IoU above
    `iou`: a box that several winners overlap belongs to the best of them.
    """
    # The suppression tells only who won; who went into it is found by its own first step, the scores.
    rows, winners = suppress(output, confidence, iou, classes)
    scores, best = output[0, 4:].max(0)
    allowed = scores > confidence
    if classes is not None:
        allowed &= torch.isin(best, torch.tensor(classes, device=best.device))
    index = allowed.nonzero().view(-1)
    boxes = corners(output[0, :4, index].T)
    # [N, 4]: each class in a region of its own, as boxes of different classes do not suppress each other.
    apart = boxes + FAR * best[index, None]
    won = rows[:, :4] + FAR * rows[:, 5:6]  # far apart as in the suppression, so that IoUs are rounded alike
    overlap, owner = torch.zeros(len(index)), torch.full((len(index),), -1)
    if len(winners):
        overlaps = box_iou(apart, won).cpu()  # [candidates, detections]
        taken = overlaps > iou
        first = taken.int().argmax(dim=1)  # detections come best first
        owner = torch.where(taken.any(dim=1), first, owner)
        # A winner is its own, also where its box has no area and so overlaps not even itself.
        owner[torch.searchsorted(index, winners).cpu()] = torch.arange(len(winners))
        overlap = torch.where(owner < 0, overlap, overlaps[torch.arange(len(index)), owner])
    arrays = (index, scores[index], best[index], boxes, owner, overlap)
    return Candidates(*(a.cpu().numpy() for a in arrays))


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """[N, 4] centre and size -> x1, y1, x2, y2."""
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], dim=1)


def best_cell(output: np.ndarray, number: int, box: np.ndarray) -> tuple[int, float] | None:
    """(index, IoU) of the cell that scores best for a class among those whose boxes overlap a box [4] by SAME or more.

    output [4 + classes, cells] as in BoxOrigins, box x1 y1 x2 y2 in letterboxed pixels. None where there is no such
    cell.
    """
    boxes = corners(torch.from_numpy(output[:4].T))
    overlaps = box_iou(boxes, torch.as_tensor(box, dtype=boxes.dtype)[None])[:, 0].numpy()
    if not (overlaps >= SAME).any():
        return None
    index = int(np.where(overlaps >= SAME, output[4 + number], -1).argmax())
    return index, float(overlaps[index])
