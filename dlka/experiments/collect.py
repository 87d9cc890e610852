"""The stored runs of a folder as models, in the order of the plan, and what the plan has that they lack."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from dlka.errors import DlkaError
from dlka.experiments.deltas import Model
from dlka.experiments.plan import START, STOCK, Experiment, steps
from dlka.experiments.stored import StoredRun


@dataclass(frozen=True)
class Collection:
    """models: experiment -> model word -> its runs, in the plan's order; missing: ids that the plan has and nobody
    stored."""

    models: Mapping[str, Mapping[str, Model]]
    missing: Sequence[str]

    @property
    def runs(self) -> list[StoredRun]:
        """All runs, one after the other."""
        return [run for models in self.models.values() for model in models.values() for run in model.runs]

    def find(self, run_id: str) -> StoredRun | None:
        """The stored run of an id, or None."""
        return next((run for run in self.runs if run.run == run_id), None)


def collect(runs: Iterable[StoredRun], plan: Iterable[Experiment]) -> Collection:
    """Runs by experiment and model. Raises DlkaError for runs that were not measured alike."""
    planned = steps(plan)
    rank = {(step.name, step.model): number for number, step in reversed(list(enumerate(planned)))}
    by_model: dict[tuple[str, str], list[StoredRun]] = {}
    for run in runs:
        by_model.setdefault((run.data, run.model), []).append(run)
    models: dict[str, dict[str, Model]] = {}
    for data, word in sorted(by_model, key=lambda key: (rank.get(key, len(rank)), key)):
        found = tuple(sorted(by_model[data, word], key=lambda run: run.seed))
        models.setdefault(data, {})[word] = Model(data, word, found)
    for of_data in models.values():
        _check([run for model in of_data.values() for run in model.runs])
    there = {run.run for found in by_model.values() for run in found}
    return Collection(models, [step.id for step in planned if step.id not in there])


def trained_alike(models: Mapping[str, Model]) -> dict[str, Model]:
    """Without the stock weights and starts, which are no competitors."""
    return {word: model for word, model in models.items() if word not in (STOCK, START)}


def _check(runs: Sequence[StoredRun]) -> None:
    first = runs[0]
    for run in runs:
        for what in ("pictures", "objects", "settings"):
            if getattr(run, what) != getattr(first, what):
                raise DlkaError(
                    f"{run.run} was measured with {what} {getattr(run, what)} and {first.run} with "
                    f"{getattr(first, what)}: they cannot be compared; measure one of them again."
                )
        if run.replicates.shape != first.replicates.shape:
            raise DlkaError(
                f"{run.run} has {len(run.replicates)} resamples and {first.run} {len(first.replicates)}: they are not "
                "the same ones; measure one of them again."
            )
