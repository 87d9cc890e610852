"""From a checkpoint to a weights file of the project: which model it is, and whether every tensor fits it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

import dlka
from dlka.models.build import PLACEMENTS, SCALES, DLKAModel, build_model, model_config
from dlka.models.convert import Checkpoint, CheckpointRefused, read_checkpoint
from dlka.models.weights import Card, save_weights

_WIDTHS = dict(zip((16, 32, 48, 64, 80), SCALES))  # channels of the first convolution -> scale
_FIRST = "model.0.conv.weight"
# Rows whose arguments are channels or classes, or nothing: the shapes of the tensors tell them.
_BY_SHAPE = ("Detect", "DetectDLKA", "deformable_LKA_Attention")


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
        input_size=_whole(settings.get("imgsz"), 32, 8192, 640),
        data=data or _data(settings),
        recipe=f"converted from {source.name}, sha256 {sha256(source)}",
        licence=licence or "that of the checkpoint it was converted from",
        seed=_whole(settings.get("seed"), 0, 2**63, 0),
        versions={"dlka": dlka.__version__, "torch": version("torch"), "ultralytics": version("ultralytics")},
    )
    try:
        save_weights(out, model.state_dict(), card, exact=True)
    except ValueError as error:
        raise CheckpointRefused(f"{source.name}: {error}.") from None
    return card


def identify(checkpoint: Checkpoint, name: str) -> tuple[DLKAModel, str]:
    """The model (float32, in evaluation mode) that a checkpoint holds, and its placement.

    The placement comes from the rows of the yaml in the checkpoint, the scale from the width of the tensors; then names
    and shapes of all tensors must be exactly those of that model. Raises CheckpointRefused, which begins with `name`,
    for everything else and for values that are not finite.
    """
    if checkpoint.yaml is None or not checkpoint.names:
        raise CheckpointRefused(
            f"{name} holds tensors without the yaml and class names of their model: expected a checkpoint "
            "as Ultralytics' trainer saves it."
        )
    rows = _rows(checkpoint.yaml)
    placement = next((p for p in PLACEMENTS if _rows(model_config(p)) == rows), None)
    if placement is None or checkpoint.yaml.get("activation"):
        raise _unknown(name, "the rows of its yaml are another model's")
    if sorted(checkpoint.names) != list(range(len(checkpoint.names))):
        raise _unknown(name, "its classes are not numbered 0, 1, 2, ...")
    given = {key: value for key, value in checkpoint.tensors.items() if value.is_floating_point()}
    first = given.get(_FIRST)
    scale = None if first is None or first.dim() == 0 else _WIDTHS.get(first.shape[0])
    if scale is None:
        raise _unknown(name, f"{_FIRST} has not the width of one of the scales {', '.join(SCALES)}")
    model = build_model(placement, scale, len(checkpoint.names), _offsets(placement, given))
    wanted = {key: value for key, value in model.state_dict().items() if value.is_floating_point()}
    _check_shapes(wanted, given, name)
    for key, target in wanted.items():
        if not bool(given[key].isfinite().all()):
            raise CheckpointRefused(f"{name}: {key} has values that are not finite; the checkpoint is damaged.")
        target.copy_(given[key])
    model.names = dict(checkpoint.names)
    return model.eval().requires_grad_(False), placement


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


def _offsets(placement: str, names: Iterable[str]) -> str:
    """How a model with tensors of these names predicts its offsets; "dense" for stock YOLOv8, which has none."""
    if placement == "control" or any(name.endswith(".offset_net.weight") for name in names):
        return "dense"
    return "separable" if any(".offset_net." in name for name in names) else "none"


def _check_shapes(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], name: str) -> None:
    missing, extra = sorted(set(wanted) - set(given)), sorted(set(given) - set(wanted))
    if missing or extra:
        raise _unknown(
            name,
            f"{len(missing)} tensors are missing ({missing[0] if missing else 'none'}) and "
            f"{len(extra)} do not belong ({extra[0] if extra else 'none'})",
        )
    for key, value in given.items():
        if value.shape != wanted[key].shape:
            raise _unknown(name, f"{key} should be {list(wanted[key].shape)}, is {list(value.shape)}")


def _unknown(name: str, reason: str) -> CheckpointRefused:
    return CheckpointRefused(
        f"{name} is none of the known models (YOLOv8 with placement {', '.join(PLACEMENTS)}): {reason}."
    )


def _data(settings: Mapping[str, Any]) -> str:
    data = settings.get("data")
    return f"{Path(data).name}, as the checkpoint says" if isinstance(data, str) and data else "unknown"


def _whole(value: Any, low: int, high: int, otherwise: int) -> int:
    return value if type(value) is int and low <= value < high else otherwise
