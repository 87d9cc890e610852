"""What models take: the stored result of `python -m dlka bench model --json`, as ratios to the control."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ValidationError

from dlka.errors import DlkaError
from dlka.experiments.plan import split
from dlka.models.placements import PLAIN

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


class _Row(BaseModel):
    """A model at one size and batch, timed."""

    placement: str
    offsets: str
    scale: str
    size: int
    batch: int
    bfloat16: bool
    ratio: float
    milliseconds: float

    @property
    def is_asked_for(self) -> bool:
        """Whether it is of the kind that the report shows."""
        return (self.size, self.batch, self.bfloat16, self.scale) == (SIZE, 1, False, "n")


class _Machine(BaseModel):
    cpu: str
    threads: int


class _Measured(BaseModel):
    """What `python -m dlka bench model --json` writes, as far as it is read here."""

    rows: list[_Row]
    machine: _Machine
    device: str


def load_latency(file: Path) -> Latency | None:
    """None where there is no such file. Raises DlkaError for one that is no result of that command, or one
    without the control at SIZE px and batch 1 in float32."""
    if not file.is_file():
        return None
    text = file.read_bytes()
    try:
        measured = _Measured.model_validate_json(text)
    except ValidationError:
        measured = None
    rows = [row for row in measured.rows if row.is_asked_for] if measured else []
    control = next((row for row in rows if row.placement == "control"), None)
    if measured is None or control is None:
        raise DlkaError(
            f"{file}: expected what `python -m dlka bench model --json` writes, with {SIZE} px and batch 1 in it."
        )
    ratios: dict[tuple[str, str], float] = {}
    for row in rows:  # of several backends the first, which is the one that models take
        ratios.setdefault((row.placement, row.offsets), row.ratio)
    device = "" if measured.device == "cpu" else f"{measured.device}, "
    where = f"{device}{measured.machine.cpu}, threads: {measured.machine.threads}"
    ratios["control", "none"] = 1.0
    # Their word where no offsets are predicted is dense, as in a card.
    ratios |= {(placement, "dense"): ratios[placement, "none"] for placement in PLAIN if (placement, "none") in ratios}
    return Latency(ratios, control.milliseconds, where)
