"""Where box labels go, so that none covers a small object or another label. Plain geometry, no drawing."""

from __future__ import annotations

import numpy as np

Rect = tuple[float, float, float, float]  # left, top, right, bottom


def overlap(rect: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Shared area of one rectangle [4] with each of others [n, 4]."""
    wide = np.minimum(rect[2], others[:, 2]) - np.maximum(rect[0], others[:, 0])
    high = np.minimum(rect[3], others[:, 3]) - np.maximum(rect[1], others[:, 1])
    return np.clip(wide, 0, None) * np.clip(high, 0, None)


def candidates(box: np.ndarray, width: float, height: float, gap: float) -> list[Rect]:
    """Places for a label around a box, best first: above, below, beside, then farther off."""
    left, top, right, bottom = box
    spots = []
    for away in (gap, gap + 1.2 * height, gap + 2.6 * height):
        for x in (left, right - width):
            spots += [(x, top - away - height), (x, bottom + away)]
        spots += [(right + away, top), (left - away - width, top)]
    return [(x, y, x + width, y + height) for x, y in spots]


def place_labels(boxes: np.ndarray, sizes: np.ndarray, frame: tuple[float, float], gap: float) -> list[Rect | None]:
    """A rectangle for each label, or None where no place is free.

    boxes [n, 4] and sizes [n, 2] (width, height) in pixels of the sheet; frame (width, height). Labels stay inside the
    frame, off each other, and off every box that is not clearly larger than its label. Small boxes choose first; a
    label may lie inside the top edge of its own large box.
    """
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    small = areas < 12 * sizes[:, 0] * sizes[:, 1]
    # [taken, 4]: a label may cover a part of a large box, but would hide a small one.
    taken = boxes[small]
    placed: list[Rect | None] = [None] * len(boxes)
    for i in np.argsort(areas, kind="stable"):
        width, height = sizes[i]
        spots = candidates(boxes[i], width, height, gap)
        if not small[i]:
            left, top = boxes[i, :2]
            spots.insert(1, (left, top, left + width, top + height))
        for spot in spots:
            # Slide along the frame's sides, but never past its top or bottom: there another place is better.
            shift = min(max(spot[0], 0), max(frame[0] - width, 0)) - spot[0]
            rect = np.array([spot[0] + shift, spot[1], spot[2] + shift, spot[3]])
            if rect[1] >= 0 and rect[3] <= frame[1] and rect[2] <= frame[0] and not overlap(rect, taken).any():
                placed[i] = (float(rect[0]), float(rect[1]), float(rect[2]), float(rect[3]))
                taken = np.vstack([taken, rect])
                break
    return placed


def leader(rect: Rect, box: np.ndarray) -> tuple[tuple[float, float], tuple[float, float]]:
    """The shortest line from a label to its box: nearest points of the two rectangles."""

    def nearest(low1: float, high1: float, low2: float, high2: float) -> tuple[float, float]:
        if high1 < low2:
            return high1, low2
        if high2 < low1:
            return low1, high2
        middle = (max(low1, low2) + min(high1, high2)) / 2
        return middle, middle

    (x1, x2), (y1, y2) = nearest(rect[0], rect[2], box[0], box[2]), nearest(rect[1], rect[3], box[1], box[3])
    return (x1, y1), (x2, y2)
