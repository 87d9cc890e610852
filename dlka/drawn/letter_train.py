"""Train a reader of letters, see dlka.drawn.letter_net."""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional as F

from dlka.drawn.letter_net import LetterNet
from dlka.drawn.letters import Letters

PICTURES = 3000
STEPS = 300
BATCH = 128
RATE = 0.01
OFFSET_RATE = 0.003  # faster ones throw samples far out of the picture, where nothing calls them back
OFFSET_DECAY = 2.0  # of the offset net's weights, for the same reason


def train_letter(reader: str, letters: Letters, seed: int, steps: int = STEPS) -> LetterNet:
    """A net trained from scratch on these pictures by AdamW, in evaluation mode. The same seed gives the same net.

    reader: a key of READERS; steps: of BATCH pictures, which come in a new order in every pass.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums in the same order on any number of cores
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            net = LetterNet(reader)
        _fit(net, torch.from_numpy(letters.pictures), torch.from_numpy(letters.labels), seed, steps)
    finally:
        torch.set_num_threads(threads)
    return net.eval().requires_grad_(False)


def _fit(net: LetterNet, pictures: torch.Tensor, labels: torch.Tensor, seed: int, steps: int) -> None:
    offsets = [value for name, value in net.named_parameters() if name.startswith("offset_net.")]
    others = [value for name, value in net.named_parameters() if not name.startswith("offset_net.")]
    groups: list[dict[str, Any]] = [{"params": others, "lr": RATE}]
    if offsets:
        groups.append({"params": offsets, "lr": OFFSET_RATE, "weight_decay": OFFSET_DECAY})
    optimizer = torch.optim.AdamW(groups)
    rates = [group["lr"] for group in groups]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps)
    order = torch.empty(0, dtype=torch.int64)
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        if len(order) < BATCH:
            order = torch.cat([order, torch.randperm(len(pictures), generator=draw)])
        batch, order = order[:BATCH], order[BATCH:]
        loss = F.cross_entropy(net(pictures[batch]), labels[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
