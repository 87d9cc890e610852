"""The implementations of the operators, as tables. An explicit name runs or raises with the reason.

``auto`` takes the first of AUTO that supports the tensor's device:
on the CPU numba, then torch; on CUDA triton, then torchvision, then torch; elsewhere torchvision, then torch.
torchvision's CPU kernel is never chosen by itself: it is the slowest of the three. Volumes have what VOLUME names.

``numba`` and ``triton`` are one operator of torch's, dlka.ops.library, which calls the kernels of the tensors' device.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dlka.errors import DlkaError, short
from dlka.ops.geometry import Geometry, accumulation_dtype

Run = Callable[[Tensor, Tensor, Tensor, "Tensor | None", Geometry], Tensor]


@dataclass(frozen=True)
class Backend:
    """supports(device) gives None or the reason why not; load() imports what it needs and gives the function.

    half: the function takes float16 and bfloat16 maps as they are; otherwise they are widened to float32 before it.
    """

    supports: Callable[[torch.device], str | None]
    load: Callable[[], Run]
    half: bool = False


def _import_error(module: str) -> str | None:
    try:
        importlib.import_module(module)
    except Exception as error:  # a broken installation of a compiler fails in many ways
        return f"it cannot be imported ({type(error).__name__}: {error})"
    return None


def _numba_supports(device: torch.device) -> str | None:
    if device.type != "cpu":
        return f"it runs on the CPU and the tensors are on {device}"
    return _import_error("numba")


def _triton_supports(device: torch.device) -> str | None:
    if device.type != "cuda":
        return f"it runs on CUDA and the tensors are on {device}"
    if not torch.cuda.is_available():
        return "torch finds no CUDA device"
    if torch.version.hip is None and torch.cuda.get_device_capability(device) < (8, 0):
        return f"it needs compute capability 8.0 and {torch.cuda.get_device_name(device)} has less"
    return _import_error("triton") or importlib.import_module("dlka.ops.triton_probe").start_error(device)


def _load_fused(operator: str) -> Callable[[], Run]:
    def load() -> Run:
        fused = getattr(importlib.import_module("dlka.ops.library"), operator)

        def run(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
            steps = (list(geometry.stride), list(geometry.padding), list(geometry.dilation))
            return fused(x, offset, weight, bias, *steps)

        return run

    return load


def _load(module: str) -> Callable[[], Run]:
    return lambda: importlib.import_module(f"dlka.ops.{module}").run


def _widened(run: Run) -> Run:
    """The same for maps of every dtype: half precision is computed in float32 and rounded at the end."""

    def wide(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        dtype = accumulation_dtype(x.dtype)
        bias = None if bias is None else bias.to(dtype)
        return run(x.to(dtype), offset, weight.to(dtype), bias, geometry).to(x.dtype)

    return wide


BACKENDS: dict[str, Backend] = {
    "numba": Backend(_numba_supports, _load_fused("fused")),
    "triton": Backend(_triton_supports, _load_fused("fused"), half=True),
    "torch": Backend(lambda device: None, _load("torch_cpu")),
    "torchvision": Backend(lambda device: None, _load("vision")),
    "reference": Backend(lambda device: None, _load("reference")),
}
VOLUME: dict[str, Backend] = {
    "numba": Backend(_numba_supports, _load_fused("volume")),
    **{name: BACKENDS[name] for name in ("torch", "reference")},
}
TABLES = {2: BACKENDS, 3: VOLUME}  # by the operator's axes
AUTO = {"cpu": ("numba", "torch"), "cuda": ("triton", "torchvision", "torch")}
AUTO_ELSEWHERE = ("torchvision", "torch")

# What was asked for, for how many axes, and which backend runs it from then on.
READY: dict[tuple[str, torch.device, int], str] = {}
_runs: dict[int, dict[str, Run]] = {axes: {} for axes in TABLES}


def choose(name: str, device: torch.device, axes: int = 2) -> Run:
    """The function of a backend for a device. ValueError for an unknown name, RuntimeError where it cannot run."""
    return _runs[axes][_prepared(name, device, axes)]


def _prepared(name: str, device: torch.device, axes: int) -> str:
    key = (name, device, axes)
    if key not in READY:
        chosen = resolve(name, device, axes)
        # The reference stands in for every other: once torch.compile has seen _runs, nothing may be added to it.
        for each in {chosen, "reference"} - _runs[axes].keys():
            backend = TABLES[axes][each]
            _runs[axes][each] = backend.load() if backend.half else _widened(backend.load())
        READY[key] = chosen
    return READY[key]


# It imports and asks the driver: nothing to compile. torch.compiler.assume_constant_result sets the same mark, but it
# imports the whole of torch.compile to do so.
_prepared._dynamo_marked_constant = True  # type: ignore[attr-defined]


def resolve(name: str, device: torch.device, axes: int = 2) -> str:
    """The name of the backend that runs: itself, or what "auto" stands for on this device."""
    table = TABLES[axes]
    if name == "auto":
        candidates = AUTO.get(device.type, AUTO_ELSEWHERE)
        return next(c for c in candidates if c in table and table[c].supports(device) is None)
    if name not in table:
        raise ValueError(f"backend: expected one of {['auto', *table]}, got {name!r}")
    reason = table[name].supports(device)
    if reason:
        raise RuntimeError(f"backend {name!r} was asked for, but {reason}; use backend='auto' or another name")
    return name


def device_of(name: str) -> torch.device:
    """A device by its name. Raises DlkaError where torch finds none of this name here."""
    try:
        device = torch.device(name)
        there = (device.index or 0) < torch.get_device_module(device).device_count()
    except (RuntimeError, TypeError):  # a word that torch does not know; what is no word
        there = False
    if not there:
        raise DlkaError(f"device: torch finds no {short(name)} here; leave it out for the best that it finds.")
    return device
