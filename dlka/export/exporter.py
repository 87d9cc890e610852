"""A model as a file for other programs, checked against PyTorch before it is kept: whether it finds the same on real
pictures, at several shapes and more than one at a time.

Also what can be exported, what cannot carry a deformable convolution today, and why: one sentence for each.
"""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from ultralytics.engine.exporter import export_formats
from ultralytics.utils import ASSETS

from dlka.errors import DlkaError, check_new_file, last_line
from dlka.export.network import INPUT, LEAST, MOST, OUTPUT, ExportNet, internal_outputs, metadata, write
from dlka.images import read_image
from dlka.inference.box_origin import corners
from dlka.inference.letterbox import Letterbox
from dlka.layers import DeformConv
from dlka.models.blocks import suppress
from dlka.models.build import DLKAModel
from dlka.models.catalog import find
from dlka.models.weights import Card, load_model

SIZES = (640, 320)  # inputs of the check, in pixels of the longer side
PICTURES = ("bus.jpg", "zidane.jpg")  # upright and flat; they come with Ultralytics
CONFIDENCE, IOU = 0.25, 0.7
BEST = 100  # cells of the highest scores: compared without NMS too, for models that find nothing on these pictures
PIXELS = 0.01  # of the original picture
SCORE = 1e-3
INTERNAL = 1e-3  # of the largest value of that output, at least of 1: cells for offsets
SECONDS = 600.0  # for all inputs of the check
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


@dataclass(frozen=True)
class Case:
    """One input: images [N, 3, H, W] float32 in 0..1, and the letterbox that all N share."""

    picture: str
    images: np.ndarray
    letterbox: Letterbox


@dataclass(frozen=True)
class Agreement:
    """How far the file is from PyTorch on one input.

    boxes: after NMS; pixels: the largest distance of a box edge, in the original picture; score: of a score;
    internal: of the further outputs, relative (see INTERNAL), None where there are none.
    """

    picture: str
    shape: tuple[int, ...]
    boxes: int
    pixels: float
    score: float
    internal: float | None


def cases(sizes: Sequence[int]) -> list[Case]:
    """Every picture at every size; from the second size on together with its mirror image, as a batch of two."""
    found = []
    for number, size in enumerate(sizes):
        for picture in PICTURES:
            image = read_image(ASSETS / picture)
            letterbox = Letterbox.fit((image.shape[0], image.shape[1]), size)
            views = [image] if number == 0 else [image, np.ascontiguousarray(image[:, ::-1])]
            images = np.stack([letterbox.apply(view).transpose(2, 0, 1) for view in views])
            found.append(Case(picture, images.astype(np.float32) / 255, letterbox))
    return found


def run(file: Path, inputs: Sequence[np.ndarray], operator: bool) -> list[list[np.ndarray]]:
    """The outputs of a file for every input, by a fresh process that loads it as a user would, on the CPU.

    operator: import dlka.ops.library before. Raises DlkaError with the process' last line where it fails.
    """
    search = [str(Path(__file__).resolve().parents[2]), *(os.path.abspath(entry) for entry in sys.path if entry)]
    with TemporaryDirectory(prefix="dlka-export-") as folder:
        for number, images in enumerate(inputs):
            np.save(Path(folder) / f"{number}.npy", images)
        try:
            child = subprocess.run(
                [sys.executable, "-m", "dlka.export.child", file.resolve(), folder, *["dlka.ops.library"] * operator],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
                cwd=folder,  # so that nothing in the working folder is taken for a module
                env=os.environ | {"PYTHONPATH": os.pathsep.join(search)},
            )
        except subprocess.TimeoutExpired:
            raise DlkaError(f"{file.name}: running it took more than {SECONDS:g} seconds; not kept.") from None
        if child.returncode:
            reason = last_line(child.stderr)
            raise DlkaError(f"{file.name}: a fresh process could not run it ({reason:.300}); not kept.")
        results = []
        for number in range(len(inputs)):
            with np.load(Path(folder) / f"{number}.npz") as arrays:
                results.append([arrays[f"arr_{i}"] for i in range(len(arrays.files))])
    return results


def compare(case: Case, expected: Sequence[np.ndarray], got: Sequence[np.ndarray]) -> Agreement:
    """How far `got` is from `expected`, the outputs of one input in order: output0, then the internals.

    Raises DlkaError where they differ in shape, in the boxes that remain after NMS, or by more than PIXELS, SCORE
    or INTERNAL.
    """
    where = f"on {case.picture} at {'x'.join(map(str, case.images.shape))}"
    shapes = [list(map(list, (a.shape for a in outputs))) for outputs in (expected, got)]
    if shapes[0] != shapes[1]:
        raise DlkaError(f"The file gives outputs of shapes {shapes[1]} {where}, PyTorch {shapes[0]}; not kept.")
    boxes, moves, changes = 0, [], []
    for one, other in zip(expected[0], got[0]):
        kept = _after_nms(one), _after_nms(other)
        if not np.array_equal(kept[0][:, 4:], kept[1][:, 4:]):
            raise DlkaError(f"The file finds other boxes than PyTorch {where}; not kept.")
        boxes += len(kept[0])
        best = np.argsort(one[4:].max(0))[-BEST:]
        raw = [corners(torch.from_numpy(output[:4, best].T).double()).numpy() for output in (one, other)]
        for a, b in (kept, raw):
            moves.append(case.letterbox.boxes_back(a[:, :4]) - case.letterbox.boxes_back(b[:, :4]))
        changes.append(one[4:] - other[4:])
    further = [(a - b) / max(1, np.abs(a).max()) for a, b in zip(expected[1:], got[1:])]
    pixels, score, internal = _largest(moves), _largest(changes), _largest(further) if further else None
    if not (pixels <= PIXELS and score <= SCORE and (internal or 0) <= INTERNAL):  # NaN is not kept either
        also = "" if internal is None else f" and internals by {internal:.2g}"
        raise DlkaError(
            f"The file does not give what PyTorch gives {where}: boxes differ by up to {pixels:.2g} pixels, scores by "
            f"{score:.2g}{also}; not kept."
        )
    return Agreement(case.picture, case.images.shape, boxes, pixels, score, internal)


def _after_nms(output: np.ndarray) -> np.ndarray:
    """output [4 + classes, cells] -> rows [n, 6]: x1, y1, x2, y2 in letterboxed pixels, class, cell; by cell."""
    rows, index = suppress(torch.from_numpy(output)[None], CONFIDENCE, IOU)
    found = np.column_stack([rows[:, :4].double().numpy(), rows[:, 5].numpy(), index.numpy()])
    return found[np.argsort(found[:, 5])]


def _largest(differences: Sequence[np.ndarray]) -> float:
    """The largest absolute value; NaN where there is one."""
    return float(np.max([np.abs(difference).max(initial=0) for difference in differences]))
