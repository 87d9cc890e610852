"""The numbers of a run as pieces of HTML, for the page and for the report alike."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from dlka import palette
from dlka.analysis.box_figures import signed
from dlka.analysis.judging import AGREEMENTS, BASELINE, BOTH, DLKA, NEITHER, OPEN, of
from dlka.analysis.many.analyses import MISSED, Finding, ManyAnalyses
from dlka.analysis.many.precision import FEWEST, Precision, precisions
from dlka.analysis.report import chip, found_by_size
from dlka.printing import count
from dlka.types import KIND_NAMES, SIZES, size_of

MODELS = ("D-LKA", "baseline")
COLOURS = {"D-LKA": "var(--dlka)", "baseline": "var(--baseline)"}
COLUMNS = ["picture", "size", "area px", "object", "shown by", "D-LKA score", "baseline score", "change"]
JUDGED = ["right", "ground truth"]  # where there are labels
RIGHT = {DLKA: "D-LKA", BASELINE: "baseline", BOTH: "both", NEITHER: "neither", OPEN: "not counted"}
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)


def summary(many: ManyAnalyses) -> str:
    """What was compared, which model is better, whose boxes there are, how large, and what the labels say of them."""
    done, measures = [row for row in many.rows if row.size is not None], precisions(many)
    alone = many.settings.dlka == many.settings.baseline  # then there is nothing to decide
    return TEMPLATES.get_template("summary.html").render(
        done=done,
        failed=len(many.rows) - len(done),
        verdict=[] if alone else map(Markup, verdict(measures)),
        found=Markup(found_by_size(many.pairs)),
        counts=many.truth,
        labelled=sum(row.truth is not None for row in done),
        right=many.right,
        agreement=_agreement(many),
        measured=["AP of small objects" if one.small else "AP" for one in measures],
        enough=any(one.intervals for one in measures),
        precision=_precision(measures),
        bins=(*SIZES, "all"),
        every=(*SIZES, None),
        colours=[*COLOURS.values()],
        chip=lambda text, colour: Markup(chip(text, colour)),
        of=of,
        plural=count,
        percent=lambda share: "-" if share is None else f"{100 * share:.0f}",
    )


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


def _agreement(many: ManyAnalyses) -> list[tuple[str, str, list[int]]]:
    """Which labelled objects only one of the two hit: words, a colour, numbers by size and of all."""
    colours = (palette.KIND_COLOURS["both"], *COLOURS.values(), "var(--missed)")
    numbers = [[many.agreement[which, size] for size in SIZES] for which in AGREEMENTS]
    return [(which, colour, [*own, sum(own)]) for which, colour, own in zip(AGREEMENTS, colours, numbers)]


def _precision(measures: Sequence[Precision]) -> list[tuple[str, str, list[str]]]:
    """AP of both models and their difference, with intervals where there are any: words, a colour, a cell a measure."""
    return [
        (side, colour, [_ap(one.values[i], i) + (f" ({_ends(one, i)})" if one.intervals else "") for one in measures])
        for i, (side, colour) in enumerate((*COLOURS.items(), ("difference", "")))
    ]


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
    told = f"AP is {values} on {count(one.pictures, 'picture')} with labelled {small}objects"
    if one.intervals:
        told += f", a difference of {_ap(one.values[2])} with the 95 % interval {_ends(one, 2)}"
    if one.decided:
        return f"<b>{MODELS[one.values[2] < 0]} is better here{at}.</b> {told}."
    needed = ""
    if one.pictures < FEWEST:
        needed = f" With {FEWEST} or more the page says how sure that is, and how many it takes."
    elif one.needed:
        needed = f" It takes about {one.needed:,} pictures like these to see a difference of {100 * one.sought:.0f} AP."
    return f"<b>Too few to decide</b> which model is better{at}. {told}.{needed}"
