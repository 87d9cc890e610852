"""Says what is wrong with a YOLOv8 model yaml, row by row, and offers the mended row.

Rows are counted over backbone and head from 0, as Ultralytics counts layers. What is wrong is decided by names that
may stand there (`module_names`), the project's own rules (`row_checks`) and a build without memory (`dry_build`): a
model without problems builds. Only for one that does not are its rows looked over for the reason: Conv rows that lost
their stride (`stride_search`), then, in order, what each row needs from the rows before it. There a row is judged as
if the rows before it were mended, so that one mistake is reported once, where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlka.models import row_checks
from dlka.models.dry_build import Failure, Map, dry_build
from dlka.models.module_names import ATTENTION, DETECTORS, OFFSETS, closest_name, refusal
from dlka.models.row_checks import Finding
from dlka.models.row_tracking import Gains, Row, State, gains_of, sources, step, track
from dlka.models.stride_search import halving, rows_to_halve, rows_without_stride
from dlka.models.yaml_file import are_arguments, flow_text


@dataclass(frozen=True)
class ReportRow:
    """One row as it stands in the yaml, and what Ultralytics makes of it.

    source    the row's ``from``; repeats as written, effective repeats after the depth gain
    channels_in, channels_out  channels of the map(s) it reads, added up, and of its output; None where unknown
    stride    pixels of the input picture per cell of its output map; None where unknown
    """

    index: int
    source: int | list[int]
    repeats: int
    effective: int
    module: str
    args: list[Any]
    channels_in: int | None
    channels_out: int | None
    stride: float | None


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the row (None if it concerns the whole), one sentence, the mended row if any."""

    row: int | None
    sentence: str
    mended: Row | None = None


@dataclass(frozen=True)
class Report:
    """What the doctor found; ``notes`` are worth knowing and not wrong, ``scale`` is the one that was checked."""

    scale: str | None
    rows: tuple[ReportRow, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def diagnose(model: dict[str, Any], scale: str | None = None, channels: int = 3) -> Report:
    """Check a model as `yaml_file.load_model_yaml` returns it, at a scale (by default its own, or the first).

    channels: those of the picture. A model whose report is ok builds; the builder refuses any other by its report.
    Raises ModelYamlError if the model has scales and the one asked for is not among them.
    """
    asked = scale or model.get("scale")
    scale, gains = gains_of(model, scale)
    written: list[Row] = model["backbone"] + model["head"]
    found = _refused_names(written)
    found += row_checks.own_rules({**model, "backbone": _mended(written, found), "head": []})
    rows = _mended(written, found)
    maps: list[Map] = []
    failure = None
    nameless = any(refusal(row[2]) for row in rows)
    if not nameless:  # nothing is built, not even dry, of a model with a name that may not stand there
        offsets = model["offsets"] if model.get("offsets") in OFFSETS else OFFSETS[0]
        mended = {**model, "backbone": rows, "head": [], "scale": scale, "offsets": offsets}
        maps, failure = dry_build(mended, channels)
    if nameless or failure:
        reasons = _reasons(rows, gains)
        if failure and not any(row is not None and row <= (failure.row or 0) for row, *_ in found + reasons):
            reasons.append(_as_finding(failure, rows))
        found += reasons
    else:
        found += row_checks.attention_channels(rows, [m.channels for m in maps])
    return Report(
        scale,
        tuple(_report_rows(written, gains, channels, maps)),
        tuple(_problems(found, written)),
        () if found else tuple(_notes(model, written, gains, None if asked else scale)),
    )


def brief(row: Row) -> str:
    """Module and arguments of a row: "Conv [128]"."""
    return f"{row[2]} {flow_text(row[3]):.80}"


def report_text(report: Report) -> str:
    """The report for people: a table of the rows, then notes, then the problems with their mended rows."""
    scale = f" (scale {report.scale})" if report.scale else ""
    table: list[tuple[str, ...]] = [("row", "from", "n", "module", "args", "in", "out", "stride")]
    for row in report.rows:
        repeats = str(row.repeats) if row.repeats == row.effective else f"{row.repeats}->{row.effective}"
        known = ["?" if v is None else f"{v:g}" for v in (row.channels_in, row.channels_out, row.stride)]
        if row.module in DETECTORS:
            known[1:] = ["-", "-"]
        table.append((str(row.index), flow_text(row.source), repeats, row.module, flow_text(row.args), *known))
    widths = [max(len(line[column]) for line in table) for column in range(len(table[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table]
    lines += ["", *(f"note: {note}." for note in report.notes)] if report.notes else []
    if report.ok:
        return "\n".join([*lines, "", f"Nothing is wrong with these {len(report.rows)} rows{scale}."])
    count = len(report.problems)
    lines += ["", f"{count} problem{'s' if count > 1 else ''}{scale}:"]
    for problem in report.problems:
        where = "" if problem.row is None else f"row {problem.row}: "
        remedy = "." if problem.mended is None else f"; did you mean {flow_text(problem.mended)}?"
        lines.append(f"{where}{problem.sentence}{remedy}")
    return "\n".join(lines)


def _refused_names(rows: list[Row]) -> list[Finding]:
    """Rows with a name that may not stand there; mended where it is plainly a misspelling."""
    found: list[Finding] = []
    for index, row in enumerate(rows):
        clause = refusal(row[2])
        if clause:
            meant = closest_name(row[2]) if are_arguments(row[3]) else None
            found.append((index, f"{brief(row)}: {clause}", [row[0], row[1], meant, row[3]] if meant else None))
    return found


def _reasons(rows: list[Row], gains: Gains) -> list[Finding]:
    """Why rows do not fit together, each judged as if those before it were mended."""
    found: list[Finding] = []
    rows = list(rows)
    for index in rows_to_halve(rows, gains):
        why = f"{_without_stride(rows[index])}, but later Concat rows need its map halved"
        rows[index] = halving(rows[index])
        found.append((index, why, rows[index]))
    states: list[State] = []
    for index in range(len(rows)):
        sentence, better = row_checks.check(rows, index, states, gains)
        rows[index] = better or rows[index]
        if sentence:
            found.append((index, sentence, better))
        states.append(step(rows[index], states, gains))
    return found


def _as_finding(failure: Failure, rows: list[Row]) -> Finding:
    if failure.row is None:
        return None, failure.reason, None
    return failure.row, f"{brief(rows[failure.row])} does not build: {failure.reason}", None


def _mended(rows: list[Row], found: list[Finding]) -> list[Row]:
    better = {index: row for index, _, row in found if row is not None}
    return [better.get(index, row) for index, row in enumerate(rows)]


def _problems(found: list[Finding], written: list[Row]) -> list[Problem]:
    """The findings in row order; a row with two of them is mended of both."""
    mended = {index: row for index, _, row in found if row is not None}
    ordered = sorted(found, key=lambda one: len(written) if one[0] is None else one[0])
    return [Problem(index, sentence, mended.get(index)) for index, sentence, _ in ordered]


def _without_stride(row: Row) -> str:
    kernel = flow_text(row[3][1]) if len(row[3]) > 1 else 1
    return f"{brief(row)} has kernel {kernel} and stride 1"


def _report_rows(rows: list[Row], gains: Gains, channels: int, maps: list[Map]) -> list[ReportRow]:
    """The rows with what the dry build saw of their maps, and what can be followed without it after its end."""
    states = track(rows, gains, channels)
    seen = [(m.channels, m.stride) for m in maps] + [(s.channels_out, s.stride) for s in states[len(maps) :]]
    lines = []
    for index, (row, (out, stride)) in enumerate(zip(rows, seen)):
        inputs = [None if s is None else channels if s < 0 else seen[s][0] for s in sources(index, row[0])]
        total = sum(known) if len(known := [c for c in inputs if c is not None]) == len(inputs) else None
        lines.append(ReportRow(index, row[0], row[1], gains.repeats(row[1]), row[2], row[3], total, out, stride))
    return lines


def _notes(model: dict[str, Any], rows: list[Row], gains: Gains, assumed: str | None) -> list[str]:
    """What is worth knowing of a model in which nothing is wrong; assumed: the scale that nobody asked for."""
    notes = [
        f"row {i}: {row[2]} is written with {row[1]} repeats, the depth gain {gains.depth:g} makes it"
        f" {gains.repeats(row[1])}"
        for i, row in enumerate(rows)
        if row[2] in (ATTENTION, "C2f_DLKA") and gains.repeats(row[1]) != row[1]
    ]
    notes += [
        f"row {i}: {_without_stride(rows[i])}; with stride 2 the last row would read the usual strides"
        for i in rows_without_stride(rows, gains)
    ]
    if assumed:
        notes.append(f"the file's name says no scale, as yolov8s.yaml does; {assumed}, the first, is taken")
    return notes + [note for note in (row_checks.passed_by(rows), row_checks.unread_keys(model)) if note]
