"""The implementations of the operator, as a table. An explicit name runs or raises with the reason.

``auto`` takes the first of AUTO that supports the tensor's device:
on the CPU numba, then torch; on other devices torchvision, then torch. torchvision's CPU kernel is never chosen by
itself: it is the slowest of the three.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch

from dlka.ops.geometry import Geometry

Run = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, "torch.Tensor | None", Geometry], torch.Tensor]


@dataclass(frozen=True)
class Backend:
    """supports(device) gives None or the reason why not; load() imports what it needs and gives the function."""

    supports: Callable[[torch.device], str | None]
    load: Callable[[], Run]


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


def _load_numba() -> Run:
    from dlka.ops.library import fused

    def run(
        x: torch.Tensor, offset: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, geometry: Geometry
    ) -> torch.Tensor:
        return fused(x, offset, weight, bias, list(geometry.stride), list(geometry.padding), list(geometry.dilation))

    return run


def _load(module: str) -> Callable[[], Run]:
    return lambda: importlib.import_module(f"dlka.ops.{module}").run


BACKENDS: dict[str, Backend] = {
    "numba": Backend(_numba_supports, _load_numba),
    "torch": Backend(lambda device: None, _load("torch_cpu")),
    "torchvision": Backend(lambda device: None, _load("vision")),
    "reference": Backend(lambda device: None, _load("reference")),
}
AUTO = {"cpu": ("numba", "torch")}
AUTO_ELSEWHERE = ("torchvision", "torch")

_chosen: dict[tuple[str, str], Run] = {}


def choose(name: str, device: torch.device) -> Run:
    """The function of a backend for a device. ValueError for an unknown name, RuntimeError where it cannot run."""
    key = (name, device.type)
    if key not in _chosen:
        _chosen[key] = BACKENDS[resolve(name, device)].load()
    return _chosen[key]


def resolve(name: str, device: torch.device) -> str:
    """The name of the backend that runs: itself, or what "auto" stands for on this device."""
    if name == "auto":
        candidates = AUTO.get(device.type, AUTO_ELSEWHERE)
        return next(c for c in candidates if BACKENDS[c].supports(device) is None)
    if name not in BACKENDS:
        raise ValueError(f"backend: expected one of {['auto', *BACKENDS]}, got {name!r}")
    reason = BACKENDS[name].supports(device)
    if reason:
        raise RuntimeError(f"backend {name!r} was asked for, but {reason}; use backend='auto' or another name")
    return name
