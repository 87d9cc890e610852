"""Dice and HD95 against brute force over all pairs of cells; intervals against what they must be."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dlka.segment.judge import dice, hd95, interval


def brute_surface(mask: np.ndarray) -> list[tuple[int, ...]]:
    there = set(map(tuple, np.argwhere(mask)))
    steps = [tuple(s * (axis == a) for a in range(mask.ndim)) for axis in range(mask.ndim) for s in (-1, 1)]
    return [p for p in there if any(tuple(np.add(p, step)) not in there for step in steps)]


def brute_hd95(found: np.ndarray, true: np.ndarray, spacing: tuple[float, ...]) -> float:
    first, second = (np.array(brute_surface(mask)) * spacing for mask in (found, true))
    apart = np.linalg.norm(first[:, None] - second[None], axis=-1)
    return float(np.percentile(np.concatenate([apart.min(axis=1), apart.min(axis=0)]), 95))


def masks(seed: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    middles = rng.uniform(2, np.array(shape) - 2, (2, len(shape)))
    cells = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1)
    found, true = (np.linalg.norm(cells - middle, axis=-1) < rng.uniform(2, 4) for middle in middles)
    return found, true


@pytest.mark.parametrize(("seed", "shape"), itertools.product(range(4), [(12, 15), (9, 11, 10)]))
def test_distances_are_those_of_all_pairs(seed, shape):
    spacing = (1.0, 0.5, 2.0)[: len(shape)]
    found, true = masks(seed, shape)
    assert hd95(found, true, spacing) == pytest.approx(brute_hd95(found, true, spacing))


def test_dice_counts_cells():
    found, true = np.array([1, 1, 0, 0], bool), np.array([0, 1, 1, 1], bool)
    assert dice(found, true) == pytest.approx(2 / 5)
    assert np.isnan(dice(~found & found, ~true & true))
    assert np.isnan(hd95(found[None], np.zeros((1, 4), bool), (1, 1)))


def test_an_interval_holds_the_mean_and_narrows_with_cases():
    rng = np.random.default_rng(0)
    few, many = (interval(rng.normal(0.8, 0.1, n)) for n in (10, 1000))
    assert few[1] < few[0] < few[2]
    assert (many[2] - many[1]) < (few[2] - few[1]) / 4
    assert interval(np.array([np.nan, 0.5]))[0] == 0.5
