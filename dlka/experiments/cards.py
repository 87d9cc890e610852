"""Model cards: what each weights file that ships is, from its stored run, as one Markdown file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields
from pathlib import Path
from shlex import quote
from typing import Any

from dlka.analysis.bootstrap import COMPARED, MEASURES, interval
from dlka.errors import make_folder
from dlka.experiments import tables, words
from dlka.experiments.defaults import TRAINER
from dlka.experiments.deltas import Collection, Model, collect, difference, single
from dlka.experiments.plan import CONTROL, NOTES, SCRATCH, STOCK, Experiment, rigid_twin
from dlka.experiments.sentences import against, best_of, failures
from dlka.experiments.stored import METRICS, StoredRun, load_all
from dlka.experiments.uses import RULE, changes_table, following_table
from dlka.experiments.words import NONE, cell, per_cent
from dlka.models.catalog import cards
from dlka.models.placements import OFFSETS, PLACEMENTS, PLAIN
from dlka.models.weights import NEEDS, Card
from dlka.train.recipe import Recipe

NAME = "cards.md"


def write_cards(runs: Path, out: Path, plan: Sequence[Experiment], shipped: Mapping[str, str]) -> Path:
    """Write cards.md for the ids of `shipped` (id -> run) from a folder of stored runs; returns its path.

    Raises DlkaError for no runs, for damaged ones and for runs that were not measured alike.
    """
    text = cards_text(collect(load_all(runs), plan), plan, shipped, cards())
    make_folder(out)
    (out / NAME).write_text(text, encoding="utf-8")
    return out / NAME


def cards_text(
    collection: Collection, plan: Sequence[Experiment], shipped: Mapping[str, str], files: Mapping[str, Card]
) -> str:
    """The Markdown: an overview, a card for each id whose run is stored, and which ones are not.

    files: id -> what its weights file says, of which whether it uses its offsets is taken, for the weights of that run.
    """
    chosen = {part.name: part.chosen for part in plan}
    there = {id_: run for id_, run_id in shipped.items() if (run := collection.find(run_id))}
    trained_on = dict.fromkeys(run.recipe.get(key) for key in FOLDERS for run in there.values())
    missing = [f"{id_} ({run_id})" for id_, run_id in shipped.items() if id_ not in there]
    return words.rendered(
        "cards.md.j2",
        {
            "missing": words.listed(missing) if missing else "",
            "overview": _overview(there, collection),
            "cards": [
                {**_card(id_, run, collection, files.get(id_)), "chosen": chosen.get(run.data)}
                for id_, run in there.items()
            ],
            "data_sets": {name: DATA_SETS[name] for name in trained_on if name in DATA_SETS},
            "rule": RULE,
        },
    )


def _overview(there: Mapping[str, StoredRun], collection: Collection) -> str:
    rows = []
    for id_, run in there.items():
        control = None if run.model == CONTROL else collection.models[run.data].get(CONTROL)
        gains = [cell(difference(single(run), control, measure)) if control else NONE for measure in COMPARED]
        aps = [per_cent(run.metrics[measure]) for measure in COMPARED]
        rows.append([f"[{id_}](#{id_})", run.data_set, f"{run.parameters:,}", *aps, *gains])
    header = ["weights", "data", "parameters", "AP", "AP_S", "AP - control", "AP_S - control"]
    return words.markdown(header, rows, words=2)


def _card(id_: str, run: StoredRun, collection: Collection, file: Card | None) -> dict[str, Any]:
    """What a card says; its tables are Markdown, None where there is nothing to show."""
    models, alone = collection.models[run.data], {run.model: single(run)}
    # Only where the figures in the file are the run's, it is of this run what the file says of its offsets.
    uses = file.uses if file and all(file.metrics.get(name) == run.metrics[name] for name in METRICS) else None
    card = {
        "id": id_,
        "run": run,
        **origin(id_, run, collection.runs),
        "figures": _figures(run, models),
        "compared": _compared(run, models),
        "lengths": tables.offsets_table(alone),
        "interventions": tables.causes_table(alone),
        "uses": uses,
        "failures": failures(run, models),
    }
    if uses:
        card |= {"needs": NEEDS[uses["verdict"]], "changes": changes_table(uses), "following": following_table(uses)}
    return card


def _figures(run: StoredRun, models: Mapping[str, Model]) -> str:
    """A row for the weights, one for their intervals, and one for each difference."""
    spans = dict.fromkeys(METRICS, NONE)
    for measure in MEASURES:
        if run.metrics[measure] is not None:
            low, high = interval(run.replicates[:, MEASURES.index(measure)])
            spans[measure] = f"{100 * low:.1f} to {100 * high:.1f}"
    rows = [
        ["these weights", *(per_cent(run.metrics[measure]) for measure in METRICS)],
        ["95 % interval", *spans.values()],
    ]
    every = models[run.model]
    for name, word in (*_others(run), ("the stock weights", STOCK)):
        if word not in models:
            continue
        rows.append([f"minus {name}", *_deltas(single(run), models[word])])
        if len(every.runs) > 1 and word != STOCK:
            rows.append([f"minus {name}, mean over {len(every.runs)} seeds", *_deltas(every, models[word])])
    return words.markdown(["", *METRICS], rows)


def _compared(run: StoredRun, models: Mapping[str, Model]) -> Iterator[str]:
    """How all seeds stand to control and to the rigid twin, with their spread."""
    every = models[run.model]
    seeds = "one seed" if len(every.runs) == 1 else f"mean over {len(every.runs)} seeds"
    for name, word in _others(run):
        if word in models:
            yield against(f"{run.model} ({seeds})", every, name, models[word])
    if run.model == CONTROL and (spread := every.spread("AP")) and len(every.runs) > 1:
        yield f"AP by seed: {spread[0]:.1f} to {spread[1]:.1f} ({len(every.runs)} seeds)."
    deformed = {word: each for word, each in models.items() if rigid_twin(word)}
    if len(deformed) > 1 and best_of(deformed) == run.model:
        yield (
            f"By AP it is the best of {len(deformed)} D-LKA models on these very pictures; where it was picked for "
            "that, its difference flatters it."
        )


def _deltas(model: Model, to: Model) -> list[str]:
    """AP75 has no interval, as nobody stores its replicates."""
    return [cell(difference(model, to, measure)) if measure in MEASURES else NONE for measure in METRICS]


def _others(run: StoredRun) -> list[tuple[str, str]]:
    """What a model stands beside, for people, and the model word of it."""
    others = [] if run.model == CONTROL else [("control", CONTROL)]
    return others + ([("its rigid twin", twin)] if (twin := rigid_twin(run.model)) else [])


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
        "trained_with": words.versions(run.card.get("versions", {})),
        "measured_with": words.versions(run.versions),
        "machine": words.machine(run.machine, "cpu", "vectors", "device"),
    }


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


# The data sets: what they show, where they come from, under which licence.


@dataclass(frozen=True)
class DataSet:
    """pictures: what they show; source: who made them; licence: as stated where they were published."""

    pictures: str
    source: str
    licence: str


DATA_SETS = {
    "coco-mini": DataSet(
        "everyday photographs with COCO's 80 classes: 238 to train on and 119 to measure on",
        "COCO 2017, by way of lightly-ai/coco128_yolo, zzowenzz/COCO_Tiny, Deci-AI/super-gradients and "
        "mosjel/Tiny-COCO-Val-2017. Those to measure on are of val2017, which stock YOLOv8 was not trained on; it was "
        "trained on all of the others",
        "COCO's terms",
    ),
    "scenes": DataSet(
        "letters and curves of 8 to 96 px, turned, stretched, on clutter, 160x160: 12,000 to train on and 500 to "
        "measure on, drawn by python -m dlka draw-scenes --count 12000 --seed 0 --val 500",
        "this project",
        "AGPL-3.0",
    ),
    "natural-pool": DataSet(
        "2,587 photographs of scenes, streets and things, longer side 300 to 640 px, without labels",
        "samples of ADE20K, ImageNet, BSDS and VOC, and street scenes",
        "research terms",
    ),
    "hit-uav": DataSet(
        "thermal frames of a drone at 60 to 130 m, 640x512: 1,500 to train on and 420 to measure on. They were split "
        "by segment of a flight; the official split mixes neighbouring frames, so that figures on it do not compare",
        "HIT-UAV: Suo et al., Scientific Data 10, 227, 2023",
        "CC BY 4.0",
    ),
    "neu-det": DataSet(
        "photographs of rolled steel with six kinds of defects, 200x200, grey: 1,440 to train on and 180 to measure "
        "on, split at random within the kinds",
        "NEU-DET: Song and Yan, Applied Surface Science 285, 2013; He et al., IEEE Transactions on Instrumentation and "
        "Measurement 69, 2020",
        "for research, as its makers offer it",
    ),
    "deep-pcb": DataSet(
        "black and white pictures of circuit boards with six kinds of faults, 640x640: 1,000 to train on, as "
        "published, and 250 to measure on, half of the published test set",
        "DeepPCB: Tang et al., arXiv:1902.06197, 2019",
        "MIT",
    ),
}
