"""Model cards: what each weights file that ships is, from its stored run, as one Markdown file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dlka.experiments.bootstrap import COMPARED
from dlka.experiments.card_figures import compared, figures
from dlka.experiments.card_origin import data_sets, origin
from dlka.experiments.collect import Collection, collect
from dlka.experiments.deltas import difference
from dlka.experiments.failures import failures
from dlka.experiments.one_run import data_of, find_run, single
from dlka.experiments.plan import CONTROL, Experiment
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

    Raises RunRefused for no runs and for damaged ones, DlkaError for runs that were not measured alike.
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
    there = {id_: run for id_, run_id in shipped.items() if (run := find_run(collection, run_id))}
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
        rows.append([f"[{id_}](#{id_})", data_of(run), f"{run.parameters:,}", *aps, *gains])
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
        "data_set": data_of(run),
        **origin(id_, run, collection.runs),
        "figures": figures(run, models),
        "compared": compared(run, models),
        "lengths": offsets_table(alone),
        "interventions": causes_table(alone),
        "uses": _uses(file, run),
        "failures": failures(run, models),
    }
    if uses := card["uses"]:
        card |= {"needs": NEEDS[uses["verdict"]], "changes": changes_table(uses), "following": following_table(uses)}
    return card
