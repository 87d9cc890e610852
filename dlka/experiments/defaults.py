"""A training as most users of YOLOv8 start one: all weights new, Ultralytics' own trainer, its own defaults."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
import yaml

from dlka.models.build import model_config
from dlka.models.placements import SCRATCH
from dlka.models.weights import save_weights
from dlka.train.dataset import read_dataset
from dlka.train.trainer import use_bfloat16
from dlka.train.training import card_of
from dlka.yolo import YOLO

TRAINER = "Ultralytics"  # in the recipe of a card


@dataclass(frozen=True)
class DefaultTraining:
    """One such run; what is not a field here is as Ultralytics has it: optimizer and rates, augmentation with mosaic
    until the last ten epochs, averaged weights.

    data: a yaml in Ultralytics' format, or a folder with data.yaml in it. size: the longer side of a picture in
    pixels. batch: pictures a step.
    """

    placement: str
    data: str
    offsets: str = "dense"
    scale: str = "n"
    size: int = 640
    epochs: int = 100
    batch: int = 16
    seed: int = 0
    # What a Recipe has besides, for who asks both.
    start: ClassVar[str] = SCRATCH
    teacher: ClassVar[None] = None
    unlabelled: ClassVar[None] = None
    crop: ClassVar[None] = None


def fit_by_default(recipe: DefaultTraining, out: Path, run: Path, device: str | None = None) -> None:
    """Train and write the weights file `out`; run: the folder of the trainer, from which a killed run goes on.

    On a CPU that is quicker with it, convolutions run in bfloat16, which Ultralytics does on GPUs alone. The weights
    are those of the last epoch, averaged over steps: the validation part is not looked at. Raises what
    dlka.YOLO(...).train raises.
    """
    run.mkdir(parents=True, exist_ok=True)
    last = run / "weights" / "last.pt"
    data = read_dataset(Path(recipe.data))
    rows = run / f"yolov8{recipe.scale}-{recipe.placement}-{recipe.offsets}.yaml"
    rows.write_text(yaml.safe_dump(model_config(recipe.placement, recipe.scale, offsets=recipe.offsets)), "utf-8")
    model = YOLO(last if last.is_file() else rows)
    model.add_callback("on_train_start", _in_bfloat16)
    model.train(
        data=str(data.file),
        **{"imgsz": recipe.size, "epochs": recipe.epochs, "batch": recipe.batch, "seed": recipe.seed},
        **{"val": False, "plots": False, "verbose": False, "workers": 0},
        **{"project": str(run.parent), "name": run.name, "exist_ok": True, "pretrained": False},
        device=device or ("0" if torch.cuda.is_available() else "cpu"),
        resume=last.is_file(),
    )
    told = f"labels of {data.title}; weights of epoch {recipe.epochs}, the last one, not chosen on any data"
    settings = {"trainer": TRAINER, "start": SCRATCH, **asdict(recipe), "data": Path(recipe.data).name}
    save_weights(out, YOLO(last).model.state_dict(), card_of(recipe, data.names, told, settings))


def _in_bfloat16(trainer: Any) -> None:
    if trainer.device.type == "cpu":
        trainer.model.to(memory_format=torch.channels_last)
        # Only where the processor computes in it, which old torch cannot tell: elsewhere a step takes 2 to 13 times as
        # long.
        capabilities: Any = getattr(torch.cpu, "get_capabilities", dict)
        if capabilities().get("avx512_bf16"):
            use_bfloat16(trainer.model, "cpu")
