"""What each row of a model yaml needs: inputs that exist and fit, arguments of the right kind, maps to detect on.

A check gets the rows, the row's index and the states of the rows before it, and returns (sentence, mended row), each
None where there is none. Sentences have no full stop; the report adds it.
"""

from __future__ import annotations

from typing import Any

from dlka.models.module_names import ATTENTION, BLOCKS, DETECTORS, OFFSETS, TRACKED, WIDENED
from dlka.models.row_tracking import Gains, Row, State, argument, detector_strides, sources, step
from dlka.models.stride_search import wanted_strides
from dlka.models.yaml_file import flow_text, is_int, is_number

Finding = tuple[str | None, Row | None]
FINE: Finding = (None, None)
ARGUMENTS = {
    "Conv": "[channels, kernel, stride]",
    "C2f": "[channels, shortcut]",
    "C2f_DLKA": "[channels, shortcut]",
    "SPPF": "[channels, kernel]",
    "Concat": "[1]",
    "nn.Upsample": "[None, 2, nearest]",
    ATTENTION: "[] or [channels]",
    "Detect": "[nc]",
    "DetectDLKA": "[nc]",
}


def check(rows: list[Row], index: int, before: list[State], gains: Gains) -> Finding:
    """The first thing that is wrong with one row, given the mended rows before it."""
    if rows[index][2] not in TRACKED:
        return _foreign_inputs(rows, index)
    for one in (_arguments, _inputs, _repeats, _concat, _attention, _detector):
        finding = one(rows, index, before, gains)
        if finding != FINE:
            return finding
    return FINE


def check_end(rows: list[Row]) -> list[tuple[int | None, str]]:
    """A detection model has one Detect row, the last."""
    places = [i for i, row in enumerate(rows) if row[2] in DETECTORS]
    if not places:
        return [(None, "the last row must be Detect or DetectDLKA, there is none")]
    return [
        (i, f"{rows[i][2]} must be the last row and the only one of its kind") for i in places if i != len(rows) - 1
    ]


def check_offsets(model: dict[str, Any]) -> list[tuple[int | None, str]]:
    """The yaml's word for how offsets are predicted, where it has one, is a known one."""
    for key in model:  # a key that nobody reads would build dense offsets without a word
        if str(key) != "offsets" and str(key).strip().lower() in ("offset", "offsets"):
            return [(None, f"offsets: expected the key to be written offsets, got {key!r:.40}")]
    word = model.get("offsets", OFFSETS[0])
    return [] if word in OFFSETS else [(None, f"offsets: expected one of {', '.join(OFFSETS)}, got {word!r:.40}")]


def _foreign_inputs(rows: list[Row], index: int) -> Finding:
    if None in sources(index, rows[index][0]):
        return f"'from' {flow_text(rows[index][0])} names a row that does not come before row {index}", None
    return FINE


def _arguments(rows: list[Row], index: int, before: list[State], gains: Gains) -> Finding:
    row = rows[index]
    source, repeats, module, args = row
    first, second = argument(row, 0), argument(row, 1)
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
        good = 2 <= len(args) <= 3 and first is None and is_number(second) and 0 < second <= 16
    elif module == ATTENTION:
        good = not args or (len(args) == 1 and is_int(first) and first > 0)
    else:
        good = args == ["nc"]
    if good:
        return FINE
    mended = {
        "Concat": [1],
        "Detect": ["nc"],
        "DetectDLKA": ["nc"],
        "nn.Upsample": ["None", 2, "nearest"],
        ATTENTION: [],
    }
    sentence = f"{module} {flow_text(args)} has other arguments than {ARGUMENTS[module]}"
    return sentence, [source, repeats, module, mended[module]] if module in mended else None


def _is_size(value: Any) -> bool:
    """A kernel or a stride: a small whole number or two of them."""
    values = value if isinstance(value, list) and len(value) == 2 else [value]
    return all(is_int(v) and 1 <= v <= 32 for v in values)


def _inputs(rows: list[Row], index: int, before: list[State], gains: Gains) -> Finding:
    source, _, module, _ = rows[index]
    several = module == "Concat" or module in DETECTORS
    if several and not isinstance(source, list):
        return f"{module} reads several rows, but 'from' is the single {source}", None
    if not several and isinstance(source, list):
        return f"{module} reads one row, but 'from' is {flow_text(source)}", None
    found = sources(index, source)
    if None in found and module not in DETECTORS:  # a Detect row can be mended from the strides, see _detector
        mended = _refit(rows, index, before) if module == "Concat" else None
        return f"'from' {flow_text(source)} names a row that does not come before row {index}", mended
    return FINE


def _repeats(rows: list[Row], index: int, before: list[State], gains: Gains) -> Finding:
    source, repeats, module, args = rows[index]
    if repeats == 1 or module in BLOCKS or module == ATTENTION:
        return FINE
    state = step(rows[index], before, gains)
    if module in ("Conv", "SPPF") and (gains.repeats(repeats) == 1 or state.channels_in == state.channels_out):
        return FINE
    return f"{module} cannot be repeated {repeats} times here", [source, 1, module, args]


def _concat(rows: list[Row], index: int, before: list[State], gains: Gains) -> Finding:
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
    match = _last_block(rows, before, stride, without=found[0])
    if stride is None or match is None:
        return None
    fits = [s is not None and s >= 0 and before[s].stride == stride for s in found]
    return [[old if fit else match for old, fit in zip(source, fits)], repeats, module, args]


def _attention(rows: list[Row], index: int, before: list[State], gains: Gains) -> Finding:
    source, repeats, module, args = rows[index]
    if module != ATTENTION or not args:
        return FINE
    channels = step(rows[index], before, gains).channels_in
    if channels is None or argument(rows[index], 0) == channels:
        return FINE
    return f"{ATTENTION} {flow_text(args)} gets {channels} channels at this scale", [source, repeats, module, []]


def _detector(rows: list[Row], index: int, before: list[State], gains: Gains) -> Finding:
    source, repeats, module, args = rows[index]
    if module not in DETECTORS:
        return FINE
    found = sources(index, source)
    strides = detector_strides(rows[index], index, before)
    behind = [_last_attention(rows, s, index) if s is not None and s >= 0 else s for s in found]
    wanted = wanted_strides(len(strides))
    sentence = None
    if None in found or -1 in found:
        sentence = f"{module} reads rows {flow_text(source)}, of which one does not come before it"
    elif not any(all(a in (b, None) for a, b in zip(strides, want)) and len(strides) == len(want) for want in wanted):
        expected = " or ".join(flow_text(list(want)) for want in wanted)
        got = flow_text([_whole(stride) for stride in strides])
        sentence = f"{module} reads rows {flow_text(source)} with strides {got}, expected {expected}"
    elif behind != found:
        late = next(s for s, last in zip(found, behind) if s != last)
        sentence = f"{module} reads row {late} and passes by the attention that follows it"
    if sentence is None:
        return FINE
    by_stride = {stride: s for s, stride in zip(behind, strides) if s is not None and s >= 0}
    options = [[by_stride.get(stride) or _last_block(rows, before, stride) for stride in want] for want in wanted]
    complete = next((option for option in options if None not in option), None)
    return sentence, [complete, repeats, module, args] if complete else None


def _last_attention(rows: list[Row], start: int, end: int) -> int:
    """Follow attention rows that stand directly on a row: the last of them, or the row itself."""
    while start + 1 < end and rows[start + 1][2] == ATTENTION and sources(start + 1, rows[start + 1][0]) == [start]:
        start += 1
    return start


def _last_block(rows: list[Row], before: list[State], stride: float | None, without: int | None = None) -> int | None:
    """The last row with this stride whose map is a finished feature: a block, SPPF or attention."""
    for i in range(len(before) - 1, -1, -1):
        if before[i].stride == stride and i != without and rows[i][2] in (*BLOCKS, "SPPF", ATTENTION):
            return i
    return None


def _whole(stride: float | None) -> object:
    return "?" if stride is None else int(stride) if stride == int(stride) else stride
