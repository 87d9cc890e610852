"""The analysis of a changed picture, without gradio: what is followed, what became of every object; and that in words,
pictures and numbers."""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import numpy as np

from dlka import render
from dlka.analysis import report
from dlka.analysis.analysis import Analysis, analyse_pixels
from dlka.analysis.box_figures import COLOURS
from dlka.analysis.boxes import SIDES, TITLES
from dlka.analysis.pairing import Tracked, best_score, expected_boxes, track
from dlka.analysis.transforms import Change, apply, map_points
from dlka.errors import DlkaError
from dlka.render import Canvas, Paper, Side, close_ups
from dlka.types import Detections

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
    found, pairing = [], analysis.pairing
    for pair in pairing.pairs:
        detections, i = pairing.shown(pair)
        box, class_id = detections.boxes[i].astype(np.float64), int(detections.classes[i])
        dlka, baseline = (best_score(side, box, class_id, OVERLAP) for side in (pairing.first, pairing.second))
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
    tracked = (
        track(getattr(analysis, side).detections, getattr(after, side).detections, moved, size) for side in SIDES
    )
    return Followed(analysis, after, moved, change, chosen, place, (x, y), box, inside, *tracked)


OBJECT_COLUMNS = ["model", "object", "size px", "score before", "score after", "what became of it"]
SAMPLE_COLUMNS = ["samples", "before", "after", "ratio"]


def told_change(change: Change) -> str:
    """What was done, in words."""
    told = {
        "shrink": f"{change.shrink:g} x the size",
        "rotate": f"turned by {abs(change.rotate):g}°{'' if change.rotate > 0 else ' to the left'}",
        "right": f"{abs(change.right):g} % {'right' if change.right > 0 else 'left'}",
        "down": f"{abs(change.down):g} % {'down' if change.down > 0 else 'up'}",
        "blur": f"blurred by {change.blur:g} px",
        "brightness": f"{change.brightness:g} x the brightness",
    }
    done = [words for name, words in told.items() if getattr(change, name) != getattr(Change, name)]
    return ", ".join(done) or "as it is"


def headline(seen: Followed) -> str:
    """One sentence a model, and one on the object that is followed."""
    parts = ["Nothing is changed yet: press a preset or move a slider."] if seen.change == Change() else []
    for side, name in TITLES.items():
        keeps, more = tracked_words(seen, side)
        parts.append(f'<b style="color:var(--{side})">{name} {keeps}</b>, {more}.')
    if seen.target is None:
        parts.append("There is no object to follow: neither model found one in the picture as it is.")
    elif not seen.inside:
        parts.append(f"The {html.escape(seen.target.name)} has left the picture.")
    else:
        old, new = (map(score_words, scores) for scores in (seen.target.scores, seen.scores))
        both = [f"<span>{name} {a} → <b>{b}</b>" for name, a, b in zip(SIDES.values(), old, new)]
        parts.append(f"Score of the {html.escape(seen.target.name)}: {both[0]},</span> {both[1]}.</span>")
    return f'<div class="headline adapt-headline"><p>{" ".join(parts)}</p></div>'


def tracked_words(seen: Followed, side: str) -> tuple[str, str]:
    """What "dlka" or "baseline" keeps of its objects, and what else becomes of them."""
    tracked: Tracked = getattr(seen, side)
    count = len(detections(seen, side)[0])
    more = [f"loses {len(tracked.lost)}"] if count else []
    more.append(f"finds {len(tracked.new)} new")
    if tracked.class_changed:
        more.insert(0, f"renames {len(tracked.class_changed)}")
    if tracked.left_frame:
        more.append(f"{len(tracked.left_frame)} left the picture")
    keeps = f"keeps {len(tracked.kept)} of {count}" if count else "had found nothing"
    return keeps, ", ".join(more)


def boxes(seen: Followed, side: str) -> Canvas:
    """The changed picture with the boxes of "dlka" or "baseline", and dotted what it lost."""
    (before, after), settings = detections(seen, side), seen.after.settings
    tracked: Tracked = getattr(seen, side)
    return render.draw_followed(
        *(seen.after.image, after, seen.after.names, COLOURS[side]),
        f"{TITLES[side]}: {getattr(settings, side)}, {told_change(seen.change)}",
        new=set(tracked.new),
        lost=[(tracked.expected[i], int(before.classes[i])) for i in tracked.lost],
        chosen=seen.box if seen.inside else None,
    )


def detections(seen: Followed, side: str) -> tuple[Detections, Detections]:
    """What "dlka" or "baseline" found before and after."""
    before, after = (getattr(analysis, side).detections for analysis in (seen.before, seen.after))
    return before, after


def sides(seen: Followed, stage: str) -> tuple[Side, Side]:
    """A stage at the chosen place, before and after."""

    def side(analysis: Analysis, point: tuple[float, float], box: np.ndarray | None) -> Side:
        return Side(analysis.image, analysis.capture(stage), analysis.dlka.letterbox, point, box)

    old = None if seen.target is None else seen.target.box
    return side(seen.before, seen.point_before, old), side(seen.after, seen.point, seen.box)


def samples(seen: Followed, stage: str) -> Paper | None:
    """Where a stage reads at the chosen place, before and after; None once that place has left the picture."""
    return render.draw_before_after(*sides(seen, stage)) if seen.inside else None


def sample_table(seen: Followed, stage: str) -> str:
    """The same in numbers."""
    before, after = sides(seen, stage)
    rows: list[list[Any]] = []
    told = close_ups.numbers(before, after if seen.inside else None)
    if seen.target is not None:
        side = seen.target.side  # not that of the upright box around it, which grows as it turns
        turned = ("object turned by, °", (0.0, seen.change.rotate))
        told = [("size of the object, px", (side, side * seen.change.shrink)), turned, *told]
    for name, (old, new) in told:
        form = ".0%" if name.startswith("samples in") else "+.1f" if name.endswith("°") else ".2f"
        texts = ["-" if v is None else f"{v:{form}}" for v in (old, new)]
        rows.append([name, *texts, f"{new / old:.2f}" if new is not None and old and form == ".2f" else "-"])
    return report.table(SAMPLE_COLUMNS, rows)


def object_table(seen: Followed) -> str:
    """What became of every object of either model; sizes are those of the picture as it is, of new ones as found."""
    rows: list[list[str]] = []
    names = seen.before.names
    for side, model in SIDES.items():
        (before, after), tracked = detections(seen, side), getattr(seen, side)
        known: list[tuple[int, int | None, str]] = []
        known += [(i, j, "kept") for i, j in tracked.kept] + [(i, j, "renamed") for i, j in tracked.class_changed]
        known += [(i, None, "lost") for i in tracked.lost] + [(i, None, "left the picture") for i in tracked.left_frame]
        for i, j, what in sorted(known, key=lambda row: before.areas[row[0]]):
            new = "-" if j is None else f"{after.scores[j]:.2f}"
            label = names[int(before.classes[i])]
            label += f" → {names[int(after.classes[j])]}" if what == "renamed" else ""
            rows.append([model, label, f"{before.areas[i] ** 0.5:.0f}", f"{before.scores[i]:.2f}", new, what])
        for j in tracked.new:
            size, score = f"{after.areas[j] ** 0.5:.0f}", f"{after.scores[j]:.2f}"
            rows.append([model, names[int(after.classes[j])], size, "-", score, "new"])
    return report.table(OBJECT_COLUMNS, rows)
