"""What a model card says of how weights came to be: what they are, of which data, by which recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dlka.experiments.data_sets import DATA_SETS, DataSet
from dlka.experiments.defaults import TRAINER
from dlka.experiments.one_run import recipe_of
from dlka.experiments.plan import NOTES, SCRATCH, STOCK
from dlka.experiments.stored import StoredRun
from dlka.experiments.train_command import PLACE, starts_of, train_command
from dlka.experiments.words import machine, versions
from dlka.models.placements import OFFSETS, PLACEMENTS, PLAIN

FEW = 10  # classes that are named one by one
COCO = 80  # classes
DATA = {"data": "Data", "unlabelled": "Pictures that the teacher labelled"}  # field of a recipe -> what it names


def origin(id_: str, run: StoredRun, runs: Sequence[StoredRun]) -> dict[str, Any]:
    """What a run's weights are and how they were trained, for the template of the cards.

    runs: all that are stored, of which some trained what it started from. Without commands: nobody here trained it.
    """
    recipe = recipe_of(run) or {}
    made_of = [*((start.card["file"], recipe_of(start) or {}) for start in starts_of(run, runs)), (None, recipe)]
    commands = [train_command(each, file or f"{id_}.safetensors") for file, each in made_of]
    if recipe.get("trainer") == TRAINER:  # which `dlka train` does not run
        commands = [f"python -m dlka evidence --rerun --data {PLACE} --only '{run.run}'"]
    return {
        "placement": PLACEMENTS[run.placement].sentence.format(run.card.get("scale", "")),
        "offsets": "" if run.placement in PLAIN else f" {OFFSETS[run.offsets].sentence}",
        "classes": _classes(run),
        "data": {label: name for key, label in DATA.items() if (name := recipe.get(key)) in DATA_SETS},
        "commands": commands if recipe else [],
        "starts": _starts(run, [each for _, each in made_of], runs),
        "note": NOTES.get(run.run, ""),
        "trained_with": versions(run.card.get("versions", {})),
        "measured_with": versions(run.versions),
        "machine": machine(run.machine, "cpu", "vectors", "device"),
    }


def data_sets(runs: Iterable[StoredRun]) -> dict[str, DataSet]:
    """What is known of the data sets that runs were trained on."""
    recipes = [recipe_of(run) or {} for run in runs]
    names = dict.fromkeys(recipe.get(key) for key in DATA for recipe in recipes)
    return {name: DATA_SETS[name] for name in names if name in DATA_SETS}


def _starts(run: StoredRun, recipes: Sequence[Mapping[str, Any]], runs: Sequence[StoredRun]) -> Iterator[str]:
    """From which weights it started, and what is known of those; recipes: those of its starts, then its own."""
    name, first = (recipes[n].get("start", "weights that are not stored") for n in (-1, 0))
    before = len(recipes) - 1
    if before:
        makes = "The first command makes it" if before == 1 else f"The first {before} commands make it"
        yield f"It starts from {name}, as all models of {run.data} do. {makes}, from {first}."
    elif name == SCRATCH:
        yield "All its weights were new." + (
            f" It was trained by {TRAINER}' trainer with its own defaults." if recipes[-1].get("trainer") else ""
        )
    else:
        yield f"It starts from {name}."
    stock = next((other.card.get("recipe", "") for other in runs if other.model == STOCK), "")
    if first in stock:
        yield f"{first} are the stock weights; their own card says: {stock}."


def _classes(run: StoredRun) -> str:
    """Their names where they are few; those without an object to measure on are not stored."""
    count = run.card.get("classes", len(run.classes))
    if count > FEW:
        return f"COCO's {count}" if count == COCO else str(count)
    unseen = count - len(run.classes)
    return ", ".join([*run.classes, *([f"{unseen} more"] if unseen else [])])
