"""The child process of `convert`: limits itself, reads one checkpoint, leaves safetensors and JSON in a folder.

torch's own restricted unpickler reads the file; every class that it may name is exchanged for a `Stub`, so that not
even the constructors of Ultralytics' layers run. Run by `convert.read_checkpoint`.
"""

from __future__ import annotations

import hashlib
import json
import pickle
import re
import struct
import warnings
import zipfile
from collections.abc import Iterable, Set
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from dlka.models.saved_model import MAX_BYTES, CheckpointRefused, Stub, contents

MEMORY = 2 << 30  # bytes above what the interpreter and torch have mapped
CPU_SECONDS = 60
MAX_JSON = 1 << 20
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


def main(source: str, folder: str) -> None:
    """Convert the file ``source``; RESULT in ``folder`` says what `contents` says or {"refused": sentence}."""
    limit_resources()
    try:
        tensors, result = read(Path(source))
        save_file(tensors, Path(folder) / TENSORS)
    except CheckpointRefused as refusal:
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
    """What `contents` gives of a checkpoint, each tensor with memory of its own. Raises CheckpointRefused.

    Time and memory are for the caller to limit.
    """
    _check_archive(source)
    with source.open("rb") as file:
        try:
            named = torch.serialization.get_unsafe_globals_in_checkpoint(file)
            _check_named(named)
            file.seek(0)
            with torch.serialization.safe_globals([(Stub, name) for name in named]), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                saved = torch.load(file, map_location="cpu", weights_only=True, mmap=False)
            file.seek(0)
            reader = torch._C.PyTorchFileReader(file)
            records = {hashlib.sha256(reader.get_record(name)).digest() for name in reader.get_all_records()}
        except CheckpointRefused:
            raise
        except _BAD_PICKLE as error:
            if _is_memory(error):
                raise
            reason = type(error).__name__
            raise CheckpointRefused(f"it is damaged or not made by torch.save ({reason})") from None
    tensors, settings = contents(saved)
    if len(json.dumps(settings)) > MAX_JSON:
        raise CheckpointRefused("its settings are larger than 1 MB")
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
        raise CheckpointRefused("it has the format from before torch 1.6; where you trust it, save it again")
    if not start.startswith(b"PK\x03\x04"):
        raise CheckpointRefused("it is not a PyTorch checkpoint: expected the zip archive that torch.save writes")
    try:
        with zipfile.ZipFile(source) as archive:
            sizes = [(entry.filename, entry.file_size) for entry in archive.infolist()]
    except (zipfile.BadZipFile, ValueError, NotImplementedError, OverflowError, struct.error):
        raise CheckpointRefused("its zip archive is damaged or cut off; copy the file again") from None
    if any(name.endswith("/constants.pkl") for name, _ in sizes):
        raise CheckpointRefused("it is a TorchScript archive; convert the checkpoint that it was exported from")
    if sum(size for _, size in sizes) > source.stat().st_size:
        raise CheckpointRefused("entries of its archive are compressed or overlap, which torch.save never writes")


def _check_named(names: Iterable[str]) -> None:
    """Refuse a pickle that names a class or function of anybody's own."""
    for name in sorted(names):
        if not STUBS.fullmatch(name):
            raise CheckpointRefused(
                f"it names {ascii(name)[1:-1]:.80}, no class of Ultralytics' YOLOv8 or of dlka; where you trust it, "
                "load it with the code that defines it and copy its state_dict() into a model of dlka.YOLO"
            )


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
                raise CheckpointRefused("one of its tensors has values that do not stand in the file")
