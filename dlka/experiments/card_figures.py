"""What a model card says of what was measured: figures with intervals, and how they stand to other models'."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dlka.experiments.bootstrap import MEASURES, interval
from dlka.experiments.deltas import Model, difference
from dlka.experiments.one_run import single
from dlka.experiments.plan import CONTROL, STOCK, rigid_twin
from dlka.experiments.sentences import against, best_of
from dlka.experiments.stored import METRICS, StoredRun
from dlka.experiments.words import NONE, cell, markdown, per_cent


def figures(run: StoredRun, models: Mapping[str, Model]) -> str:
    """A row for the weights, one for their intervals, and one for each difference."""
    rows = [
        ["these weights", *(per_cent(run.metrics[measure]) for measure in METRICS)],
        ["95 % interval", *(_interval(run, measure) for measure in METRICS)],
    ]
    every, others = models[run.model], {}
    if run.model != CONTROL:
        others = {"control": CONTROL, "its rigid twin": rigid_twin(run.model) or ""}
    for name, word in {**others, "the stock weights": STOCK}.items():
        if word not in models:
            continue
        rows.append([f"minus {name}", *_deltas(single(run), models[word])])
        if len(every.runs) > 1 and word != STOCK:
            rows.append([f"minus {name}, mean over {len(every.runs)} seeds", *_deltas(every, models[word])])
    return markdown(["", *METRICS], rows)


def compared(run: StoredRun, models: Mapping[str, Model]) -> Iterator[str]:
    """How all seeds stand to control and to the rigid twin, with their spread."""
    every = models[run.model]
    if run.model != CONTROL and CONTROL in models:
        yield against(f"{run.model} ({_seeds(every)})", every, "control", models[CONTROL])
    if (twin := models.get(rigid_twin(run.model) or "")) is not None:
        yield against(f"{run.model} ({_seeds(every)})", every, "its rigid twin", twin)
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


def _interval(run: StoredRun, measure: str) -> str:
    if measure not in MEASURES or run.metrics[measure] is None:
        return NONE
    low, high = interval(run.replicates[:, MEASURES.index(measure)])
    return f"{100 * low:.1f} to {100 * high:.1f}"


def _seeds(model: Model) -> str:
    return "one seed" if len(model.runs) == 1 else f"mean over {len(model.runs)} seeds"
