"""What a run has seen so far, epoch by epoch: kept with its state, written as CSV, drawn at its end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from dlka.csv_text import csv_text
from dlka.jobs.train_folder import RunFolder

Row = dict[str, Any]


@dataclass
class History:
    """curves: a row an epoch, "epoch", losses by name, and "AP" and "AP50" (0..1) where it was validated; offsets: rows
    of OffsetWatch with "epoch"."""

    curves: list[Row] = field(default_factory=list)
    offsets: list[Row] = field(default_factory=list)

    def add(self, epoch: int, figures: Row, offsets: Sequence[Row]) -> None:
        """One epoch, counted from 1."""
        self.curves.append({"epoch": epoch, **figures})
        self.offsets += [{"epoch": epoch, **row} for row in offsets]

    def write(self, folder: RunFolder) -> None:
        """curves.csv and, for models with deform stages, offsets.csv: whole, so that nothing stands in them twice."""
        for name, rows in (("curves.csv", self.curves), ("offsets.csv", self.offsets)):
            if rows:
                heads = list(rows[0])
                cells = [[_short(row.get(head, "")) for head in heads] for row in rows]
                folder.file(name).write_text(csv_text([heads, *cells]), encoding="utf-8", newline="")

    def draw(self, folder: RunFolder) -> None:
        """curves.png."""
        from dlka.render.chart import chart_png
        from dlka.render.curves import curves_chart

        if self.curves:
            folder.file("curves.png").write_bytes(chart_png(curves_chart(self.curves, self.offsets)))


def _short(value: object) -> object:
    return f"{value:.6g}" if isinstance(value, float) else value
