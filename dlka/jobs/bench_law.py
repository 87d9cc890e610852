"""The law by which the time of a model grows with the pixels it is given, fitted to what was timed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlka.jobs.bench_subjects import Subject, words


def law(megapixels: Sequence[float], milliseconds: Sequence[float]) -> dict[str, float]:
    """How the time of a call grows: milliseconds = overhead + slope * megapixels, over all pictures of a batch.

    A line, because every layer works in proportion to the cells of its map, and a call has a cost of its own whatever
    the picture. Least squares of the relative deviations, so that small inputs count as much as large ones; "deviation"
    is the largest of them, as a share: what caches and threads do to the line.
    """
    x, y = np.asarray(megapixels, float), np.asarray(milliseconds, float)
    (overhead, slope), *_ = np.linalg.lstsq(np.stack([1 / y, x / y], axis=1), np.ones_like(y), rcond=None)
    deviation = np.abs((overhead + slope * x) / y - 1).max()
    return {"overhead": float(overhead), "slope": float(slope), "deviation": float(deviation)}


def laws(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The law of every subject that was timed at three inputs or more: a line goes through any two."""
    keys = list(Subject.__dataclass_fields__)
    groups: dict[tuple[Any, ...], list[tuple[float, float]]] = {}
    for row in rows:
        point = (row["size"] ** 2 * row["batch"] / 1e6, row["milliseconds"])
        groups.setdefault(tuple(row[key] for key in keys), []).append(point)
    return [
        {**dict(zip(keys, subject)), **law(*zip(*points))}
        for subject, points in groups.items()
        if len({x for x, _ in points}) > 2
    ]


def law_row(found: dict[str, Any]) -> dict[str, Any]:
    """A law for people."""
    return {
        **words(found),
        "overhead, ms": found["overhead"],
        "slope, ms / megapixel": found["slope"],
        "off by at most, %": 100 * found["deviation"],
    }
