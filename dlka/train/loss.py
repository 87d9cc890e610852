"""What a recipe minimises, labels, soft targets and offsets alike everywhere, and how fast each parameter learns."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from ultralytics.utils.loss import v8DetectionLoss

from dlka.layers import DeformConv
from dlka.models.blocks import C2f_DLKA
from dlka.offset_nets import Float32Conv2d
from dlka.train.recipe import Recipe

PARTS = ("soft_cls", "soft_box", "feature", "offset_mean")
SOFT_WEIGHT = 2.0
OFFSETS = "offsets"  # key of a parameter group: whether it is that of offset convolutions


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
