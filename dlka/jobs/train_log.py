"""What a run has seen so far, epoch by epoch: kept with its state, written as CSV, drawn at its end."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
                with open(folder.file(name), "w", encoding="utf-8", newline="") as file:
                    table = csv.DictWriter(file, list(rows[0]), extrasaction="ignore")
                    table.writeheader()
                    table.writerows({k: f"{v:.6g}" if isinstance(v, float) else v for k, v in r.items()} for r in rows)

    def draw(self, folder: RunFolder) -> None:
        """curves.png."""
        from dlka.render.chart import chart_png
        from dlka.render.curves import curves_chart

        if self.curves:
            folder.file("curves.png").write_bytes(chart_png(curves_chart(self.curves, self.offsets)))
