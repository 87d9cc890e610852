"""The numbers of a run as pieces of HTML, for the page and for the report alike."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlka import palette
from dlka.analysis import report
from dlka.analysis.bootstrap import MEASURES, interval, replicates, resamples
from dlka.analysis.judging import AGREEMENTS, BASELINE, BOTH, DLKA, NEITHER, OPEN, Counts, of
from dlka.analysis.labels import count
from dlka.analysis.many.analyses import MISSED, Finding, ManyAnalyses, Row
from dlka.types import KIND_NAMES, SIZES, SMALL_AREA, size_of

MODELS = ("D-LKA", "baseline")
COLOURS = {"D-LKA": "var(--dlka)", "baseline": "var(--baseline)"}
COLUMNS = ["picture", "size px", "area px", "object", "found by", "D-LKA score", "baseline score", "change"]
JUDGED = ["right", "ground truth"]  # where there are labels
RIGHT = {DLKA: "D-LKA", BASELINE: "baseline", BOTH: "both", NEITHER: "neither", OPEN: "not counted"}
BINS = (*SIZES, "all")


def summary(many: ManyAnalyses) -> str:
    """What was compared, what was found by whom and how large, and what the labels say about it."""
    done = [row for row in many.rows if row.size]
    failed = len(many.rows) - len(done)
    sentence = f"{count(len(done), 'picture')} compared" + (f", {failed} could not be" if failed else "")
    found, judged = report.found(many.pairs) if done else "", ""
    if many.truth is not None:
        found, judged = found + _agreement(many) + _precision(precisions(many)), _judged(many, many.truth)
    return f'<p>{sentence}.</p><div class="many-sizes"><div>{found}</div><div>{judged}</div></div>'


def progress(done: int, total: int, name: str) -> str:
    """How far a run is, and which picture is looked at."""
    told = f"Picture {done + 1} of {total}: {name}"
    bar = f'<progress max="{total}" value="{done}" aria-label="pictures compared"></progress>'
    return f'<div class="many-progress"><p role="status">{html.escape(told)}</p>{bar}</div>'


def waiting() -> str:
    """Before a run begins: another one may be under way."""
    return '<div class="many-progress"><p role="status">Waiting for its turn</p><progress></progress></div>'


def sentences(told: Sequence[str]) -> str:
    """A paragraph each."""
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in told)


def pictures(many: ManyAnalyses) -> str:
    """One row a picture, in the order they came in; one that could not be compared or judged says why."""
    heads = ["picture", "px", "objects", *KIND_NAMES.values()]
    judged = many.judged
    if judged:
        heads += ["labelled", "hits", "misses", "false alarms"]
    head = "".join(f'<th scope="col">{html.escape(name)}</th>' for name in heads)
    body = "".join(f"<tr>{_picture(row, judged)}</tr>" for row in many.rows)
    told = '<p class="quiet">Hits, misses and false alarms: D-LKA / baseline.</p>' if judged else ""
    box = '<div class="sheet many-all" tabindex="0" role="region" aria-label="All pictures">'
    return f"{told}{box}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"


def columns(many: ManyAnalyses) -> list[str]:
    """The heads of what `finding` tells."""
    return [*COLUMNS, *(JUDGED if many.judged else [])]


def finding(many: ManyAnalyses, found: Finding) -> list[str]:
    """A finding in numbers, under `columns`."""
    scores = ["-" if score is None else f"{score:.2f}" for score in found.scores]
    by = "neither" if found.kind == MISSED else found.kind
    cells = [found.file, size_of(found.area), f"{found.area:.0f}", found.name, by, *scores]
    cells.append("-" if found.kind == MISSED else f"{(found.scores[0] or 0) - (found.scores[1] or 0):+.2f}")
    if not many.judged:
        return cells
    return [*cells, *((RIGHT[found.verdict.right], found.verdict.told) if found.verdict else ("-", "no labels"))]


def caption(found: Finding) -> str:
    """The same in one sentence: what a close-up shows."""
    x1, y1, x2, y2 = found.box
    kind = "labelled" if found.kind == MISSED else "found by both" if found.kind == "both" else found.kind
    said = "" if found.verdict is None else f"; {found.verdict.told}"
    return f"{found.file}: {found.name}, {kind}, {x2 - x1:.0f} x {y2 - y1:.0f} px{said}"


def _picture(row: Row, judged: bool) -> str:
    """The cells of a picture."""
    if row.size is None:
        return _cells(row.file) + f'<td colspan="{2 + len(KIND_NAMES) + 4 * judged}">{html.escape(row.problem)}</td>'
    height, width = row.size
    cells = _cells(row.file, f"{width} x {height}", row.kinds.total(), *(row.kinds[kind] for kind in KIND_NAMES))
    if not judged:
        return cells
    if row.truth is None:
        return cells + f'<td colspan="4">{html.escape(row.problem or "no labels")}</td>'
    dlka, baseline = row.truth
    pairs = zip((dlka.hits, dlka.misses, dlka.false_alarms), (baseline.hits, baseline.misses, baseline.false_alarms))
    return cells + _cells(dlka.objects(), *(f"{of(ours, None)} / {of(theirs, None)}" for ours, theirs in pairs))


def _cells(*values: Any) -> str:
    return "".join(f"<td>{html.escape(str(value))}</td>" for value in values)


def _judged(many: ManyAnalyses, counts: tuple[Counts, Counts]) -> str:
    """Hits, misses, false alarms, recall and precision of both models by size."""
    labelled = sum(row.truth is not None for row in many.rows)
    unlabelled = sum(row.truth is None for row in many.rows if row.size)
    told = f"{count(counts[0].objects(), 'labelled object')} in {count(labelled, 'picture')}."
    if unlabelled:
        told += f" {count(unlabelled, 'picture')} without labels that can be used: not judged."
    if many.right:
        told += (
            f' Where the two disagree, <b style="color:{COLOURS[DLKA]}">D-LKA is right: {many.right[DLKA]}</b>,'
            f' <b style="color:{COLOURS[BASELINE]}">baseline: {many.right[BASELINE]}</b>.'
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
    return _table(f"<p>{told}</p>", "ground truth", body)


def _agreement(many: ManyAnalyses) -> str:
    """Which labelled objects only one of the two hit."""
    colours = dict(zip(AGREEMENTS, (palette.KIND_COLOURS["both"], *COLOURS.values(), "var(--missed)")))
    body = []
    for which in AGREEMENTS:
        numbers = [many.agreement[which, size] for size in SIZES]
        body.append((which, colours[which], [str(n) for n in (*numbers, sum(numbers))]))
    return _table("<p>Labelled objects, and who hits them:</p>", "labelled objects", body)


def _precision(measures: Sequence[Precision]) -> str:
    """AP of both models, and what can be said of their difference."""
    body, told = [], "".join(f"<p>{html.escape(decision(one))}</p>" for one in measures)
    for one in measures:
        sides = ((*MODELS, "difference"), (*COLOURS.values(), ""), ("", "", "+"), one.values)
        for number, (side, colour, sign, value) in enumerate(zip(*sides)):
            ends = [f"{100 * end:{sign}.1f}" for end in one.intervals[number]] if one.intervals else ["-"]
            body.append((f"AP{' small' * one.small}, {side}", colour, [f"{100 * value:{sign}.1f}", " to ".join(ends)]))
    return _table(told, "average precision", body, ("%", "95 % interval")) if measures else ""


def _measure(one: Precision) -> str:
    return "AP of small objects" if one.small else "AP"


def decision(one: Precision) -> str:
    """What can be said of the difference of two models, in a sentence."""
    pictures = f"{count(one.pictures, 'picture')} with labelled {'small ' * one.small}objects"
    if not one.intervals:
        return f"{_measure(one)}: too few to decide, {pictures}; expected {FEWEST} or more."
    if one.intervals[2][0] <= 0 <= one.intervals[2][1]:
        return f"{_measure(one)}: too few to decide, {pictures}: the interval of the difference holds zero."
    return f"{_measure(one)}: {MODELS[one.values[2] < 0]} is ahead on {pictures}, most likely on others like them too."


def _table(
    sentence: str, corner: str, body: Sequence[tuple[str, str, Sequence[str]]], heads: Sequence[str] = BINS
) -> str:
    """A table below a sentence, which is HTML; body: rows of (name, colour of its mark or "", a cell for each head)."""
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    rows = "".join(
        f'<tr><th scope="row">{report.chip(name, colour) if colour else html.escape(name)}</th>'
        + "".join(f"<td>{html.escape(cell)}</td>" for cell in cells)
        + "</tr>"
        for name, colour, cells in body
    )
    table = f'<table><tr><th scope="col">{corner}</th>{head}</tr>{rows}</table>'
    return f'<div class="headline">{sentence}{table}</div>'


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"


# Percentiles of resampled means are too narrow by sqrt(1 - 1/n), and by the normal law where Student's would be right
# (Hesterberg, "What Teachers Should Know About the Bootstrap", 2015): under ten pictures by a fifth and more.
FEWEST = 10


class Precision(NamedTuple):
    """AP, or AP of small objects, of detections down to LEAST, one class a box.

    pictures: labelled ones with such objects; values: of D-LKA, of the baseline and of their difference, in 0..1;
    intervals: 95 %, over pictures, of the same three; none where there are fewer than FEWEST.
    """

    small: bool
    pictures: int
    values: list[float]
    intervals: list[tuple[float, float]]


def precisions(many: ManyAnalyses) -> list[Precision]:
    """Both, as far as there are such objects."""
    labelled, made = sum(row.truth is not None for row in many.rows), []
    if not labelled:
        return []
    # The first row is the pictures as they are; the others are the same for both models, which makes pairs of them.
    drawn = np.vstack([np.ones((1, labelled), np.int32), resamples(labelled)])
    dlka, baseline = (replicates(many.objects, found, drawn) for found in many.found)
    for small, measure in ((False, "AP"), (True, "AP_S")):
        real = [row for row in many.objects if not row["iscrowd"] and (not small or row["area"] < SMALL_AREA)]
        pictures, column = len({row["image_id"] for row in real}), MEASURES.index(measure)
        drawn_values = [values[:, column] for values in (dlka, baseline, dlka - baseline)]
        intervals = [interval(values[1:]) for values in drawn_values] if pictures >= FEWEST else []
        if pictures:
            made.append(Precision(small, pictures, [float(values[0]) for values in drawn_values], intervals))
    return made
