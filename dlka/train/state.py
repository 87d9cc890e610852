"""Everything that a training run goes on from after a kill, so that it ends where it would have ended.

Ultralytics' own resume goes on from averaged weights, rounded to float16, in the place of the trained ones, and with
new random numbers. Here weights, averages and the optimiser are kept as they are, and so are the random numbers, where
one process draws them all: on one CPU a resumed run ends in the same weights bit by bit. On GPUs pictures are read by
worker processes whose random numbers nobody can store: a resumed run there sees other crops and another order.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch.utils.data import RandomSampler, Sampler
from ultralytics.utils import RANK
from ultralytics.utils.torch_utils import unwrap_model


class WholePasses(Sampler[int]):
    """The same random order, drawn at once for a whole pass: after it, the generator's state says how it goes on."""

    def __init__(self, sampler: RandomSampler) -> None:
        self.sampler = sampler

    def __iter__(self) -> Iterator[int]:
        return iter(list(self.sampler))

    def __len__(self) -> int:
        return len(self.sampler)


def trainer_state(trainer: Any) -> dict[str, Any]:
    """The state of Ultralytics' trainer after an epoch, as tensors and plain values."""
    stopper, order = trainer.stopper, getattr(trainer.train_loader.sampler, "generator", None)
    return {
        "epoch": trainer.epoch,
        "model": _on_cpu(unwrap_model(trainer.model).state_dict()),
        "ema": _on_cpu(trainer.ema.ema.state_dict()),
        "updates": trainer.ema.updates,
        "optimizer": trainer.optimizer.state_dict(),
        "scaler": trainer.scaler.state_dict(),
        "fitness": None if trainer.best_fitness is None else float(trainer.best_fitness),
        "stopper": [float(stopper.best_fitness), int(stopper.best_epoch), bool(stopper.possible_stop)],
        "stop": bool(trainer.stop),
        "read": list(trainer.train_loader.dataset.buffer),
        "random": {**_numbers(), "order": None if order is None else order.get_state()},
    }


def restore(trainer: Any, state: dict[str, Any]) -> None:
    """Give a trainer that has just been set up the state of another one after an epoch; random numbers are left to
    `restore_random`, right before the first step."""
    unwrap_model(trainer.model).load_state_dict(state["model"])
    trainer.ema.ema.load_state_dict(state["ema"])
    trainer.ema.updates = state["updates"]
    trainer.optimizer.load_state_dict(state["optimizer"])
    trainer.scaler.load_state_dict(state["scaler"])
    trainer.best_fitness = state["fitness"]
    stopper = trainer.stopper
    stopper.best_fitness, stopper.best_epoch, stopper.possible_stop = state["stopper"]
    trainer.start_epoch = state["epoch"] + 1


def restore_random(trainer: Any, state: dict[str, Any]) -> None:
    """Random numbers go on where they were; does nothing among several processes, each of which has its own."""
    if RANK != -1:
        return
    for picture in state["read"]:  # a mosaic is put together from pictures that were read lately
        trainer.train_loader.dataset.load_image(picture)
    _set_numbers(state["random"])
    # A generator of its own: the loader's is drawn from once more when its first pass begins.
    order = torch.Generator()
    order.set_state(state["random"]["order"])
    trainer.train_loader.sampler.generator = order


@contextmanager
def random_numbers_kept() -> Iterator[None]:
    """Whatever is drawn inside, random numbers go on afterwards as if it had not been."""
    before = _numbers()
    try:
        yield
    finally:
        _set_numbers(before)


def _numbers() -> dict[str, Any]:
    """The states of the three generators that Ultralytics draws from, as tensors and plain values."""
    version, numbers, gauss = random.getstate()
    drawn: Any = np.random.get_state()  # noqa: NPY002 - the one that Ultralytics draws from
    name, keys, *rest = drawn
    return {
        "python": [version, list(numbers), gauss],
        "numpy": [name, torch.from_numpy(keys.astype(np.int64)), *rest],
        "torch": torch.get_rng_state(),
    }


def _set_numbers(state: dict[str, Any]) -> None:
    version, numbers, gauss = state["python"]
    random.setstate((version, tuple(numbers), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 - as above
    torch.set_rng_state(state["torch"])


def _on_cpu(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.detach().cpu() for name, value in state.items()}
