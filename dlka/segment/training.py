"""Train a network of `dlka.nets` on labelled volumes or pictures: AdamW on crops, and on after a kill."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import torch
from torch import nn

from dlka.errors import DlkaError, make_folder
from dlka.nets import build_net
from dlka.nets.loss import segmentation_loss
from dlka.ops.backends import device_of
from dlka.segment.crops import crop_of
from dlka.segment.net_file import NetCard, save_net
from dlka.segment.recipe import SegmentRecipe
from dlka.segment.scans import CaseFolder, is_volume, read_case, read_folder
from dlka.train.recipe import check_fields
from dlka.versions import versions

KEPT_EVERY = 100  # steps between two states on the disk
WARM_UP = 0.05  # share of the steps in which the rate rises
DECAY, CLIP = 0.01, 12.0
OFFSET_RATE = 0.1  # of what is learned fast, offset nets learn so much: else taps move by whole cells in a few steps
LAST = {"volume": torch.channels_last_3d, "picture": torch.channels_last}
CROPS = {"volume": 32, "picture": 128}  # cells along each side, or what the network takes that is next above
LICENCE = "AGPL-3.0"


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
            keep(
                state, {"told": told, "net": net.state_dict(), "optimizer": optimizer.state_dict(), "steps": number + 1}
            )
    save_net(out, net.eval(), card_of(recipe, kind, data, max(sides)))
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


def card_of(recipe: SegmentRecipe, kind: str, data: CaseFolder, crop: int) -> NetCard:
    """What the weights file says of itself."""
    settings = {**asdict(recipe), "data": data.title, "crop": crop}
    return NetCard(
        net=kind,
        preset=recipe.preset,
        offsets=recipe.offsets,
        names=list(data.names.values()),
        window=crop,
        data=f"labels of {data.title}, {len(data.train)} cases; weights of the last step, not chosen on any data",
        recipe=settings,
        licence=LICENCE,
        seed=recipe.seed,
        versions=versions(),
    )
