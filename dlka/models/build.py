"""From a placement or a yaml to a model: build YOLOv8's stock skeleton, then graft the D-LKA blocks into it.

Ultralytics' parser decides on channels and repeats in sets that are local to a function, so a new block cannot be
registered from outside. A D-LKA row is therefore parsed as the stock module with the same channels and repeats, and
that layer is exchanged afterwards. No file, name or set of Ultralytics changes.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from torch import nn
from ultralytics.nn.modules import Detect
from ultralytics.nn.tasks import DetectionModel

from dlka.models.blocks import C2f_DLKA, DetectDLKA, attention
from dlka.models.doctor import diagnose
from dlka.models.module_names import OFFSETS
from dlka.models.row_checks import check_offsets
from dlka.models.yaml_file import ModelYamlError, load_model_yaml, scale_in_name

CONFIGS = Path(__file__).parent / "configs"
SCALES = ("n", "s", "m", "l", "x")
# Placement -> its yaml; "control" is stock YOLOv8, the fair comparison.
PLACEMENTS = {
    "control": "yolov8{}.yaml",
    "neck": "yolov8{}-dlka-neck.yaml",
    "residual": "yolov8{}-dlka-residual.yaml",
    "head": "yolov8{}-dlka-head.yaml",
    "neck-head": "yolov8{}-dlka-neck-head.yaml",
}
# Name in a yaml -> the stock module that stands in for it while Ultralytics parses the rows.
STAND_INS = {"C2f_DLKA": "C2f", "deformable_LKA_Attention": "nn.Identity", "DetectDLKA": "Detect"}


def model_config(placement: str, scale: str = "n", classes: int = 80, offsets: str = "dense") -> dict[str, Any]:
    """The yaml of a placement as a dict, with scale, nc and offsets filled in; ValueError for unknown words."""
    for name, value, known in (
        ("placement", placement, PLACEMENTS),
        ("scale", scale, SCALES),
        ("offsets", offsets, OFFSETS),
    ):
        if value not in known:
            raise ValueError(f"{name}: expected one of {', '.join(known)}, got {value!r}")
    config = load_model_yaml(CONFIGS / PLACEMENTS[placement].format(""))
    return {**config, "scale": scale, "nc": classes, "offsets": offsets}


def read_config(name: str | Path) -> dict[str, Any]:
    """The yaml that a file name stands for, with the scale in its name, as Ultralytics spells them.

    "yolov8s-dlka-neck.yaml" is scale s of the project's own file; other names are paths of files.
    """
    path = Path(name)
    scale = scale_in_name(path) or "n"
    placement = placement_of(path)
    return model_config(placement, scale) if placement else {**load_model_yaml(path), "scale": scale}


def placement_of(name: str | Path) -> str | None:
    """The placement whose yaml a file name stands for, None for other names; a file that exists stands for itself."""
    path = Path(name)
    names = {pattern.format(s): placement for placement, pattern in PLACEMENTS.items() for s in (*SCALES, "")}
    return None if path.exists() else names.get(path.name)


def replaces_blocks(placement: str) -> bool:
    """Whether a placement takes D-LKA blocks in the place of stock ones, whose weights are then lost in part."""
    return any(row[2] == "C2f_DLKA" for row in model_config(placement)["head"])


class DLKAModel(DetectionModel):
    """An Ultralytics detection model whose yaml may have D-LKA rows: C2f_DLKA, deformable_LKA_Attention, DetectDLKA.

    cfg: a dict as model_config() or read_config() give it, or a file name. Everything else is DetectionModel's.
    Raises ModelYamlError, one sentence with the first row to mend, for rows that do not fit together.
    """

    model: Any  # nn.Sequential of the layers; DetectionModel sets it

    def __init__(
        self, cfg: dict[str, Any] | str | Path, ch: int = 3, nc: int | None = None, verbose: bool = True
    ) -> None:
        config = deepcopy(cfg) if isinstance(cfg, dict) else read_config(cfg)
        config["nc"] = nc or config["nc"]
        rows = config["backbone"] + config["head"]
        _check_words(config, rows)
        legacy = Detect.legacy  # the parser sets it on the class, for whatever is built next
        try:
            super().__init__(_skeleton(config), ch=ch, nc=config["nc"], verbose=False)
        except (RuntimeError, ValueError, TypeError, LookupError, AttributeError) as error:
            raise _explained({**config, "channels": ch}, error) from error
        finally:
            Detect.legacy = legacy
        self.yaml = {**config, "channels": ch}
        offsets = config.get("offsets", "dense")
        channels = _output_channels(self, ch)
        _check_attention_channels(rows, channels)
        for index, (_, _, name, _) in enumerate(rows):
            if name in STAND_INS:
                stock = self.model[index]
                self.model[index] = _same_place(_grafted(name, stock, channels[index], offsets), stock)
        self._initialise_batch_norms()
        if verbose:
            self.info()

    def _initialise_batch_norms(self) -> None:
        for module in self.modules():  # YOLOv8's values, which DetectionModel set before the grafting
            if type(module) is nn.BatchNorm2d:
                module.eps, module.momentum = 1e-3, 0.03


def build_model(placement: str, scale: str = "n", classes: int = 80, offsets: str = "dense") -> DLKAModel:
    """A new model: random where YOLOv8 is random, D-LKA blocks as the identity, offsets at zero. Quiet."""
    return DLKAModel(model_config(placement, scale, classes, offsets), verbose=False)


def _skeleton(config: dict[str, Any]) -> dict[str, Any]:
    stock = {key: value for key, value in deepcopy(config).items() if key != "offsets"}
    for part in ("backbone", "head"):
        for row in stock[part]:
            if row[2] == "deformable_LKA_Attention":
                row[3] = []
            row[2] = STAND_INS.get(row[2], row[2])
    return stock


def _check_words(config: dict[str, Any], rows: list[list[Any]]) -> None:
    for _, sentence in check_offsets(config):
        raise ModelYamlError(f"{sentence}.")
    if config.get("end2end") and rows[-1][2] == "DetectDLKA":
        raise ModelYamlError("end2end: DetectDLKA has no one-to-one branches; remove that line or use Detect.")


def _check_attention_channels(rows: list[list[Any]], channels: dict[int, int]) -> None:
    for index, (_, _, name, args) in enumerate(rows):
        if name == "deformable_LKA_Attention" and args not in ([], [channels[index]]):
            raise ModelYamlError(
                f"row {index}: {name} takes no argument or the {channels[index]} channels it gets at this scale, "
                f"got {args!r:.80}; write []."
            )


def _explained(config: dict[str, Any], error: Exception) -> ModelYamlError:
    """What the doctor says of rows that did not build, or the parser's own words where it sees nothing wrong."""
    problem = next(iter(diagnose(config).problems), None)
    if problem is None:
        return ModelYamlError(f"the rows do not build: {error!s:.300}.")
    where = "" if problem.row is None else f"row {problem.row}: "
    return ModelYamlError(f"{where}{problem.sentence}; python -m dlka doctor FILE shows every row and how to mend it.")


def _output_channels(model: DLKAModel, ch: int) -> dict[int, int]:
    """Channels that each layer gives out, seen by running the skeleton once on zeros."""
    channels: dict[int, int] = {}

    def note(index: int) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Any) -> None:
            if isinstance(output, torch.Tensor):  # a few of Ultralytics' layers give lists; none of ours stands there
                channels[index] = output.shape[1]

        return hook

    hooks = [layer.register_forward_hook(note(i)) for i, layer in enumerate(model.model[:-1])]
    training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, ch, 64, 64))
    finally:
        model.train(training)
        for hook in hooks:
            hook.remove()
    return channels | {len(model.model) - 1: 0}


def _grafted(name: str, stock: Any, channels: int, offsets: str) -> nn.Module:
    """The D-LKA module with the shapes that the parser gave to its stand-in."""
    if name == "C2f_DLKA":
        return C2f_DLKA(stock.cv1.conv.in_channels, channels, len(stock.m), stock.m[0].add, offsets, stock.c)
    if name == "deformable_LKA_Attention":
        repeats = len(stock) if isinstance(stock, nn.Sequential) else 1
        blocks = [attention(channels, offsets) for _ in range(repeats)]
        return nn.Sequential(*blocks) if repeats > 1 else blocks[0]
    inputs = tuple(branch[0].conv.in_channels for branch in stock.cv2)
    head = DetectDLKA(stock.nc, stock.reg_max, False, inputs, offsets)
    head.stride, head.inplace = stock.stride, stock.inplace
    head.bias_init()
    return head


def _same_place(layer: Any, stock: Any) -> nn.Module:
    """What Ultralytics notes on each layer: its index, where its input comes from, type and parameter count."""
    layer.i, layer.f = stock.i, stock.f
    layer.type = f"{type(layer).__module__}.{type(layer).__name__}"
    layer.np = sum(p.numel() for p in layer.parameters())
    return layer
