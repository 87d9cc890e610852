"""Repeat the experiment: train what has no weights file yet, measure what has no stored run yet, and go on after both
failures and kills."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from dlka.errors import DlkaError
from dlka.experiments.defaults import DefaultTraining, fit_by_default
from dlka.experiments.measure import measure
from dlka.experiments.plan import STOCK, Experiment, Step, choose, steps
from dlka.experiments.stored import load
from dlka.models.catalog import find
from dlka.models.checkpoint import convert
from dlka.models.placements import SCRATCH
from dlka.train.dataset import read_dataset
from dlka.train.folder import RunFolder
from dlka.train.recipe import Recipe
from dlka.train.training import fit, resume, unfinished


@dataclass(frozen=True)
class Places:
    """Where a rerun reads and writes. data: holds the folders that the plan names; stock: weights of stock YOLOv8, a
    model id or a file, .pt or .safetensors; work: gets weights/ and training/; runs: gets the stored runs."""

    data: Path
    stock: str
    work: Path
    runs: Path

    def weights(self, step: Step) -> Path:
        """The weights file of a step."""
        return self.work / "weights" / f"{step.stem}.safetensors"

    def training(self, step: Step) -> Path:
        """The folder with the logs of a step's training, from which a killed one goes on."""
        return self.work / "training" / step.stem

    def measured(self, step: Step) -> bool:
        """Whether the step's run is stored already, whole."""
        try:
            return load(self.runs / f"{step.stem}.json").run == step.id
        except DlkaError:  # none, or one whose writing was cut short
            return False


def rerun(
    places: Places, plan: Iterable[Experiment], only: str | None = None, report: Callable[[str], None] = print
) -> list[str]:
    """Train and measure what is missing of the plan, or of the runs whose id fits the pattern `only`.

    A run that is stored is left alone. A start that a missing run needs is trained too, whatever `only` says. report:
    gets a line before each piece of work. Returns the ids of runs that failed; each of them is reported, its traceback
    lies in the step's training folder, and the others go on. Raises ValueError before the first training for a pattern
    that fits nothing, and for data and stock weights that are not there.
    """
    everything = {step.id: step for step in steps(plan)}
    wanted = choose(list(everything.values()), only)
    missing = [step for step in wanted if not places.measured(step)]
    work = _with_starts(missing, everything, places)
    _check(work, places)
    report(f"{len(work)} to do; {len(wanted) - len(missing)} are stored already.")
    failed: list[str] = []
    for number, step in enumerate(work, 1):
        place = f"[{number}/{len(work)}, {len(failed)} failed]" if failed else f"[{number}/{len(work)}]"
        if step.recipe and step.recipe.start in failed:
            report(f"{place} {step.id}: left out, as {step.recipe.start}, which it starts from, failed")
            failed.append(step.id)
            continue
        try:
            if not places.weights(step).is_file():
                made = step.recipe
                does = f"training, {made.epochs} epochs at {made.crop or made.size} px" if made else "converting"
                report(f"{place} {step.id}: {does}")
                _make(step, everything, places)
            if step in missing:
                report(f"{place} {step.id}: measuring")
                folder = places.data / step.data
                run = measure(places.weights(step), folder, step.id, size=step.size, interventions=step.causes)
                run.save(places.runs)
        except Exception as error:  # whatever it is: hours of other runs do not depend on it
            failed.append(step.id)
            told = places.training(step) / "failure.txt"
            told.parent.mkdir(parents=True, exist_ok=True)
            told.write_text(traceback.format_exc(), encoding="utf-8")
            report(f"{place} {step.id}: failed: {type(error).__name__}: {' '.join(str(error).split())} (see {told})")
    return failed


def _with_starts(missing: list[Step], everything: dict[str, Step], places: Places) -> list[Step]:
    """The missing steps, each start that has no weights yet before what needs it, and its own start before that."""
    work: list[Step] = []

    def add(step: Step) -> None:
        if step.recipe and not places.weights(step).is_file() and (start := everything.get(step.recipe.start)):
            add(start)
        if step not in work and (step in missing or not places.weights(step).is_file()):
            work.append(step)

    for step in missing:
        add(step)
    return work


def _check(work: list[Step], places: Places) -> None:
    for name in dict.fromkeys(step.data for step in work):
        read_dataset(places.data / name)  # raises DlkaError
    pools = dict.fromkeys(step.recipe.unlabelled for step in work if step.recipe and step.recipe.unlabelled)
    for pool in pools:
        if not (places.data / pool).is_dir():
            raise DlkaError(f"{places.data / pool}: expected a folder with pictures, got none.")
    new = [step.recipe for step in work if not places.weights(step).is_file()]
    needed = any(recipe is None or STOCK in (recipe.start, recipe.teacher) for recipe in new)
    if needed and not find(places.stock).is_file():  # raises DlkaError for an id that is none
        raise DlkaError(f"--stock {places.stock}: there is no such file; expected weights of stock YOLOv8.")


def _make(step: Step, everything: dict[str, Step], places: Places) -> None:
    """Write the weights file of a step: trained, or for the stock weights converted or copied."""
    out = places.weights(step)
    out.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(step.recipe, DefaultTraining):
        data = str((places.data / step.data).resolve())
        fit_by_default(replace(step.recipe, data=data), out, places.training(step))
    elif step.recipe is not None:
        recipe, run = resolved(step.recipe, everything, places), places.training(step)
        if unfinished(run) and RunFolder(run).told()[:2] == (recipe, out.resolve()):
            resume(run, measure=False)
        else:
            fit(recipe, out, run)
    elif (stock := find(places.stock)).suffix == ".safetensors":
        shutil.copyfile(stock, out)
    else:
        convert(stock, out)


def resolved(recipe: Recipe, everything: dict[str, Step], places: Places) -> Recipe:
    """The recipe with absolute paths in the place of names."""

    def weights(name: str) -> str:
        if name == SCRATCH:
            return name
        return str((find(places.stock) if name == STOCK else places.weights(everything[name])).resolve())

    return replace(
        recipe,
        data=str((places.data / recipe.data).resolve()),
        start=weights(recipe.start),
        teacher=recipe.teacher and weights(recipe.teacher),
        unlabelled=recipe.unlabelled and str((places.data / recipe.unlabelled).resolve()),
    )
