"""Reads a yaml of strangers as plain values, within limits.

Tags could name Python objects, aliases can make a small file huge, and a value such as a number of a million digits can
take minutes: all of that is refused in one pass over the text, before any object is made.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import yaml

from dlka.errors import DlkaError

MAX_BYTES = 256 * 1024
MAX_EVENTS = 50_000
MAX_DEPTH = 10
MAX_SCALAR = 1000  # characters of a value without quotes, which yaml may take for a number or a date

_Fastest: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's is ten times as fast; PyYAML may lack it


class _Loader(_Fastest):  # type: ignore[misc]  # Any, as it is one of two
    """Refuses keys that are one and the same, as 0 and false are, of which PyYAML would keep the last."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        made: dict[Any, Any] = super().construct_mapping(node, deep)
        first: dict[Any, str] = {}
        for key, _ in node.value if len(made) < len(node.value) else ():
            value = self.construct_object(key)
            if value in first:
                before = "" if first[value] == key.value else f", the first time as {first[value]!r:.60}"
                line = key.start_mark.line + 1
                raise DlkaError(f"line {line}: {key.value!r:.60} is given twice{before}; keep one of them.")
            first[value] = key.value
        return made


def plain_yaml(text: str, name: str) -> object:
    """What a yaml text holds: dicts, lists, texts, numbers, dates, True, False and None. `name` stands in the messages.

    Raises DlkaError for broken yaml, anchors, aliases, tags, a key given twice, deep nesting and what is too large.
    """
    if len(text) > MAX_BYTES:
        raise DlkaError(f"{name} is larger than {MAX_BYTES // 1024} KB: expected a smaller yaml.")
    try:
        _check_events(text)
        return _of_yaml(lambda: yaml.load(text, Loader=_Loader))
    except DlkaError as error:
        raise DlkaError(f"{name}: {error}") from None


def _of_yaml(step: Callable[[], Any]) -> Any:
    """What a step of PyYAML gives; its errors are the text's: it makes dates and numbers by int() and datetime()."""
    try:
        return step()
    except DlkaError:
        raise
    except (yaml.YAMLError, ValueError, TypeError, LookupError, OverflowError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        reason = " ".join(str(getattr(error, "problem", None) or error).split()).rstrip(".")
        raise DlkaError(f"it is not valid yaml{where}: {reason:.200}.") from None


def _check_events(text: str) -> None:
    depth, count, events = 0, 0, _of_yaml(lambda: yaml.parse(text, Loader=_Loader))
    while (event := _of_yaml(lambda: next(events, None))) is not None:
        count += 1
        if isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if not isinstance(event, yaml.NodeEvent):
            continue
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or event.anchor:
            raise DlkaError(f"line {line} has an anchor or alias, which is not read here.")
        if event.tag:
            tag = event.tag.replace("tag:yaml.org,2002:", "!!")
            raise DlkaError(f"line {line} has the tag {tag:.60}, which is not read here.")
        scalar = event.value if isinstance(event, yaml.ScalarEvent) else None
        if scalar is not None and not event.style and len(scalar) > MAX_SCALAR:
            raise DlkaError(f"line {line} has a value of over {MAX_SCALAR} characters.")
        depth += scalar is None
        if depth > MAX_DEPTH or count > MAX_EVENTS:
            raise DlkaError("it is nested too deep or has too many values.")
