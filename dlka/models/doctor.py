"""Says what is wrong with a YOLOv8 model yaml, row by row and without building it, and offers the mended row.

Rows are counted over backbone and head from 0, as Ultralytics counts layers. `diagnose` goes over the rows three times:
module names; Conv rows that lost their stride (`stride_search`); then, in order, what each row needs from the rows
before it. A row is judged as if the rows before it were mended, so that one mistake is reported once, where it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dlka.models import row_checks
from dlka.models.module_names import ATTENTION, TRACKED, closest_name, is_foreign
from dlka.models.row_tracking import Gains, Row, State, gains_of, step, track
from dlka.models.stride_search import halving, rows_to_halve
from dlka.models.yaml_file import flow_text


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


def diagnose(model: dict[str, Any], scale: str | None = None) -> Report:
    """Check a model as `yaml_file.load_model_yaml` returns it, for one of its scales (by default the first).

    Raises ModelYamlError if the model has scales and the one asked for is not among them.
    """
    scale, gains = gains_of(model, scale)
    written: list[Row] = model["backbone"] + model["head"]
    channels = model.get("channels", 3)
    mended, problems, notes = _named(written)
    for index in rows_to_halve(mended, gains):
        problems.append((index, _stride_sentence(mended[index])))
        mended[index] = halving(mended[index])
    states: list[State] = []
    for index in range(len(mended)):
        sentence, better = row_checks.check(mended, index, states, gains)
        if sentence:
            problems.append((index, sentence))
        mended[index] = better or mended[index]
        states.append(step(mended[index], states, gains, channels))
    problems += row_checks.check_end(mended) + row_checks.check_offsets(model)
    return Report(
        scale,
        tuple(_report_rows(written, gains, channels)),
        tuple(_with_mended(problems, written, mended)),
        tuple(notes + _repeat_notes(written, gains)),
    )


def brief(row: Row) -> str:
    """Module and arguments of a row: "Conv [128]"."""
    return f"{row[2]} {flow_text(row[3])}"


def report_text(report: Report) -> str:
    """The report for people: a table of the rows, then notes, then the problems with their mended rows."""
    scale = f" (scale {report.scale})" if report.scale else ""
    table: list[tuple[str, ...]] = [("row", "from", "n", "module", "args", "in", "out", "stride")]
    for row in report.rows:
        repeats = str(row.repeats) if row.repeats == row.effective else f"{row.repeats}->{row.effective}"
        known = ["?" if v is None else f"{v:g}" for v in (row.channels_in, row.channels_out, row.stride)]
        if row.module in ("Detect", "DetectDLKA"):
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


def _named(rows: list[Row]) -> tuple[list[Row], list[tuple[int | None, str]], list[str]]:
    """The rows with unregistered names replaced by the closest known ones, the problems and the notes on names."""
    mended: list[Row] = []
    problems: list[tuple[int | None, str]] = []
    notes = []
    for index, row in enumerate(rows):
        name = row[2]
        if name not in TRACKED and is_foreign(name):
            notes.append(
                f"row {index}: {name} is a module that the doctor does not follow, what depends on it is unchecked"
            )
        elif name not in TRACKED:
            problems.append((index, f"{brief(row)} names a module that is not registered"))
            name = closest_name(name) or name
        mended.append([row[0], row[1], name, row[3]])
    return mended, problems, notes


def _stride_sentence(row: Row) -> str:
    kernel = flow_text(row[3][1]) if len(row[3]) > 1 else 1
    return f"{brief(row)} has kernel {kernel} and stride 1, but later Concat and Detect rows need its map halved"


def _report_rows(rows: list[Row], gains: Gains, channels: int) -> list[ReportRow]:
    states = track(rows, gains, channels)
    return [
        ReportRow(i, row[0], row[1], gains.repeats(row[1]), row[2], row[3], s.channels_in, s.channels_out, s.stride)
        for i, (row, s) in enumerate(zip(rows, states))
    ]


def _repeat_notes(rows: list[Row], gains: Gains) -> list[str]:
    return [
        f"row {i}: {row[2]} is written with {row[1]} repeats, the depth gain {gains.depth:g} makes it"
        f" {gains.repeats(row[1])}"
        for i, row in enumerate(rows)
        if row[2] in (ATTENTION, "C2f_DLKA") and gains.repeats(row[1]) != row[1]
    ]


def _with_mended(problems: list[tuple[int | None, str]], written: list[Row], mended: list[Row]) -> list[Problem]:
    """Every problem with the final mended row, in row order: a row with two problems is mended of both."""
    found = []
    for index, sentence in sorted(problems, key=lambda p: len(written) if p[0] is None else p[0]):
        changed = index is not None and mended[index] != list(written[index])
        found.append(Problem(index, sentence, mended[index] if index is not None and changed else None))
    return found
