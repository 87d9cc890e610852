"""The analysis of a changed picture, without gradio: what is followed, and what became of every object."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlka.analysis.analysis import Analysis, analyse_pixels
from dlka.analysis.pairing import Tracked, best_score, expected_boxes, track
from dlka.analysis.transforms import Change, apply, map_points
from dlka.errors import DlkaError

OVERLAP = 0.5  # IoU from which a box counts as the object again
PRESETS = {
    "As it is": Change(),
    "Half size": Change(shrink=0.5),
    "Quarter turn": Change(rotate=90),
    "Blur": Change(blur=4),
    "Dusk": Change(brightness=0.25),
}


@dataclass(frozen=True)
class Target:
    """An object of the unchanged picture: box [4] at pixel edges (D-LKA's where it has one), class, scores of both."""

    box: np.ndarray
    class_id: int
    name: str
    scores: tuple[float, float]

    @property
    def side(self) -> float:
        """Square root of the box area, px of the picture."""
        return float(np.sqrt((self.box[2:] - self.box[:2]).prod()))

    @property
    def point(self) -> tuple[float, float]:
        """(x, y): middle of the box, at pixel centres."""
        x, y = (self.box[:2] + self.box[2:]) / 2 - 0.5
        return float(x), float(y)


def targets(analysis: Analysis) -> list[Target]:
    """What can be followed: everything that either model found, smallest first."""
    found = []
    for pair in analysis.pairing.pairs:
        detections, i = analysis.pairing.shown(pair)
        box, class_id = detections.boxes[i].astype(np.float64), int(detections.classes[i])
        sides = analysis.pairing.first, analysis.pairing.second
        dlka, baseline = (best_score(side, box, class_id, OVERLAP) for side in sides)
        found.append(Target(box, class_id, analysis.names[class_id], (dlka, baseline)))
    return found


def score_words(score: float) -> str:
    """A score for people; 0 stands for no box."""
    return f"{score:.2f}" if score else "none"


def labels(found: list[Target]) -> list[str]:
    """What the targets are called in a list, with size and scores."""
    return [
        f"{i}. {t.name}, {t.side:.0f} px, D-LKA {score_words(t.scores[0])}, baseline {score_words(t.scores[1])}"
        for i, t in enumerate(found, start=1)
    ]


def nearest(found: list[Target], point: tuple[float, float]) -> int | None:
    """The target whose middle is nearest to a point (x, y); None where there is none."""
    away = [np.hypot(t.point[0] - point[0], t.point[1] - point[1]) for t in found]
    return int(np.argmin(away)) if away else None


def surest(found: list[Target]) -> int | None:
    """The target that both models are surest of, by the lower of their scores; None where there is none."""
    return max(range(len(found)), key=lambda number: min(found[number].scores), default=None)


def target(analysis: Analysis, number: int | None) -> Target | None:
    """The target of this number, None for no object. Raises DlkaError for a number that the picture does not have."""
    if number is None:
        return None
    found = targets(analysis)
    if not 0 <= number < len(found):
        raise DlkaError(f"Object: expected 1 to {len(found)} for this picture; got {number + 1}.")
    return found[number]


@dataclass(frozen=True, eq=False)
class Followed:
    """Two looks, at the picture as it is and changed, and what became of one object.

    moved: the matrix of the change; point_before, point (x, y): the chosen place in both; box: where the target must
    be, clipped to the picture; inside: whether it is still on the picture; dlka, baseline: fates of all objects.
    """

    before: Analysis
    after: Analysis
    moved: np.ndarray
    change: Change
    target: Target | None
    point_before: tuple[float, float]
    point: tuple[float, float]
    box: np.ndarray | None
    inside: bool
    dlka: Tracked
    baseline: Tracked

    @property
    def scores(self) -> tuple[float, float]:
        """(D-LKA, baseline): best score of the target's class at its new place, 0 for none."""
        if self.target is None or self.box is None or not self.inside:
            return 0.0, 0.0
        sides = self.after.dlka.detections, self.after.baseline.detections
        dlka, baseline = (best_score(side, self.box, self.target.class_id, OVERLAP) for side in sides)
        return dlka, baseline


def follow(analysis: Analysis, change: Change, number: int | None, point: tuple[float, float]) -> Followed:
    """Let both models look at the changed picture; point (x, y): what is followed where there is no object."""
    image, moved = apply(analysis.image, change)
    after = analyse_pixels(image, analysis.settings)
    size = (image.shape[0], image.shape[1])
    chosen = target(analysis, number)
    place = point if chosen is None else chosen.point
    x, y = (float(v) for v in map_points(np.array(place), moved))
    box, inside = None, 0 <= x < size[1] and 0 <= y < size[0]
    if chosen is not None:
        boxes, seen = expected_boxes(chosen.box[None], moved, size)
        box, inside = boxes[0], inside and bool(seen[0])
    left, right = (
        track(getattr(analysis, side).detections, getattr(after, side).detections, moved, size)
        for side in ("dlka", "baseline")
    )
    return Followed(analysis, after, moved, change, chosen, place, (x, y), box, inside, left, right)
