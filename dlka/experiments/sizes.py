"""Recall by object size: what share of the objects of each size a model finds, with a band."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dlka.experiments.deltas import Model

BINS = 8  # at most
LEAST = 60  # objects a bin, at least: with fewer a band is wider than what could be read off
Z = 1.96  # half width of a 95 % interval in standard deviations


@dataclass(frozen=True)
class Recall:
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
