"""What a network that segments is trained on: crops of scans, turned, scaled and mirrored, with their labels."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F

from dlka.segment.scans import Scan

ABOUT_A_PART = 0.7  # share of crops whose middle is a cell of a part, not any cell
TURN = 20.0  # degrees at most about each axis, either way
SCALES = (0.8, 1.25)  # how much larger a crop shows things
CONTRAST, BRIGHTNESS, NOISE = 0.2, 0.2, 0.1  # at most: factor, and shift and deviation of noise in values


def crop_of(
    scan: Scan, labels: np.ndarray, sides: tuple[int, ...], rng: np.random.Generator
) -> tuple[torch.Tensor, ...]:
    """A crop somewhere in a scan: values float32 [C, *sides] and labels int64 [*sides]; the same for the same rng.

    labels: [*space]. Beyond the border the values are the scan's least ones and the labels 0.
    """
    dims = len(sides)
    within = np.argwhere(labels) if rng.random() < ABOUT_A_PART else np.zeros((0, dims))
    middle = within[rng.integers(len(within))] if len(within) else rng.uniform(0, np.array(scan.space) - 1)
    # From cells of the crop, counted from its middle, to cells of the scan; axes as in arrays.
    matrix = _turned(dims, rng) / rng.uniform(*SCALES)
    matrix[:, -1] *= rng.choice([-1, 1])  # left and right look alike
    space, size = np.array(scan.space), np.array(sides)
    # affine_grid counts from -1 to 1 over a whole side, x first.
    theta = np.concatenate([matrix * size / space[:, None], ((2 * middle + 1) / space - 1)[:, None]], axis=1)
    flipped = np.concatenate([theta[::-1, dims - 1 :: -1], theta[::-1, -1:]], axis=1)
    grid = F.affine_grid(torch.from_numpy(flipped[None].copy()).float(), [1, 1, *sides], align_corners=False)
    least = float(scan.values.min())
    values = F.grid_sample(torch.from_numpy(scan.values - least)[None], grid, align_corners=False)[0] + least
    there = torch.from_numpy(labels[None, None].astype(np.float32))
    nearest = F.grid_sample(there, grid, mode="nearest", align_corners=False)[0, 0]
    values = values * rng.uniform(1 - CONTRAST, 1 + CONTRAST) + rng.uniform(-BRIGHTNESS, BRIGHTNESS)
    noise = rng.normal(0, rng.uniform(0, NOISE), values.shape).astype(np.float32)
    return values + torch.from_numpy(noise), nearest.long()


def _turned(dims: int, rng: np.random.Generator) -> np.ndarray:
    """A rotation [dims, dims]: about the one axis of a picture, about all three of a volume."""
    matrix = np.eye(dims)
    for first in range(dims):
        for second in range(first + 1, dims):
            angle = math.radians(rng.uniform(-TURN, TURN))
            plane = np.eye(dims)
            plane[[first, second], [first, second]] = math.cos(angle)
            plane[first, second], plane[second, first] = math.sin(angle), -math.sin(angle)
            matrix = matrix @ plane
    return matrix
