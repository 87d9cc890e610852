"""The numbers of a run as pieces of HTML, for the page and for the report alike."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dlka import palette
from dlka.analysis import report
from dlka.analysis.box_figures import signed
from dlka.analysis.judging import AGREEMENTS, BASELINE, BOTH, DLKA, NEITHER, OPEN, Counts, of
from dlka.analysis.many.analyses import MISSED, Finding, ManyAnalyses
from dlka.analysis.many.precision import Precision, precisions
from dlka.types import KIND_NAMES, SIZES, size_of

MODELS = ("D-LKA", "baseline")
COLOURS = {"D-LKA": "var(--dlka)", "baseline": "var(--baseline)"}
COLUMNS = ["picture", "size px", "area px", "object", "shown by", "D-LKA score", "baseline score", "change"]
JUDGED = ["right", "ground truth"]  # where there are labels
RIGHT = {DLKA: "D-LKA", BASELINE: "baseline", BOTH: "both", NEITHER: "neither", OPEN: "not counted"}
BINS, EVERY = (*SIZES, "all"), (*SIZES, None)
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def summary(many: ManyAnalyses) -> str:
    """What was compared, which model is better, whose boxes there are, how large, and what the labels say of them."""
    done = sum(row.size is not None for row in many.rows)
    failed = len(many.rows) - done
    head = f"<h2>{_plural(done, 'picture')} compared{f', {failed} could not be' if failed else ''}</h2>"
    if not done:
        return head
    boxes, judged, measures = report.found(many.pairs), "", precisions(many)
    if many.truth is not None:
        boxes, judged = boxes + _agreement(many), _precision(measures) + _judged(many, many.truth)
    # One model on both sides has nothing to decide.
    told = "" if many.settings.dlka == many.settings.baseline else "".join(f"<p>{one}</p>" for one in verdict(measures))
    sizes = f'<div class="many-sizes"><div>{boxes}</div><div>{judged}</div></div>'
    return f'{head}<div class="many-verdict">{told}</div>{sizes}'


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
    heads = ["picture", "px", "boxes", *KIND_NAMES.values()]
    if many.judged:
        heads += ["labelled", "hits", "misses", "false alarms"]
    told = {"rows": many.rows, "judged": many.judged, "heads": heads, "kinds": KIND_NAMES}
    return TEMPLATES.get_template("pictures.html").render(told)


def columns(many: ManyAnalyses) -> list[str]:
    """The heads of what `finding` tells."""
    return [*COLUMNS, *(JUDGED if many.judged else [])]


def finding(many: ManyAnalyses, found: Finding) -> list[str]:
    """A finding in numbers, under `columns`."""
    scores = ["-" if score is None else f"{score:.2f}" for score in found.scores]
    by = "neither" if found.kind == MISSED else found.kind
    cells = [found.file, size_of(found.area), f"{found.area:.0f}", found.name, by, *scores]
    cells.append("-" if found.kind == MISSED else signed((found.scores[0] or 0) - (found.scores[1] or 0), 2))
    if not many.judged:
        return cells
    return [*cells, *((RIGHT[found.verdict.right], found.verdict.told) if found.verdict else ("-", "no labels"))]


def caption(found: Finding) -> str:
    """The same in one sentence: what a close-up shows."""
    x1, y1, x2, y2 = found.box
    kind = "labelled" if found.kind == MISSED else "shown by both" if found.kind == "both" else found.kind
    said = "" if found.verdict is None else f"; {found.verdict.told}"
    return f"{found.file}: {found.name}, {kind}, {x2 - x1:.0f} x {y2 - y1:.0f} px{said}"


def _judged(many: ManyAnalyses, counts: tuple[Counts, Counts]) -> str:
    """Hits, misses, false alarms, recall and precision of both models by size."""
    labelled = sum(row.truth is not None for row in many.rows)
    unlabelled = sum(row.truth is None for row in many.rows if row.size)
    told = f"{_plural(counts[0].objects(), 'labelled object')} in {_plural(labelled, 'picture')}."
    if unlabelled:
        told += f" {_plural(unlabelled, 'picture')} without labels that can be used: not judged."
    if many.right:
        told += (
            f' Where the two disagree, <b style="color:{COLOURS[DLKA]}">D-LKA is right: {many.right[DLKA]}</b>,'
            f' <b style="color:{COLOURS[BASELINE]}">baseline: {many.right[BASELINE]}</b>.'
        )
    figures: list[tuple[str, Callable[[Counts, str | None], str]]] = [
        ("hits", lambda c, size: str(of(c.hits, size))),
        ("misses", lambda c, size: str(of(c.misses, size))),
        ("false alarms", lambda c, size: str(of(c.false_alarms, size))),
        ("recall, %", lambda c, size: _percent(c.recall(size))),
        ("precision, %", lambda c, size: _percent(c.precision(size))),
    ]
    body = [("labelled objects", "", [str(counts[0].objects(size)) for size in EVERY])]
    for what, figure in figures:
        body.append((what, "", [" / ".join(figure(own, size) for own in counts) for size in EVERY]))
    return _table(f"<p>{told}</p>", "D-LKA / baseline", body)


def _agreement(many: ManyAnalyses) -> str:
    """Which labelled objects only one of the two hit."""
    colours = dict(zip(AGREEMENTS, (palette.KIND_COLOURS["both"], *COLOURS.values(), "var(--missed)")))
    body = []
    for which in AGREEMENTS:
        numbers = [many.agreement[which, size] for size in SIZES]
        body.append((which, colours[which], [str(n) for n in (*numbers, sum(numbers))]))
    return _table("<p>Labelled objects, and who hits them:</p>", "labelled objects", body)


def _precision(measures: Sequence[Precision]) -> str:
    """AP of both models and their difference, with intervals where there are any."""
    body = []
    for row, (side, colour) in enumerate(zip((*MODELS, "difference"), (*COLOURS.values(), ""))):
        cells = [_ap(one.values[row], row) + (f" ({_ends(one, row)})" if one.intervals else "") for one in measures]
        body.append((side, colour, cells))
    heads = ["AP of small objects" if one.small else "AP" for one in measures]
    told = "<p>Average precision in %" + ", with 95 % intervals" * any(one.intervals for one in measures) + ":</p>"
    return _table(told, "", body, heads) if measures else ""


def _ap(share: float, row: int = 2) -> str:
    """Per cent; row: 2 for a difference, which has a sign."""
    return signed(100 * share, 1) if row == 2 else f"{100 * share:.1f}"


def _ends(one: Precision, row: int) -> str:
    return " to ".join(_ap(end, row) for end in one.intervals[row])


def verdict(measures: Sequence[Precision]) -> list[str]:
    """Which model is better, or what it would take to tell, in sentences of HTML."""
    if not measures:
        return ["Without labelled objects nobody can tell which model is better: here is where the two differ."]
    if any(one.decided for one in measures):
        return [decision(one) for one in measures]
    return [decision(measures[0]) + " The same goes for small objects alone." * (len(measures) > 1)]


def decision(one: Precision) -> str:
    """The same by one measure."""
    small, at = "small " * one.small, " at small objects" * one.small
    values = " and ".join(f"{_ap(value, 0)} ({model})" for value, model in zip(one.values, MODELS))
    told = f"AP is {values} on {_plural(one.pictures, 'picture')} with labelled {small}objects"
    if one.intervals:
        told += f", a difference of {_ap(one.values[2])} with the 95 % interval {_ends(one, 2)}"
    if one.decided:
        return f"<b>{MODELS[one.values[2] < 0]} is better here{at}.</b> {told}."
    needed = f" It takes about {one.needed:,} pictures like these to see a difference of {100 * one.sought:.0f} AP."
    return f"<b>Too few to decide</b> which model is better{at}. {told}.{needed if one.needed else ''}"


def _table(
    sentence: str, corner: str, body: Sequence[tuple[str, str, Sequence[str]]], heads: Sequence[str] = BINS
) -> str:
    """A table, by size or under other heads, below a sentence, which is HTML.

    body: rows of (name, colour of its mark or "", a cell for each of the heads).
    """
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
    return "-" if share is None else f"{100 * share:.0f}"


def _plural(number: int, word: str) -> str:
    return f"{number:,} {word}{'' if number == 1 else 's'}"
