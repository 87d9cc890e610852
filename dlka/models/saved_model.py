"""What a checkpoint holds once it is read: state dict, class names, yaml and training arguments, as plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch

from dlka.errors import DlkaError

MAX_BYTES = 1 << 30
MAX_TENSORS = 10_000
MAX_MODULES = 20_000
MAX_NAME = 300  # characters of a tensor's name
MAX_VALUES = 20_000  # of the settings
MAX_TEXT = 2000
_DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)
_DROPPED = object()  # a value that is not plain data


class CheckpointRefused(DlkaError):
    """A checkpoint that is not read; the message is one sentence for the person who has the file."""


class Stub:
    """Stands for an object of any class that a checkpoint may name: keeps the state it was saved with, does nothing."""

    __slots__ = ("state",)  # no __dict__, so that a pickle cannot put methods on it
    state: Any

    def __new__(cls, *_: Any) -> Stub:
        self = super().__new__(cls)
        self.state = None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state


def contents(saved: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(tensors by state-dict name, {"names", "yaml", "train_args", "epoch"}) of what torch.save was given.

    Read are Ultralytics' checkpoints ({"ema", "model", ...}; ``ema``, the averaged weights, goes before ``model``), a
    module alone, a state dict, and {"state_dict": ...}. Tensors still share the memory that they were saved in. Raises
    CheckpointRefused for anything else.
    """
    top = _dict(saved)
    wrapped = (top.get(key) for key in ("ema", "model", "state_dict"))
    model = next((value for value in wrapped if isinstance(value, (Stub, dict))), saved)
    tensors: dict[str, torch.Tensor] = {}
    for name, value in _module_tensors(model) if isinstance(model, Stub) else _dict(model).items():
        if len(tensors) >= MAX_TENSORS or not _is_name(name):
            raise CheckpointRefused(f"it has more than {MAX_TENSORS} tensors or one without a proper name")
        tensors[name] = _plain_tensor(name, value)
    if not tensors:
        raise CheckpointRefused("it holds no weights, neither a model nor a state dict of tensors")
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > MAX_BYTES:
        raise CheckpointRefused(f"its tensors take more than {MAX_BYTES >> 30} GB")
    attributes, plain = _attributes(model), _Plain()
    yaml, train_args, epoch = attributes.get("yaml"), top.get("train_args"), top.get("epoch")
    return tensors, {
        "names": _names(attributes.get("names")),
        "yaml": plain(yaml) if isinstance(yaml, dict) else None,
        "train_args": plain(train_args) if isinstance(train_args, dict) else {},
        "epoch": epoch if type(epoch) is int and 0 <= epoch < 1 << 31 else -1,
    }


def _is_name(name: Any) -> bool:
    """Whether a tensor may be called that; safetensors keeps one name for itself."""
    return isinstance(name, str) and name.isprintable() and len(name) <= MAX_NAME and name != "__metadata__"


def _plain_tensor(name: str, value: Any) -> torch.Tensor:
    """The tensor without what a pickle can hang on it; strided, on the CPU, no larger than its storage."""
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        raise CheckpointRefused(f"{name:.80} is not stored as a plain tensor")
    tensor = value.data  # attributes that a pickle gave the object, named like methods, stay behind
    plain = tensor.device.type == "cpu" and tensor.layout is torch.strided and tensor.dtype in _DTYPES
    if not plain or tensor.is_nested:
        raise CheckpointRefused(f"{name:.80} is not stored as a plain tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():  # expanded: it could be endless
        raise CheckpointRefused(f"{name:.80}, a tensor of shape {list(tensor.shape)}, does not fit into its storage")
    return tensor


def _dict(value: Any) -> dict[Any, Any]:
    """A dict's items as a dict; empty for other values. A pickle can give an ordered dict an ``items`` of its own."""
    return dict(dict.items(value)) if isinstance(value, dict) else {}


def _attributes(module: Any) -> dict[Any, Any]:
    """The attributes of a stub's object as they were saved; empty where it has none."""
    return _dict(module.state) if isinstance(module, Stub) else {}


def _module_tensors(root: Stub) -> Iterator[tuple[str, Any]]:
    """What ``state_dict()`` gives: parameters and persistent buffers, depth first, with dotted names."""
    waiting: list[tuple[Any, str]] = [(root, "")]
    for _ in range(MAX_MODULES):
        if not waiting:
            return
        module, prefix = waiting.pop()
        attributes = _attributes(module)
        parts = [attributes.get(key) for key in ("_parameters", "_buffers", "_modules")]
        if not all(isinstance(part, dict) and all(isinstance(name, str) for name in _dict(part)) for part in parts):
            raise CheckpointRefused(f"{prefix or 'the saved object':.80} is not a module of torch")
        if len(prefix) > MAX_NAME:
            break
        parameters, buffers, children = map(_dict, parts)
        listed = attributes.get("_non_persistent_buffers_set")
        passing = {name for name in listed if isinstance(name, str)} if isinstance(listed, (set, list)) else set()
        for name, tensor in [*parameters.items(), *((k, v) for k, v in buffers.items() if k not in passing)]:
            if tensor is not None:
                yield prefix + name, tensor
        waiting += [(child, f"{prefix}{name}.") for name, child in reversed(children.items()) if child is not None]
    raise CheckpointRefused("its modules are nested without end")


def _names(value: Any) -> dict[int, str] | None:
    """Class names by number; None where they are missing or odd."""
    names = dict(enumerate(value)) if isinstance(value, (list, tuple)) else _dict(value)
    good = all(
        type(k) is int and 0 <= k < MAX_TENSORS and isinstance(v, str) and len(v) <= 200 for k, v in names.items()
    )
    return {k: _text(v) for k, v in names.items()} if names and good else None


def _text(value: str) -> str:
    return value.encode("utf-8", "replace").decode("utf-8")


class _Plain:
    """Copies plain data (dict, list, str, int, float, bool, None); drops everything else, with a limit in all."""

    def __init__(self) -> None:
        self.left = MAX_VALUES

    def __call__(self, value: Any, depth: int = 0) -> Any:
        self.left -= 1
        if self.left < 0 or depth > 10:
            raise CheckpointRefused("its settings are nested without end")
        if isinstance(value, dict):
            items = [(_text(str(k)), self(v, depth + 1)) for k, v in _dict(value).items() if type(k) in (str, int)]
            return {key: item for key, item in items if item is not _DROPPED}
        if isinstance(value, (list, tuple)):
            return [item for item in (self(v, depth + 1) for v in value) if item is not _DROPPED]
        if isinstance(value, str):
            return _text(value[:MAX_TEXT])
        number = (type(value) is int and abs(value) < 1 << 63) or (type(value) is float and math.isfinite(value))
        return value if number or value is None or type(value) is bool else _DROPPED
