"""What is wrong with a row of a model yaml, in words, and the mended row where there is one to offer.

`own_rules` holds for every yaml: what the project asks beyond Ultralytics' parser. The rest explains rows of which the
dry build says that they do not fit. Sentences have no full stop; the report adds it.
"""

from __future__ import annotations

from typing import Any

from dlka.models.module_names import ATTENTION, BLOCKS, DETECTORS, OFFSETS, TRACKED, WIDENED
from dlka.models.row_tracking import Gains, Row, State, argument, sources, step
from dlka.models.yaml_file import KEYS, flow_text, is_int, is_number

Finding = tuple[int | None, str, Row | None]  # the row (None: the whole model), a sentence, the mended row if any
Verdict = tuple[str | None, Row | None]  # of one row: a sentence and the mended row
FINE: Verdict = (None, None)
ARGUMENTS = {
    "Conv": "[channels, kernel, stride]",
    "C2f": "[channels, shortcut]",
    "C2f_DLKA": "[channels, shortcut]",
    "SPPF": "[channels, kernel]",
    "Concat": "[1]",
    "nn.Upsample": "[None, 2, nearest]",
}
MENDED_ARGUMENTS = {"Concat": [1], "nn.Upsample": ["None", 2, "nearest"]}


def own_rules(model: dict[str, Any]) -> list[Finding]:
    """What the project asks of a model beyond what Ultralytics does."""
    found: list[Finding] = []
    rows = model["backbone"] + model["head"]
    places = [i for i, row in enumerate(rows) if row[2] in DETECTORS]
    if not places:
        found.append((None, f"the last row must be {_one_of(DETECTORS)}, there is none", None))
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
        if row[2] == "C2f_DLKA" and argument(row, 2, 1) != 1:
            found.append((index, f"C2f_DLKA has no groups, got {flow_text(row[3])}", None))
    return found + _offsets(model)


def unread_keys(model: dict[str, Any]) -> str | None:
    """A note on the keys of a model that neither Ultralytics' parser nor the project reads."""
    unread = sorted(set(model) - KEYS)
    return f"nobody reads {', '.join(unread):.200}" if unread else None


def attention_channels(rows: list[Row], channels: list[int | None]) -> list[Finding]:
    """Attention rows whose argument is not the channels of their map, which are those that they get."""
    return [
        (i, f"{ATTENTION} {flow_text(row[3])} gets {got} channels at this scale", [*row[:3], []])
        for i, (row, got) in enumerate(zip(rows, channels))
        if row[2] == ATTENTION and row[3] not in ([], [got])
    ]


def check(rows: list[Row], index: int, before: list[State], gains: Gains) -> Verdict:
    """The first thing that is wrong with one row, given the mended rows before it."""
    for one in (_inputs, _arguments, _repeats, _concat):
        finding = one(rows, index, before, gains)
        if finding != FINE:
            return finding
    return FINE


def passed_by(rows: list[Row]) -> str | None:
    """A note on a Detect row that reads a row and not the attention that stands on it."""
    source, _, module, _ = rows[-1]
    found = sources(len(rows) - 1, source)
    for start in found if module in DETECTORS else []:
        after = None if start is None else start + 1
        if after and rows[after][2] == ATTENTION and sources(after, rows[after][0]) == [start] and after not in found:
            return f"row {len(rows) - 1}: {module} reads row {start} and passes by the attention that follows it"
    return None


def _offsets(model: dict[str, Any]) -> list[Finding]:
    """The yaml's word for how offsets are predicted, where it has one, is a known one."""
    for key in model:  # a key that nobody reads would build dense offsets without a word
        if key != "offsets" and key.strip().lower() in ("offset", "offsets"):
            return [(None, f"offsets: expected the key to be written offsets, got {key!r:.40}", None)]
    word = model.get("offsets", OFFSETS[0])
    expected = f"offsets: expected one of {', '.join(OFFSETS)}, got {word!r:.40}"
    return [] if word in OFFSETS else [(None, expected, None)]


def _one_of(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _arguments(rows: list[Row], index: int, before: list[State], gains: Gains) -> Verdict:
    row = rows[index]
    source, repeats, module, args = row
    first, second = argument(row, 0), argument(row, 1)
    good = True
    if module in WIDENED:
        good = is_int(first) and first > 0
        if module in BLOCKS:
            good &= len(args) <= 4 and (len(args) < 2 or isinstance(second, bool))
        else:
            good &= len(args) < 2 or _is_size(second)
        if module == "Conv":
            good &= len(args) <= 7 and (len(args) < 3 or _is_size(argument(row, 2)))
    elif module == "Concat":
        good = args in ([], [1])
    elif module == "nn.Upsample":
        good = 2 <= len(args) <= 4 and first is None and is_number(second) and 0 < second <= 16
    if good:
        return FINE
    sentence = f"{module} {flow_text(args)} has other arguments than {ARGUMENTS[module]}"
    mended = MENDED_ARGUMENTS.get(module)
    return sentence, None if mended is None else [source, repeats, module, mended]


def _is_size(value: Any) -> bool:
    """A kernel or a stride: a small whole number or two of them."""
    values = value if isinstance(value, list) and len(value) == 2 else [value]
    return all(is_int(v) and 1 <= v <= 32 for v in values)


def _inputs(rows: list[Row], index: int, before: list[State], gains: Gains) -> Verdict:
    source, _, module, _ = rows[index]
    several = module == "Concat" or module in DETECTORS
    if several and not isinstance(source, list):
        return f"{module} reads several rows, but 'from' is the single {source}", None
    if module in TRACKED and not several and isinstance(source, list):
        return f"{module} reads one row, but 'from' is {flow_text(source)}", None
    if None in sources(index, source):
        mended = _refit(rows, index, before) if module == "Concat" else None
        return f"'from' {flow_text(source)} names a row that does not come before row {index}", mended
    return FINE


def _repeats(rows: list[Row], index: int, before: list[State], gains: Gains) -> Verdict:
    source, repeats, module, args = rows[index]
    if repeats == 1 or module not in ("Conv", "SPPF", "Concat"):
        return FINE
    state = step(rows[index], before, gains)
    if module != "Concat" and (gains.repeats(repeats) == 1 or state.channels_in == state.channels_out):
        return FINE
    return f"{module} cannot be repeated {repeats} times here", [source, 1, module, args]


def _concat(rows: list[Row], index: int, before: list[State], gains: Gains) -> Verdict:
    if rows[index][2] != "Concat":
        return FINE
    found = [before[s].stride for s in sources(index, rows[index][0]) if s is not None and s >= 0]
    if len({stride for stride in found if stride is not None}) < 2:
        return FINE
    strides = flow_text([_whole(stride) for stride in found])
    return f"Concat of rows {flow_text(rows[index][0])} joins maps with strides {strides}", _refit(rows, index, before)


def _refit(rows: list[Row], index: int, before: list[State]) -> Row | None:
    """A Concat row whose misfits read the last block with the stride of its first input; None where there is none."""
    source, repeats, module, args = rows[index]
    found = sources(index, source)
    if found[0] is None or found[0] < 0:
        return None
    stride = before[found[0]].stride
    match = _last_block(rows, before, stride, found[0])
    if stride is None or match is None:
        return None
    fits = [s is not None and s >= 0 and before[s].stride == stride for s in found]
    return [[old if fit else match for old, fit in zip(source, fits)], repeats, module, args]


def _last_block(rows: list[Row], before: list[State], stride: float | None, without: int) -> int | None:
    """The last row with this stride whose map is a finished feature: a block, SPPF or attention."""
    for i in range(len(before) - 1, -1, -1):
        if before[i].stride == stride and i != without and rows[i][2] in (*BLOCKS, "SPPF", ATTENTION):
            return i
    return None


def _whole(stride: float | None) -> object:
    return "?" if stride is None else int(stride) if stride == int(stride) else stride
