"""What a model card says of how weights came to be: what they are, of which data, by which recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dlka.experiments.data_sets import DATA_SETS
from dlka.experiments.defaults import TRAINER
from dlka.experiments.one_run import recipe_of
from dlka.experiments.plan import NOTES, SCRATCH, STOCK
from dlka.experiments.stored import StoredRun
from dlka.experiments.train_command import PLACE, starts_of, train_command
from dlka.models.placements import OFFSETS, PLACEMENTS, PLAIN

FEW = 10  # classes that are named one by one
COCO = 80  # classes


def what(run: StoredRun) -> Iterator[str]:
    """Placement, offsets, cost, classes, data and licences of a run's weights; a sentence each, in Markdown."""
    offsets = "" if run.placement in PLAIN else f" {OFFSETS[run.offsets].sentence}"
    yield f"**What it is**: {PLACEMENTS[run.placement].sentence.format(run.card.get('scale', ''))}.{offsets}"
    yield f"**Cost**: {run.parameters:,} parameters, {run.multiply_adds / 1e9:.2f} G multiply-adds at 640x640."
    yield f"**Classes**: {_classes(run)}."
    recipe = recipe_of(run) or {}
    for key, label in (("data", "Data"), ("unlabelled", "Pictures that the teacher labelled")):
        if (data := DATA_SETS.get(recipe.get(key, ""))) is not None:
            yield f"**{label}**: [{recipe[key]}](#data-sets), {data.licence}."
    yield f"**Licence of the weights**: {run.card.get('licence', 'not stated')}."


def made(id_: str, run: StoredRun, runs: Sequence[StoredRun], chosen: str) -> Iterator[str]:
    """How a run's weights were trained, as Markdown; chosen: a sentence on how the settings came to be, or nothing."""
    recipe = recipe_of(run)
    if recipe is None:
        yield f"This project did not train it: {run.card.get('recipe', 'its origin is not stored')}."
        return
    made_of = [*((start.card["file"], recipe_of(start) or {}) for start in starts_of(run, runs)), (None, recipe)]
    commands = [train_command(each, file or f"{id_}.safetensors") for file, each in made_of]
    if recipe.get("trainer") == TRAINER:  # which `dlka train` does not run
        commands = [f"python -m dlka evidence --rerun --data {PLACE} --only '{run.run}'"]
    yield "\n".join(["```bash", *commands, "```"])
    lines = [
        f"`{PLACE}` stands for the folder of the data sets. Seed {run.seed}.",
        *_starts(run, [each for _, each in made_of], runs),
        f"Trained on: {run.card.get('data', 'not stated')}.",
        f"What was chosen on what: {chosen}" if chosen else "",
        NOTES.get(run.run, ""),
        f"Trained with {_versions(run.card.get('versions', {}))}.",
        f"Measured with {_versions(run.versions)}; on {_machine(run)}.",
    ]
    yield "\n".join(f"- {line}" for line in lines if line)


def data_lines(runs: Iterable[StoredRun]) -> Iterator[str]:
    """What is known of the data sets that runs were trained on: a line each, in Markdown."""
    recipes = [recipe_of(run) or {} for run in runs]
    for name in dict.fromkeys(recipe.get(key, "") for key in ("data", "unlabelled") for recipe in recipes):
        if (data := DATA_SETS.get(name)) is not None:
            yield f"**{name}**: {data.pictures}. Source: {data.source}. Licence as stated there: {data.licence}."


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


def _machine(run: StoredRun) -> str:
    known = [str(run.machine[key]) for key in ("cpu", "vectors", "device") if key in run.machine]
    return ", ".join(known) or "an unnamed machine"


def _versions(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {number}" for name, number in versions.items()) or "unknown versions"
