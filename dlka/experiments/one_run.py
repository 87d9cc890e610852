"""A single stored run of a collection, beside those of its model."""

from __future__ import annotations

import json
from typing import Any

from dlka.experiments.collect import Collection
from dlka.experiments.deltas import Model
from dlka.experiments.stored import StoredRun


def find_run(collection: Collection, run_id: str) -> StoredRun | None:
    """The stored run of an id, or None."""
    return next((run for run in collection.runs if run.run == run_id), None)


def single(run: StoredRun) -> Model:
    """One run as a model of one seed."""
    return Model(run.data, run.model, (run,))


def data_of(run: StoredRun) -> str:
    """The name of the data set that a run's weights were trained and measured on; its experiment's may say more."""
    return (recipe_of(run) or {}).get("data") or run.data


def recipe_of(run: StoredRun) -> dict[str, Any] | None:
    """The recipe in a run's card, or None for weights that this project did not train."""
    try:
        recipe = json.loads(run.card.get("recipe", ""))
    except ValueError:
        return None
    return recipe if isinstance(recipe, dict) else None
