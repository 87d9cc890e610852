"""The child process that reads a checkpoint: limits itself, leaves tensors as safetensors and the rest as JSON.

torch's own restricted unpickler reads the file; every class that it may name is exchanged for a `Stub`, so that not
even the constructors of Ultralytics' layers run. Run by `checkpoint.read_checkpoint`.
"""

from __future__ import annotations

import hashlib
import json
import math
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Set
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dlka.errors import DlkaError

MAX_BYTES = 1 << 30
MAX_TENSORS = 10_000
MAX_MODULES = 20_000
MAX_NAME = 300  # characters of a tensor's name
MAX_VALUES = 20_000  # of the settings
MAX_TEXT = 2000
MAX_JSON = 1 << 20
MEMORY = 2 << 30  # bytes above what the interpreter and torch have mapped
CPU_SECONDS = 60
TENSORS, RESULT = "tensors.safetensors", "result.json"
# What Ultralytics' checkpoints name besides tensors, and those that dlka.YOLO trains. A fused model keeps bound
# methods, which pickle writes as calls of getattr; here they become stubs like all others.
STUBS = re.compile(
    r"torch\.nn\.modules\.\w+\.\w+"
    r"|ultralytics\.nn\.(tasks|modules\.\w+)\.\w+"
    r"|ultralytics\.(yolo\.)?utils\.(IterableSimpleNamespace|(loss|tal)\.\w+)"
    r"|dlka\.(layers|offset_nets|models\.build|models\.blocks)\.\w+"
    r"|pathlib\.(_local\.)?\w*Path"
    r"|numpy\.(dtype|(_core|core)\.multiarray\.scalar)"
    r"|builtins\.getattr"
)
# What torch.load raises for pickles that are damaged or were never torch.save's.
_BAD_PICKLE = (
    pickle.UnpicklingError,
    struct.error,
    *(RuntimeError, ValueError, TypeError, LookupError, AttributeError, EOFError, AssertionError, ArithmeticError),
)
_OLD_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."  # the magic number that torch.save wrote before torch 1.6
_DTYPES = (
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool),
)
_DROPPED = object()  # a value that is not plain data


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


def main(source: str, folder: str) -> None:
    """Convert the file ``source``; RESULT in ``folder`` says what `contents` says or {"refused": sentence}."""
    limit_resources()
    try:
        tensors, result = read(Path(source))
        save_file(tensors, Path(folder) / TENSORS)
    except DlkaError as refusal:
        result = {"refused": str(refusal)}
    except (MemoryError, RuntimeError) as error:
        if not _is_memory(error):
            raise
        result = {"refused": f"reading it takes more than {MEMORY >> 30} GB of memory"}
    (Path(folder) / RESULT).write_text(json.dumps(result), encoding="ascii")


def limit_resources() -> None:
    """Limit memory, processor time and file size of this process; elsewhere the parent's wall clock remains."""
    try:
        import resource
    except ImportError:
        return
    statm = Path("/proc/self/statm")
    limits = {resource.RLIMIT_CPU: CPU_SECONDS, resource.RLIMIT_FSIZE: MAX_BYTES + (64 << 20), resource.RLIMIT_CORE: 0}
    if statm.exists():
        mapped = int(statm.read_text().split()[0]) * resource.getpagesize()
        limits[resource.RLIMIT_AS] = mapped + MEMORY
    for kind, value in limits.items():
        hard = resource.getrlimit(kind)[1]
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))


def read(source: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """What `contents` gives of a checkpoint, each tensor with memory of its own. Raises DlkaError.

    Time and memory are for the caller to limit.
    """
    _check_archive(source)
    with source.open("rb") as file:
        try:
            named = torch.serialization.get_unsafe_globals_in_checkpoint(file)
            if unknown := next((name for name in sorted(named) if not STUBS.fullmatch(name)), None):
                raise DlkaError(
                    f"it names {ascii(unknown)[1:-1]:.80}, no class of Ultralytics' YOLOv8 or of dlka; where you trust "
                    "it, load it with the code that defines it and copy its state_dict() into a model of dlka.YOLO"
                )
            file.seek(0)
            with torch.serialization.safe_globals([(Stub, name) for name in named]), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                saved = torch.load(file, map_location="cpu", weights_only=True, mmap=False)
            file.seek(0)
            reader = torch._C.PyTorchFileReader(file)
            records = {hashlib.sha256(reader.get_record(name)).digest() for name in reader.get_all_records()}
        except DlkaError:
            raise
        except _BAD_PICKLE as error:
            if _is_memory(error):
                raise
            raise DlkaError(f"it is damaged or not made by torch.save ({type(error).__name__})") from None
    tensors, settings = contents(saved)
    if len(json.dumps(settings)) > MAX_JSON:
        raise DlkaError("its settings are larger than 1 MB")
    _check_origin(tensors.values(), records)
    return {name: tensor.clone(memory_format=torch.contiguous_format) for name, tensor in tensors.items()}, settings


def _is_memory(error: Exception) -> bool:
    """Whether Python or torch, which has no class for it, got no more memory."""
    return isinstance(error, MemoryError) or "allocate memory" in str(error)


def _check_archive(source: Path) -> None:
    """Refuse, with what to do, files that torch.save did not write: it lays entries uncompressed into a zip archive."""
    with source.open("rb") as file:
        start = file.read(len(_OLD_START))
    if start == _OLD_START:
        raise DlkaError("it has the format from before torch 1.6; where you trust it, save it again")
    if not start.startswith(b"PK\x03\x04"):
        raise DlkaError("it is not a PyTorch checkpoint: expected the zip archive that torch.save writes")
    try:
        with zipfile.ZipFile(source) as archive:
            sizes = [(entry.filename, entry.file_size) for entry in archive.infolist()]
    # What zipfile itself raises for damaged archives, whatever is damaged in them.
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, struct.error):
        raise DlkaError("its zip archive is damaged or cut off; copy the file again") from None
    if any(name.endswith("/constants.pkl") for name, _ in sizes):
        raise DlkaError("it is a TorchScript archive; convert the checkpoint that it was exported from")
    if sum(size for _, size in sizes) > source.stat().st_size:
        raise DlkaError("entries of its archive are compressed or overlap, which torch.save never writes")


def _check_origin(tensors: Iterable[torch.Tensor], records: Set[bytes]) -> None:
    """Refuse tensors whose memory is not, byte for byte, a record of the archive; records: the SHA-256 of each.

    A pickle can also ask for new memory, which holds what this process last had there, and older versions of torch
    read on behind a record where the pickle claims that it is longer.
    """
    seen: set[int] = set()
    for storage in (tensor.untyped_storage() for tensor in tensors):
        if storage.nbytes() and storage.data_ptr() not in seen:
            seen.add(storage.data_ptr())
            values = torch.empty(0, dtype=torch.uint8).set_(storage)
            if hashlib.sha256(values.numpy().data).digest() not in records:
                raise DlkaError("one of its tensors has values that do not stand in the file")


def contents(saved: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """(tensors by state-dict name, {"names", "yaml", "train_args", "epoch"}) of what torch.save was given.

    Read are Ultralytics' checkpoints ({"ema", "model", ...}; ``ema``, the averaged weights, goes before ``model``), a
    module alone, a state dict, and {"state_dict": ...}. Tensors still share the memory that they were saved in. Raises
    DlkaError for anything else.
    """
    top = _dict(saved)
    wrapped = (top.get(key) for key in ("ema", "model", "state_dict"))
    model = next((value for value in wrapped if isinstance(value, (Stub, dict))), saved)
    tensors: dict[str, torch.Tensor] = {}
    for name, value in _module_tensors(model) if isinstance(model, Stub) else _dict(model).items():
        good = isinstance(name, str) and name.isprintable() and len(name) <= MAX_NAME
        if len(tensors) >= MAX_TENSORS or not good or name == "__metadata__":  # which safetensors keeps for itself
            raise DlkaError(f"it has more than {MAX_TENSORS} tensors or one without a proper name")
        tensors[name] = _plain_tensor(name, value)
    if not tensors:
        raise DlkaError("it holds no weights, neither a model nor a state dict of tensors")
    if sum(tensor.numel() * tensor.element_size() for tensor in tensors.values()) > MAX_BYTES:
        raise DlkaError(f"its tensors take more than {MAX_BYTES >> 30} GB")
    attributes, plain = _attributes(model), _Plain()
    yaml, train_args, epoch = attributes.get("yaml"), top.get("train_args"), top.get("epoch")
    return tensors, {
        "names": _names(attributes.get("names")),
        "yaml": plain(yaml) if isinstance(yaml, dict) else None,
        "train_args": plain(train_args) if isinstance(train_args, dict) else {},
        "epoch": epoch if type(epoch) is int and 0 <= epoch < 1 << 31 else -1,
    }


def _plain_tensor(name: str, value: Any) -> torch.Tensor:
    """The tensor without what a pickle can hang on it; strided, on the CPU, no larger than its storage."""
    if type(value) not in (torch.Tensor, torch.nn.Parameter):
        raise DlkaError(f"{name:.80} is not stored as a plain tensor")
    tensor = value.data  # attributes that a pickle gave the object, named like methods, stay behind
    plain = tensor.device.type == "cpu" and tensor.layout is torch.strided and tensor.dtype in _DTYPES
    if not plain or tensor.is_nested:
        raise DlkaError(f"{name:.80} is not stored as a plain tensor")
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():  # expanded: it could be endless
        raise DlkaError(f"{name:.80}, a tensor of shape {list(tensor.shape)}, does not fit into its storage")
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
            raise DlkaError(f"{prefix or 'the saved object':.80} is not a module of torch")
        if len(prefix) > MAX_NAME:
            break
        parameters, buffers, children = map(_dict, parts)
        listed = attributes.get("_non_persistent_buffers_set")
        passing = {name for name in listed if isinstance(name, str)} if isinstance(listed, (set, list)) else set()
        for name, tensor in [*parameters.items(), *((k, v) for k, v in buffers.items() if k not in passing)]:
            if tensor is not None:
                yield prefix + name, tensor
        waiting += [(child, f"{prefix}{name}.") for name, child in reversed(children.items()) if child is not None]
    raise DlkaError("its modules are nested without end")


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
            raise DlkaError("its settings are nested without end")
        if isinstance(value, dict):
            items = [(_text(str(k)), self(v, depth + 1)) for k, v in _dict(value).items() if type(k) in (str, int)]
            return {key: item for key, item in items if item is not _DROPPED}
        if isinstance(value, (list, tuple)):
            return [item for item in (self(v, depth + 1) for v in value) if item is not _DROPPED]
        if isinstance(value, str):
            return _text(value[:MAX_TEXT])
        number = (type(value) is int and abs(value) < 1 << 63) or (type(value) is float and math.isfinite(value))
        return value if number or value is None or type(value) is bool else _DROPPED
