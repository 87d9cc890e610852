"""Unpickles a checkpoint without running anything of it. Standard library only; torch is not even imported.

A pickle is a program: it names classes and functions and calls them. Here every name resolves to one of a few harmless
stand-ins: tensors become descriptions (`StoredTensor`), ordered dicts become dicts, and whatever else a pickle names,
a layer of Ultralytics as well as ``os.system``, becomes an empty class whose objects only keep what is given to them.
"""

from __future__ import annotations

import io
import math
import pickle
import pickletools
from dataclasses import dataclass
from typing import Any

from dlka.models.torch_zip import CheckpointRefused

# Storage class in torch -> dtype in safetensors, bytes of one value.
STORAGES = {
    "DoubleStorage": ("F64", 8),
    "FloatStorage": ("F32", 4),
    "HalfStorage": ("F16", 2),
    "BFloat16Storage": ("BF16", 2),
    "LongStorage": ("I64", 8),
    "IntStorage": ("I32", 4),
    "ShortStorage": ("I16", 2),
    "CharStorage": ("I8", 1),
    "ByteStorage": ("U8", 1),
    "BoolStorage": ("BOOL", 1),
}
MAX_DIMENSIONS = 8


class Inert:
    """Stands for an object of any class: remembers its arguments and its state, does nothing."""

    __slots__ = ("args", "state")  # no __dict__, so that a pickle cannot put methods on it
    args: tuple[Any, ...]
    state: Any

    def __new__(cls, *args: Any, **_: Any) -> Inert:
        self = super().__new__(cls)
        self.args, self.state = args, None
        return self

    def __setstate__(self, state: Any) -> None:
        self.state = state

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, _: Any) -> None:
        pass

    extend = add = append

    def attributes(self) -> dict[str, Any]:
        """The instance's __dict__ as it was pickled; empty where it has none."""
        state = self.state[0] if isinstance(self.state, tuple) and self.state else self.state
        return state if isinstance(state, dict) else {}


class PlainDict(dict):  # type: ignore[type-arg]
    """Stands for collections.OrderedDict; its attributes, such as a state dict's ``_metadata``, are dropped."""

    __slots__ = ()

    def __init__(self, *args: Any) -> None:
        if args:  # torch fills it item by item; a call with items could copy a long list again and again
            raise CheckpointRefused("it builds a dict in a way that torch.save does not")
        super().__init__()

    def __setstate__(self, state: Any) -> None:
        pass


@dataclass(frozen=True)
class Storage:
    """Raw values in the archive: ``count`` values of ``width`` bytes under ``key``."""

    dtype: str
    width: int
    key: str
    count: int


@dataclass(frozen=True)
class StoredTensor:
    """A view of a storage, all in values: first one, size and stride of every dimension; it lies inside its storage."""

    storage: Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    def __post_init__(self) -> None:
        sizes, strides = self.size, self.stride
        good = isinstance(self.storage, Storage) and type(self.offset) is int and self.offset >= 0
        good &= isinstance(sizes, tuple) and isinstance(strides, tuple) and len(sizes) == len(strides) <= MAX_DIMENSIONS
        if not good or not all(type(n) is int and 0 <= n < 1 << 40 for n in (*sizes, *strides)):
            raise CheckpointRefused("one of its tensors has a shape that no tensor has")
        last = self.offset + sum((n - 1) * s for n, s in zip(sizes, strides))
        if self.count and (last >= self.storage.count or self.count > self.storage.count):
            raise CheckpointRefused(f"a tensor of shape {list(sizes)} does not fit into its storage")

    @property
    def count(self) -> int:
        return math.prod(self.size)

    @property
    def bytes(self) -> int:
        return self.count * self.storage.width


def unpickle(data: bytes) -> Any:
    """The saved object with StoredTensor, Inert and PlainDict in place of all that is not plain Python data.

    Raises CheckpointRefused, or any exception of pickle for a damaged one. Memory and time are for the caller to limit.
    """
    for position, (opcode, argument, _) in enumerate(pickletools.genops(data)):
        # The memo is an array: a far index would take gigabytes. Extension codes name what only this process knows.
        far = "PUT" in opcode.name and int(argument or 0) > position
        if far or opcode.name.startswith("EXT"):
            raise CheckpointRefused("its pickle is made in a way that torch.save does not")
    return _Unpickler(io.BytesIO(data)).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._classes: dict[tuple[str, str], type] = {}

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in STORAGES:
            return _StorageKind(*STORAGES[name])
        known = {
            ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
            ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
            ("collections", "OrderedDict"): PlainDict,
        }.get((module, name))
        return known or self._classes.setdefault((module, name), type("Inert", (Inert,), {"__slots__": ()}))

    def persistent_load(self, pid: Any) -> Storage:
        if not isinstance(pid, tuple) or len(pid) != 5 or pid[0] != "storage" or not isinstance(pid[1], _StorageKind):
            raise CheckpointRefused("one of its tensors has a type of values that is not read here")
        _, kind, key, _, count = pid
        if not isinstance(key, str) or not key.isdigit() or len(key) > 9 or type(count) is not int or count < 0:
            raise CheckpointRefused("one of its storages has no valid key or size")
        return Storage(kind.dtype, kind.width, key, count)


@dataclass(frozen=True)
class _StorageKind:
    dtype: str
    width: int


def _rebuild_tensor(storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> StoredTensor:
    return StoredTensor(storage, offset, size, stride)


def _rebuild_parameter(data: Any, *_: Any) -> Any:
    return data
