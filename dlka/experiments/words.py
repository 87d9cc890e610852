"""Figures and tables as Markdown, and the templates that hold the prose around them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from dlka.experiments.deltas import Delta

NONE = "-"
_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def rendered(template: str, values: Mapping[str, Any]) -> str:
    """The Markdown of a template of this folder; where a part is left out, one blank line stays of those around it."""
    return re.sub(r"\n{3,}", "\n\n", _TEMPLATES.get_template(template).render(values).strip()) + "\n"


def figure(value: float | None, digits: int = 1) -> str:
    """A figure, "-" for none."""
    return NONE if value is None else f"{value:.{digits}f}"


def per_cent(share: float | None, digits: int = 1) -> str:
    """A share of 0..1 in per cent, "-" for none."""
    return figure(None if share is None else 100 * share, digits)


def signed(value: float) -> str:
    """A difference with its sign: one decimal, two where one would show nothing."""
    return f"{value:+.1f}" if abs(value) >= 0.05 or value == 0 else f"{value:+.2f}"


def with_interval(delta: Delta) -> str:
    """For example "+0.9 [+0.3, +1.5]"."""
    return f"{signed(delta.value)} [{signed(delta.low)}, {signed(delta.high)}]"


def cell(delta: Delta | None) -> str:
    """The difference for a table: bold where the interval does not include zero."""
    if delta is None:
        return NONE
    return f"**{with_interval(delta)}**" if delta.sign else with_interval(delta)


def points(value: float | None, ends: Sequence[float] | None) -> str:
    """A difference of shares 0..1 with its interval, in points: "-3.1 [-4.0, -2.2]"; "-" for one not defined."""
    if value is None or ends is None:
        return NONE if value is None else signed(100 * value)
    return with_interval(Delta(100 * value, 100 * ends[0], 100 * ends[1]))


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A table; the first columns, which hold words, to the left, the others to the right."""
    lines = [header, [*["---"] * words, *["---:"] * (len(header) - words)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def listed(words: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    *most, last = words
    return f"{', '.join(most)} and {last}" if most else last


def versions(numbers: Mapping[str, str]) -> str:
    """Packages with their versions: "dlka 0.1.0, torch 2.14"."""
    return ", ".join(f"{name} {number}" for name, number in numbers.items()) or "unknown versions"


def machine(known: Mapping[str, Any], *keys: str) -> str:
    """What is known of a machine."""
    return ", ".join(str(known[key]) for key in keys if key in known) or "an unnamed machine"
