"""How the figures of the report came to be: what was measured, trained, with what, and how to repeat it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dlka.experiments.collect import Collection
from dlka.experiments.deltas import Model
from dlka.experiments.latency import Latency
from dlka.experiments.one_run import data_of, recipe_of
from dlka.experiments.plan import START, STOCK, Experiment
from dlka.experiments.stored import StoredRun

OWN = ("placement", "offsets", "seed")  # fields of a recipe that make the model and the run, not the setting


def reading() -> str:
    """What the columns and intervals mean."""
    return (
        "AP, AP50, AP_S, AP_M and AP_L are COCO average precision in per cent (S under 32x32 px of box area, M under "
        "96x96, L above), mean over seeds. Parameters and multiply-adds (of one picture of 640x640) count everything; "
        "time is the ratio to control. A difference stands with its 95 % interval, bold where that does not include "
        "zero. Intervals are a paired bootstrap over the pictures of the validation part, with replicates averaged "
        "over seeds: they say how far another choice of pictures of this kind could move a difference. They do not "
        "cover the noise of training, for which each seed's own difference to control of the same seed stands beside; "
        "nor are they widened for how many models are compared. Where a class has few objects, a resample may miss "
        "them all, and COCO leaves the class out of its mean: with 80 classes on 119 pictures intervals are lopsided. "
        "The rigid twin has the same large kernels without "
        "offsets: a gain that it shares is not deformation's. The D-LKA models with separable offsets are compared to "
        "the same twin. In a fitted model the blocks in the place of stock ones first learned, without labels, to give "
        "what those gave (fit_epochs passes over the pictures), before the epochs. Recall is the share of objects that "
        "a detection of their class with a score of 0.25 or more overlaps by half; its bands, and those of its "
        "differences, take objects as independent, although those of one picture are easy or hard together, and are "
        "rather too narrow."
    )


def causes_reading() -> str:
    """What the table of interventions shows."""
    return (
        "The trained model is measured again with its offsets multiplied, shuffled between cells, taken from another "
        "picture, or its gate off; nothing is trained anew. Columns: how far AP moves from that of the learned model."
    )


def offsets_reading() -> str:
    """What the table of offsets shows."""
    return (
        "Mean length of the offsets in cells, and how many of them are longer than 0.1 cell. Between pictures: how "
        "far the offset at one cell spreads from picture to picture (standard deviation); a stage varies with the "
        "picture where that is more than 0.1 cell. From content: that spread's share of the offsets' variance over "
        "cells and pictures; the rest belongs to the place on the map and is the same whatever is seen."
    )


def method(collection: Collection, latency: Latency | None, plan: Iterable[Experiment]) -> str:
    """Paragraphs for the end of the report."""
    lines = [_data_line(data, next(iter(models.values()))) for data, models in collection.models.items()]
    chosen = {part.name: part.chosen for part in plan if part.chosen}
    lines += [f"{data}, what was chosen on what: {chosen[data]}" for data in collection.models if data in chosen]
    lines += [line for data, models in collection.models.items() for line in _recipes(data, list(models.values()))]
    runs = collection.runs
    what, where = (list(dict.fromkeys(map(words, runs))) for words in (_versions, _machine))
    lines.append(f"Measured with {'; or '.join(what)}; on {'; or '.join(where)}.")
    if latency:
        lines.append(f"Time: control takes {latency.control:.0f} ms at 640 px, batch 1, float32, on {latency.where}.")
    if collection.missing:
        lines.append(f"Not stored: {_by_model(collection.missing)}.")
    return "\n".join(f"- {line}" for line in lines)


def commands() -> str:
    """How to repeat it, for a shell."""
    return "\n".join(
        [
            "python -m dlka evidence                                  # this report, from the stored runs",
            "python -m dlka evidence --rerun --data DIR               # train and measure everything again",
            "python -m dlka evidence --rerun --data DIR --only 'hit-uav/residual-s*'   # or only some runs",
            "python -m dlka bench model --sizes 640 --batches 1 --models neck residual head neck-head --json FILE",
        ]
    )


def _data_line(data: str, model: Model) -> str:
    run = model.runs[0]
    return (
        f"{data}: {run.pictures:,} pictures of {data_of(run)} val with {run.objects:,} objects, "
        f"{len(run.replicates):,} resamples; measured at {run.settings.get('size', '?')} px."
    )


def _recipes(data: str, models: Sequence[Model]) -> Iterable[str]:
    """One line for what all models of a data set share, one for each model that differs."""
    recipes = {
        model.word: {k: v for k, v in recipe.items() if k not in OWN}
        for model in models
        if model.word not in (STOCK, START) and (recipe := recipe_of(model.runs[0]))
    }
    if not recipes:
        return
    first = next(iter(recipes.values()))
    common = {k: v for k, v in first.items() if all(r.get(k) == v for r in recipes.values())}
    yield f"{data}, recipe: {_settings(common)}."
    for word, recipe in recipes.items():
        if own := {k: v for k, v in recipe.items() if k not in common}:
            yield f"{data}, {word} alone: {_settings(own)}."
    for model in models:
        if model.word == START and (begin := recipe_of(model.runs[0])):
            yield f"{data}, start of all models: {_settings(begin)}."


def _by_model(ids: Iterable[str]) -> str:
    """Ids of runs, the seeds of each model together: "hit-uav/neck-s0, s1"."""
    seeds: dict[str, list[str]] = {}
    for run in ids:
        model, _, seed = run.rpartition("-")
        seeds.setdefault(model, []).append(seed)
    return "; ".join(f"{model}-{', '.join(found)}" for model, found in seeds.items())


def _settings(recipe: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in recipe.items() if value is not None)


def _versions(run: StoredRun) -> str:
    return ", ".join(f"{name} {number}" for name, number in run.versions.items())


def _machine(run: StoredRun) -> str:
    machine = run.machine
    return ", ".join(str(machine[key]) for key in ("cpu", "vectors") if key in machine) or "an unnamed machine"
