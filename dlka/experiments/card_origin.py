"""What a model card says of how weights came to be: what they are, of which data, by which recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import MISSING, fields
from shlex import quote
from typing import Any

from dlka.experiments.data_sets import DATA_SETS, DataSet
from dlka.experiments.defaults import TRAINER
from dlka.experiments.plan import NOTES, SCRATCH, STOCK
from dlka.experiments.stored import StoredRun
from dlka.experiments.words import machine, versions
from dlka.models.placements import OFFSETS, PLACEMENTS, PLAIN
from dlka.train.recipe import Recipe

FEW = 10  # classes that are named one by one
COCO = 80  # classes
# Fields of a recipe that name folders of pictures -> what a card calls these.
FOLDERS = {"data": "Data", "unlabelled": "Pictures that the teacher labelled"}
PLACE = "DATA"  # stands for the folder that they lie in
WIDTH = 100  # characters of a line


def origin(id_: str, run: StoredRun, runs: Sequence[StoredRun]) -> dict[str, Any]:
    """What a run's weights are and how they were trained, for the template of the cards.

    runs: all that are stored, of which some trained what it started from. Without commands: nobody here trained it.
    """
    recipe = run.recipe
    made_of = [*((start.card["file"], start.recipe) for start in _starts_of(run, runs)), (None, recipe)]
    commands = [train_command(each, file or f"{id_}.safetensors") for file, each in made_of]
    if recipe.get("trainer") == TRAINER:  # which `dlka train` does not run
        commands = [f"python -m dlka evidence --rerun --data {PLACE} --only '{run.run}'"]
    return {
        "placement": PLACEMENTS[run.placement].sentence.format(run.card.get("scale", "")),
        "offsets": "" if run.placement in PLAIN else f" {OFFSETS[run.offsets].sentence}",
        "classes": _classes(run),
        "data": {label: name for key, label in FOLDERS.items() if (name := recipe.get(key)) in DATA_SETS},
        "commands": commands if recipe else [],
        "place": PLACE,
        "starts": _starts(run, [each for _, each in made_of], runs),
        "note": NOTES.get(run.run, ""),
        "trained_with": versions(run.card.get("versions", {})),
        "measured_with": versions(run.versions),
        "machine": machine(run.machine, "cpu", "vectors", "device"),
    }


def data_sets(runs: Iterable[StoredRun]) -> dict[str, DataSet]:
    """What is known of the data sets that runs were trained on."""
    recipes = [run.recipe for run in runs]
    names = dict.fromkeys(recipe.get(key) for key in FOLDERS for recipe in recipes)
    return {name: DATA_SETS[name] for name in names if name in DATA_SETS}


def train_command(recipe: Mapping[str, Any], out: str) -> str:
    """`python -m dlka train ...` with a flag for each value that Recipe does not have by itself, on several lines.

    recipe: fields of Recipe, files and folders by their names alone; one that was stored before a field came up trained
    with what is its default.
    """
    words = ["python -m dlka train"]
    for field in fields(Recipe):
        value = recipe.get(field.name, field.default)
        if value == field.default or value is MISSING:
            continue
        flag = f"--{field.name.replace('_', '-')}"
        text = f"{PLACE}/{value}" if field.name in FOLDERS else str(value)
        words.append(flag if value is True else f"{flag} {quote(text)}")
    lines = [""]
    for word in (*words, f"--out {quote(out)}"):
        if len(f"{lines[-1]} {word} \\") > WIDTH:
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return " \\\n".join(lines)


def _starts_of(run: StoredRun, runs: Sequence[StoredRun]) -> list[StoredRun]:
    """The stored runs whose weights a run started from, the first trained first; none for stock weights."""
    start = run.recipe.get("start")
    before = next((other for other in runs if start and other.card.get("file") == start), None)
    return [*_starts_of(before, runs), before] if before else []


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
