"""What models take: the stored result of `python -m dlka bench model --json`, as ratios to the control."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dlka.evidence.collect import EvidenceRefused
from dlka.evidence.plan import split

SIZE = 640  # px, the input that AP is measured at


@dataclass(frozen=True)
class Latency:
    """ratios: (placement, offsets) -> time for a picture, control 1; control: its milliseconds; where: the device and
    what ran on it, in words."""

    ratios: Mapping[tuple[str, str], float]
    control: float
    where: str

    def ratio(self, model: str) -> float | None:
        """The ratio of a model word such as "neck-rigid", or None where it was not timed."""
        return self.ratios.get(split(model))


def load_latency(file: Path) -> Latency | None:
    """None where there is no such file. Raises EvidenceRefused for one that is no result of that command, or one
    without the control at SIZE px and batch 1 in float32."""
    if not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        rows = [
            row
            for row in content["rows"]
            if (row["size"], row["batch"], row["bfloat16"], row["scale"]) == (SIZE, 1, False, "n")
        ]
        ratios: dict[tuple[str, str], float] = {}
        for row in rows:  # of several backends the first, which is the one that models take
            ratios.setdefault((row["placement"], row["offsets"]), float(row["ratio"]))
        control = next(row for row in rows if row["placement"] == "control")
        machine = content["machine"]
        device = "" if content["device"] == "cpu" else f"{content['device']}, "
        where = f"{device}{machine['cpu']}, threads: {machine['threads']}"
    except (ValueError, KeyError, TypeError, StopIteration):
        raise EvidenceRefused(
            f"{file}: expected what `python -m dlka bench model --json` writes, with {SIZE} px and batch 1 in it."
        ) from None
    ratios["control", "dense"] = 1.0  # the word of a model that has no offsets to predict
    return Latency(ratios, float(control["milliseconds"]), where)
