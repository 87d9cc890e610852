"""A drawn data set that a detector can be trained on in seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def draw(root: Path, part: str, count: int) -> None:
    """Pictures 80x64 with one bright square of 16 px each on dark noise, and where it is."""
    random = np.random.default_rng(0)
    for kind in ("images", "labels"):
        (root / kind / part).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        image = random.integers(0, 60, (64, 80, 3), np.uint8)
        x, y = random.integers(0, 48, 2)
        image[y : y + 16, x : x + 16] = 230
        cv2.imwrite(str(root / "images" / part / f"{i}.png"), image)
        row = f"0 {(x + 8) / 80} {(y + 8) / 64} {16 / 80} {16 / 64}"
        (root / "labels" / part / f"{i}.txt").write_text(row)
