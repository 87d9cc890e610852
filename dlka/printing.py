"""How commands and sentences say numbers and rows, and write what they printed as JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO, TypeVar

from dlka.errors import DlkaError, writing

Item = TypeVar("Item")
STDOUT = "-"  # as a file's name


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with the same keys as aligned text under a header; numbers to the right, None as "-"."""
    columns = list(rows[0])
    lines = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    right = [not isinstance(rows[0][column], str) for column in columns]
    return "\n".join(
        "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right)).rstrip()
        for line in lines
    )


def check_json(path: str | None) -> None:
    """Before what may take minutes: ValueError where `write_json` could not write."""
    if path == STDOUT:
        return
    if path and Path(path).is_dir():
        raise DlkaError(f"--json {path}: expected the name of a file, got a folder.")
    if path and not Path(path).parent.is_dir():
        raise DlkaError(f"--json {path}: there is no folder {Path(path).parent} to write to.")


def write_json(path: str | TextIO | None, content: Any) -> None:
    """To a file by its name, to a stream, or nowhere."""
    if not path:
        return
    text = json.dumps(content, indent=1)
    if isinstance(path, str):
        with writing(path):
            Path(path).write_text(text, encoding="utf-8")
    else:
        print(text, file=path)


def progress(items: Iterable[Item], total: int) -> Iterator[Item]:
    """The same items, with a bar on stderr where that is a terminal."""
    from tqdm import tqdm

    return iter(tqdm(items, total=total, disable=None, leave=False, unit="picture"))


def say(text: object, problem: bool = False) -> None:
    """Print a line at once, problems on stderr; a bar makes way for it."""
    from tqdm import tqdm

    file = sys.stderr if problem else sys.stdout
    tqdm.write(str(text), file)
    file.flush()


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 1 else f"{value:.3g}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def count(number: int, one: str, many: str | None = None) -> str:
    """ "1 box", "2 boxes" """
    return f"{number:,} {one if number == 1 else many or one + 's'}"
