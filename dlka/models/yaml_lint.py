"""Says what is wrong with a YOLOv8 model yaml, row by row, and fixes what has one right answer.

Rows are counted over backbone and head from 0, as Ultralytics counts layers. What is wrong is decided by the names that
may stand there (`model_yaml`), the project's own rules and a build without memory (`dry_build`): a model without
problems builds. Only for one that does not are its rows looked over for the reason, each as if those before it were
right, so that one mistake is reported once, where it is. Sentences have no full stop; the report adds it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import yaml

from dlka.models.dry_build import Failure, Map, dry_build
from dlka.models.model_yaml import (
    ATTENTION,
    DETECTORS,
    KEYS,
    ONE_INPUT,
    ModelYamlError,
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

MAX_FAULTS = 8  # that are looked for, as each takes a few dry builds
ARGUMENTS = {
    "Conv": "[channels, kernel, stride]",
    "C2f": "[channels, shortcut]",
    "C2f_DLKA": "[channels, shortcut]",
    "SPPF": "[channels, kernel]",
    "Concat": "[1]",
    "nn.Upsample": "[None, 2, nearest]",
}
USUAL_STRIDES = ((8,), (8, 16, 32), (4, 8, 16, 32), (8, 16, 32, 64))  # of the maps that a head reads
Finding = tuple[int | None, str, Row | None]  # the row (None: the whole model), a sentence, the fixed row if any


@dataclass(frozen=True)
class ReportRow:
    """One row as it stands in the yaml, and what Ultralytics makes of it.

    source    the row's ``from``; repeats as written, effective: after the depth gain
    channels_in, channels_out  channels of the map(s) it reads, added up, and of its output; None where unknown
    stride    pixels of the input picture per cell of its output map; None where unknown
    """

    index: int
    source: int | list[int]
    repeats: int
    module: str
    args: list[Any]
    effective: int
    channels_in: int | None
    channels_out: int | None
    stride: float | None


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
    """What was found; ``notes`` are worth knowing and not wrong, ``scale`` is the one that was checked."""

    scale: str | None
    rows: tuple[ReportRow, ...]
    problems: tuple[Problem, ...]
    notes: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems


def diagnose(model: dict[str, Any], scale: str | None = None, channels: int = 3) -> Report:
    """Check a model as `load_model_yaml` returns it, at a scale (by default its own, or the first).

    channels: those of the picture. A model whose report is ok builds; the builder refuses any other by its report.
    Raises ModelYamlError if the model has scales and the one asked for is not among them.
    """
    asked = scale or model.get("scale")
    scale, depth = scale_of(model, scale)
    written: list[Row] = model["backbone"] + model["head"]
    found: list[Finding] = [
        (i, f"{_brief(row)}: {refusal(row[2])}", _renamed(row)) for i, row in enumerate(written) if refusal(row[2])
    ]
    found += _own_rules(model, _fixed(written, found))
    rows = _fixed(written, found)
    skipped = {index for index, _, fixed in found if index is not None and fixed is None}
    offsets = model["offsets"] if model.get("offsets") in tuple(OFFSETS) else "dense"
    rows, maps, faults = _faults(rows, {**model, "scale": scale, "offsets": offsets}, channels, skipped)
    found += faults
    notes = [] if found else _notes(model, rows, maps, depth, channels)
    if scale and not asked and not found:
        notes.append(f"the file's name says no scale, as yolov8s.yaml does; {scale}, the first, is taken")
    fixes = {index: fixed for index, _, fixed in found if fixed is not None}  # a row with two findings has both fixed
    found.sort(key=lambda one: len(written) if one[0] is None else one[0])
    problems = [Problem(index, sentence, fixes.get(index)) for index, sentence, _ in found]
    return Report(scale, tuple(_report_rows(written, maps, depth, channels)), tuple(problems), tuple(notes))


def report_text(report: Report) -> str:
    """The report for people: a table of the rows, then notes, then the problems with their fixed rows."""
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
        lines.append(f"{problem}." if problem.fixed is None else f"{problem}; did you mean {flow_text(problem.fixed)}?")
    return "\n".join(lines)


def fix(text: str, scale: str | None = None) -> str:
    """The yaml text with the wrong values of the wrong rows replaced, so that `diagnose` finds it ok for the scale.

    Comments and layout stay as they are, and a text that is ok comes back unchanged. Raises ModelYamlError for what is
    no model yaml, and for a problem that has not one right answer.
    """
    report = diagnose(parse_model_yaml(text), scale)
    open_ = [problem for problem in report.problems if problem.fixed is None]
    if not open_:
        text = _replaced(text, report)
        open_ = list(diagnose(parse_model_yaml(text), scale).problems)
    if open_:
        raise ModelYamlError(f"{open_[0]}, and no mended row can be offered; change it by hand.")
    return text


def _brief(row: Row) -> str:
    """Module and arguments of a row: "Conv [128]"."""
    return f"{row[2]} {flow_text(row[3]):.80}"


def _renamed(row: Row) -> Row | None:
    """A row of a misspelt module; its arguments were not checked before the name was known."""
    meant = closest_name(row[2]) if are_arguments(row[3]) else None
    return [row[0], row[1], meant, row[3]] if meant else None


def _fixed(rows: list[Row], found: list[Finding]) -> list[Row]:
    better = {index: row for index, _, row in found if row is not None}
    return [better.get(index, row) for index, row in enumerate(rows)]


def _own_rules(model: dict[str, Any], rows: list[Row]) -> list[Finding]:
    """What is wrong whatever the other rows are: what rows read, and what the project asks beyond Ultralytics."""
    found: list[Finding] = []
    places = [i for i, row in enumerate(rows) if row[2] in DETECTORS]
    if not places:
        kinds = f"{', '.join(DETECTORS[:-1])} or {DETECTORS[-1]}"
        found.append((None, f"the last row must be {kinds}, there is none", None))
    for index in places:
        source, repeats, module, args = rows[index]
        if index != len(rows) - 1 or repeats != 1:
            found.append((index, f"{module} must be the last row, once, and the only one of its kind", None))
        elif args not in (["nc"], [model["nc"]]):
            sentence = f"{module} {flow_text(args)} has other arguments than [nc]"
            found.append((index, sentence, [source, repeats, module, ["nc"]]))
        elif module in ("DetectDLKA", "Detect1x1") and model.get("end2end"):
            found.append((index, f"{module} has no branches for end2end; remove that line or use Detect", None))
    for index, row in enumerate(rows):
        source, _, module, args = row
        if (module == "Concat" or module in DETECTORS) and not isinstance(source, list):
            found.append((index, f"{module} reads several rows, but 'from' is the single {source}", None))
        elif module in ONE_INPUT and isinstance(source, list):
            found.append((index, f"{module} reads one row, but 'from' is {flow_text(source)}", None))
        elif None in sources(index, source):
            why = f"'from' {flow_text(source)} names a row that does not come before row {index}"
            found.append((index, why, None))
        elif module == "C2f_DLKA" and args[2:3] not in ([], [1], ["1"]):
            found.append((index, f"C2f_DLKA has no groups, got {flow_text(args)}", None))
    # A key for offsets that nobody reads would build dense offsets without a word.
    misspelt = [key for key in model if key != "offsets" and key.strip().lower() in ("offset", "offsets")]
    if misspelt:
        found.append((None, f"offsets: expected the key to be written offsets, got {misspelt[0]!r:.40}", None))
    elif (word := model.get("offsets", "dense")) not in tuple(OFFSETS):
        found.append((None, f"offsets: expected one of {', '.join(OFFSETS)}, got {word!r:.40}", None))
    return found


def _faults(
    rows: list[Row], model: dict[str, Any], channels: int, skipped: set[int]
) -> tuple[list[Row], list[Map], list[Finding]]:
    """The rows with what can be fixed of them, their maps as far as these are known, and why rows do not build.

    skipped: rows of which it is known that they may not be built.
    """

    def dry(rows: list[Row]) -> tuple[list[Map], Failure | None]:
        return dry_build({**model, "backbone": rows, "head": []}, channels, skipped)

    found: list[Finding] = []
    maps, failure = dry(rows)
    for _ in range(MAX_FAULTS):
        if failure is None:
            break
        index, without = failure.row, _without_kernel_and_stride(rows)
        if index is not None and rows[index][2] == "Concat" and without:
            halved = _halved(rows, without)
            tried = dry(halved)
            if tried[1] is None or (tried[1].row or 0) > index:
                why = "has kernel 1 and stride 1, but later Concat rows need its map halved"
                found += [(i, f"{_brief(rows[i])} {why}", halved[i]) for i in without]
                rows, (maps, failure) = halved, tried
                continue
        sentence, fixed = _explained(failure, rows, maps)
        found.append((index, sentence, fixed))
        if index is None or failure.limit:
            break
        if fixed is None:
            skipped.add(index)
        rows = _fixed(rows, found[-1:])
        maps, failure = dry(rows)
    for i, (row, seen) in enumerate(zip(rows, maps)):
        if row[2] == ATTENTION and seen.channels and row[3] not in ([], [seen.channels]):
            sentence = f"{ATTENTION} {flow_text(row[3])} gets {seen.channels} channels at this scale"
            found.append((i, sentence, [*row[:3], []]))
    return rows, maps, found


def _explained(failure: Failure, rows: list[Row], maps: list[Map]) -> tuple[str, Row | None]:
    """Why a row does not build, in the words of yamls where it can be said in these, and the fixed row if any."""
    index = failure.row
    if index is None:
        return failure.reason, None
    row = rows[index]
    source, repeats, module, args = row
    reason = f"{_brief(row)} does not build: {failure.reason}"
    if failure.limit:
        return reason, None
    if module in ("Conv", "SPPF", "Concat") and repeats > 1:
        return f"{module} cannot be repeated {repeats} times here", [source, 1, module, args]
    if module == "Concat":
        strides = [maps[s].stride for s in sources(index, source) if s is not None and s >= 0]
        if len({stride for stride in strides if stride is not None}) > 1:
            known = ", ".join("?" if stride is None else f"{stride:g}" for stride in strides)
            return f"Concat of rows {flow_text(source)} joins maps with strides [{known}]", None
    hint = f" (its arguments are {ARGUMENTS[module]})" if module in ARGUMENTS else ""
    return reason + hint, [source, repeats, module, [1]] if module == "Concat" and args not in ([], [1]) else None


def _without_kernel_and_stride(rows: list[Row]) -> list[int]:
    """The Conv rows with channels alone, which makes their kernel and their stride 1: most often these were lost."""
    return [index for index, row in enumerate(rows) if row[2] == "Conv" and len(row[3]) == 1]


def _halved(rows: list[Row], places: list[int]) -> list[Row]:
    """The rows with a 3x3 kernel and stride 2, as in YOLOv8, in these places."""
    return [[*row[:3], [row[3][0], 3, 2]] if index in places else row for index, row in enumerate(rows)]


def _head_strides(rows: list[Row], maps: list[Map]) -> tuple[float | None, ...]:
    return tuple(maps[s].stride for s in sources(len(rows) - 1, rows[-1][0]) if s is not None and s >= 0)


def _notes(model: dict[str, Any], rows: list[Row], maps: list[Map], depth: float, channels: int) -> list[str]:
    """What is worth knowing of a model in which nothing is wrong."""
    notes = [
        f"row {i}: {row[2]} is written with {row[1]} repeats, the depth gain {depth:g} makes it {_repeats(row, depth)}"
        for i, row in enumerate(rows)
        if row[2] in (ATTENTION, "C2f_DLKA") and _repeats(row, depth) != row[1]
    ]
    without = _without_kernel_and_stride(rows)
    if without and _head_strides(rows, maps) not in USUAL_STRIDES:
        halved, failure = dry_build({**model, "backbone": _halved(rows, without), "head": []}, channels)
        if not failure and _head_strides(rows, halved) in USUAL_STRIDES:
            why = "has kernel 1 and stride 1; with stride 2 the last row would read the usual strides"
            notes += [f"row {i}: {_brief(rows[i])} {why}" for i in without]
    source, _, module, _ = rows[-1]
    read = sources(len(rows) - 1, source)
    for start in read:
        after = None if start is None else start + 1
        if after and rows[after][2] == ATTENTION and sources(after, rows[after][0]) == [start] and after not in read:
            why = f"{module} reads row {start} and passes by the attention that follows it"
            notes.append(f"row {len(rows) - 1}: {why}")
            break
    unread = sorted(set(model) - KEYS)
    return notes + ([f"nobody reads {', '.join(unread):.200}"] if unread else [])


def _repeats(row: Row, depth: float) -> int:
    """The repeats of a row after the depth gain, which multiplies those above 1."""
    return max(round(row[1] * depth), 1) if row[1] > 1 else row[1]


def _report_rows(rows: list[Row], maps: list[Map], depth: float, channels: int) -> list[ReportRow]:
    """The rows with what the dry build saw of their maps; channels: those of the picture."""
    seen = maps + [Map(None, None)] * (len(rows) - len(maps))
    lines = []
    for index, (row, out) in enumerate(zip(rows, seen)):
        inputs = [None if s is None else channels if s < 0 else seen[s].channels for s in sources(index, row[0])]
        known = [count for count in inputs if count is not None]
        total = sum(known) if len(known) == len(inputs) else None
        source, repeats, module, args = row
        counted = _repeats(row, depth)
        lines.append(ReportRow(index, source, repeats, module, args, counted, total, out.channels, out.stride))
    return lines


def _replaced(text: str, report: Report) -> str:
    """The yaml text with the values exchanged in which a fixed row differs from the written one."""
    fixed = {problem.row: problem.fixed for problem in report.problems}
    root = yaml.compose(text, Loader=yaml.SafeLoader)
    parts = {key.value: value for key, value in root.value}
    nodes = [row.value for part in ("backbone", "head") for row in parts[part].value]
    edits = []
    for row in report.rows:
        old = [row.source, row.repeats, row.module, row.args]
        new = fixed.get(row.index) or old
        edits += [(*_span(node), flow_text(b)) for node, a, b in zip(nodes[row.index], old, new) if a != b]
    for start, end, value in sorted(edits, reverse=True):  # from the end, so that earlier places stay valid
        text = text[:start] + value + text[end:]
    return text


def _span(node: yaml.Node) -> tuple[int, int]:
    """Where a node's own text begins and ends; a block list counts up to its last item, not up to the next line."""
    last = node
    while isinstance(last, yaml.CollectionNode) and not last.flow_style and last.value:
        last = last.value[-1]
    return node.start_mark.index, last.end_mark.index
