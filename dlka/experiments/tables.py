"""The report's tables: figures of each model, differences, what interventions do, and how far offsets move; and what
models take, as ratios to the control, by the stored result of `python -m dlka bench model --json`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import BaseModel, ValidationError

from dlka.analysis.bootstrap import COMPARED, MEASURES
from dlka.errors import DlkaError
from dlka.experiments.deltas import Model, difference, intervened, mean
from dlka.experiments.plan import CONTROL, family, split
from dlka.experiments.words import NONE, cell, figure, markdown, per_cent, signed
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
    try:
        measured = _Measured.model_validate_json(file.read_bytes())
        asked = (SIZE, 1, False, "n")
        rows = [row for row in measured.rows if (row.size, row.batch, row.bfloat16, row.scale) == asked]
        control = next(row for row in rows if row.placement == "control")
    except (ValidationError, StopIteration):
        raise DlkaError(
            f"{file}: expected what `python -m dlka bench model --json` writes, with {SIZE} px and batch 1 in it."
        ) from None
    # Of several backends the first, which is the one that models take.
    ratios = {(row.placement, row.offsets): row.ratio for row in reversed(rows)} | {("control", "none"): 1.0}
    # Their word where no offsets are predicted is dense, as in a card.
    ratios |= {(placement, "dense"): ratios[placement, "none"] for placement in PLAIN if (placement, "none") in ratios}
    device = "" if measured.device == "cpu" else f"{measured.device}, "
    where = f"{device}{measured.machine.cpu}, threads: {measured.machine.threads}"
    return Latency(ratios, control.milliseconds, where)


def figures_table(models: Mapping[str, Model], latency: Latency | None) -> str:
    """One row a model: what it costs, and its AP figures in per cent, mean over seeds."""
    rows = []
    for word, model in models.items():
        run = model.runs[0]
        spread = model.spread("AP") if len(model.runs) > 1 else None
        rows.append(
            [
                word,
                f"{run.parameters:,}",
                f"{run.multiply_adds / 1e9:.2f}",
                figure(latency.ratio(word) if latency else None, 2),
                str(len(model.runs)),
                *(figure(model.mean(measure)) for measure in MEASURES),
                f"{spread[0]:.1f} to {spread[1]:.1f}" if spread else NONE,
            ]
        )
    return markdown(["model", "parameters", "G mult-adds", "time", "seeds", *MEASURES, "AP by seed"], rows)


def differences_table(models: Mapping[str, Model]) -> str | None:
    """One row a model: above control and above its rigid twin, with intervals; None where there is no control."""
    control = models.get(CONTROL)
    others = {word: model for word, model in models.items() if word != CONTROL}
    if control is None or not others:
        return None
    rows = []
    for word, model in others.items():
        rigid = f"{family(word)}-rigid"  # also of a model with offset nets in which nothing moves
        twin = models.get(rigid) if word != rigid else None
        to_control = [difference(model, control, measure) for measure in COMPARED]
        to_twin = [difference(model, twin, measure) if twin else None for measure in COMPARED]
        # Each seed's own difference where there are several; that of one the mean tells already.
        seeds = [", ".join(map(signed, d.seeds)) if d and len(d.seeds) > 1 else NONE for d in to_control]
        rows.append([word, *map(cell, to_control), *seeds, *map(cell, to_twin)])
    header = ["model", "AP - control", "AP_S - control", "AP by seed", "AP_S by seed", "AP - twin", "AP_S - twin"]
    return markdown(header, rows)


def causes_table(models: Mapping[str, Model]) -> str | None:
    """One row a model: AP of the seeds that were intervened in, and how far each intervention moves it; None where
    there is no such seed."""
    names = list(dict.fromkeys(name for m in models.values() for run in m.runs for name in run.interventions))
    rows = []
    for word, model in models.items():
        moved = [intervened(model, name) for name in names]
        if any(moved):
            measured = replace(model, runs=tuple(run for run in model.runs if run.interventions))
            rows.append([word, figure(measured.mean("AP")), *map(cell, moved)])
    return markdown(["model", "AP, learned", *names], rows) if rows else None


def offsets_table(models: Mapping[str, Model]) -> str | None:
    """One row a deform stage of a model, mean over seeds; None where nothing deforms."""
    rows = []
    for word, model in models.items():
        for number, stage in enumerate(model.runs[0].stage_offsets):
            alike = [run.stage_offsets[number] for run in model.runs]
            seeds = [row["varies"] for row in alike]
            varies = NONE if None in seeds else "yes" if all(seeds) else "no"
            if varies == "no" and any(seeds):
                varies = f"{sum(seeds)} of {len(seeds)} seeds"
            length, moved, between, content = (
                mean([row[key] for row in alike]) for key in ("mean_cells", "moved", "between_cells", "content")
            )
            cells = [figure(length, 2), per_cent(moved, 0), figure(between, 2), per_cent(content, 0)]
            rows.append([word, stage["label"], *cells, varies])
    figures = ["mean, cells", "over 0.1 cell, %", "between pictures, cells", "from content, %"]
    return markdown(["model", "stage", *figures, "varies"], rows, words=2) if rows else None


def stock_table(models: Mapping[str, Model], stock: Model) -> str:
    """One row a model: above the stock weights that it started from."""
    rows = [
        [word, *(cell(difference(model, stock, measure, by_seed=False)) for measure in COMPARED)]
        for word, model in models.items()
    ]
    return markdown(["model", "AP - stock", "AP_S - stock"], rows)
