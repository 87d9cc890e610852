"""Checkpoints (``.pt``) from anybody: read, made into the model that they hold, and converted to weights files.

Ultralytics pickles whole model objects, and ``torch.load`` as it comes would import and run what a file names. Here a
child process with limits on memory and time reads it with torch's restricted unpickler and harmless stubs (see
`checkpoint_child`), and hands the tensors back as safetensors and the rest as JSON. Nothing of a file is ever run.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

import dlka
from dlka.errors import DlkaError, check_new_file
from dlka.models.build import DLKAModel, build_model, model_config
from dlka.models.checkpoint_child import MAX_BYTES, RESULT, TENSORS
from dlka.models.model_yaml import parse_model_yaml
from dlka.models.placements import PLACEMENTS, SCALES
from dlka.models.weights import Card, save_weights

SECONDS = 120.0  # wall clock; the processor time is limited in the child
# -I keeps the environment and the working folder out of the child's imports; the parent's search path replaces them.
BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import main; main(*sys.argv[2:])"
_WIDTHS = dict(zip((16, 32, 48, 64, 80), SCALES))  # channels of the first convolution -> scale
_MAX_CLASS_WIDTH = 100  # Detect's class branches are no wider than this for the sake of many classes
_KNOWN = f"the known models (YOLOv8 with placement {', '.join(PLACEMENTS)})"
# Rows whose arguments are channels or classes, or nothing: the shapes of the tensors tell them.
_BY_SHAPE = ("Detect", "DetectDLKA", "Detect1x1", "deformable_LKA_Attention")


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    tensors     state-dict name -> tensor on the CPU, in the dtype that was stored (Ultralytics stores float16)
    names       class number -> class name; None for a bare state dict
    yaml        the model yaml as plain data, as its author wrote it: unchecked; None for a bare state dict
    train_args  the settings of the training run as far as they are plain data; may be empty
    epoch       the last one, from 0, of a run that can be gone on with; -1 otherwise
    """

    tensors: dict[str, torch.Tensor]
    names: dict[int, str] | None
    yaml: dict[str, Any] | None
    train_args: dict[str, Any]
    epoch: int = -1

    def as_float32(self) -> dict[str, torch.Tensor]:
        """The tensors, those of floats as float32."""
        return {name: t.float() if t.is_floating_point() else t for name, t in self.tensors.items()}


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a ``.pt`` file of at most 1 GB: an Ultralytics checkpoint (its averaged weights first) or a state dict.

    Raises DlkaError, one sentence, for everything else: other files, damaged or hostile ones. Values are not
    judged: tensors may hold NaN.
    """
    path = Path(path)
    if not path.is_file():
        raise DlkaError(f"{path.name} is no file." if path.exists() else f"{path.name}: there is no such file.")
    if path.stat().st_size > MAX_BYTES:
        raise DlkaError(f"{path.name} is larger than {MAX_BYTES >> 30} GB, too large for a checkpoint.")
    with TemporaryDirectory(prefix="dlka-convert-") as folder:
        result = _run_child(path, Path(folder))
        if "refused" in result:
            raise DlkaError(f"{path.name} is refused: {result['refused']}.")
        tensors = {name: tensor.clone() for name, tensor in load_file(Path(folder) / TENSORS).items()}
    names = result.pop("names")
    return Checkpoint(tensors, None if names is None else {int(key): name for key, name in names.items()}, **result)


def restore(checkpoint: Checkpoint, name: str) -> DLKAModel:
    """The model (float32, in evaluation mode) that a checkpoint of any yaml holds.

    It is built from the yaml in the checkpoint, which is checked as a file's is. Raises DlkaError for a yaml that is
    not built here, and for tensors that are not exactly the model's.
    """
    if checkpoint.yaml is None or not checkpoint.names:
        raise DlkaError(
            f"{name} holds tensors without the yaml and class names of their model: expected a checkpoint "
            "as Ultralytics' trainer saves it."
        )
    if "model.0.conv.bias" in checkpoint.tensors and "model.0.bn.weight" not in checkpoint.tensors:
        raise DlkaError(
            f"{name} is fused: model.fuse() put its batch norms into its convolutions, which cannot be undone; give "
            "the checkpoint from before, such as the trainer's best.pt."
        )
    classes = len(checkpoint.names)
    if sorted(checkpoint.names) != list(range(classes)):
        raise DlkaError(f"{name}: its classes are not numbered 0, 1, 2, ...")
    config = parse_model_yaml(yaml.safe_dump(checkpoint.yaml, sort_keys=False), f"the yaml in {name}")
    given = {key: value for key, value in checkpoint.tensors.items() if value.is_floating_point()}
    model = DLKAModel(config, ch=config.get("channels", 3), nc=classes, verbose=False)
    width, own = _class_width(given, len(model.model) - 1), _class_width(model.state_dict(), len(model.model) - 1)
    if own < width <= _MAX_CLASS_WIDTH:  # Ultralytics fine-tunes a head as wide as that of the classes it began with
        model = DLKAModel(config, ch=config.get("channels", 3), nc=width, verbose=False)
        head: Any = model.model[-1]
        for branch in head.cv3:
            branch[-1] = torch.nn.Conv2d(width, classes, 1)
        model.yaml["nc"] = head.nc = classes
        head.no = classes + 4 * head.reg_max
    wanted = _values(model)
    if problem := _misfit(wanted, given):
        raise DlkaError(f"{name} does not fit the yaml that it holds: {problem}.")
    for key, target in wanted.items():
        if not bool(given[key].isfinite().all()):
            raise DlkaError(f"{name}: {key} has values that are not finite; the checkpoint is damaged.")
        target.copy_(given[key])
    model.names = dict(checkpoint.names)
    return model.eval().requires_grad_(False)


def identify(checkpoint: Checkpoint, name: str) -> tuple[DLKAModel, Card]:
    """The model (float32, in evaluation mode) of a known placement that a checkpoint holds, and its card.

    Raises DlkaError, which begins with `name`, for rows that are no placement's, for tensors that are not
    exactly the model's and for values that are not finite.
    """
    if checkpoint.yaml is not None and known_placement(checkpoint.yaml) is None:
        raise DlkaError(f"{name} is none of {_KNOWN}: the rows of its yaml are another model's.")
    model = restore(checkpoint, name)
    card = card_of_model(model, checkpoint.train_args)
    if problem := difference(model, card):
        raise DlkaError(f"{name} is none of {_KNOWN}: {problem}.")
    return model, card


def convert(source: str | Path, out: str | Path, *, data: str | None = None, licence: str | None = None) -> Card:
    """Convert a ``.pt`` checkpoint into a weights file of the project and return its card. Nothing of it is run.

    Values are kept exactly. `data` and `licence` go into the card where the caller knows more than the checkpoint says.
    Raises DlkaError, one sentence, for what cannot be read, is none of the known models, or has values that cannot be
    stored; and where `out` exists, does not end in .safetensors or has no folder to be in.
    """
    source, out = Path(source), Path(out)
    check_new_file(out, ".safetensors")
    model, card = identify(read_checkpoint(source), source.name)
    card = replace(
        card,
        data=data or card.data,
        recipe=f"converted from {source.name}, sha256 {sha256(source)}",
        licence=licence or card.licence,
    )
    try:
        save_weights(out, model.state_dict(), card, exact=True)
    except DlkaError as error:
        raise DlkaError(f"{source.name}: {error}.") from None
    return card


def card_of_model(model: DLKAModel, settings: Mapping[str, Any]) -> Card:
    """What a weights file would say of a model that was trained with these settings; `recipe` is for the caller."""
    config, first = model.yaml, model.state_dict().get("model.0.conv.weight")
    data = settings.get("data")
    return Card(
        placement=known_placement(config) or "rows of its own",
        scale=config.get("scale") or ("" if first is None else _WIDTHS.get(len(first), "")),
        offsets=config.get("offsets", "dense"),
        names={int(number): str(name) for number, name in model.names.items()},
        input_size=whole(settings.get("imgsz"), 32, 8192, 640),
        data=f"{Path(data).name}, as the checkpoint says" if isinstance(data, str) and data else "unknown",
        recipe="",
        licence="that of the checkpoint it was converted from",
        seed=whole(settings.get("seed"), 0, 2**63, 0),
        versions={"dlka": dlka.__version__, **{name: version(name) for name in ("torch", "ultralytics")}},
    )


def difference(model: DLKAModel, card: Card) -> str | None:
    """The first difference, in words, of a model from the one that its card builds; None where there is none."""
    if card.placement not in PLACEMENTS or card.scale not in SCALES:
        return "it has rows or a scale of its own"
    known = build_model(card.placement, card.scale, len(card.names), card.offsets)
    return _misfit(_values(known), _values(model))


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def whole(value: Any, low: int, high: int, otherwise: int) -> int:
    """A setting that should be an int in a range, `otherwise` where it is anything else."""
    return value if type(value) is int and low <= value < high else otherwise


def known_placement(config: Mapping[str, Any]) -> str | None:
    """The placement whose rows a yaml has; None for rows of somebody's own."""
    rows = _rows(config)
    known = (placement for placement in PLACEMENTS if _rows(model_config(placement)) == rows)
    return None if config.get("activation") else next(known, None)


def _run_child(path: Path, folder: Path) -> dict[str, Any]:
    """What the child says. A child that a limit ended is a refusal; one that failed is a fault of this program."""
    root = str(Path(__file__).resolve().parents[2])
    search = json.dumps([root, *(os.path.abspath(entry) for entry in sys.path if entry)])
    boot = BOOT.format(f"{__package__}.checkpoint_child")
    with TemporaryFile() as errors:
        try:
            code = subprocess.run(
                [sys.executable, "-I", "-B", "-c", boot, search, str(path.resolve()), str(folder)],
                cwd=folder,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return {"refused": f"reading it takes more than {SECONDS:g} seconds"}
        if code < 0:  # ended by a signal: of a limit, or of memory that could not be had
            return {"refused": "reading it takes more memory or time than a checkpoint needs"}
        if code:
            errors.seek(0)
            raise RuntimeError(f"the process that reads checkpoints failed on {path}:\n{errors.read(20_000).decode()}")
    return json.loads((folder / RESULT).read_text(encoding="ascii"))


def _class_width(tensors: Mapping[str, torch.Tensor], head: int) -> int:
    """Channels inside the class branches of a head: those of the picture's finest map, or one per class up to 100."""
    first = tensors.get(f"model.{head}.cv3.0.0.bn.weight")
    return 0 if first is None else first.numel()


def _rows(config: Mapping[str, Any]) -> list[Any] | None:
    """What shapes of tensors do not tell: modules, inputs, strides, shortcuts. None where the yaml has no such rows."""
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


def _misfit(wanted: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor]) -> str | None:
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


def _values(model: DLKAModel) -> dict[str, torch.Tensor]:
    """The tensors of a model that are not counters."""
    return {name: value for name, value in model.state_dict().items() if value.is_floating_point()}
