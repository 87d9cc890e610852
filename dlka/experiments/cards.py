"""Model cards: what each weights file that ships is, from its stored run, as one Markdown file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from dlka.experiments.card_figures import compared, figures, per_cent
from dlka.experiments.card_origin import data_lines, made, what
from dlka.experiments.collect import Collection, EvidenceRefused, collect
from dlka.experiments.deltas import difference
from dlka.experiments.failures import failures
from dlka.experiments.method import causes_reading, offsets_reading
from dlka.experiments.one_run import data_of, find_run, single
from dlka.experiments.plan import CONTROL, Experiment
from dlka.experiments.stored import METRICS, StoredRun, load_all
from dlka.experiments.tables import causes_table, offsets_table
from dlka.experiments.uses_text import in_card, uses_reading
from dlka.experiments.words import NONE, cell, listed, markdown
from dlka.models.catalog import cards
from dlka.models.weights import Card

NAME = "cards.md"
SEED_0 = "All of them are of seed 0, which ships whatever it scored."


def write_cards(runs: Path, out: Path, plan: Sequence[Experiment], shipped: Mapping[str, str]) -> Path:
    """Write cards.md for the ids of `shipped` (id -> run) from a folder of stored runs; returns its path.

    Raises RunRefused for no runs and for damaged ones, EvidenceRefused for runs that were not measured alike.
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
    there: dict[str, StoredRun] = {}
    missing = []
    for id_, run_id in shipped.items():
        try:
            there[id_] = find_run(collection, run_id)
        except EvidenceRefused:
            missing.append(f"{id_} ({run_id})")
    used = {id_: uses for id_, run in there.items() if (uses := _uses(files.get(id_), run))}
    parts = [
        "# Model cards",
        "Made by `python -m dlka evidence` from stored runs. AP figures are COCO average precision in per cent, on the "
        "validation part of a data set: no weights were trained on it. Intervals are 95 %, a paired bootstrap over its "
        "pictures; a difference is bold where its interval does not include zero. report.md says more on how they are "
        "made.",
        SEED_0 if there and not any(run.seed for run in there.values()) else "",
        f"Not stored, so without a card: {listed(missing)}." if missing else "",
        _overview(there, collection) if there else "",
        *(
            part
            for id_, run in there.items()
            for part in _card(id_, run, collection, chosen.get(run.data, ""), used.get(id_))
        ),
    ]
    if of_data := list(data_lines(there.values())):
        parts += ["## Data sets", "\n".join(f"- {line}" for line in of_data)]
    if any(run.stage_offsets for run in there.values()):
        parts += ["## How to read the tables of offsets and interventions", offsets_reading(), causes_reading()]
        parts += [uses_reading()] if used else []
    return "\n\n".join(part for part in parts if part) + "\n"


def _overview(there: Mapping[str, StoredRun], collection: Collection) -> str:
    rows = []
    for id_, run in there.items():
        control = collection.models[run.data].get(CONTROL)
        others = control if run.model != CONTROL else None
        gains = [cell(difference(single(run), others, measure)) if others else NONE for measure in ("AP", "AP_S")]
        aps = [per_cent(run.metrics[measure]) for measure in ("AP", "AP_S")]
        rows.append([f"[{id_}](#{id_})", data_of(run), f"{run.parameters:,}", *aps, *gains])
    return markdown(["weights", "data", "parameters", "AP", "AP_S", "AP - control", "AP_S - control"], rows, words=2)


def _uses(card: Card | None, run: StoredRun) -> Mapping[str, Any] | None:
    """What a weights file says of its offsets, where it is of this run: its figures are the run's."""
    return card.uses if card and all(card.metrics.get(name) == run.metrics[name] for name in METRICS) else None


def _card(
    id_: str, run: StoredRun, collection: Collection, chosen: str, uses: Mapping[str, Any] | None
) -> Iterator[str]:
    models = collection.models[run.data]
    yield f"## {id_}"
    yield "\n".join(f"- {line}" for line in what(run))
    yield f"### {id_}: recipe"
    yield from made(id_, run, collection.runs, chosen)
    yield f"### {id_}: measured"
    where = f"{run.pictures:,} pictures of {data_of(run)} val with {run.objects:,} objects"
    yield f"On {where}, at {run.settings['size']} px."
    yield figures(run, models)
    yield "\n".join(f"- {sentence}" for sentence in compared(run, models))
    yield offsets_table({run.model: single(run)}) or ""
    yield causes_table({run.model: single(run)}) or ""
    if uses:
        yield f"### {id_}: whether it uses its offsets"
        yield from in_card(uses)
    yield f"### {id_}: known failures"
    yield "\n".join(f"- {sentence}" for sentence in failures(run, models))
