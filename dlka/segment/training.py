"""Train a network of `dlka.nets` on labelled volumes or pictures: AdamW on crops, and on after a kill."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from itertools import combinations
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from dlka.errors import DlkaError, make_folder
from dlka.nets import build_net, segmentation_loss
from dlka.ops.backends import device_of
from dlka.segment.net_file import NetCard, save_net
from dlka.segment.scans import Scan, is_volume, read_case, read_folder
from dlka.train.recipe import SegmentRecipe, check_fields
from dlka.versions import versions

KEPT_EVERY = 100  # steps between two states on the disk
WARM_UP = 0.05  # share of the steps in which the rate rises
DECAY, CLIP = 0.01, 12.0
OFFSET_RATE = 0.1  # of what is learned fast, offset nets learn so much: else taps move by whole cells in a few steps
LAST = {"volume": torch.channels_last_3d, "picture": torch.channels_last}
CROPS = {"volume": 32, "picture": 128}  # cells along each side, or what the network takes that is next above
# Crops are turned, scaled and mirrored.
ABOUT_A_PART = 0.7  # share of crops whose middle is a cell of a part, not any cell
TURN = 20.0  # degrees at most about each axis, either way
SCALES = (0.8, 1.25)  # how much larger a crop shows things
CONTRAST, BRIGHTNESS, NOISE = 0.2, 0.2, 0.1  # at most: factor, and shift and deviation of noise in values


def train(
    recipe: SegmentRecipe, out: Path, run: Path, report: Callable[[str], None] = print, device: str = "cpu"
) -> Path:
    """Train, and write the weights file `out`; the validation part is not looked at.

    run: the folder of the run's state, from which one that was killed goes on when it is asked for again. Raises
    DlkaError.
    """
    check_fields(recipe)
    device_of(device)
    data = read_folder(recipe.data)
    kind = "volume" if is_volume(data.train[0].image) else "picture"
    scans, labels = zip(*(read_case(case, len(data.names)) for case in data.train))
    torch.manual_seed(recipe.seed)
    net = build_net(kind, preset=recipe.preset, classes=len(data.names), offsets=recipe.offsets)
    layout = LAST[kind]  # rigid depthwise convolutions take a third of the time
    net = net.to(device).to(memory_format=layout)
    moving = [value for name, value in net.named_parameters() if "offset" in name]
    others = [value for name, value in net.named_parameters() if "offset" not in name]
    groups = [{"params": others, "factor": 1.0}, {"params": moving, "factor": OFFSET_RATE}]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], lr=recipe.lr, weight_decay=DECAY)
    make_folder(run)
    state, begun = run / "state.pt", 0
    told = {"recipe": asdict(recipe), "versions": versions()}
    if state.is_file():
        kept = torch.load(state, weights_only=True)
        if kept["told"]["recipe"] != told["recipe"]:
            raise DlkaError(f"{run} holds a run of another recipe; give another --out, or remove it.")
        net.load_state_dict(kept["net"])
        optimizer.load_state_dict(kept["optimizer"])
        begun = kept["steps"]
    parameters = sum(value.numel() for value in net.parameters())
    report(
        f"{data.title}: {len(scans)} cases, {parameters:,} parameters, {recipe.steps} steps"
        + (f"; goes on after step {begun}." if begun else ".")
    )
    sides = sides_of(net, kind)
    losses: list[float] = []
    clock = process_time()
    net.train()
    for number in range(begun, recipe.steps):
        # Of the step alone, so that a run that was killed draws what it would have drawn.
        rng = np.random.default_rng([recipe.seed, number])
        torch.manual_seed(int(rng.integers(2**31)))
        chosen = rng.integers(len(scans), size=recipe.batch)
        values, there = map(torch.stack, zip(*(crop_of(scans[i], labels[i], sides, rng) for i in chosen)))
        for group in optimizer.param_groups:
            group["lr"] = recipe.lr * group["factor"] * rate(number, recipe.steps)
        loss = segmentation_loss(net(values.to(device, memory_format=layout)), there.to(device))
        if not bool(loss.isfinite()):
            raise DlkaError(f"The loss of step {number + 1} is not finite; try a smaller --lr than {recipe.lr:g}.")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), CLIP)
        optimizer.step()
        losses.append(float(loss.detach()))
        if (number + 1) % KEPT_EVERY == 0:
            mean, cost = np.mean(losses[-KEPT_EVERY:]), (process_time() - clock) / len(losses)
            report(f"step {number + 1} of {recipe.steps}: loss {mean:.3f}, {cost:.2f} s of processor time a step")
            own = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "steps": number + 1}
            keep(state, {"told": told, **own})
    card = NetCard(
        net=kind,
        preset=recipe.preset,
        offsets=recipe.offsets,
        names=list(data.names.values()),
        window=max(sides),
        data=f"labels of {data.title}, {len(data.train)} cases; weights of the last step, not chosen on any data",
        recipe={**asdict(recipe), "data": data.title, "crop": max(sides)},
        licence="AGPL-3.0",
        seed=recipe.seed,
        versions=versions(),
    )
    save_net(out, net.eval(), card)
    state.unlink(missing_ok=True)
    return out


def rate(step: int, steps: int) -> float:
    """Factor of the learning rate: up in a line, down in half a cosine."""
    warm = max(1, round(WARM_UP * steps))
    return (step + 1) / warm if step < warm else 0.5 + 0.5 * math.cos(math.pi * (step - warm) / max(1, steps - warm))


def keep(file: Path, state: dict[str, Any]) -> None:
    """Write a state whole or not at all."""
    unfinished = file.with_suffix(".partial")
    torch.save(state, unfinished)
    unfinished.replace(file)


def sides_of(net: Any, kind: str) -> tuple[int, ...]:
    """Cells of a crop along each axis."""
    many = (net.multiple,) * 2 if kind == "picture" else net.multiple
    return net.crop or tuple(-(-CROPS[kind] // own) * own for own in many)


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
    for first, second in combinations(range(dims), 2):
        angle = math.radians(rng.uniform(-TURN, TURN))
        plane = np.eye(dims)
        plane[[first, second], [first, second]] = math.cos(angle)
        plane[first, second], plane[second, first] = math.sin(angle), -math.sin(angle)
        matrix = matrix @ plane
    return matrix
