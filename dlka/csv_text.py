"""CSV that opens as text and numbers in a spreadsheet, never as a formula."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence

# What spreadsheets take for the start of a formula, also behind blanks, quotes and signs that cannot be seen; the wide
# signs are of Chinese and Japanese keyboards. A sign alone is text.
_UNSEEN = r"\s\x00-\x1f\u00ad\u180e\u200b-\u200f\u2028-\u202e\u2060\ufeff"
_START = rf"""[{_UNSEEN}"'`]*[=+\-@\uff1d\uff0b\uff0d\uff20]"""
_FORMULA = re.compile(rf"{_START}.*[^{_UNSEEN}]|[\t\r\n]", re.DOTALL)
# Where other spreadsheets than those that go by commas begin a new cell.
_NEXT_CELL = re.compile(rf"([;|\t\r\n])(?={_START})")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


def csv_text(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV, the heads first. A text that a spreadsheet would run gets an apostrophe before it; numbers, also as
    text such as "-0.12", stay as they are."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows([_cell(value) for value in row] for row in rows)
    return out.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str) or _NUMBER.fullmatch(value):
        return value
    inner = _NEXT_CELL.sub(r"\1'", value)
    return f"'{inner}" if _FORMULA.match(value) else inner
