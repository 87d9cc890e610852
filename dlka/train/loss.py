"""What a recipe minimises, labels, soft targets and offsets alike everywhere, and how fast each parameter learns.

And what goes before a run's first epoch: blocks that replace stock ones learn to do what those did, without a label. A
block that takes a stock block's place throws away what that had learned. A frozen copy of the network that the run
starts from still has it: every new block gets the very maps that the stock block in its place got, and learns to give
what that gave, each on its own, so that none has to make up for another. After Li et al., "Blockwisely Supervised
Neural Architecture Search with Knowledge Distillation", arXiv:1911.13053.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from ultralytics.utils.loss import v8DetectionLoss

from dlka.layers import DeformConv
from dlka.models.blocks import C2f_DLKA
from dlka.models.build import DLKAModel, build_model
from dlka.models.transfer import transfer
from dlka.offset_nets import Float32Conv2d
from dlka.train.recipe import Recipe
from dlka.train.trainer import Start

PARTS = ("soft_cls", "soft_box", "feature", "offset_mean")
SOFT_WEIGHT = 2.0
OFFSETS = "offsets"  # key of a parameter group: whether it is that of offset convolutions
WARM_UP = 0.05  # of all steps of a fit: until the learning rate is reached
DECAY = 1e-5  # weight decay of a fit, as in the epochs that follow


class OffsetFields:
    """The offset fields that a model's passes give out, and how alike their offsets are everywhere."""

    def __init__(self, model: nn.Module) -> None:
        self._fields: list[torch.Tensor] = []
        nets = [module.offset_net for module in model.modules() if isinstance(module, DeformConv)]
        self._hooks = [n.register_forward_hook(lambda module, inputs, out: self._fields.append(out)) for n in nets]

    def alike(self) -> torch.Tensor:
        """Squared mean over cells and pictures of each tap's dy and dx, summed over the fields since the last call."""
        fields, self._fields = self._fields, []
        means = [field.mean((0, 2, 3)).square().mean() for field in fields]
        return torch.stack(means).sum() if means else torch.zeros(())

    def remove(self) -> None:
        """Look at no further pass."""
        for hook in self._hooks:
            hook.remove()


class RecipeLoss:
    """Sum of YOLOv8's loss on labels and of

    - soft_cls, soft_box: divergence from a frozen teacher's class probabilities, and from its distribution of each
      side of a box (Li et al., arXiv:2006.04388, gives the distributions), on the same augmented picture, the boxes
      weighted by how sure the teacher is of the cell;
    - feature: mean squared difference of the maps that enter the detection head, which lets replaced blocks find back
      to what the copied head expects; `feature_weight` fades while training goes on;
    - offset_mean: the squared mean over cells and pictures of every tap's dy and dx. A displacement that is the same
      everywhere is no adaptation, and with a weak gradient the optimiser drifts there first; what remains cheap is
      deformation that depends on what the picture shows.
    """

    def __init__(self, model: nn.Module, teacher: nn.Module | None, offset_mean_weight: float) -> None:
        self.labels = v8DetectionLoss(model)
        self.teacher = teacher
        self.offset_mean_weight = offset_mean_weight
        self.feature_weight = 1.0
        self.fields = OffsetFields(model)

    def __call__(self, preds: Any, batch: dict[str, Any]) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Losses times the batch size, as the trainer wants them, and their parts for the log."""
        alike = self.fields.alike()
        loss, items = self.labels(preds, batch)
        student = self.labels.parse_output(preds)
        zero = loss.new_zeros(())
        parts = dict.fromkeys(PARTS, zero)
        if student["scores"].requires_grad:  # else the trainer is validating
            if self.teacher is not None:
                parts |= self._soft(student, batch["img"])
            parts["offset_mean"] = zero + self.offset_mean_weight * alike
        extra = torch.stack(list(parts.values()))
        return torch.cat([loss, extra * len(batch["img"])]), {**items, **{k: v.detach() for k, v in parts.items()}}

    def _soft(self, student: dict[str, Any], images: torch.Tensor) -> dict[str, torch.Tensor]:
        assert self.teacher is not None
        with torch.no_grad():
            teacher = self.labels.parse_output(self.teacher(images))
        probability = teacher["scores"].sigmoid()
        sure = probability.amax(1)  # [N, cells]
        total = sure.sum().clamp_min(1)
        # Minus the teacher's own entropy: what is left is a divergence, zero where both agree.
        entropy = F.binary_cross_entropy_with_logits(teacher["scores"], probability, reduction="none")
        crossed = F.binary_cross_entropy_with_logits(student["scores"], probability, reduction="none")
        n, _, cells = student["boxes"].shape
        sides = [p["boxes"].view(n, 4, -1, cells).log_softmax(2) for p in (student, teacher)]
        divergence = F.kl_div(sides[0], sides[1], reduction="none", log_target=True).sum((1, 2))
        feature = torch.stack([F.mse_loss(s, t) / t.var() for s, t in zip(student["feats"], teacher["feats"])]).mean()
        return {
            "soft_cls": SOFT_WEIGHT * (crossed - entropy).sum() / total,
            "soft_box": SOFT_WEIGHT * (divergence * sure).sum() / total / 4,
            "feature": self.feature_weight * feature,
        }


def build_optimizer(model: nn.Module, recipe: Recipe, copied: Collection[str], decay: float) -> torch.optim.Optimizer:
    """AdamW; weight decay on weights of convolutions only. copied: names of parameters from the stock weights."""
    # A copied convolution inside C2f_DLKA has new neighbours: it learns as fast as they do.
    settled = set(copied) - _parameters_inside(model, C2f_DLKA)
    offset_names = _parameters_inside(model, Float32Conv2d)
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        moves = name in offset_names
        lr = recipe.offset_lr if moves else recipe.copied_lr if name in settled else recipe.lr
        groups.setdefault((lr, decay if parameter.dim() > 1 else 0.0, moves), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": params, "lr": lr, "weight_decay": wd, "param_group": "weight" if wd else "bn", OFFSETS: moves}
            for (lr, wd, moves), params in groups.items()
        ],
        betas=(0.9, 0.999),
    )


def _parameters_inside(model: nn.Module, kind: type[nn.Module]) -> set[str]:
    """Names of all parameters inside modules of a kind."""
    modules = [(name, m) for name, m in model.named_modules() if isinstance(m, kind)]
    return {f"{outer}.{name}" for outer, module in modules for name, _ in module.named_parameters()}


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
