"""What differs between two stored answers, and whether a reader would see it."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import ndiff
from typing import Any, NamedTuple

import numpy as np

from tests.golden.digest import GRID, grid_of, numbers_in, parts

RELATIVE = 1e-3  # by which a measured number may differ
LEVELS = 1  # of 255, by which a cell of a coarse picture may differ


class Difference(NamedTuple):
    """where: the way to an entry; what: a few words; near: whether it is within the tolerances."""

    where: str
    what: str
    near: bool


def differences(before: Any, now: Any, where: str = "") -> Iterator[Difference]:
    """All that differs between two stored values, entry by entry."""
    if before == now:
        return
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before:
            if key not in now:
                yield Difference(f"{where} / {key}", "is gone", False)
            else:
                yield from differences(before[key], now[key], f"{where} / {key}")
        for key in now:
            if key not in before:
                yield Difference(f"{where} / {key}", "is new", False)
    elif isinstance(before, list) and isinstance(now, list) and len(before) == len(now):
        for number, (one, other) in enumerate(zip(before, now), 1):
            yield from differences(one, other, f"{where} [{number}]")
    elif isinstance(before, list) and isinstance(now, list) and all(isinstance(v, str) for v in before + now):
        for line in ndiff(before, now):
            if line[:2] in ("- ", "+ "):
                yield Difference(where, f"{'is gone' if line[0] == '-' else 'is new'}: {line[2:][:200]!r}", False)
    elif isinstance(before, str) and isinstance(now, str) and parts(before)[0] == parts(now)[0] != "":
        kind, was = parts(before)
        yield Difference(where, *BY_KIND[kind](was, parts(now)[1]))
    elif where.endswith("/ binary"):  # pictures and fonts inside a PDF: how they look, the PNG beside it says
        yield Difference(where, "other bytes", True)
    elif isinstance(before, str) and isinstance(now, str):
        yield Difference(where, f"was {_short(before, now)}, is {_short(now, before)}", _same_words(before, now))
    elif _is_number(before) and _is_number(now):
        near = _close(before, now) and isinstance(before, float) == isinstance(now, float)
        yield Difference(where, f"was {before}, is {now}", near)
    else:
        yield Difference(where, f"was {_short(before)}, is {_short(now)}", False)


def _pixels(before: list[str], now: list[str]) -> tuple[str, bool]:
    if before[0] != now[0]:
        return f"pixels: size was {before[0]}, is {now[0]}", False
    off = np.abs(grid_of(before[2]) - grid_of(now[2])).max(-1)
    row, column = np.unravel_index(off.argmax(), off.shape)
    place = f"row {row + 1} and column {column + 1} of {GRID} x {GRID} cells"
    return f"pixels: other ones, cells by up to {off.max()} levels, most at {place}", bool(off.max() <= LEVELS)


def _array(before: list[str], now: list[str]) -> tuple[str, bool]:
    for number, what in enumerate(("dtype", "shape")):
        if before[number] != now[number]:
            return f"array: {what} was {before[number]}, is {now[number]}", False
    return f"array: values were {before[3]}, are {now[3]}", _close_values(before[3], now[3])


def _text(before: list[str], now: list[str]) -> tuple[str, bool]:
    if before[2:4] != now[2:4]:
        lines, numbers = f"{before[0]} and now {now[0]}", f"{before[3]} numbers and now {now[3]}"
        return f"text {now[5]!r}: other words ({lines}, {numbers})", False
    return f"text {now[5]!r}: other numbers, {before[4]} and now {now[4]}", _close_values(before[4], now[4])


def _bytes(before: list[str], now: list[str]) -> tuple[str, bool]:
    one, other = (float(size[0].split()[0]) for size in (before, now))
    return f"file: was {before[0]}, is {now[0]}", abs(one - other) <= 0.02 * max(one, other)


BY_KIND = {"pixels": _pixels, "array": _array, "text": _text, "bytes": _bytes}


def _same_words(before: str, now: str) -> bool:
    """Whether two texts differ in measured numbers alone: decimals by the last digit or RELATIVE, counts not at all."""
    (words, values), (other_words, others) = numbers_in(before), numbers_in(now)
    return words == other_words and all(_close_printed(one, other) for one, other in zip(values, others))


def _close_printed(one: str, other: str) -> bool:
    if one == other:
        return True
    decimals = {len(n.partition(".")[2]) for n in (one.lower().partition("e")[0], other.lower().partition("e")[0])}
    if len(decimals) > 1:
        return False
    places = decimals.pop()
    if not places:
        return abs(float(one)) > 1 / RELATIVE and _close(float(one), float(other))
    return abs(float(one) - float(other)) <= 1.01 * 10.0**-places or _close(float(one), float(other))


def _close_values(before: str, now: str) -> bool:
    """Whether two summaries of arrays agree, by the largest value of them."""
    try:
        one, other = (np.array([float(v) for v in text.split()]) for text in (before, now))
    except ValueError:
        return False
    if one.shape != other.shape or not one.size:
        return False
    return bool(np.abs(one - other).max() <= RELATIVE * max(np.abs(one).max(), 1e-3))


def _close(one: float, other: float) -> bool:
    return abs(one - other) <= max(RELATIVE * max(abs(one), abs(other)), 1e-6)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any, other: Any = "") -> str:
    """A value in at most 200 characters, of a long text those around the first that differs from another."""
    text = value if isinstance(value, str) else repr(value)
    first = next((i for i, (a, b) in enumerate(zip(text, str(other))) if a != b), 0) if isinstance(other, str) else 0
    start = max(0, first - 60)
    cut = text[start : start + 200]
    return repr(("..." if start else "") + cut + ("..." if start + 200 < len(text) else ""))
