"""Model cards: what each weights file that ships is, from its stored run, as one Markdown file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlka.experiments.bootstrap import COMPARED, MEASURES, interval
from dlka.experiments.card_origin import data_sets, origin
from dlka.experiments.collect import Collection, collect
from dlka.experiments.deltas import Model, difference, single
from dlka.experiments.failures import failures
from dlka.experiments.plan import CONTROL, STOCK, Experiment, rigid_twin
from dlka.experiments.sentences import against, best_of
from dlka.experiments.stored import METRICS, StoredRun, load_all
from dlka.experiments.tables import causes_table, offsets_table
from dlka.experiments.uses import RULE
from dlka.experiments.uses_text import changes_table, following_table
from dlka.experiments.words import NONE, cell, listed, markdown, per_cent, rendered
from dlka.models.catalog import cards
from dlka.models.weights import NEEDS, Card

NAME = "cards.md"


def write_cards(runs: Path, out: Path, plan: Sequence[Experiment], shipped: Mapping[str, str]) -> Path:
    """Write cards.md for the ids of `shipped` (id -> run) from a folder of stored runs; returns its path.

    Raises DlkaError for no runs, for damaged ones and for runs that were not measured alike.
    """
    text = cards_text(collect(load_all(runs), plan), plan, shipped, cards())
    out.mkdir(parents=True, exist_ok=True)
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
    missing = [f"{id_} ({run_id})" for id_, run_id in shipped.items() if id_ not in there]
    return rendered(
        "cards.md.j2",
        {
            "missing": listed(missing) if missing else "",
            "overview": _overview(there, collection),
            "cards": [
                {**_card(id_, run, collection, files.get(id_)), "chosen": chosen.get(run.data)}
                for id_, run in there.items()
            ],
            "data_sets": data_sets(there.values()),
            "rule": RULE,
        },
    )


def _overview(there: Mapping[str, StoredRun], collection: Collection) -> str:
    rows = []
    for id_, run in there.items():
        control = collection.models[run.data].get(CONTROL)
        others = control if run.model != CONTROL else None
        gains = [cell(difference(single(run), others, measure)) if others else NONE for measure in COMPARED]
        aps = [per_cent(run.metrics[measure]) for measure in COMPARED]
        rows.append([f"[{id_}](#{id_})", run.data_set, f"{run.parameters:,}", *aps, *gains])
    return markdown(["weights", "data", "parameters", "AP", "AP_S", "AP - control", "AP_S - control"], rows, words=2)


def _uses(card: Card | None, run: StoredRun) -> Mapping[str, Any] | None:
    """What a weights file says of its offsets, where it is of this run: its figures are the run's."""
    return card.uses if card and all(card.metrics.get(name) == run.metrics[name] for name in METRICS) else None


def _card(id_: str, run: StoredRun, collection: Collection, file: Card | None) -> dict[str, Any]:
    """What a card says; its tables are Markdown, None where there is nothing to show."""
    models, alone = collection.models[run.data], {run.model: single(run)}
    card = {
        "id": id_,
        "run": run,
        **origin(id_, run, collection.runs),
        "figures": _figures(run, models),
        "compared": _compared(run, models),
        "lengths": offsets_table(alone),
        "interventions": causes_table(alone),
        "uses": _uses(file, run),
        "failures": failures(run, models),
    }
    if uses := card["uses"]:
        card |= {"needs": NEEDS[uses["verdict"]], "changes": changes_table(uses), "following": following_table(uses)}
    return card


def _figures(run: StoredRun, models: Mapping[str, Model]) -> str:
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


def _compared(run: StoredRun, models: Mapping[str, Model]) -> Iterator[str]:
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
