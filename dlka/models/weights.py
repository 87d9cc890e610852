"""Weights as safetensors: numbers and a JSON text, from which the whole model is built. Nothing in a file is executed.

Weights of convolutions wider than 1x1, most of every file, are stored as int8 with one float32 scale per output channel
("NAME.scale"); those of 1x1 convolutions as float16; biases and statistics as float32, because they are small and the
variances of batch norms can leave float16's range. Metrics in a file were measured after this rounding. Weights that
were made elsewhere are kept exactly: without rounding every tensor is float16 where that is the same, else float32.
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
from dlka.models.build import DLKAModel, build_model
from dlka.models.card import FORMAT, Card, CardError, NoModel, card_of, metadata_of

__all__ = ["FORMAT", "Card", "WeightsRefused", "load_card", "load_model", "same_tensors", "save_weights", "with_card"]

MAX_BYTES = 400 * 2**20


class WeightsRefused(DlkaError):
    """A weights file that is not loaded; the message is one sentence: what was expected, what came, what to do."""


class OtherFile(WeightsRefused):
    """A file that the project ships beside models, and that is none."""


def save_weights(path: str | Path, state: Mapping[str, torch.Tensor], card: Card, *, exact: bool = False) -> None:
    """Write a state dict with its card. The file appears whole or not at all.

    exact: keep float32 values bit by bit, in about twice the space.

    Raises ValueError for a card that could not be read back, and for values that are not finite or too large to store.
    """
    metadata = metadata_of(card)
    tensors: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if value.is_floating_point():  # all but batch counters, which inference does not use
            tensors |= _stored(name, value.detach().float().cpu(), exact)
    _write(Path(path), tensors, metadata)


def with_card(source: str | Path, target: str | Path, card: Card) -> None:
    """Write the tensors of a weights file, bit by bit, under another card; source and target may be the same file.

    The target appears whole or not at all. Raises WeightsRefused, and ValueError for a card that could not be read
    back.
    """
    metadata = metadata_of(card)
    with _opened(source) as (file, _):
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no dict)
    _write(Path(target), tensors, metadata)


def same_tensors(first: str | Path, second: str | Path) -> bool:
    """Whether two weights files hold the same tensors, whatever their cards say. Raises WeightsRefused."""
    with _opened(first) as (a, _), _opened(second) as (b, _):
        if set(a.keys()) != set(b.keys()):
            return False
        pairs = ((a.get_tensor(name), b.get_tensor(name)) for name in a.keys())  # noqa: SIM118 (it is no dict)
        return all(one.dtype == other.dtype and torch.equal(one, other) for one, other in pairs)


def _write(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> None:
    with NamedTemporaryFile(dir=path.parent, prefix=f".{path.name}.", suffix=".partial", delete=False) as file:
        unfinished = Path(file.name)
    try:
        save_file(tensors, unfinished, metadata=metadata)
        unfinished.chmod(0o644)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def load_card(path: str | Path) -> Card:
    """What a weights file says about itself, without reading its tensors. Raises WeightsRefused."""
    with _opened(path) as (_, card):
        return card


def load_model(path: str | Path) -> tuple[DLKAModel, Card]:
    """The model of a weights file, in evaluation mode on the CPU as float32, and its card.

    Strict: names, shapes, dtypes, finite values and size are all checked. Raises WeightsRefused with one sentence.
    """
    name = Path(path).name
    with _opened(path) as (file, card):
        model = build_model(card.placement, card.scale, len(card.names), card.offsets)
        wanted = {k: v for k, v in model.state_dict().items() if v.is_floating_point()}
        keys = set(file.keys())
        scales = {f"{k}.scale" for k, v in wanted.items() if _is_wide(v)} & keys
        missing, extra = sorted(set(wanted) - keys), sorted(keys - set(wanted) - scales)
        if missing or extra:
            raise WeightsRefused(
                f"{name}: expected exactly the tensors of {card.placement} {card.scale}; {len(missing)} are missing "
                f"({_few(missing)}) and {len(extra)} do not belong ({_few(extra)})."
            )
        for key, target in wanted.items():
            target.copy_(_restored(file, key, f"{key}.scale" in scales, target.shape, name))
    model.names = card.names
    return model.eval().requires_grad_(False), card


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, Card]]:
    """The open file and its card; whatever is wrong with the file, there or inside the context, is WeightsRefused."""
    path = Path(path)
    if path.suffix.lower() in (".pt", ".pth"):
        raise WeightsRefused(
            f"{path.name} is a pickled checkpoint, which could run code when opened; "
            f"convert it first: python -m dlka convert {path.name} {path.stem}.safetensors"
        )
    if not path.is_file():
        raise WeightsRefused(f"{path.name} is no file." if path.exists() else f"{path.name}: there is no such file.")
    if path.stat().st_size > MAX_BYTES:
        raise WeightsRefused(f"{path.name}: expected at most {MAX_BYTES >> 20} MB, got {path.stat().st_size >> 20} MB.")
    try:
        with safe_open(path, framework="pt") as file:
            yield file, card_of(file.metadata())
    except NoModel as error:
        raise OtherFile(f"{path.name}: {error}.") from None
    except CardError as error:
        raise WeightsRefused(f"{path.name}: {error}.") from None
    except (SafetensorError, OSError) as error:
        raise WeightsRefused(f"{path.name} is not a whole safetensors file ({error!s:.200}).") from None


def _is_wide(value: torch.Tensor) -> bool:
    """True for the weight of a convolution wider than 1x1."""
    return value.dim() == 4 and value.shape[2] * value.shape[3] > 1


def _stored(name: str, value: torch.Tensor, exact: bool = False) -> dict[str, torch.Tensor]:
    """What stands in a file for one float32 tensor."""
    if exact:
        half = value.half()
        stored = {name: half.contiguous() if bool((half.float() == value).all()) else value.clone()}
    elif _is_wide(value):
        scale = value.abs().amax((1, 2, 3)).clamp_min(1e-12) / 127
        whole = (value / scale.view(-1, 1, 1, 1)).round().to(torch.int8)
        stored = {name: whole.contiguous(), f"{name}.scale": scale}
    elif value.dim() == 1:
        stored = {name: value.clone()}
    else:
        stored = {name: value.half().contiguous()}
    if not all(bool(t.isfinite().all()) for t in stored.values()):
        raise DlkaError(f"{name}: expected finite values that float16 can hold, got up to {value.abs().max():g}")
    return stored


def _restored(file: Any, key: str, scaled: bool, shape: torch.Size, name: str) -> torch.Tensor:
    """One tensor of a file as float32, checked against the shape of the model's own."""
    if not scaled:
        return _read(file, key, shape, ("F16", "F32"), name)
    scale = _read(file, f"{key}.scale", shape[:1], ("F32",), name)
    if not bool((scale > 0).all()):
        raise WeightsRefused(f"{name}: {key}.scale should be positive; the file is damaged.")
    value = _read(file, key, shape, ("I8",), name) * scale.view(-1, 1, 1, 1)
    return _finite(value, key, name)


def _read(file: Any, key: str, shape: torch.Size, dtypes: tuple[str, ...], name: str) -> torch.Tensor:
    view = file.get_slice(key)
    if list(view.get_shape()) != list(shape):
        raise WeightsRefused(f"{name}: {key} should be {list(shape)}, is {view.get_shape()!s:.60}.")
    if view.get_dtype() not in dtypes:
        raise WeightsRefused(f"{name}: {key} should be {' or '.join(dtypes)}, is {view.get_dtype()}.")
    return _finite(file.get_tensor(key).float(), key, name)


def _finite(value: torch.Tensor, key: str, name: str) -> torch.Tensor:
    if not bool(value.isfinite().all()):
        raise WeightsRefused(f"{name}: {key} has values that are not finite; the file is damaged.")
    return value


def _few(names: list[str]) -> str:
    return ", ".join(f"{n:.80}" for n in names[:2]) or "none"
