"""Stored runs as models, and their differences with intervals: a paired bootstrap over pictures, seeds averaged.

Every run of a data set was measured on the same resamples of the same pictures (see bootstrap.py). The replicates of
a model are averaged over its seeds, resample by resample, and subtracted from those of the other model. The interval of
these differences covers the choice of pictures, not the noise of training: for that each seed's own difference stands
beside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from dlka.analysis.bootstrap import MEASURES, interval
from dlka.errors import DlkaError
from dlka.experiments.plan import START, STOCK, Experiment, steps
from dlka.experiments.stored import StoredRun
from dlka.render.forest import Estimate


class Delta(Estimate):
    """A difference of two AP figures in per cent, with its 95 % interval and each seed's own difference."""

    @property
    def sign(self) -> int:
        """1 where the interval is above zero, -1 below, 0 where it includes zero."""
        return int(self.low > 0) - int(self.high < 0)

    @property
    def agreed(self) -> bool:
        """Whether every single seed says the same as the mean."""
        return all(seed * self.value > 0 for seed in self.seeds)


@dataclass(frozen=True)
class Model:
    """All stored runs of one model on one data set, by seed."""

    word: str
    runs: tuple[StoredRun, ...]

    def mean(self, metric: str) -> float | None:
        """AP figure in per cent, mean over seeds; None where there is no object of that size."""
        over_seeds = mean([run.metrics[metric] for run in self.runs])
        return None if over_seeds is None else 100 * over_seeds

    def spread(self, metric: str) -> tuple[float, float] | None:
        """Least and largest figure of the seeds in per cent."""
        values = [100 * v for run in self.runs if (v := run.metrics[metric]) is not None]
        return (min(values), max(values)) if values else None


def single(run: StoredRun) -> Model:
    """One run as a model of one seed."""
    return Model(run.model, (run,))


def difference(model: Model, to: Model, metric: str, *, by_seed: bool = True) -> Delta | None:
    """How far a model is above another in a metric of MEASURES; None where it cannot be said.

    by_seed: only seeds that both have are compared, each with its like; otherwise all seeds of the model with all of
    the other, for models that were not trained alike.
    """
    return _delta(
        [
            (a.metrics[metric], b.metrics[metric], a.replicates, b.replicates)
            for a in model.runs
            for b in to.runs
            if a.seed == b.seed or not by_seed
        ],
        MEASURES.index(metric),
    )


def intervened(model: Model, name: str) -> Delta | None:
    """How far an intervention moves a model's AP from where it is; None where no seed was measured with it."""
    runs = [run for run in model.runs if name in run.interventions]
    return _delta(
        [(r.interventions[name]["AP"], r.metrics["AP"], r.intervention_replicates[name], r.replicates) for r in runs],
        MEASURES.index("AP"),
    )


def mean(values: Sequence[float | None]) -> float | None:
    """Of a figure over seeds; None where a seed has none."""
    known = [v for v in values if v is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


_Pair = tuple[float | None, float | None, np.ndarray, np.ndarray]  # two figures in 0..1, and their replicates


def _delta(pairs: Sequence[_Pair], column: int) -> Delta | None:
    """The mean difference of pairs, and each pair's own; column: of the replicates, NaN where there is no object."""
    seeds = [a - b for a, b, _, _ in pairs if a is not None and b is not None]
    if not seeds or len(seeds) < len(pairs):
        return None
    spread = [a[:, column].astype(np.float64) - b[:, column].astype(np.float64) for _, _, a, b in pairs]
    low, high = interval(np.mean(spread, axis=0))
    if np.isnan(low):
        return None
    return Delta(100 * float(np.mean(seeds)), 100 * low, 100 * high, tuple(100 * seed for seed in seeds))


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
    found: dict[str, dict[str, list[StoredRun]]] = {}
    for run in sorted(runs, key=lambda r: (rank.get((r.data, r.model), len(rank)), r.data, r.model, r.seed)):
        found.setdefault(run.data, {}).setdefault(run.model, []).append(run)
    models = {data: {word: Model(word, tuple(alike)) for word, alike in words.items()} for data, words in found.items()}
    for words in found.values():
        _check([run for alike in words.values() for run in alike])
    there = {run.run for words in found.values() for alike in words.values() for run in alike}
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


BINS = 8  # at most
LEAST = 60  # objects a bin, at least: with fewer a band is wider than what could be read off
Z = 1.96  # half width of a 95 % interval in standard deviations


class Recall(NamedTuple):
    """Shares 0..1, [bins] each; low and high end the 95 % interval."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def size_bins(side: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Bins of about equally many objects: bin of each object [objects] int64, geometric mean side of each bin [bins].

    side [objects]: square root of box area in px, positive. BINS bins, fewer where they would hold under LEAST objects;
    objects of one size share a bin.
    """
    count = max(1, min(BINS, len(side) // LEAST))
    # Sizes that do occur, or a bin between two of them could be empty.
    edges = np.unique(np.quantile(side, np.arange(1, count) / count, method="higher"))
    edges = edges[edges > side.min()]
    number = np.searchsorted(edges, side, side="right")
    logs = np.bincount(number, np.log(side)) / np.bincount(number)
    return number, np.exp(logs)


def recall(model: Model, number: np.ndarray) -> Recall:
    """Share of the objects of each bin that a model found, mean over its seeds; number [objects]: bin of each object.

    The interval is Wilson's over objects (E. B. Wilson, Probable Inference, 1927): seeds make a mean steadier, but no
    objects more. Objects of one picture are easy or hard together, so that it is rather too narrow than too wide.
    """
    found = np.mean([run.found for run in model.runs], axis=0)  # [objects], share of the seeds
    objects = np.bincount(number)
    share = np.bincount(number, found) / objects
    shrink = 1 + Z**2 / objects
    middle = (share + Z**2 / (2 * objects)) / shrink
    half = Z / shrink * np.sqrt(share * (1 - share) / objects + Z**2 / (4 * objects**2))
    return Recall(share, middle - half, middle + half)


def recall_gain(model: Model, to: Model, number: np.ndarray) -> Recall:
    """How much more of the objects of each bin a model found than another, both as the mean over their seeds.

    Object by object, as most are found by both or by neither: the interval is 1.96 standard errors of the mean of the
    differences, none for a bin of a single object. Objects are taken as independent, as in `recall`.
    """
    found = [np.mean([run.found for run in m.runs], axis=0) for m in (model, to)]
    gain = found[0] - found[1]  # [objects], -1..1
    objects = np.bincount(number)
    mean = np.bincount(number, gain) / objects
    variance = np.bincount(number, (gain - mean[number]) ** 2) / np.maximum(objects - 1, 1)
    half = Z * np.sqrt(variance / objects)
    return Recall(mean, mean - half, mean + half)
