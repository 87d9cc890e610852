"""Labels from a teacher for pictures that have none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from dlka.images import read_image
from dlka.inference.predictor import Predictor


def pseudo_label(teacher: Predictor, pictures: Sequence[Path], out: Path, confidence: float, size: int) -> int:
    """Write out/images (links) and out/labels (YOLO text) for pictures; returns how many boxes are new.

    The teacher looks at `size` pixels, larger than the student trains at: what it finds there and the student would
    miss is what there is to learn. Boxes below `confidence` are left out. Pictures that have labels there are not
    looked at again.
    """
    boxes = 0
    (out / "images").mkdir(parents=True, exist_ok=True)
    (out / "labels").mkdir(parents=True, exist_ok=True)
    for picture in pictures:
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
        unfinished = label.with_suffix(".partial")
        unfinished.write_text("\n".join(lines))
        os.replace(unfinished, label)  # whole or not at all: a kill may come at any time
        boxes += len(lines)
    return boxes
