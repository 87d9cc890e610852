"""From a checkpoint to a weights file of the project: which model it is, and whether every tensor fits it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml

import dlka
from dlka.errors import DlkaError
from dlka.models.build import PLACEMENTS, PLAIN, SCALES, DLKAModel, build_model, model_config
from dlka.models.convert import Checkpoint, CheckpointRefused, read_checkpoint
from dlka.models.model_yaml import parse_model_yaml
from dlka.models.weights import Card, save_weights

_WIDTHS = dict(zip((16, 32, 48, 64, 80), SCALES))  # channels of the first convolution -> scale
_MAX_CLASS_WIDTH = 100  # Detect's class branches are no wider than this for the sake of many classes
_FIRST = "model.0.conv.weight"
# Rows whose arguments are channels or classes, or nothing: the shapes of the tensors tell them.
_BY_SHAPE = ("Detect", "DetectDLKA", "Detect1x1", "deformable_LKA_Attention")


def adopt(source: str | Path, out: str | Path, *, data: str | None = None, licence: str | None = None) -> Card:
    """Convert a ``.pt`` checkpoint into a weights file of the project and return its card. Nothing of it is run.

    Values are kept exactly. `data` and `licence` go into the card where the caller knows more than the checkpoint says.
    Raises CheckpointRefused, one sentence, for what cannot be read, is none of the known models, or has values that
    cannot be stored; and where `out` exists, does not end in .safetensors or has no folder to be in.
    """
    source, out = Path(source), Path(out)
    if out.suffix != ".safetensors":
        raise CheckpointRefused(f"{out}: expected a name that ends in .safetensors.")
    if out.exists():
        raise CheckpointRefused(f"{out} exists already; give another name or remove it first.")
    if not out.parent.is_dir():
        raise CheckpointRefused(f"{out.parent}: there is no such folder to write to.")
    checkpoint = read_checkpoint(source)
    model, placement = identify(checkpoint, source.name)
    settings = checkpoint.train_args
    card = Card(
        placement=placement,
        scale=model.yaml["scale"],
        offsets=model.yaml["offsets"],
        names=model.names,
        input_size=whole(settings.get("imgsz"), 32, 8192, 640),
        data=data or data_of(settings),
        recipe=f"converted from {source.name}, sha256 {sha256(source)}",
        licence=licence or "that of the checkpoint it was converted from",
        seed=whole(settings.get("seed"), 0, 2**63, 0),
        versions={"dlka": dlka.__version__, "torch": version("torch"), "ultralytics": version("ultralytics")},
    )
    try:
        save_weights(out, model.state_dict(), card, exact=True)
    except DlkaError as error:
        raise CheckpointRefused(f"{source.name}: {error}.") from None
    return card


def identify(checkpoint: Checkpoint, name: str) -> tuple[DLKAModel, str]:
    """The model (float32, in evaluation mode) that a checkpoint holds, and its placement.

    The placement comes from the rows of the yaml in the checkpoint, the scale from the width of the tensors; then names
    and shapes of all tensors must be exactly those of that model. Raises CheckpointRefused, which begins with `name`,
    for everything else and for values that are not finite.
    """
    config, given = _parts(checkpoint, name)
    placement = known_placement(config)
    if placement is None:
        raise _unknown(name, "the rows of its yaml are another model's")
    first = given.get(_FIRST)
    scale = None if first is None or first.dim() == 0 else _WIDTHS.get(first.shape[0])
    if scale is None:
        raise _unknown(name, f"{_FIRST} has not the width of one of the scales {', '.join(SCALES)}")
    model = build_model(placement, scale, len(checkpoint.names or ()), _offsets(placement, given, config))
    problem = _fill(model, checkpoint, given, name)
    if problem:
        raise _unknown(name, problem)
    return model, placement


def restore(checkpoint: Checkpoint, name: str) -> DLKAModel:
    """The model (float32, in evaluation mode) that a checkpoint of any yaml holds.

    It is built from the yaml in the checkpoint, which is checked as a file's is. Raises ModelYamlError for a yaml that
    is not built here, and CheckpointRefused, which begins with `name`, for tensors that are not exactly the model's.
    """
    config, given = _parts(checkpoint, name)
    config = parse_model_yaml(yaml.safe_dump(config, sort_keys=False), f"the yaml in {name}")
    classes = len(checkpoint.names or ())
    model = DLKAModel(config, ch=config.get("channels", 3), nc=classes, verbose=False)
    width, own = _class_width(given, len(model.model) - 1), _class_width(model.state_dict(), len(model.model) - 1)
    if own < width <= _MAX_CLASS_WIDTH:  # Ultralytics fine-tunes a head as wide as that of the classes it began with
        model = DLKAModel(config, ch=config.get("channels", 3), nc=width, verbose=False)
        head: Any = model.model[-1]
        for branch in head.cv3:
            branch[-1] = torch.nn.Conv2d(width, classes, 1)
        model.yaml["nc"] = head.nc = classes
        head.no = classes + 4 * head.reg_max
    problem = _fill(model, checkpoint, given, name)
    if problem:
        raise CheckpointRefused(f"{name} does not fit the yaml that it holds: {problem}.")
    return model


def _class_width(tensors: Mapping[str, torch.Tensor], head: int) -> int:
    """Channels inside the class branches of a head: those of the picture's finest map, or one per class up to 100."""
    first = tensors.get(f"model.{head}.cv3.0.0.bn.weight")
    return 0 if first is None else first.numel()


def known_placement(config: Mapping[str, Any]) -> str | None:
    """The placement whose rows a yaml has; None for rows of somebody's own."""
    rows = _rows(config)
    known = (placement for placement in PLACEMENTS if _rows(model_config(placement)) == rows)
    return None if config.get("activation") else next(known, None)


def _parts(checkpoint: Checkpoint, name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """The yaml, and the tensors that are not counters, of a checkpoint that can become a model."""
    if checkpoint.yaml is None or not checkpoint.names:
        raise CheckpointRefused(
            f"{name} holds tensors without the yaml and class names of their model: expected a checkpoint "
            "as Ultralytics' trainer saves it."
        )
    if "model.0.conv.bias" in checkpoint.tensors and "model.0.bn.weight" not in checkpoint.tensors:
        raise CheckpointRefused(
            f"{name} is fused: model.fuse() put its batch norms into its convolutions, which cannot be undone; give "
            "the checkpoint from before, such as the trainer's best.pt."
        )
    if sorted(checkpoint.names) != list(range(len(checkpoint.names))):
        raise _unknown(name, "its classes are not numbered 0, 1, 2, ...")
    return checkpoint.yaml, {key: value for key, value in checkpoint.tensors.items() if value.is_floating_point()}


def _fill(model: DLKAModel, checkpoint: Checkpoint, given: Mapping[str, torch.Tensor], name: str) -> str | None:
    """Put values and class names into a model that is then ready to look; what does not fit, or None."""
    wanted = {key: value for key, value in model.state_dict().items() if value.is_floating_point()}
    problem = misfit(wanted, given)
    if problem:
        return problem
    for key, target in wanted.items():
        if not bool(given[key].isfinite().all()):
            raise CheckpointRefused(f"{name}: {key} has values that are not finite; the checkpoint is damaged.")
        target.copy_(given[key])
    model.names = dict(checkpoint.names or {})
    model.eval().requires_grad_(False)
    return None


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _rows(config: Mapping[str, Any]) -> list[Any] | None:
    """What the shapes of the tensors do not tell: modules, where their input comes from, strides, shortcuts.

    None for what is no list of rows: the yaml of a checkpoint is whatever its author wrote.
    """
    rows = []
    try:
        for index, (source, _, module, args) in enumerate(config["backbone"] + config["head"]):
            sources = source if isinstance(source, list) else [source]
            plain = [None if a == "None" else a for a in args]
            rest = [] if module in _BY_SHAPE else plain if module in ("nn.Upsample", "Concat") else plain[1:]
            rows.append(([index + s if s < 0 else s for s in sources], module, rest))
    except (TypeError, ValueError, KeyError):
        return None
    return rows


def _offsets(placement: str, names: Iterable[str], config: Mapping[str, Any]) -> str:
    """How a model with tensors of these names predicts its offsets; "dense" for stock YOLOv8, which has none.

    Only the yaml tells a net that moves taps from one whose outputs are features.
    """
    if placement in PLAIN or any(name.endswith(".offset_net.weight") for name in names):
        return "dense"
    separable = "features" if config.get("offsets") == "features" else "separable"
    return separable if any(".offset_net." in name for name in names) else "none"


def misfit(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> str | None:
    """The first difference in names or shapes, in words."""
    missing, extra = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    if missing or extra:
        return (
            f"{len(missing)} tensors are missing ({missing[0] if missing else 'none'}) and "
            f"{len(extra)} do not belong ({extra[0] if extra else 'none'})"
        )
    for key, value in given.items():
        if value.shape != wanted[key].shape:
            return f"{key} should be {list(wanted[key].shape)}, is {list(value.shape)}"
    return None


def _unknown(name: str, reason: str) -> CheckpointRefused:
    return CheckpointRefused(
        f"{name} is none of the known models (YOLOv8 with placement {', '.join(PLACEMENTS)}): {reason}."
    )


def data_of(settings: Mapping[str, Any]) -> str:
    """What a card says of the data in the settings of a training run."""
    data = settings.get("data")
    return f"{Path(data).name}, as the checkpoint says" if isinstance(data, str) and data else "unknown"


def whole(value: Any, low: int, high: int, otherwise: int) -> int:
    """A setting that should be an int in a range, `otherwise` where it is anything else."""
    return value if type(value) is int and low <= value < high else otherwise
