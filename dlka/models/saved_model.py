"""Finds the state dict, class names, yaml and training arguments in an unpickled checkpoint of inert objects."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from dlka.models.inert import Inert, StoredTensor
from dlka.models.torch_zip import MAX_BYTES, CheckpointRefused

MAX_TENSORS = 10_000
MAX_MODULES = 20_000
MAX_NESTING = 64
MAX_VALUES = 20_000
MAX_TEXT = 2000
_DROPPED = object()  # a value that is not plain data


def contents(saved: Any) -> tuple[dict[str, StoredTensor], dict[str, Any]]:
    """(tensors by state-dict name, {"names", "yaml", "train_args"}) of what torch.save was given.

    Read are Ultralytics' checkpoints ({"ema", "model", ...}; ``ema``, the averaged weights, goes before ``model``), a
    module alone, a state dict, and {"state_dict": ...}. Raises CheckpointRefused for anything else.
    """
    model = saved
    if isinstance(saved, dict):
        wrapped = [saved.get(key) for key in ("ema", "model", "state_dict")]
        model = next((value for value in wrapped if isinstance(value, (Inert, dict))), saved)
    tensors: dict[str, StoredTensor] = {}
    for name, tensor in _module_tensors(model) if isinstance(model, Inert) else _dict_tensors(model):
        if not isinstance(tensor, StoredTensor):
            raise CheckpointRefused(f"{name:.80} is not stored as a plain tensor")
        if len(tensors) >= MAX_TENSORS or not isinstance(name, str) or not name.isprintable() or len(name) > 300:
            raise CheckpointRefused(f"it has more than {MAX_TENSORS} tensors or one without a proper name")
        tensors[name] = tensor
    if not tensors:
        raise CheckpointRefused("it holds no weights")
    if sum(tensor.bytes for tensor in tensors.values()) > MAX_BYTES:
        raise CheckpointRefused(f"its tensors take more than {MAX_BYTES >> 30} GB")
    attributes = model.attributes() if isinstance(model, Inert) else {}
    train_args = saved.get("train_args") if isinstance(saved, dict) else None
    plain = _Plain()
    return tensors, {
        "names": _names(attributes.get("names")),
        "yaml": plain(attributes["yaml"]) if isinstance(attributes.get("yaml"), dict) else None,
        "train_args": plain(train_args) if isinstance(train_args, dict) else {},
    }


def _dict_tensors(value: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(value, dict):
        raise CheckpointRefused("it holds neither a model nor a state dict of tensors")
    for name, tensor in value.items():
        yield str(name) if isinstance(name, (str, int)) else "a key", tensor


def _module_tensors(root: Inert) -> Iterator[tuple[str, Any]]:
    """What ``state_dict()`` gives: parameters and persistent buffers, depth first, with dotted names."""
    seen = 0

    def walk(module: Any, prefix: str, depth: int) -> Iterator[tuple[str, Any]]:
        nonlocal seen
        seen += 1
        if seen > MAX_MODULES or depth > MAX_NESTING:
            raise CheckpointRefused("its modules are nested without end")
        attributes = module.attributes() if isinstance(module, Inert) else {}
        parts: list[Any] = [attributes.get(key) for key in ("_parameters", "_buffers", "_modules")]
        if not all(isinstance(part, dict) for part in parts):
            raise CheckpointRefused(f"{prefix.rstrip('.') or 'the saved object':.80} is not a module of torch")
        passing = _members(attributes.get("_non_persistent_buffers_set"))
        parameters, buffers, children = parts
        for name, tensor in [*parameters.items(), *((k, v) for k, v in buffers.items() if k not in passing)]:
            if tensor is not None:
                yield f"{prefix}{name:.300}", tensor
        for name, child in children.items():
            if child is not None:
                yield from walk(child, f"{prefix}{name:.300}.", depth + 1)

    return walk(root, "", 0)


def _members(value: Any) -> set[str]:
    """The strings in a pickled set, which is an Inert made from a list in older pickle protocols."""
    if isinstance(value, Inert):
        value = value.args[0] if value.args else ()
    return {v for v in value if isinstance(v, str)} if isinstance(value, (set, list, tuple)) else set()


def _names(value: Any) -> dict[int, str] | None:
    """Class names by number; None where they are missing or odd."""
    if isinstance(value, (list, tuple)):
        value = dict(enumerate(value))
    if not isinstance(value, dict) or not value or len(value) > MAX_TENSORS:
        return None
    good = all(
        type(k) is int and 0 <= k < MAX_TENSORS and isinstance(v, str) and len(v) <= 200 for k, v in value.items()
    )
    return {k: _text(v) for k, v in value.items()} if good else None


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
            items = [(_text(str(k)), self(v, depth + 1)) for k, v in value.items() if type(k) in (str, int)]
            return {key: item for key, item in items if item is not _DROPPED}
        if isinstance(value, (list, tuple)):
            return [item for item in (self(v, depth + 1) for v in value) if item is not _DROPPED]
        if isinstance(value, str):
            return _text(value[:MAX_TEXT])
        number = (type(value) is int and abs(value) < 1 << 63) or (type(value) is float and math.isfinite(value))
        return value if number or value is None or type(value) is bool else _DROPPED
