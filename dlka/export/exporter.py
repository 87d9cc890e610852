"""A model as a file for other programs, checked against PyTorch before it is kept.

Also what can be exported, what cannot carry a deformable convolution today, and why: one sentence for each.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from ultralytics.engine.exporter import export_formats

from dlka.errors import DlkaError, check_new_file
from dlka.export.check import Agreement, cases, compare, run
from dlka.export.network import INPUT, LEAST, MOST, OUTPUT, ExportNet, internal_outputs, metadata, write
from dlka.layers import DeformConv
from dlka.models.build import DLKAModel
from dlka.models.catalog import find
from dlka.models.weights import Card, load_model

SIZES = (640, 320)  # inputs of the check, in pixels of the longer side
RUNTIME = (1, 25)  # the first ONNX Runtime that runs DeformConv
# Name, which is also the file's suffix -> modules that writing and checking it need besides the project's own.
FORMATS = {"onnx": ["onnx", "onnxscript", "onnxruntime"], "torchscript": [], "pt2": []}

# Ultralytics' names of formats -> why a model with deformable convolutions is not exported to them (November 2026); of
# its others no converter is known that could.
ELSEWHERE = {
    "openvino": "OpenVINO 2026.4 has no conversion rule for ONNX's DeformConv",
    "engine": (
        "TensorRT builds an engine on the GPU that it is for, from an ONNX file, whose DeformConv it reads since 10.1 "
        "(not tried here)"
    ),
    "coreml": "Core ML Tools 9.0 cannot convert a deformable convolution",
    **dict.fromkeys(
        ("saved_model", "pb", "litert", "edgetpu"),
        "TensorFlow and LiteRT have no deformable convolution; newer versions of onnx2tf unroll that of an ONNX file "
        "into gathers (not tried here)",
    ),
    "ncnn": "ncnn's DeformableConv2D has no groups, and that of D-LKA is depthwise",
    "executorch": "ExecuTorch's kernel libraries have no deformable convolution",
}
ALIASES = {"tensorrt": "engine", "tflite": "litert", "tensorflow": "saved_model"}


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
    model: str, format_name: str, out: str | Path | None = None, internals: bool = False, sizes: Sequence[int] = SIZES
) -> Exported:
    """Write `model` (an id or a weights file) as onnx, torchscript or pt2, and check what the file finds.

    The file takes images [batch, 3, height, width] and gives what `ExportNet` gives: batch and sides are free, sides
    are multiples of 32. out: by default the model's name with the format's suffix in the working folder.
    internals: offsets of every deform stage and gates of every block as further outputs. sizes: of the check.

    The file appears whole, after the check, or not at all. Raises DlkaError for formats that cannot carry
    the model, for a place that cannot be written to, missing packages and files that do not agree.
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
    check_format(format_name, name, deformable)
    file = Path(out or f"{name}.{format_name}")
    check_new_file(file, f".{format_name}")
    needed = FORMATS[format_name] + (["numba"] if deformable else [])  # numba: the operator's own
    if missing := " ".join(package for package in needed if importlib.util.find_spec(package) is None):
        raise DlkaError(f"format {format_name} needs what is not installed here; get it with: pip install {missing}")
    if format_name == "onnx" and deformable:
        check_runtime()
    further = internal_outputs(loaded) if internals else []
    if internals and not further:
        raise DlkaError(f"{name} has no offsets and no gates to give out; leave --internals away.")

    strides = [int(stride) for stride in loaded.stride]
    about = metadata(name, card, strides, further)
    net = ExportNet(loaded, internals)
    inputs = cases(sizes)
    with torch.no_grad():
        outputs = [net(torch.from_numpy(case.images)) for case in inputs]
    expected = [[tensor.numpy() for tensor in (given if isinstance(given, tuple) else (given,))] for given in outputs]
    try:
        workplace = TemporaryDirectory(dir=file.parent, prefix=".dlka-export-")
    except OSError as error:
        raise DlkaError(f"{file.parent}: no file can be written to this folder ({error.strerror}).") from None
    with workplace as folder:
        unfinished = Path(folder) / file.name
        write(net, unfinished, further, about)
        got = run(unfinished, [case.images for case in inputs], operator=deformable and format_name != "onnx")
        checks = tuple(compare(*three) for three in zip(inputs, expected, got))
        unfinished.replace(file)
    limits = f" from {LEAST} to {MOST}" if format_name == "pt2" else ""
    boxes = f"[batch, {4 + len(card.names)}, cells] float32: x, y, width, height in input pixels"
    tensors = {
        INPUT: f"[batch, 3, height, width] float32, RGB in 0..1, letterboxed; sides are multiples of 32{limits}",
        OUTPUT: f"{boxes}, then scores; before NMS",
        **{
            row["output"]: "[batch, {channels}, height/{stride}, width/{stride}] float32".format(**row)
            for row in further
        },
    }
    return Exported(file, tensors, *_load(file, deformable), checks)


def check_format(name: str, model: str, deformable: bool) -> None:
    """DlkaError for formats but FORMATS, with the reason and what to do instead.

    deformable: whether `model`, named in the sentence, has deformable convolutions.
    """
    if name in FORMATS:
        return
    theirs = ALIASES.get(name, name)
    known = export_formats()
    titles = dict(zip(known["Argument"], known["Format"]))
    if theirs not in (titles.keys() | ELSEWHERE.keys()) - {"-"}:
        raise DlkaError(f"format: expected one of {', '.join(FORMATS)}, got {name!r:.40}.")
    if not deformable:
        raise DlkaError(
            f"format {name}: {model} has no deformable convolution, so that converters take it: use --format onnx and "
            f"convert that file, or export a checkpoint with Ultralytics' own exporter: yolo export format={theirs}."
        )
    unknown = f"no converter that reads a deformable convolution for {titles.get(theirs)} is known to this project"
    reason = ELSEWHERE.get(theirs, unknown)
    raise DlkaError(f"format {name}: {reason}; use --format onnx, which ONNX Runtime runs on CPU and CUDA.")


def check_runtime() -> None:
    """DlkaError where the ONNX Runtime that is installed cannot run a deformable convolution."""
    import onnxruntime

    installed = onnxruntime.__version__
    if tuple(int(part) for part in installed.split(".")[:2]) < RUNTIME:
        raise DlkaError(
            f"format onnx: ONNX Runtime {installed} cannot run DeformConv, so the file could not be checked; expected "
            f"{RUNTIME[0]}.{RUNTIME[1]} or newer, which needs Python 3.11 or newer."
        )


def _load(file: Path, deformable: bool) -> tuple[str, str]:
    """What the check ran the file with, and how to open it."""
    if file.suffix == ".onnx":
        import onnxruntime

        oldest = ".".join(map(str, RUNTIME))
        load = "ONNX Runtime" + (f" {oldest} or newer, which has DeformConv" * deformable)
        return f"ONNX Runtime {onnxruntime.__version__}", load
    call = f"torch.export.load({file.name!r}).module()" if file.suffix == ".pt2" else f"torch.jit.load({file.name!r})"
    load = f"{call}, with torch alone"
    if deformable:
        load = f"import dlka.ops.library, then {call}; its fused operator runs on the CPU where dlka is installed"
    return f"a fresh process with torch {torch.__version__}", load
