"""The numbers of a run as pieces of HTML, for the page and for the report alike."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any

from dlka import palette
from dlka.truth import Counts
from dlka.truth.counts import AGREEMENTS, of
from dlka.truth.verdict import BASELINE, BOTH, DLKA, NEITHER, OPEN
from dlka.types import KINDS, SIZES
from dlka.ui import tables
from dlka.ui.many.looks import Disagreement, ManyLooks, Row

MODELS = ("D-LKA", "baseline")
COLOURS = {"D-LKA": "var(--dlka)", "baseline": "var(--baseline)"}
COLUMNS = ["picture", "size px", "area px", "object", "found by", "D-LKA score", "baseline score", "change"]
JUDGED = ["right", "ground truth"]  # more columns where there are labels
RIGHT = {DLKA: "D-LKA", BASELINE: "baseline", BOTH: "both", NEITHER: "neither", OPEN: "not counted"}
BINS = ("S, under 32²", "M, under 96²", "L, above", "all")


def summary(many: ManyLooks) -> str:
    """What was compared, what was found by whom and how large, and what the labels say about it."""
    done = [row for row in many.rows if row.size]
    parts = [f"<p>{_plural(len(done), 'picture')} compared{_failed(many)}.</p>", tables.found(many.comparison)]
    if many.truth is not None:
        parts += [_judged(many, many.truth), _agreement(many)]
    return "".join(parts)


def progress(done: int, total: int, name: str) -> str:
    """How far a run is, and which picture is looked at."""
    told = f"Picture {done + 1} of {total}: {name}"
    bar = f'<progress max="{total}" value="{done}" aria-label="pictures compared"></progress>'
    return f'<div class="many-progress"><p role="status">{html.escape(told)}</p>{bar}</div>'


def sentences(told: Sequence[str]) -> str:
    """A paragraph each."""
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in told)


def pictures(many: ManyLooks) -> str:
    """One row a picture, in the order they came in."""
    columns = ["picture", "px", "objects", *KINDS]
    judged = many.truth is not None
    if judged:
        columns += ["labelled", *(f"{model} {what}" for what in ("hits", "misses", "false alarms") for model in MODELS)]
    problems = any(row.problem for row in many.rows)
    return tables.table(
        [*columns, *(["remark"] if problems else [])],
        [_picture(row, judged) + ([row.problem] if problems else []) for row in many.rows],
    )


def disagreement(found: Disagreement) -> list[str]:
    """A disagreement in numbers, under COLUMNS and, where it is judged, JUDGED."""
    row = found.row
    scores = [f"{row[side]:.2f}" if row[side] is not None else "-" for side in ("dlka_score", "baseline_score")]
    cells = [found.file, row["size"], f"{row['area']:.0f}", row["class"], row["kind"], *scores]
    cells.append(f"{row['score_change']:+.2f}")
    return cells if found.verdict is None else [*cells, RIGHT[found.verdict.right], found.verdict.told]


def caption(found: Disagreement) -> str:
    """The same in one sentence: what a close-up shows."""
    row = found.row
    side = round(row["area"] ** 0.5)
    said = "" if found.verdict is None else f"; {found.verdict.told}"
    return f"{found.file}: {row['class']}, {row['kind']}, about {side} px wide and high{said}"


def left_out(many: ManyLooks, shown: int) -> str:
    """How many disagreements there are, and whether all are shown."""
    if many.number <= shown:
        return f"{_plural(many.number, 'disagreement')}, smallest first"
    return f"the {shown} smallest of {many.number:,} disagreements, {many.number - shown:,} larger ones left out"


def _picture(row: Row, judged: bool) -> list[Any]:
    if row.size is None:
        return [row.file, *["-"] * (2 + len(KINDS) + 7 * judged)]
    cells: list[Any] = [row.file, f"{row.size[1]} x {row.size[0]}", row.kinds.total(), *(row.kinds[k] for k in KINDS)]
    if not judged:
        return cells
    if row.truth is None:
        return [*cells, "none", *["-"] * 6]
    figures = [of(counter, None) for name in ("hits", "misses", "false_alarms") for counter in _both(row.truth, name)]
    return [*cells, row.truth[0].objects(), *figures]


def _both(counts: tuple[Counts, Counts], name: str) -> list[Any]:
    return [getattr(side, name) for side in counts]


def _judged(many: ManyLooks, counts: tuple[Counts, Counts]) -> str:
    """Hits, misses, false alarms, recall and precision of both models by size."""
    labelled = sum(row.truth is not None for row in many.rows)
    unlabelled = sum(row.truth is None for row in many.rows if row.size)
    told = (
        f"<p>{_plural(counts[0].objects(), 'labelled object')} in {_plural(labelled, 'picture')}"
        + (f"; {_plural(unlabelled, 'picture')} without usable labels not judged" if unlabelled else "")
        + "."
    )
    if many.right:
        told += (
            f" Where the two disagree there, <b style='color:{COLOURS[DLKA]}'>D-LKA is right {many.right[DLKA]}</b> and"
            f" <b style='color:{COLOURS[BASELINE]}'>the baseline {many.right[BASELINE]}</b> times."
        )
    figures: list[tuple[str, Callable[[Counts, str | None], str]]] = [
        ("hits", lambda c, size: str(of(c.hits, size))),
        ("misses", lambda c, size: str(of(c.misses, size))),
        ("false alarms", lambda c, size: str(of(c.false_alarms, size))),
        ("recall", lambda c, size: _percent(c.recall(size))),
        ("precision", lambda c, size: _percent(c.precision(size))),
    ]
    every = (*SIZES, None)
    body = [("labelled objects", "", [str(counts[0].objects(size)) for size in every])]
    for what, figure in figures:
        for model, own in zip(MODELS, counts):
            body.append((f"{what}, {model}", COLOURS[model], [figure(own, size) for size in every]))
    return told + "</p>" + _sizes("ground truth", body)


def _agreement(many: ManyLooks) -> str:
    """Which labelled objects only one of the two hit."""
    colours = dict(zip(AGREEMENTS, (palette.KIND_COLOURS["both"], *COLOURS.values(), "var(--missed)")))
    body = []
    for which in AGREEMENTS:
        numbers = [many.agreement[which, size] for size in SIZES]
        body.append((which, colours[which], [str(n) for n in (*numbers, sum(numbers))]))
    return _sizes("labelled objects", body)


def _sizes(corner: str, body: Sequence[tuple[str, str, Sequence[str]]]) -> str:
    """A table by size; body: rows of (name, colour of its mark or "", a cell for each of BINS)."""
    head = "".join(f'<th scope="col">{name}</th>' for name in BINS)
    rows = "".join(
        f'<tr><th scope="row">{tables.chip(name, colour) if colour else html.escape(name)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, colour, cells in body
    )
    return f'<div class="headline"><table><tr><th scope="col">{corner}</th>{head}</tr>{rows}</table></div>'


def _failed(many: ManyLooks) -> str:
    failed = sum(row.size is None for row in many.rows)
    return f", {failed} could not be (see the remarks)" if failed else ""


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
