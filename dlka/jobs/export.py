"""A model as a file for other programs, checked against PyTorch before it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

from dlka.jobs import export_onnx, export_torch
from dlka.jobs.export_check import Agreement, cases, compare
from dlka.jobs.export_formats import ExportRefused, check_format, check_packages
from dlka.jobs.export_net import INPUT, OUTPUT, ExportNet, internal_outputs, metadata
from dlka.layers import DeformConv
from dlka.models.build import DLKAModel
from dlka.models.catalog import find
from dlka.models.weights import Card, load_model

SIZES = (640, 320)  # inputs of the check, in pixels of the longer side


@dataclass(frozen=True)
class Exported:
    """A file that was written and agreed with PyTorch.

    tensors: name -> shape in words, of the input and of every output in order; runtime: what the check ran it with;
    load: how to open it; checks: one for each input.
    """

    file: Path
    tensors: dict[str, str]
    runtime: str
    load: str
    checks: tuple[Agreement, ...]


def export_model(
    model: str,
    format_name: str,
    out: str | Path | None = None,
    internals: bool = False,
    sizes: Sequence[int] = SIZES,
) -> Exported:
    """Write `model` (an id or a weights file) as onnx, torchscript or pt2, and check what the file finds.

    The file takes images [batch, 3, height, width] and gives what `ExportNet` gives: batch and sides are free, sides
    are multiples of 32. out: by default the model's name with the format's suffix in the working folder.
    internals: offsets of every deform stage and gates of every block as further outputs. sizes: of the check.

    The file appears whole, after the check, or not at all. Raises WeightsRefused, and ExportRefused for formats that
    cannot carry the model, for a place that cannot be written to, missing packages and files that do not agree.
    """
    path = find(model)
    loaded, card = load_model(path)
    return export_loaded(loaded, card, path.stem, format_name, out, internals, sizes)


def export_loaded(
    loaded: DLKAModel,
    card: Card,
    name: str,
    format_name: str,
    out: str | Path | None = None,
    internals: bool = False,
    sizes: Sequence[int] = SIZES,
) -> Exported:
    """`export_model` for a model in memory, which it takes over; name: what the model is called in the file."""
    deformable = any(isinstance(module, DeformConv) for module in loaded.modules())
    kind = check_format(format_name, name, deformable)
    file = _place(out, f"{name}{kind.suffix}")
    check_packages((*kind.packages, *(["numba"] if deformable else [])), format_name)  # numba: the operator's own
    if format_name == "onnx":
        export_onnx.check_runtime(deformable)
    further = internal_outputs(loaded) if internals else []
    if internals and not further:
        raise ExportRefused(f"{name} has no offsets and no gates to give out; leave --internals away.")

    strides = [int(stride) for stride in loaded.stride]
    about = metadata(name, card, strides, further)
    names = [OUTPUT, *(row["output"] for row in further)]
    net = ExportNet(loaded, internals)
    inputs = cases(sizes)
    expected = [_outputs(net, case.images) for case in inputs]
    with _workplace(file) as folder:
        unfinished = Path(folder) / file.name
        if format_name == "onnx":
            export_onnx.write(net, unfinished, names, [None, *(row["stride"] for row in further)], about)
            run: Any = export_onnx.run
        else:
            write = export_torch.write_pt2 if format_name == "pt2" else export_torch.write_torchscript
            write(net, unfinished, about)
            run = partial(export_torch.run, operator=deformable)
        got = run(unfinished, [case.images for case in inputs])
        checks = tuple(compare(*three) for three in zip(inputs, expected, got))
        unfinished.replace(file)
    runtime = export_onnx.runtime() if format_name == "onnx" else export_torch.runtime()
    return Exported(file, _tensors(format_name, len(card.names), further), runtime, _load(file, deformable), checks)


def _place(out: str | Path | None, default: str) -> Path:
    """The file to write; ExportRefused where it has another suffix, exists already or has no folder to be in."""
    file, suffix = Path(out or default), Path(default).suffix
    if file.suffix != suffix:
        raise ExportRefused(f"{file}: expected a name that ends in {suffix}.")
    if file.exists():
        raise ExportRefused(f"{file} exists already; give another name (--out) or remove it first.")
    if not file.parent.is_dir():
        raise ExportRefused(f"{file.parent}: there is no such folder to write to.")
    return file


def _workplace(file: Path) -> TemporaryDirectory[str]:
    """A folder beside the file; ExportRefused where nothing can be written."""
    try:
        return TemporaryDirectory(dir=file.parent, prefix=".dlka-export-")
    except OSError as error:
        raise ExportRefused(f"{file.parent}: no file can be written to this folder ({error.strerror}).") from None


def _outputs(net: ExportNet, images: np.ndarray) -> list[np.ndarray]:
    with torch.no_grad():
        outputs = net(torch.from_numpy(images))
    return [tensor.numpy() for tensor in (outputs if isinstance(outputs, tuple) else (outputs,))]


def _tensors(format_name: str, classes: int, further: list[dict[str, Any]]) -> dict[str, str]:
    limits = f" from {export_torch.LEAST} to {export_torch.MOST}" if format_name == "pt2" else ""
    return {
        INPUT: f"[batch, 3, height, width] float32, RGB in 0..1, letterboxed; sides are multiples of 32{limits}",
        OUTPUT: f"[batch, {4 + classes}, cells] float32: x, y, width, height in input pixels, then scores; before NMS",
    } | {row["output"]: "[batch, {channels}, height/{stride}, width/{stride}] float32".format(**row) for row in further}


def _load(file: Path, deformable: bool) -> str:
    if file.suffix == ".onnx":
        version = ".".join(map(str, export_onnx.RUNTIME))
        return "ONNX Runtime" + (f" {version} or newer, which has DeformConv" * deformable)
    call = f"torch.export.load({file.name!r}).module()" if file.suffix == ".pt2" else f"torch.jit.load({file.name!r})"
    if not deformable:
        return f"{call}, with torch alone"
    return f"import dlka.ops.library, then {call}; its fused operator runs on the CPU where dlka is installed"
