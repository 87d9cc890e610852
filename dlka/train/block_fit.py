"""Before a run's first epoch, blocks that replace stock ones learn to do what those did: no label is needed for it.

A block that takes a stock block's place throws away what that had learned. A frozen copy of the network that the run
starts from still has it: every new block gets the very maps that the stock block in its place got, and learns to give
what that gave, each on its own, so that none has to make up for another. After Li et al., "Blockwisely Supervised
Neural Architecture Search with Knowledge Distillation", arXiv:1911.13053.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import torch
from torch import nn

from dlka.models.blocks import C2f_DLKA
from dlka.models.build import DLKAModel, build_model
from dlka.models.transfer import transfer
from dlka.train.loss import OffsetFields, build_optimizer
from dlka.train.recipe import Recipe
from dlka.train.trainer import Start

WARM_UP = 0.05  # of all steps of a fit: until the learning rate is reached
DECAY = 1e-5  # weight decay of a fit, as in the epochs that follow


def fit_blocks(
    model: DLKAModel,
    start: Start,
    batches: Callable[[], Iterable[torch.Tensor]],
    steps: int,
    recipe: Recipe,
    report: Callable[[str], None] = print,
) -> list[dict[str, float]]:
    """Fit every C2f_DLKA of the model, in place, to the C2f of stock YOLOv8 with the weights `start`.

    batches: gives the pictures of one pass, [N, 3, H, W] in 0..1 on the model's device, `steps` of them. Runs
    recipe.fit_epochs passes, at its fit_lr and offset_lr, which fall to zero on half a cosine. report: gets a line
    a pass. Returns a row a pass: the block's name ("model.15") -> its mean relative error, the squared distance to what
    the stock block gave over that map's variance: 0 is the stock block, 1 is as good as its mean. Nothing outside
    these blocks changes; their batch norms see batches, as they will later. Frozen blocks are fitted, too, and are
    frozen again.
    """
    blocks = {row: module for row, module in enumerate(model.model) if isinstance(module, C2f_DLKA)}
    device = next(model.parameters()).device
    stock = _stock_maps(model, start, blocks, device)
    fitted = nn.ModuleList(blocks.values()).train()
    frozen = [parameter for parameter in fitted.parameters() if not parameter.requires_grad]
    fitted.requires_grad_(True)
    fields = OffsetFields(fitted)
    optimizer = build_optimizer(fitted, replace(recipe, lr=recipe.fit_lr), (), DECAY)
    whole = steps * recipe.fit_epochs

    def share(step: int) -> float:  # of the learning rate: rising at first, then falling to zero on half a cosine
        return min(1.0, (step + 1) / (WARM_UP * whole)) * 0.5 * (1 + math.cos(math.pi * min(step / whole, 1)))

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, share)
    rows = []
    for number in range(1, recipe.fit_epochs + 1):
        sums = torch.zeros(len(blocks))
        for images in batches():
            with torch.autocast(device.type, torch.bfloat16, enabled=recipe.bfloat16):
                seen = stock(images)
                given = [block(seen[row][0]) for row, block in blocks.items()]
            wanted = [seen[row][1].float() for row in blocks]
            errors = torch.stack([(x.float() - y).square().mean() / y.var() for x, y in zip(given, wanted)])
            optimizer.zero_grad()
            (errors.sum() + recipe.offset_mean * fields.alike()).backward()
            nn.utils.clip_grad_norm_(fitted.parameters(), 10.0)
            optimizer.step()
            schedule.step()
            sums += errors.detach().cpu()
        rows.append({f"model.{row}": float(error) for row, error in zip(blocks, sums / steps)})
        errors_told = "  ".join(f"{name} {error:.3f}" for name, error in rows[-1].items())
        report(f"fit {number}/{recipe.fit_epochs}  relative error  {errors_told}")
    fields.remove()
    optimizer.zero_grad()
    for parameter in frozen:
        parameter.requires_grad_(False)
    return rows


def _stock_maps(
    model: DLKAModel, start: Start, rows: Iterable[int], device: torch.device
) -> Callable[[torch.Tensor], Mapping[int, tuple[torch.Tensor, torch.Tensor]]]:
    """Images -> row -> what the stock block in that row gets and gives; the network ends at the last of the rows."""
    net = build_model("control", model.yaml["scale"], len(model.names))
    transfer(net, start[0], model.names, start[1])
    net.model = net.model[: max(rows) + 1]
    net.fuse(verbose=False).eval().requires_grad_(False).to(device, memory_format=torch.channels_last)
    seen: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    for row in rows:
        net.model[row].register_forward_hook(lambda _, x, out, row=row: seen.update({row: (x[0], out)}))

    def maps(images: torch.Tensor) -> Mapping[int, tuple[torch.Tensor, torch.Tensor]]:
        with torch.no_grad():
            net.predict(images)
        return seen

    return maps
