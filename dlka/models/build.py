"""From a placement or a yaml to a model: check it, build YOLOv8's stock skeleton, put the D-LKA blocks into it."""

from __future__ import annotations

from contextlib import ExitStack
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import LOGGER

from dlka.errors import DlkaError
from dlka.models.blocks import SIDE, Detect1x1, DetectDLKA, class_settings_kept, exchange_stand_ins, skeleton
from dlka.models.model_yaml import MAX_CLASSES, check_model, load_model_yaml, scale_in_name
from dlka.models.placements import OFFSETS, PLACEMENTS, SCALES
from dlka.models.yaml_lint import diagnose

CONFIGS = Path(__file__).parent / "configs"


def model_config(placement: str, scale: str = "n", classes: int = 80, offsets: str = "dense") -> dict[str, Any]:
    """The yaml of a placement as a dict, with scale, nc and offsets filled in; ValueError for unknown words."""
    for name, value, known in (
        ("placement", placement, tuple(PLACEMENTS)),
        ("scale", scale, SCALES),
        ("offsets", offsets, tuple(OFFSETS)),
    ):
        if value not in known:
            raise DlkaError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    return {**deepcopy(_written(placement)), "scale": scale, "nc": classes, "offsets": offsets}


@cache
def _written(placement: str) -> dict[str, Any]:
    return load_model_yaml(CONFIGS / PLACEMENTS[placement].file.format(""))


def read_config(name: str | Path) -> dict[str, Any]:
    """The yaml that a file name stands for, with the scale in its name, as Ultralytics spells them.

    "yolov8s-dlka-neck.yaml" is scale s of the project's own file; other names are paths of files, whose scale is "",
    for the first of theirs, where the name says none.
    """
    placement = placement_of(name)
    return model_config(placement, scale_in_name(name) or "n") if placement else load_model_yaml(name)


def placement_of(name: str | Path) -> str | None:
    """The placement whose yaml a file name stands for, None for other names; a file that exists stands for itself."""
    path = Path(name)
    names = {entry.file.format(s): placement for placement, entry in PLACEMENTS.items() for s in (*SCALES, "")}
    return None if path.exists() else names.get(path.name)


def plain_of(placement: str) -> str:
    """The placement with the same detection maps as this one, without D-LKA."""
    return PLACEMENTS[placement].twin or placement


class DLKAModel(DetectionModel):
    """An Ultralytics detection model whose yaml may have D-LKA rows: C2f_DLKA, deformable_LKA_Attention, DetectDLKA,
    Detect1x1.

    cfg: a dict as model_config() or read_config() give it, or a file name. Everything else is DetectionModel's.
    Raises DlkaError, one sentence with the first row to mend, for rows that do not fit together.
    """

    model: Any  # nn.Sequential of the layers; DetectionModel sets it

    def __init__(
        self, cfg: dict[str, Any] | str | Path, ch: int = 3, nc: int | None = None, verbose: bool = True
    ) -> None:
        config = deepcopy(cfg) if isinstance(cfg, dict) else read_config(cfg)
        if not _is_the_projects_own(config):
            check_model(config)
            report = diagnose(config, channels=ch)
            if not report.ok:
                why = "python -m dlka doctor FILE shows every row and how to mend it."
                raise DlkaError(f"{report.problems[0]}; {why}")
            if report.scale and not config.get("scale"):
                LOGGER.warning(f"no model scale passed. Assuming scale='{report.scale}'.")  # in Ultralytics' words
            config["scale"] = report.scale
        config["nc"] = nc or config["nc"]
        with class_settings_kept():
            super().__init__(skeleton(config), ch=ch, nc=config["nc"], verbose=False)
        self.yaml = {**config, "channels": ch}
        rows = config["backbone"] + config["head"]
        channels = self._channels(ch)
        exchange_stand_ins(self.model, [row[2] for row in rows], channels, config.get("offsets", "dense"))
        head = self.model[-1]
        if isinstance(head, DetectDLKA | Detect1x1):
            head.inplace = self.inplace
            head.bias_init()
        for module in self.modules():  # YOLOv8's values, which DetectionModel set before the exchange
            if type(module) is nn.BatchNorm2d:
                module.eps, module.momentum = 1e-3, 0.03
        if verbose:
            self.info()

    def _channels(self, ch: int) -> list[int | None]:
        """Channels of the map that each layer gives out, seen by one pass over zeros; None for what is no map."""
        channels: list[int | None] = []

        def keep(_: nn.Module, inputs: Any, out: Any) -> None:
            channels.append(out.shape[1] if isinstance(out, torch.Tensor) else None)

        training = [layer.training for layer in self.model]
        self.model.eval()
        self.model[-1].train()  # a head in training gives what it predicts as it is, undecoded
        with ExitStack() as hooks, torch.no_grad():
            for layer in self.model:
                hooks.enter_context(layer.register_forward_hook(keep))
            self.predict(torch.zeros(1, ch, SIDE, SIDE))
        for layer, was in zip(self.model, training):
            layer.train(was)
        return channels


def build_model(placement: str, scale: str = "n", classes: int = 80, offsets: str = "dense") -> DLKAModel:
    """A new model: random where YOLOv8 is random, D-LKA blocks as the identity, offsets at zero. Quiet."""
    return DLKAModel(model_config(placement, scale, classes, offsets), verbose=False)


def _is_the_projects_own(config: dict[str, Any]) -> bool:
    """Whether these are a placement's rows, which are known to build at every scale."""
    free = {"scale": SCALES, "offsets": tuple(OFFSETS), "nc": range(1, MAX_CLASSES + 1)}

    def fixed(model: dict[str, Any]) -> dict[str, Any]:
        return {key: value for key, value in model.items() if key not in (*free, "channels", "yaml_file")}

    return all(config.get(key) in values for key, values in free.items()) and any(
        fixed(_written(placement)) == fixed(config) for placement in PLACEMENTS
    )
