"""Ultralytics' trainer with what a recipe adds: learning rates by origin, and a teacher's soft targets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from ultralytics.data.augment import RandomPerspective
from ultralytics.utils.torch_utils import unwrap_model

from dlka.jobs.recipe import Recipe
from dlka.jobs.recipe_loss import RecipeLoss
from dlka.models.blocks import C2f_DLKA
from dlka.models.build import DLKAModel, model_config
from dlka.models.yolo import DLKATrainer
from dlka.offset_nets import Float32Conv2d, OffsetConv2d


class RecipeTrainer(DLKATrainer):
    """Learning rates by where a parameter comes from, and soft targets of a teacher, if there is one, beside labels.

    Nothing looks at validation pictures while it trains, so nothing is chosen on them: `dlka val` measures the file
    that is written at the end, the averaged weights (EMA) of the last step.
    """

    def __init__(self, *args: Any, recipe: Recipe, teacher: nn.Module | None, **kwargs: Any) -> None:
        self.recipe, self.teacher = recipe, teacher
        self.loss_function: RecipeLoss | None = None
        self.batches_done = 0
        super().__init__(*args, **kwargs)
        self.add_callback("on_train_start", RecipeTrainer._set_loss)
        self.add_callback("on_train_batch_end", RecipeTrainer._fade)
        self.add_callback("on_train_epoch_end", RecipeTrainer._log_offsets)

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> DLKAModel:
        """The recipe's model: Ultralytics gives the name of a yaml, which does not say how offsets are predicted."""
        recipe = self.recipe
        config = model_config(recipe.placement, recipe.scale, self.data["nc"], recipe.offsets)
        return super().get_model(config, weights, verbose)

    def build_optimizer(
        self, model: nn.Module, *args: Any, decay: float = 1e-5, **kwargs: Any
    ) -> torch.optim.Optimizer:
        """AdamW; weight decay on weights of convolutions only."""
        recipe = self.recipe
        # A copied convolution inside C2f_DLKA has new neighbours: it learns as fast as they do.
        copied = set(self.ledger.copied if self.ledger else ()) - _parameters_inside(model, C2f_DLKA)
        offset_names = _parameters_inside(model, Float32Conv2d)
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in model.named_parameters():
            lr = recipe.offset_lr if name in offset_names else recipe.copied_lr if name in copied else recipe.lr
            groups.setdefault((lr, decay if parameter.dim() > 1 else 0.0), []).append(parameter)
        return torch.optim.AdamW(
            [
                {"params": params, "lr": lr, "weight_decay": wd, "param_group": "weight" if wd else "bn"}
                for (lr, wd), params in groups.items()
            ],
            betas=(0.9, 0.999),
        )

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """Ultralytics' data set; for training, pictures are read at `size` and a square of `crop` is cut out."""
        dataset = super().build_dataset(img_path, mode, batch)
        crop, size = self.recipe.crop, self.recipe.size
        if mode == "train" and crop:
            for affine in (t for t in dataset.transforms.transforms[0].transforms if isinstance(t, RandomPerspective)):
                # The picture's middle lands this far, in crops, from the crop's: every part of it is seen.
                affine.size, affine.translate = (crop, crop), (size - crop) / (2 * crop)
        return dataset

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Channels-last on the CPU, where convolutions are faster so."""
        batch = super().preprocess_batch(batch)
        if self.device.type == "cpu":
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch

    def validate(self) -> tuple[dict[str, float], float]:
        """Skipped, see above."""
        return {}, 0.0

    def final_eval(self) -> None:
        """Skipped, see above."""

    @property
    def net(self) -> nn.Module:
        """The model that is being trained."""
        return unwrap_model(self.model)  # type: ignore[arg-type]

    def _set_loss(self) -> None:
        teacher = None if self.teacher is None else self.teacher.to(self.device)
        self.loss_function = RecipeLoss(self.net, teacher, self.recipe.offset_mean)
        net = self.net
        net.criterion = self.loss_function  # type: ignore[assignment]
        if self.device.type == "cpu":
            net.to(memory_format=torch.channels_last)
        if self.recipe.bfloat16:
            for model in (net, teacher):
                if model is not None:
                    model.predict = _in_bfloat16(model.predict, self.device.type)  # type: ignore[assignment,operator]

    def _fade(self) -> None:
        """Feature matching fades from 1 to 0 over the run."""
        self.batches_done += 1
        whole = len(self.train_loader) * self.epochs
        if self.loss_function:
            self.loss_function.feature_weight = max(0.0, 1 - self.batches_done / whole)

    def _log_offsets(self) -> None:
        """The mean losses of the epoch, then one line a stage: how far its offset convolution is from zero."""
        means: dict[str, Any] = self.tloss or {}
        losses = "  ".join(f"{name} {float(value):.3f}" for name, value in means.items())
        print(f"epoch {self.epoch + 1}/{self.epochs}  {losses}", flush=True)
        for name, module in self.net.named_modules():
            if isinstance(module, OffsetConv2d) and module.bias is not None:
                bias, weight = module.bias.detach().abs(), module.weight.detach().abs()
                print(f"  {name}: bias mean {bias.mean():.3f} max {bias.max():.3f}, weight mean {weight.mean():.5f}")


def _in_bfloat16(predict: Callable[..., Any], device: str) -> Callable[..., Any]:
    """A model's pass in mixed precision, whose results are float32 again: losses are sums over thousands of cells."""

    def run(*args: Any, **kwargs: Any) -> Any:
        with torch.autocast(device, torch.bfloat16):
            return _as_float32(predict(*args, **kwargs))

    return run


def _as_float32(value: Any) -> Any:
    """Every bfloat16 tensor in lists, tuples and dicts as float32."""
    if isinstance(value, torch.Tensor):
        return value.float() if value.dtype == torch.bfloat16 else value
    if isinstance(value, dict):
        return {key: _as_float32(item) for key, item in value.items()}
    return type(value)(map(_as_float32, value)) if isinstance(value, list | tuple) else value


def _parameters_inside(model: nn.Module, kind: type[nn.Module]) -> set[str]:
    """Names of all parameters inside modules of a kind."""
    modules = [(name, m) for name, m in model.named_modules() if isinstance(m, kind)]
    return {f"{outer}.{name}" for outer, module in modules for name, _ in module.named_parameters()}
