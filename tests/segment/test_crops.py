"""Crops hold what lies in the scan there, values and labels alike, and are the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from dlka.segment import training
from dlka.segment.scans import Scan
from dlka.segment.training import crop_of


def scan_of(space: tuple[int, ...]) -> tuple[Scan, np.ndarray]:
    """A smooth blob whose values are above 0.5 just where its label is 1."""
    cells = np.stack(np.meshgrid(*map(np.arange, space), indexing="ij"), -1)
    values = np.exp(-(((cells - np.array(space) * 0.4) / (np.array(space) * 0.3)) ** 2).sum(-1)).astype(np.float32)
    return Scan("blob", values[None], (1.0,) * len(space), np.zeros(space, np.uint8)), (values > 0.5).astype(np.uint8)


@pytest.mark.parametrize("space", [(40, 30), (24, 20, 28)])
def test_labels_lie_on_their_values(space, monkeypatch):
    for name in ("CONTRAST", "BRIGHTNESS", "NOISE"):
        monkeypatch.setattr(training, name, 0.0)
    scan, labels = scan_of(space)
    for seed in range(10):
        values, there = crop_of(scan, labels, (16,) * len(space), np.random.default_rng(seed))
        assert values.shape == (1, *(16,) * len(space))
        clear = (values[0] - 0.5).abs() > 0.15  # labels are those of the nearest cell, up to 0.9 cells away
        assert torch.equal((values[0] > 0.5)[clear], there.bool()[clear])


def test_an_unturned_crop_is_a_slice(monkeypatch):
    for name, value in {"TURN": 0.0, "SCALES": (1.0, 1.0), "CONTRAST": 0, "BRIGHTNESS": 0, "NOISE": 0}.items():
        monkeypatch.setattr(training, name, value)
    scan, labels = scan_of((24, 20, 28))
    marked = np.zeros_like(labels)
    marked[12, 10, 13] = 1
    seen = set()
    for seed in range(20):
        values, there = crop_of(scan, marked, (7, 9, 5), np.random.default_rng(seed))
        if there[3, 4, 2]:  # the middle of the crop is the marked cell
            part = torch.from_numpy(scan.values[0, 9:16, 6:15, 11:16])
            mirrored = part.flip(-1)
            seen.add(torch.allclose(values[0], part, atol=1e-5) or 2 * torch.allclose(values[0], mirrored, atol=1e-5))
    assert seen == {1, 2}


def test_the_same_seed_draws_the_same():
    scan, labels = scan_of((24, 20, 28))
    first, same, other = (crop_of(scan, labels, (8, 8, 8), np.random.default_rng(s))[0] for s in (3, 3, 4))
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
