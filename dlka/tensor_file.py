"""Numbers of a net as a safetensors file: how they are rounded, written whole or not at all, and read back checked.

Weights of convolutions wider than 1x1, most of every file, are stored as int8 with one float32 scale per output channel
("NAME.scale"); those of 1x1 convolutions as float16, or as int8 where that is asked for; biases and statistics as
float32, because they are small and the variances of batch norms can leave float16's range. Metrics in a file were
measured after this rounding. Weights that were made elsewhere are kept exactly: without rounding every tensor is
float16 where that is the same, else float32.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from dlka.errors import DlkaError

MAX_BYTES = 400 * 2**20


def write(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str]) -> None:
    """The file appears whole or not at all."""
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".partial", delete=False) as file:
        unfinished = Path(file.name)
    try:
        save_file(dict(tensors), unfinished, metadata=dict(metadata))
        unfinished.chmod(0o644)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def fill(file: Any, state: Mapping[str, torch.Tensor], name: str, of: str) -> None:
    """Copy the tensors of an open file into those of a state dict, as float32.

    Strict: names, shapes, dtypes and finite values are all checked. Raises DlkaError; name: of the file, of: whose
    tensors these are, for its sentence.
    """
    wanted = {key: value for key, value in state.items() if value.is_floating_point()}
    keys = set(file.keys())
    scales = {f"{key}.scale" for key, value in wanted.items() if value.dim() > 1} & keys
    missing, extra = sorted(set(wanted) - keys), sorted(keys - set(wanted) - scales)
    if missing or extra:
        raise DlkaError(
            f"{name}: expected exactly the tensors of {of}; {len(missing)} are missing "
            f"({', '.join(missing[:2]) or 'none':.160}) and {len(extra)} do not belong "
            f"({', '.join(extra[:2]) or 'none':.160})."
        )
    for key, target in wanted.items():
        scaled = f"{key}.scale" in scales
        value = _read(file, key, target.shape, ("I8",) if scaled else ("F16", "F32"), name)
        if scaled:
            scale = _read(file, f"{key}.scale", target.shape[:1], ("F32",), name)
            if not bool((scale > 0).all()):
                raise DlkaError(f"{name}: {key}.scale should be positive; the file is damaged.")
            value = _finite(value * _by_row(scale, target.dim()), key, name)
        target.copy_(value)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The open file; whatever is wrong with it, there or inside the context, is DlkaError."""
    if not path.is_file():
        raise DlkaError(f"{path.name} is no file." if path.exists() else f"{path.name}: there is no such file.")
    if path.stat().st_size > MAX_BYTES:
        raise DlkaError(f"{path.name}: expected at most {MAX_BYTES >> 20} MB, got {path.stat().st_size >> 20} MB.")
    try:
        with safe_open(path, framework="pt") as file:
            yield file
    except (SafetensorError, OSError) as error:
        raise DlkaError(f"{path.name} is not a whole safetensors file ({error!s:.200}).") from None


def tensors_in(file: Any) -> dict[str, torch.Tensor]:
    """All tensors of an open file as they are stored, by name."""
    return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict


def stored(state: Mapping[str, torch.Tensor], exact: bool = False, small: bool = False) -> dict[str, torch.Tensor]:
    """What stands in a file for a state dict, without counters of batches, which inference does not use.

    exact: not rounded; small: 1x1 convolutions and linear layers as int8, too. Raises DlkaError for values that cannot
    be stored.
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if value.is_floating_point():
            tensors |= _stored(name, value.detach().float().cpu(), exact, small)
    return tensors


def _stored(name: str, value: torch.Tensor, exact: bool, small: bool) -> dict[str, torch.Tensor]:
    wide = value.dim() >= 4 and value.shape[2:].numel() > 1
    if exact:
        half = value.half()
        kept = {name: half.contiguous() if bool((half.float() == value).all()) else value.clone()}
    elif wide or (small and value.dim() > 1):
        scale = value.abs().flatten(1).amax(1).clamp_min(1e-12) / 127
        whole = (value / _by_row(scale, value.dim())).round().to(torch.int8)
        kept = {name: whole.contiguous(), f"{name}.scale": scale}
    elif value.dim() == 1:
        kept = {name: value.clone()}
    else:
        kept = {name: value.half().contiguous()}
    if not all(bool(t.isfinite().all()) for t in kept.values()):
        raise DlkaError(f"{name}: expected finite values that float16 can hold, got up to {value.abs().max():g}")
    return kept


def _by_row(scale: torch.Tensor, axes: int) -> torch.Tensor:
    return scale.view(-1, *[1] * (axes - 1))


def _read(file: Any, key: str, shape: torch.Size, dtypes: tuple[str, ...], name: str) -> torch.Tensor:
    view = file.get_slice(key)
    if list(view.get_shape()) != list(shape):
        raise DlkaError(f"{name}: {key} should be {list(shape)}, is {view.get_shape()!s:.60}.")
    if view.get_dtype() not in dtypes:
        raise DlkaError(f"{name}: {key} should be {' or '.join(dtypes)}, is {view.get_dtype()}.")
    return _finite(file.get_tensor(key).float(), key, name)


def _finite(value: torch.Tensor, key: str, name: str) -> torch.Tensor:
    if not bool(value.isfinite().all()):
        raise DlkaError(f"{name}: {key} has values that are not finite; the file is damaged.")
    return value
