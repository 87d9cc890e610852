"""The child process of `convert`: limits itself, reads one checkpoint, leaves safetensors and JSON in a folder.

It imports neither torch nor anything else that a hostile file could reach. Run by `convert.read_checkpoint`.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from dlka.models.inert import StoredTensor, unpickle
from dlka.models.saved_model import contents
from dlka.models.torch_zip import MAX_BYTES, CheckpointRefused, TorchZip

MEMORY = 2 << 30  # bytes above what the interpreter and numpy have mapped
CPU_SECONDS = 60
MAX_JSON = 1 << 20
TENSORS, RESULT = "tensors.safetensors", "result.json"


def main(source: str, folder: str) -> None:
    """Convert the file ``source``; RESULT in ``folder`` says {"refused": sentence} or names, yaml and train_args."""
    limit_resources()
    try:
        result = _convert(Path(source), Path(folder))
    except CheckpointRefused as refusal:
        result = {"refused": str(refusal)}
    except MemoryError:
        result = {"refused": f"reading it takes more than {MEMORY >> 30} GB of memory"}
    except Exception as error:  # whatever pickle stumbles over: this process ends here
        result = {"refused": f"it is damaged or not made by torch.save ({type(error).__name__})"}
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


def _convert(source: Path, folder: Path) -> dict[str, object]:
    with TorchZip(source) as archive:
        tensors, settings = contents(unpickle(archive.pickle()))
        if len(json.dumps(settings)) > MAX_JSON:
            raise CheckpointRefused("its settings are larger than 1 MB")
        _write(folder / TENSORS, tensors, archive)
    return settings


def _write(path: Path, tensors: dict[str, StoredTensor], archive: TorchZip) -> None:
    """The safetensors format: header length in 8 bytes, JSON header, raw little-endian values, row-major."""
    header, end = {}, 0
    for name, tensor in tensors.items():
        start, end = end, end + tensor.bytes
        header[name] = {"dtype": tensor.storage.dtype, "shape": tensor.size, "data_offsets": [start, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    key, data = None, b""
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            if tensor.storage.key != key:
                key, data = tensor.storage.key, b""  # let go of the last storage before reading the next
                data = archive.storage(tensor.storage.key, tensor.storage.count * tensor.storage.width)
            file.write(_values(tensor, data))


def _values(tensor: StoredTensor, data: bytes) -> bytes:
    """The tensor's values in row-major order; bounds were checked when the StoredTensor was made."""
    if not tensor.count:
        return b""
    width = tensor.storage.width
    flat = np.frombuffer(data, f"<u{width}")[tensor.offset :]
    view = np.lib.stride_tricks.as_strided(flat, tensor.size, [stride * width for stride in tensor.stride])
    if tensor.storage.dtype == "BOOL":
        view = (view != 0).astype(np.uint8)  # other bytes than 0 and 1 are no booleans
    return np.ascontiguousarray(view).tobytes()
