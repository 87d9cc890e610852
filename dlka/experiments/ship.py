"""Weights that ship: the files of a rerun, bit by bit, with what was measured of them in their cards."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from dlka.analysis.bootstrap import COMPARED, MEASURES, interval
from dlka.errors import DlkaError
from dlka.experiments.deltas import Collection, Model, difference, single
from dlka.experiments.following import ends_of, rounded
from dlka.experiments.plan import CONTROL
from dlka.experiments.stored import StoredRun
from dlka.experiments.words import per_cent
from dlka.models.checkpoint import sha256
from dlka.models.weights import load_card, same_tensors, with_card


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
