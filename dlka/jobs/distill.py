"""Learning from a teacher: pseudo-labels for pictures that have none, and soft targets for every picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from ultralytics.utils.loss import v8DetectionLoss

from dlka.images import read_image
from dlka.inference.predictor import Predictor
from dlka.jobs.dataset import PICTURES


def pseudo_label(teacher: Predictor, pictures: Path, out: Path, confidence: float, size: int) -> int:
    """Write out/images (links) and out/labels (YOLO text) for a folder of pictures; returns how many boxes.

    The teacher looks at `size` pixels, larger than the student trains at: what it finds there and the student would
    miss is what there is to learn. Boxes below `confidence` are left out.
    """
    boxes = 0
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "labels").mkdir(parents=True, exist_ok=True)
    for picture in sorted(p for p in pictures.iterdir() if p.suffix.lower() in PICTURES):
        link, label = out / "images" / picture.name, out / "labels" / f"{picture.stem}.txt"
        if label.exists():
            continue
        image = read_image(picture)
        found = teacher.predict(image, confidence=confidence, size=size).detections
        height, width = image.shape[:2]
        lines = []
        for (x1, y1, x2, y2), number in zip(found.boxes / [width, height, width, height], found.classes):
            lines.append(f"{number} {(x1 + x2) / 2:.6f} {(y1 + y2) / 2:.6f} {x2 - x1:.6f} {y2 - y1:.6f}")
        if not link.exists():
            link.symlink_to(picture.resolve())
        label.write_text("\n".join(lines))
        boxes += len(lines)
    return boxes


class DistillationLoss:
    """YOLOv8's loss on labels, plus soft targets from a frozen teacher on the same augmented picture.

    Classes: divergence from the teacher's probabilities. Boxes: divergence from the teacher's distribution of
    each side (Li et al., "Generalized Focal Loss", arXiv:2006.04388, gives the distributions), weighted by how sure
    the teacher is of the cell. Features: mean squared difference of the maps that enter the detection head, which
    lets replaced blocks find back to what the copied head expects; `feature_weight` fades while training goes on.
    """

    def __init__(self, model: nn.Module, teacher: nn.Module) -> None:
        self.labels = v8DetectionLoss(model)
        self.teacher = teacher
        self.soft_weight = 2.0
        self.feature_weight = 1.0

    def __call__(self, preds: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Losses times the batch size, as the trainer wants them, and their parts for the log."""
        loss, items = self.labels(preds, batch)
        student = self.labels.parse_output(preds)
        if not student["scores"].requires_grad:  # validation reports the loss on labels
            zero = loss.new_zeros(())
            return torch.cat([loss, loss.new_zeros(3)]), {**items, "soft_cls": zero, "soft_box": zero, "feature": zero}
        with torch.no_grad():
            teacher = self.labels.parse_output(self.teacher(batch["img"]))
        probability = teacher["scores"].sigmoid()
        sure = probability.amax(1)  # [N, cells]
        total = sure.sum().clamp_min(1)
        # Minus the teacher's own entropy: what is left is a divergence, zero where both agree.
        entropy = F.binary_cross_entropy_with_logits(teacher["scores"], probability, reduction="none")
        crossed = F.binary_cross_entropy_with_logits(student["scores"], probability, reduction="none")
        soft_cls = (crossed - entropy).sum() / total
        n, _, cells = student["boxes"].shape
        sides = [p["boxes"].view(n, 4, -1, cells) for p in (student, teacher)]
        divergence = F.kl_div(sides[0].log_softmax(2), sides[1].log_softmax(2), reduction="none", log_target=True)
        soft_box = (divergence.sum((1, 2)) * sure).sum() / total / 4
        feature = torch.stack([F.mse_loss(s, t) / t.var() for s, t in zip(student["feats"], teacher["feats"])]).mean()
        parts = torch.stack([self.soft_weight * soft_cls, self.soft_weight * soft_box, self.feature_weight * feature])
        items = {**items, "soft_cls": parts[0].detach(), "soft_box": parts[1].detach(), "feature": parts[2].detach()}
        return torch.cat([loss, parts * n]), items
