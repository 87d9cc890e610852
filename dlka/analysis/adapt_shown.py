"""A changed picture in words, pictures and numbers: boxes that follow, and samples that do or do not."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from dlka import palette, render
from dlka.analysis import report
from dlka.analysis.adapt import Followed, score_words
from dlka.analysis.analysis import Analysis
from dlka.analysis.pairing import Tracked
from dlka.analysis.transforms import Change
from dlka.render import Canvas, Paper, Seen, before_after
from dlka.types import Detections

OBJECT_COLUMNS = ["model", "object", "size px", "score before", "score after", "what became of it"]
SAMPLE_COLUMNS = ["samples", "before", "after", "ratio"]


def told_change(change: Change) -> str:
    """What was done, in words."""
    parts = []
    if change.shrink < 1:
        parts.append(f"{change.shrink:g} x the size")
    if change.rotate:
        parts.append(f"turned by {abs(change.rotate):g}°{'' if change.rotate > 0 else ' to the left'}")
    if change.right:
        parts.append(f"{abs(change.right):g} % {'right' if change.right > 0 else 'left'}")
    if change.down:
        parts.append(f"{abs(change.down):g} % {'down' if change.down > 0 else 'up'}")
    if change.blur:
        parts.append(f"blurred by {change.blur:g} px")
    if change.brightness < 1:
        parts.append(f"{change.brightness:g} x the brightness")
    return ", ".join(parts) or "as it is"


def headline(seen: Followed) -> str:
    """One sentence a model, and one on the object that is followed."""
    parts = ["Nothing is changed yet: press a preset or move a slider."] if seen.change == Change() else []
    parts += [
        _sentence("D-LKA", "dlka", seen.dlka, len(seen.before.dlka.detections)),
        _sentence("Baseline", "baseline", seen.baseline, len(seen.before.baseline.detections)),
    ]
    if seen.target is None:
        parts.append("There is no object to follow: neither model found one in the picture as it is.")
    elif not seen.inside:
        parts.append(f"The {html.escape(seen.target.name)} has left the picture.")
    else:
        old, new = seen.target.scores, seen.scores
        parts.append(
            f"Score of the {html.escape(seen.target.name)}: "
            f"<span>D-LKA {score_words(old[0])} → <b>{score_words(new[0])}</b>,</span> "
            f"<span>baseline {score_words(old[1])} → <b>{score_words(new[1])}</b>.</span>"
        )
    return f'<div class="headline adapt-headline"><p>{" ".join(parts)}</p></div>'


def _sentence(name: str, side: str, tracked: Tracked, count: int) -> str:
    keeps, more = tracked_words(tracked, count)
    return f'<b style="color:var(--{side})">{name} {keeps}</b>, {more}.'


def tracked_words(tracked: Tracked, count: int) -> tuple[str, str]:
    """What a model keeps of its `count` objects, and what else becomes of them."""
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
    before, after = detections(seen, side)
    tracked: Tracked = getattr(seen, side)
    name, colour = {"baseline": ("Baseline", palette.BASELINE), "dlka": ("D-LKA", palette.DLKA)}[side]
    return render.draw_followed(
        seen.after.image,
        after,
        seen.after.names,
        colour,
        f"{name}: {getattr(seen.after.settings, side)}, {told_change(seen.change)}",
        new=set(tracked.new),
        lost=[(tracked.expected[i], int(before.classes[i])) for i in tracked.lost],
        chosen=seen.box if seen.inside else None,
    )


def detections(seen: Followed, side: str) -> tuple[Detections, Detections]:
    """What "dlka" or "baseline" found before and after."""
    before, after = (getattr(analysis, side).detections for analysis in (seen.before, seen.after))
    return before, after


def sides(seen: Followed, stage: str) -> tuple[Seen, Seen]:
    """A stage at the chosen place, before and after."""

    def side(analysis: Analysis, point: tuple[float, float], box: np.ndarray | None) -> Seen:
        return Seen(analysis.image, analysis.capture(stage), analysis.dlka.letterbox, point, box)

    old = None if seen.target is None else seen.target.box
    return side(seen.before, seen.point_before, old), side(seen.after, seen.point, seen.box)


def samples(seen: Followed, stage: str) -> Paper | None:
    """Where a stage reads at the chosen place, before and after; None once that place has left the picture."""
    return render.draw_before_after(*sides(seen, stage)) if seen.inside else None


def sample_table(seen: Followed, stage: str) -> str:
    """The same in numbers."""
    before, after = sides(seen, stage)
    rows: list[list[Any]] = []
    told = before_after.numbers(before, after if seen.inside else None)
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
    for name, side, tracked in (("D-LKA", "dlka", seen.dlka), ("baseline", "baseline", seen.baseline)):
        before, after = detections(seen, side)
        known: list[tuple[int, int | None, str]] = []
        known += [(i, j, "kept") for i, j in tracked.kept]
        known += [(i, j, "renamed") for i, j in tracked.class_changed]
        known += [(i, None, "lost") for i in tracked.lost] + [(i, None, "left the picture") for i in tracked.left_frame]
        for i, j, what in sorted(known, key=lambda row: before.areas[row[0]]):
            new = "-" if j is None else f"{after.scores[j]:.2f}"
            label = seen.before.names[int(before.classes[i])]
            if j is not None and what == "renamed":
                label += f" → {seen.before.names[int(after.classes[j])]}"
            rows.append([name, label, f"{before.areas[i] ** 0.5:.0f}", f"{before.scores[i]:.2f}", new, what])
        for j in tracked.new:
            label, side_px = seen.before.names[int(after.classes[j])], after.areas[j] ** 0.5
            rows.append([name, label, f"{side_px:.0f}", "-", f"{after.scores[j]:.2f}", "new"])
    return report.table(OBJECT_COLUMNS, rows)
