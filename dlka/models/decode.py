"""From a detection model's raw output to boxes, with the cell that each one came from. Ultralytics' own suppression."""

from __future__ import annotations

import torch
from ultralytics.utils.nms import non_max_suppression


def suppress(
    output: torch.Tensor, confidence: float, iou: float, classes: list[int] | None = None, multi_label: bool = False
) -> tuple[torch.Tensor, torch.Tensor]:
    """Non-maximum suppression of one picture.

    output [1, 4 + nc, cells], boxes as centre and size in letterboxed pixels, scores in 0..1
    confidence, iou in 0..1; classes: ids to keep, None for all; multi_label: a cell may give several classes
    Returns rows [N, 6] (x1, y1, x2, y2, score, class), best first, and the index [N] of each row's cell.
    """
    rows, index = non_max_suppression(
        output, confidence, iou, classes=classes, multi_label=multi_label, max_det=300, return_idxs=True
    )
    return rows[0], index[0].view(-1).long()
