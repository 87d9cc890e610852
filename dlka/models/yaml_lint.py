"""Says what is wrong with a YOLOv8 model yaml, row by row, and fixes what has one right answer.

Rows are counted over backbone and head from 0, as Ultralytics counts layers. What is wrong is decided by the names that
may stand there (`model_yaml`), the project's own rules and a build without memory (`dry_build`): a model without
problems builds. Only for one that does not are its rows looked over for the reason, each as if those before it were
right, so that one mistake is reported once, where it is. Sentences have no full stop; the report adds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import shorten
from typing import Any

import yaml

from dlka.errors import DlkaError
from dlka.models.dry_build import RowMaps, TooLarge, dry_build
from dlka.models.model_yaml import (
    ATTENTION,
    DETECTORS,
    KEYS,
    ONE_INPUT,
    Row,
    are_arguments,
    closest_name,
    flow_text,
    parse_model_yaml,
    refusal,
    scale_of,
    sources,
)
from dlka.models.placements import OFFSETS

ARGUMENTS = {
    "Conv": "[channels, kernel, stride]",
    "C2f": "[channels, shortcut]",
    "C2f_DLKA": "[channels, shortcut]",
    "SPPF": "[channels, kernel]",
    "Concat": "[1]",
    "nn.Upsample": "[None, 2, nearest]",
}
USUAL_STRIDES = ((8,), (8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64))  # of the maps that a head reads


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: the row (None if it concerns the whole), one sentence, the fixed row if any."""

    row: int | None
    sentence: str
    fixed: Row | None = None

    def __str__(self) -> str:
        return self.sentence if self.row is None else f"row {self.row}: {self.sentence}"


@dataclass(frozen=True)
class Report:
    """What was found at a scale: the rows as written, their repeats after the depth gain, and the maps they would have
    if what can be fixed were; ``notes`` are worth knowing and not wrong."""

    scale: str | None
    rows: list[Row]
    repeats: list[int]
    maps: list[RowMaps]
    problems: list[Problem]
    notes: list[str]

    @property
    def ok(self) -> bool:
        return not self.problems


def diagnose(model: dict[str, Any], scale: str | None = None, channels: int = 3) -> Report:
    """Check a model as `load_model_yaml` returns it, at a scale (by default its own, or the first).

    channels: those of the picture. A model whose report is ok builds; the builder refuses any other by its report.
    Raises DlkaError if the model has scales and the one asked for is not among them.
    """
    asked = scale or model.get("scale")
    scale, depth = scale_of(model, scale)
    written: list[Row] = model["backbone"] + model["head"]
    repeats = [max(round(row[1] * depth), 1) if row[1] > 1 else row[1] for row in written]
    problems = []
    for i, row in enumerate(written):
        if refusal(row[2]):
            meant = closest_name(row[2]) if are_arguments(row[3]) else None  # arguments wait for a known name
            fixed = [row[0], row[1], meant, row[3]] if meant else None
            problems.append(Problem(i, f"{_brief(row)}: {refusal(row[2])}", fixed))
    problems += _own_rules(model, _fixed(written, problems))
    wrong = {problem.row for problem in problems if problem.row is not None and problem.fixed is None}
    offsets = model["offsets"] if model.get("offsets") in tuple(OFFSETS) else "dense"
    config = {**model, "scale": scale, "offsets": offsets}
    maps, found = _built(config, _fixed(written, problems), channels, wrong)
    problems = sorted(problems + found, key=lambda one: len(written) if one.row is None else one.row)
    notes = [] if problems else _notes(config, depth, repeats, maps, channels)
    if scale and not asked and not problems:
        notes.append(f"the file's name says no scale, as yolov8s.yaml does; {scale}, the first, is taken")
    return Report(scale, written, repeats, maps, problems, notes)


def report_text(report: Report) -> str:
    """The report for people: a table of the rows, then notes, then the problems with their fixed rows."""
    scale = f" (scale {report.scale})" if report.scale else ""
    table: list[tuple[str, ...]] = [("row", "from", "n", "module", "args", "in", "out", "stride")]
    for index, ((source, written, module, args), repeats, maps) in enumerate(
        zip(report.rows, report.repeats, report.maps)
    ):
        known = ["?" if v is None else f"{v:g}" for v in (maps.channels_in, maps.channels_out, maps.stride)]
        if module in DETECTORS:
            known[1:] = ["-", "-"]
        times = str(written) if written == repeats else f"{written}->{repeats}"
        table.append((str(index), flow_text(source), times, module, flow_text(args), *known))
    widths = [max(map(len, column)) for column in zip(*table)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table]
    lines += ["", *(f"note: {note}." for note in report.notes)] if report.notes else []
    if report.ok:
        return "\n".join([*lines, "", f"Nothing is wrong with these {len(report.rows)} rows{scale}."])
    count = len(report.problems)
    lines += ["", f"{count} problem{'s' if count > 1 else ''}{scale}:"]
    for problem in report.problems:
        lines.append(f"{problem}." if problem.fixed is None else f"{problem}; did you mean {flow_text(problem.fixed)}?")
    return "\n".join(lines)


def fix(text: str, scale: str | None = None) -> str:
    """The yaml text with the wrong values of the wrong rows replaced, so that `diagnose` finds it ok for the scale.

    Comments and layout stay as they are, and a text that is ok comes back unchanged. Raises DlkaError for what is
    no model yaml, and for a problem that has not one right answer.
    """
    report = diagnose(parse_model_yaml(text), scale)
    unfixed = [problem for problem in report.problems if problem.fixed is None]
    if not unfixed:
        text = _replaced(text, report)
        unfixed = diagnose(parse_model_yaml(text), scale).problems
    if unfixed:
        raise DlkaError(f"{unfixed[0]}, and no mended row can be offered; change it by hand.")
    return text


def _brief(row: Row) -> str:
    """Module and arguments of a row: "Conv [128]"."""
    return f"{row[2]} {flow_text(row[3]):.80}"


def _fixed(rows: list[Row], problems: list[Problem]) -> list[Row]:
    better = {problem.row: problem.fixed for problem in problems if problem.fixed is not None}
    return [better.get(index, row) for index, row in enumerate(rows)]


def _own_rules(model: dict[str, Any], rows: list[Row]) -> list[Problem]:
    """What is wrong whatever the other rows are: what rows read, and what the project asks beyond Ultralytics."""
    found: list[Problem] = []
    if not any(row[2] in DETECTORS for row in rows):
        kinds = f"{', '.join(DETECTORS[:-1])} or {DETECTORS[-1]}"
        found.append(Problem(None, f"the last row must be {kinds}, there is none"))
    for index, row in enumerate(rows):
        source, repeats, module, args = row
        if module in DETECTORS:
            if index != len(rows) - 1 or repeats != 1:
                found.append(Problem(index, f"{module} must be the last row, once, and the only one of its kind"))
            elif args not in (["nc"], [model["nc"]]):
                why = f"{module} {flow_text(args)} has other arguments than [nc]"
                found.append(Problem(index, why, [source, repeats, module, ["nc"]]))
            elif module in ("DetectDLKA", "Detect1x1") and model.get("end2end"):
                why = f"{module} has no branches for end2end; remove that line or use Detect"
                found.append(Problem(index, why))
        if (module == "Concat" or module in DETECTORS) and not isinstance(source, list):
            found.append(Problem(index, f"{module} reads several rows, but 'from' is the single {source}"))
        elif module in ONE_INPUT and isinstance(source, list):
            found.append(Problem(index, f"{module} reads one row, but 'from' is {flow_text(source)}"))
        elif None in sources(index, source):
            why = f"'from' {flow_text(source)} names a row that does not come before row {index}"
            found.append(Problem(index, why))
        elif module == "C2f_DLKA" and args[2:3] not in ([], [1], ["1"]):
            found.append(Problem(index, f"C2f_DLKA has no groups, got {flow_text(args)}"))
    # A key for offsets that nobody reads would build dense offsets without a word.
    misspelt = [key for key in model if key != "offsets" and key.strip().lower() in ("offset", "offsets")]
    if misspelt:
        found.append(Problem(None, f"offsets: expected the key to be written offsets, got {misspelt[0]!r:.40}"))
    elif (word := model.get("offsets", "dense")) not in tuple(OFFSETS):
        found.append(Problem(None, f"offsets: expected one of {', '.join(OFFSETS)}, got {word!r:.40}"))
    return found


def _built(
    config: dict[str, Any], rows: list[Row], channels: int, wrong: set[int]
) -> tuple[list[RowMaps], list[Problem]]:
    """The maps of the rows, lost strides found again, and why rows do not build; wrong: those known not to."""
    problems: list[Problem] = []
    maps, faults = dry_build({**config, "backbone": rows, "head": []}, channels, wrong)
    join = next((index for index in faults if rows[index][2] == "Concat"), None)
    without = _without_stride(rows, ", but later Concat rows need its map halved")
    if join is not None and without:
        halved = _fixed(rows, without)
        tried = dry_build({**config, "backbone": halved, "head": []}, channels, wrong)
        if [index for index in tried[1] if index <= join] == [index for index in faults if index < join]:
            rows, (maps, faults), problems = halved, tried, without
    problems += [Problem(index, _explained(error, index, rows, maps)) for index, error in faults.items()]
    for index, (row, of_row) in enumerate(zip(rows, maps)):
        if row[2] == ATTENTION and of_row.channels_out and row[3] not in ([], [of_row.channels_out]):
            why = f"{ATTENTION} {flow_text(row[3])} gets {of_row.channels_out} channels at this scale"
            problems.append(Problem(index, why, [*row[:3], []]))
    return maps, problems


def _explained(error: Exception, index: int, rows: list[Row], maps: list[RowMaps]) -> str:
    """Why a row does not build, in the words of yamls where it can be said in these."""
    source, repeats, module, _ = rows[index]
    # An error of a layer as words in one sentence; assertions often have none.
    words = " ".join(str(error).split()).rstrip(".").replace(". ", "; ")
    reason = shorten(words or f"its arguments fail a check ({type(error).__name__})", 200, placeholder=" ...")
    if not isinstance(error, TooLarge):
        if module in ("Conv", "SPPF", "Concat") and repeats > 1:
            return f"{module} cannot be repeated {repeats} times here"
        strides = [maps[s].stride for s in sources(index, source) if s is not None and s >= 0]
        if module == "Concat" and len({stride for stride in strides if stride is not None}) > 1:
            known = ", ".join("?" if stride is None else f"{stride:g}" for stride in strides)
            return f"Concat of rows {flow_text(source)} joins maps with strides [{known}]"
        reason += f" (its arguments are {ARGUMENTS[module]})" if module in ARGUMENTS else ""
    return f"{_brief(rows[index])} does not build: {reason}"


def _without_stride(rows: list[Row], why: str) -> list[Problem]:
    """The Conv rows with channels alone, which makes their kernel and their stride 1: most often these were lost, and
    were 3 and 2, as in YOLOv8."""
    return [
        Problem(index, f"{_brief(row)} has kernel 1 and stride 1{why}", [*row[:3], [row[3][0], 3, 2]])
        for index, row in enumerate(rows)
        if row[2] == "Conv" and len(row[3]) == 1
    ]


def _notes(config: dict[str, Any], depth: float, repeats: list[int], maps: list[RowMaps], channels: int) -> list[str]:
    """What is worth knowing of a model in which nothing is wrong."""
    rows: list[Row] = config["backbone"] + config["head"]
    notes = [
        f"row {i}: {row[2]} is written with {row[1]} repeats, the depth gain {depth:g} makes it {count}"
        for i, (row, count) in enumerate(zip(rows, repeats))
        if row[2] in (ATTENTION, "C2f_DLKA") and count != row[1]
    ]
    read = sources(len(rows) - 1, rows[-1][0])

    def are_usual(maps: list[RowMaps]) -> bool:
        return tuple(maps[s].stride for s in read if s is not None and s >= 0) in USUAL_STRIDES

    without = _without_stride(rows, "; with stride 2 the last row would read the usual strides")
    if without and not are_usual(maps):
        halved, faults = dry_build({**config, "backbone": _fixed(rows, without), "head": []}, channels)
        notes += map(str, without) if not faults and are_usual(halved) else []
    for start in read:
        after = None if start is None else start + 1
        if after and rows[after][2] == ATTENTION and sources(after, rows[after][0]) == [start] and after not in read:
            why = f"{rows[-1][2]} reads row {start} and passes by the attention that follows it"
            notes.append(f"row {len(rows) - 1}: {why}")
            break
    unread = sorted(set(config) - KEYS)
    return notes + ([f"nobody reads {', '.join(unread):.200}"] if unread else [])


def _replaced(text: str, report: Report) -> str:
    """The yaml text with the values exchanged in which a fixed row differs from the written one."""
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    parts = {key.value: value for key, value in root.value}
    nodes = [row.value for part in ("backbone", "head") for row in parts[part].value]
    edits = [
        (*_span(node), flow_text(new))
        for values, written, fixed in zip(nodes, report.rows, _fixed(report.rows, report.problems))
        for node, old, new in zip(values, written, fixed)
        if old != new
    ]
    for start, end, value in sorted(edits, reverse=True):  # from the end, so that earlier places stay valid
        text = text[:start] + value + text[end:]
    return text


def _span(node: yaml.Node) -> tuple[int, int]:
    """Where a node's own text begins and ends; a block list counts up to its last item, not up to the next line."""
    last = node
    while isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
        last = last.value[-1]
    return node.start_mark.index, last.end_mark.index
