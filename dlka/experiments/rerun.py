"""Repeat the experiment: train what has no weights file yet, measure what has no stored run yet, and go on after both
failures and kills; and ship its weights, bit by bit, with what was measured of them in their cards."""

from __future__ import annotations

import shutil
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from dlka.analysis.bootstrap import COMPARED, MEASURES, interval
from dlka.errors import DlkaError
from dlka.experiments.defaults import DefaultTraining, fit_by_default
from dlka.experiments.deltas import Collection, Model, difference, single
from dlka.experiments.following import ends_of, rounded
from dlka.experiments.measure import measure
from dlka.experiments.plan import CONTROL, STOCK, Experiment, Step, choose, steps
from dlka.experiments.stored import StoredRun, load
from dlka.experiments.tables import per_cent
from dlka.models.catalog import find
from dlka.models.checkpoint import convert, sha256
from dlka.models.placements import SCRATCH
from dlka.models.weights import load_card, same_tensors, with_card
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


def ship(
    work: Path, collection: Collection, out: Path, shipped: Mapping[str, str], report: Callable[[str], None] = print
) -> list[Path]:
    """Write `out`/{id}.safetensors for each id of `shipped` (id -> run) whose weights and stored run are there.

    work: the folder of the rerun, with weights/. The tensors are those of the rerun's file; of its card the metrics are
    new, and what `dlka uses` has measured stays where a file of the same tensors was there with it. report: gets a line
    for each id, also for those with something missing or amiss, which are left out.
    Returns what was written.
    """
    written = []
    for id_, run_id in shipped.items():
        source = work / "weights" / f"{run_id.replace('/', '-')}.safetensors"
        try:
            run = collection.find(run_id)
            if run is None:
                raise DlkaError(f"there is no stored run {run_id}.")
            card = load_card(source)
            if run.card.get("sha256") != sha256(source):
                raise DlkaError(f"{source} is not the file that the stored run {run_id} was measured on.")
            models = collection.models[run.data]
            metrics = metrics_of(run, models[run.model], models.get(CONTROL))
            target = out / f"{id_}.safetensors"
            out.mkdir(parents=True, exist_ok=True)
            uses = load_card(target).uses if target.is_file() and same_tensors(source, target) else card.uses
            with_card(source, target, replace(card, metrics=metrics, uses=uses))
        except DlkaError as error:
            report(f"{id_}: left out: {error}")
            continue
        report(f"{id_}: {target}, {run_id}, AP {per_cent(metrics['AP'])}, {target.stat().st_size / 2**20:.1f} MB.")
        written.append(target)
    return written


def metrics_of(run: StoredRun, model: Model, control: Model | None) -> dict[str, Any]:
    """What a card says of a run. AP figures, differences and the ends of 95 % intervals in 0..1, None where undefined.

    data, pictures, size, AP ... AP_L   as `dlka train` writes them
    AP_95, AP_S_95    intervals over pictures, [low, high]
    AP_minus_control, AP_S_minus_control, and with _95   the same seed of control subtracted; not in a control's card
    AP_of_seeds       AP of every seed of this model that was trained, of which this one was not chosen
    """
    alone = {m: interval(run.replicates[:, MEASURES.index(m)]) for m in COMPARED}
    return {
        "data": f"{run.data_set} val",
        "pictures": run.pictures,
        "size": run.settings["size"],
        **run.metrics,
        **{f"{name}_95": ends_of(*ends) for name, ends in alone.items()},
        **(dict(_to_control(run, control)) if control and run.model != CONTROL else {}),
        "AP_of_seeds": [rounded(r.metrics["AP"]) for r in model.runs],
    }


def _to_control(run: StoredRun, control: Model) -> Iterator[tuple[str, Any]]:
    for name in COMPARED:
        if delta := difference(single(run), control, name):
            yield f"{name}_minus_control", rounded(delta.value / 100)
            yield f"{name}_minus_control_95", ends_of(delta.low / 100, delta.high / 100)
