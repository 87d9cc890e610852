"""Ultralytics' trainer with what a recipe adds: learning rates by origin, a teacher, and a state to go on from."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import RandomSampler
from ultralytics.data.augment import RandomPerspective
from ultralytics.data.build import InfiniteDataLoader
from ultralytics.utils import DEFAULT_CFG, LOGGER, RANK
from ultralytics.utils.torch_utils import unwrap_model

from dlka.models.build import DLKAModel, model_config
from dlka.models.placements import SCRATCH
from dlka.train.block_fit import fit_blocks
from dlka.train.folder import History, RunFolder
from dlka.train.loss import OFFSETS, RecipeLoss, build_optimizer
from dlka.train.offsets import offset_rows, told, watched
from dlka.train.recipe import warmed_up
from dlka.train.state import WholePasses, random_numbers_kept, restore, restore_random, trainer_state
from dlka.train.trainer import DLKATrainer, read_start, read_teacher, use_bfloat16

AVERAGES = {"AP": "mAP50-95", "AP50": "mAP50"}  # as Ultralytics' own validator measures them


class RecipeTrainer(DLKATrainer):
    """Learning rates by where a parameter comes from, and soft targets of a teacher, if there is one, beside labels.

    Everything is read from the run folder, in which the overrides' `data` lies: so it is when Ultralytics starts one
    process for each of several GPUs, which get the overrides only, and when a run goes on after a kill. (One process on
    a CPU is tested, also as such a process builds it; several GPUs and MPS are not.)

    Without patience nothing looks at validation pictures while it trains, so nothing is chosen on them.
    """

    # Ultralytics sets these to None until it has them.
    optimizer: Any
    ema: Any
    metrics: Any
    tloss: Any

    def __init__(self, cfg: Any = DEFAULT_CFG, overrides: dict[str, Any] | None = None, _callbacks: Any = None) -> None:
        self.folder = RunFolder(Path((overrides or {})["data"]).parent)
        self.recipe, _, _ = self.folder.told()
        # Before Ultralytics sets the seeds: building a model draws random numbers.
        self.teacher = read_teacher(self.recipe, self.folder.names())
        self.loss_function: RecipeLoss | None = None
        self.batches_done = 0
        self.history = History()
        self.kept: dict[str, Any] | None = None  # "epoch" from 1, and the averaged "weights" after it: the best so far
        self.resumed: dict[str, Any] | None = None
        start = None if self.recipe.start == SCRATCH else read_start(self.recipe.start)
        super().__init__(cfg, overrides, _callbacks, start=start)

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> DLKAModel:
        """The recipe's model: Ultralytics gives the name of a yaml, which does not say how offsets are predicted."""
        recipe = self.recipe
        config = model_config(recipe.placement, recipe.scale, self.data["nc"], recipe.offsets)
        model = super().get_model(config, weights, verbose)
        if self.ledger and RANK in (-1, 0):
            print(f"Weights: {self.ledger.text()}.", flush=True)
            self.folder.file("ledger.txt").write_text(f"{self.ledger.text()}\n", encoding="utf-8")
        return model

    def build_optimizer(
        self, model: nn.Module, *args: Any, decay: float = 1e-5, **kwargs: Any
    ) -> torch.optim.Optimizer:
        """AdamW with the recipe's learning rates; the model may be wrapped for several GPUs."""
        return build_optimizer(unwrap_model(model), self.recipe, self.ledger.copied if self.ledger else (), decay)

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """Ultralytics' data set; for training, pictures are read at `size` and a square of `crop` is cut out."""
        dataset = super().build_dataset(img_path, mode, batch)
        crop, size = self.recipe.crop, self.recipe.size
        if mode == "train" and crop:
            for affine in (t for t in dataset.transforms.transforms[0].transforms if isinstance(t, RandomPerspective)):
                # The picture's middle lands this far, in crops, from the crop's: every part of it is seen.
                affine.size, affine.translate = (crop, crop), (size - crop) / (2 * crop)
        return dataset

    def get_dataloader(
        self, dataset_path: str, batch_size: int = 16, rank: int = 0, mode: str = "train"
    ) -> InfiniteDataLoader:
        """Ultralytics' loader, which repeats the batches of torch's own; the order of training pictures is drawn by
        whole passes, so that it can be gone on with after a kill."""
        loader = super().get_dataloader(dataset_path, batch_size, rank, mode)
        batches: Any = loader.batch_sampler.sampler
        if mode == "train" and isinstance(batches.sampler, RandomSampler):  # among several processes there is another
            batches.sampler = WholePasses(batches.sampler)
        return loader

    def preprocess_batch(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Channels-last on the CPU, where convolutions are faster so."""
        batch = super().preprocess_batch(batch)
        if self.device.type == "cpu":
            batch["img"] = batch["img"].contiguous(memory_format=torch.channels_last)
        return batch

    def _setup_train(self) -> None:
        """Ultralytics' set-up, without its line for every tensor of the frozen layers."""

        def says_more(record: logging.LogRecord) -> bool:
            return not record.getMessage().startswith("Freezing layer")

        LOGGER.addFilter(says_more)
        try:
            super()._setup_train()
        finally:
            LOGGER.removeFilter(says_more)

    def optimizer_step(self) -> None:
        """One step, in which offset convolutions that are still warming up go a part of their way."""
        share = warmed_up(self.batches_done / len(self.train_loader), self.recipe.offset_warmup)
        slowed = [(group, group["lr"]) for group in self.optimizer.param_groups if group[OFFSETS] and share < 1]
        for group, lr in slowed:
            group["lr"] = share * lr
        super().optimizer_step()
        for group, lr in slowed:
            group["lr"] = lr

    def validate(self) -> tuple[Any, Any]:
        """With patience, Ultralytics' measures of the averaged weights, which are kept if they are the best so far.

        What is learned is the same with and without.
        """
        if not self.recipe.patience:
            return {}, 0.0
        with random_numbers_kept():
            metrics, fitness = super().validate()
        best = self.stopper.best_fitness
        if fitness is not None and (fitness > best or best == 0):  # as the stopper, which is asked next, decides
            weights = {name: value.detach().cpu().clone() for name, value in self.ema.ema.state_dict().items()}
            self.kept = {"epoch": self.epoch + 1, "weights": weights}
        return metrics, fitness

    def final_eval(self) -> None:
        """Skipped: the weights file that is written at the end is measured."""

    def resume_training(self, ckpt: Any) -> None:
        """Go on from the run folder's state, if there is one, in the place of a checkpoint of Ultralytics."""
        self.resumed = self.folder.load_state()
        if self.resumed:
            restore(self, self.resumed)
            self.history = History(**self.resumed["history"])
            self.kept = self.resumed["best"]

    def run_callbacks(self, event: str) -> None:
        """Ultralytics' callbacks, then what a recipe does. (Callbacks of its own would be handed on to the processes of
        several GPUs, and run twice there.)"""
        super().run_callbacks(event)
        after = {
            "on_train_start": self._set_loss,
            # Counted by the epoch: it may be the first after a kill, or begun again with smaller batches.
            "on_train_epoch_start": lambda: self._go_on(self.epoch * len(self.train_loader)),
            "on_train_batch_end": lambda: self._go_on(self.batches_done + 1),
            "on_fit_epoch_end": self._log,
        }
        if event in after:
            after[event]()

    @property
    def net(self) -> nn.Module:
        """The model that is being trained."""
        return unwrap_model(self.model)  # type: ignore[arg-type]  # it may still be a file's name, mypy thinks

    def _set_loss(self) -> None:
        net, teacher = self.net, self.teacher
        if teacher is not None:
            teacher.to(self.device)
        if self.device.type == "cpu":
            net.to(memory_format=torch.channels_last)
        for model in (net, teacher):
            if self.recipe.bfloat16 and model is not None:
                use_bfloat16(model, self.device.type)
        if self.recipe.fit_epochs and not self.resumed:
            self._fit_blocks()
        self.loss_function = RecipeLoss(net, teacher, self.recipe.offset_mean)
        net.criterion = self.loss_function  # type: ignore[assignment]  # a tensor, mypy thinks
        if self.resumed:
            restore_random(self, self.resumed)
            self.resumed = None

    def _fit_blocks(self) -> None:
        """Replaced blocks as the stock ones, as far as they can be, and so in the averaged weights. It is over before
        there is a state: a run that is killed in it begins anew."""
        assert self.start is not None

        def pictures() -> Iterator[torch.Tensor]:  # one pass over them, drawn and augmented as an epoch's are
            return (self.preprocess_batch(batch)["img"] for batch in self.train_loader)

        net: Any = self.net
        fit_blocks(net, self.start, pictures, len(self.train_loader), self.recipe)
        self.ema.ema.load_state_dict(net.state_dict())

    def _go_on(self, batches: int) -> None:
        """So many batches are done; feature matching fades from 1 to 0 over the run."""
        self.batches_done = batches
        if self.loss_function:
            self.loss_function.feature_weight = max(0.0, 1 - batches / (len(self.train_loader) * self.epochs))

    def _log(self) -> None:
        """Print and keep the mean losses of the epoch and a line a stage, then everything that a resumed run needs."""
        if RANK not in (-1, 0):
            return
        figures: dict[str, Any] = {name: float(value) for name, value in (self.tloss or {}).items()}
        if self.recipe.patience:
            figures |= {short: float(self.metrics[f"metrics/{name}(B)"]) for short, name in AVERAGES.items()}
        print(f"epoch {self.epoch + 1}/{self.epochs}  " + "  ".join(f"{k} {v:.3f}" for k, v in figures.items()))
        offsets = offset_rows(self.ema.ema, watched(self.train_loader.dataset.im_files), self.recipe.size)
        print("".join(f"{told(row)}\n" for row in offsets), end="", flush=True)
        self.history.add(self.epoch + 1, figures, offsets)
        self.history.write(self.folder)
        more = {"history": vars(self.history), "best": self.kept}
        self.folder.save_state({**trainer_state(self), **more})
