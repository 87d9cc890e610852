"""How much memory and disk the page takes from strangers' pictures: flat ones of 50 megapixels, in files under 1 MB."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dlka.errors import DlkaError
from dlka.ui import bench
from dlka.ui.bench_visitor import Visitor

HEIGHT, WIDTH = 7000, 7100  # of a large picture: just under the most pixels that are taken
USUAL = 3  # pictures of the usual size that come first


def bench_memory(uploads: int = 14) -> dict[str, Any]:
    """Start the page, compare USUAL pictures with it, then so many large ones, each by a visitor of its own.

    Returns what a JSON needs, a row a moment: "when": what was compared, "resident": MB of the page's process then,
    "disk": MB of its temporary files, "milliseconds" of the comparison. "first": milliseconds until a new visitor has
    the first What if of the picture that the page opens with, or the sentence that refuses it. "uploads".

    Raises DlkaError for fewer than one upload and where the page does not start, and what `Visitor.change` raises.
    """
    if uploads < 1:
        raise DlkaError(f"uploads: expected at least 1, got {uploads}")
    with tempfile.TemporaryDirectory() as folder, bench.running_page(folder) as (url, process):
        rows: list[dict[str, Any]] = []

        def row(when: str, milliseconds: float | None = None) -> None:
            now = {"resident": bench._megabytes(process), "disk": _on_disk(folder)}
            rows.append({"when": when, **now, "milliseconds": milliseconds})

        row("started")
        for kind, data in _compared(uploads):
            visitor = Visitor(url)
            visitor.show_picture(data)
            row(kind, visitor.change("Compare", "click"))
        begin = time.perf_counter()
        first: float | str
        try:
            Visitor(url).change("what-if-strength", "input")
            first = 1000 * (time.perf_counter() - begin)
        except DlkaError as error:
            first = str(error)
    return {"rows": rows, "first": first, "uploads": uploads}


def _compared(uploads: int) -> Iterator[tuple[str, bytes]]:
    yield from (("usual", data) for data in bench.pictures(USUAL))
    yield from (("50 megapixels", data) for data in large_pictures(uploads))


def large_pictures(count: int) -> Iterator[bytes]:
    """JPEG files of so many large pictures, each of one grey."""
    for i in range(count):
        yield cv2.imencode(".jpg", np.full((HEIGHT, WIDTH, 3), 40 + 10 * i % 200, np.uint8))[1].tobytes()


def _on_disk(folder: str) -> float:
    return sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()) / 1e6
