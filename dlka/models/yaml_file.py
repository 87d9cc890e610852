"""Reads a YOLOv8 model yaml as plain data, within limits, and refuses what would be code.

A model yaml comes from strangers: Ultralytics passes its ``activation:`` through ``eval``, aliases can make a small
file huge, and its numbers decide how much memory the model takes. What passes here is a mapping of plain values whose
``backbone`` and ``head`` are rows ``[from, repeats, module, args]``; whether the rows fit together says `doctor`.
"""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import yaml

MAX_BYTES = 256 * 1024
MAX_ROWS = 200
MAX_REPEATS = 100
MAX_CHANNELS = 65536
MAX_CLASSES = 10_000
MAX_GAIN = 10.0
MAX_EVENTS = 50_000
MAX_DEPTH = 10
MAX_SCALAR = 1000  # characters of one value

_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_.]{0,63}")
_WORD = re.compile(r"[A-Za-z0-9_.+ -]{0,64}")


class ModelYamlError(ValueError):
    """A model yaml that is not read; the message is one sentence for the person who wrote the file."""


def load_model_yaml(path: str | Path) -> dict[str, Any]:
    """The model of a yaml file as a dict with at least ``nc``, ``backbone``, ``head``, checked by `parse_model_yaml`.

    Raises ModelYamlError, one sentence, for a file that is missing, too large, not UTF-8 or not a model yaml.
    """
    return parse_model_yaml(read_text(path), Path(path).name)


def read_text(path: str | Path) -> str:
    """The text of a yaml file of at most MAX_BYTES, line ends kept as they are; raises ModelYamlError."""
    path = Path(path)
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ModelYamlError(f"{path.name} cannot be read: {error.strerror or error}.") from None
    if len(data) > MAX_BYTES:
        raise ModelYamlError(f"{path.name} is larger than {MAX_BYTES // 1024} KB, too large for a model yaml.")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ModelYamlError(f"{path.name} is not a text file in UTF-8.") from None


def parse_model_yaml(text: str, name: str = "the model yaml") -> dict[str, Any]:
    """The model in a yaml text as plain dicts, lists and values; ``name`` stands in the messages.

    Refused with ModelYamlError: anchors and aliases, tags, deep nesting, keys given twice, ``activation``, rows that
    are not [from, repeats, module, args], and numbers out of range: repeats 1..100, channels up to 65536, at most
    200 rows, nc 1..10000.
    """
    try:
        _check_events(text)
        model = yaml.safe_load(text)
        _check_model(model)
    except ModelYamlError as error:
        raise ModelYamlError(f"{name}: {error}") from None
    except (yaml.YAMLError, ValueError, TypeError, RecursionError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split())
        raise ModelYamlError(f"{name} is not valid yaml{where}: {reason:.200}.") from None
    return model


def scale_in_name(path: str | Path) -> str | None:
    """The scale letter in a file name, by Ultralytics' rule: "yolov8s-dlka.yaml" -> "s"; None where there is none."""
    found = re.search(r"yolov?\d+([nslmx])", Path(path).stem)
    return found.group(1) if found else None


def flow_text(value: object) -> str:
    """A plain value or a row as one line of yaml: [-1, 1, Conv, [128, 3, 2]]."""
    if isinstance(value, list):
        return "[" + ", ".join(flow_text(item) for item in value) + "]"
    if isinstance(value, str):
        return value if yaml.safe_load(value) == value else f"'{value}'"
    return "null" if value is None else str(value)


def is_int(value: object) -> bool:
    """True for an int that is not a bool."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """True for a finite int or float that is not a bool."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _check_events(text: str) -> None:
    """Refuse, before any object is made, what could make a small text large."""
    depth, keys, expect_key = 0, set(), True
    for count, event in enumerate(yaml.parse(text, Loader=yaml.SafeLoader)):
        closing = isinstance(event, yaml.CollectionEndEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - closing
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise ModelYamlError(f"line {event.start_mark.line + 1} has an anchor or alias, which is not read here.")
        if getattr(event, "tag", None):
            raise ModelYamlError(f"line {event.start_mark.line + 1} has the tag {event.tag}, which is not read here.")
        if depth > MAX_DEPTH or count > MAX_EVENTS:
            raise ModelYamlError("it is nested too deep or has too many values for a model yaml.")
        if isinstance(event, yaml.ScalarEvent) and len(event.value) > MAX_SCALAR:
            raise ModelYamlError(f"line {event.start_mark.line + 1} has a value of over {MAX_SCALAR} characters.")
        if depth == 1 and isinstance(event, yaml.ScalarEvent) and expect_key:
            if event.value in keys:
                raise ModelYamlError(f"{event.value!r} is given twice; keep one of them.")
            keys.add(event.value)
            expect_key = False
        elif depth == 1 and (closing or isinstance(event, yaml.ScalarEvent)):
            expect_key = True


def _check_model(model: object) -> None:
    if not isinstance(model, dict) or not all(isinstance(key, str) for key in model):
        raise ModelYamlError("expected a mapping with nc, backbone and head.")
    if "activation" in model:
        raise ModelYamlError("'activation' is refused because Ultralytics runs it as Python code; remove that line.")
    if not is_int(model.get("nc")) or not 1 <= model["nc"] <= MAX_CLASSES:
        raise ModelYamlError(f"nc must be a whole number from 1 to {MAX_CLASSES}, got {model.get('nc')!r:.40}.")
    if "channels" in model and not (is_int(model["channels"]) and 1 <= model["channels"] <= MAX_CHANNELS):
        raise ModelYamlError(f"channels, those of the picture, must be a whole number, got {model['channels']!r:.40}.")
    _check_gains(model)
    for part in ("backbone", "head"):
        if not isinstance(model.get(part), list) or not model[part]:
            raise ModelYamlError(f"{part} must be a list of rows [from, repeats, module, args].")
    rows = model["backbone"] + model["head"]
    if len(rows) > MAX_ROWS:
        raise ModelYamlError(f"it has {len(rows)} rows, at most {MAX_ROWS} are read.")
    for index, row in enumerate(rows):
        _check_row(index, row)


def _check_gains(model: dict[str, Any]) -> None:
    """Scales are [depth, width, max_channels]; a file without them may have depth_multiple and width_multiple."""
    for key in ("depth_multiple", "width_multiple"):
        if key in model and not (is_number(model[key]) and 0 < model[key] <= MAX_GAIN):
            raise ModelYamlError(f"{key} must be a number from 0 to {MAX_GAIN:g}, got {model[key]!r:.40}.")
    scales = model.get("scales")
    if scales is None:
        return
    if not isinstance(scales, dict) or not scales or not all(isinstance(key, str) for key in scales):
        raise ModelYamlError("scales must be a mapping like 'n: [0.33, 0.25, 1024]'.")
    for name, gains in scales.items():
        good = isinstance(gains, list) and len(gains) == 3 and all(is_number(gain) for gain in gains)
        if not good or not all(0 < gain <= MAX_GAIN for gain in gains[:2]) or not 1 <= gains[2] <= MAX_CHANNELS:
            raise ModelYamlError(f"scale {name!r:.20} must be [depth, width, max_channels] like [0.33, 0.25, 1024].")


def _check_row(index: int, row: object) -> None:
    if not isinstance(row, list) or len(row) != 4:
        raise ModelYamlError(f"row {index} must be [from, repeats, module, args], got {row!r:.80}.")
    source, repeats, module, args = row
    sources = source if isinstance(source, list) else [source]
    if not 1 <= len(sources) <= 20 or not all(is_int(s) and -MAX_ROWS <= s <= MAX_ROWS for s in sources):
        raise ModelYamlError(f"row {index}: 'from' must be a row number or a list of them, got {source!r:.80}.")
    if not is_int(repeats) or not 1 <= repeats <= MAX_REPEATS:
        raise ModelYamlError(f"row {index}: repeats must be from 1 to {MAX_REPEATS}, got {repeats!r:.40}.")
    if not isinstance(module, str) or not _MODULE.fullmatch(module):
        raise ModelYamlError(f"row {index}: expected the name of a module, got {module!r:.80}.")
    if not isinstance(args, list) or len(args) > 20 or not all(_plain(arg) for arg in args):
        raise ModelYamlError(
            f"row {index}: args must be a list of plain values up to {MAX_CHANNELS}, got {args!r:.80}."
        )


def _plain(arg: object, nested: bool = False) -> bool:
    if isinstance(arg, list) and not nested:
        return len(arg) <= 8 and all(_plain(item, nested=True) for item in arg)
    if isinstance(arg, str):
        return _WORD.fullmatch(arg) is not None
    return arg is None or isinstance(arg, bool) or (is_number(arg) and abs(arg) <= MAX_CHANNELS)  # type: ignore[operator,arg-type]
