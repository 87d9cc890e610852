"""A model as it is exported: one tensor in, named tensors out, what the file says about itself, and writing it.

ONNX files have the standard operator DeformConv. torch's own formats, torch.export (pt2) and TorchScript, keep the
project's fused operator as one node: a file runs at full speed where dlka is installed and `import dlka.ops.library`
has registered the operator, and nowhere else; models without deformable convolutions need torch alone. Both are traced
on the CPU, for the CPU. This is the only file that imports onnx and onnxscript, each when it is needed.
"""

from __future__ import annotations

import json
import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.export import Dim

import dlka
from dlka.inference.letterbox import side_multiple
from dlka.inference.probe import probe
from dlka.layers import DeformableLKA, DeformConv
from dlka.models.build import DLKAModel
from dlka.models.weights import Card

INPUT, OUTPUT = "images", "output0"  # as Ultralytics' exporters name them
STRIDE = 32
LEAST, MOST = 64, 4096  # sides of the input in pixels; torch.export takes a map of one cell for a special case
OPSET = 19  # of ONNX: the first one with DeformConv; a newer one would only shut out older readers
PT2_METADATA = "metadata.json"  # the name of the metadata in the file
TORCHSCRIPT_METADATA = "config.txt"  # where Ultralytics looks for it


class ExportNet(nn.Module):
    """The fused model without NMS, on the CPU; it takes the model over.

    forward: images [N, 3, H, W] float32, RGB in 0..1, letterboxed to multiples of 32
    -> output0 [N, 4 + classes, cells]: centre x, centre y, width, height in pixels of the input, then scores in 0..1;
    cells of all levels, finest first, row-major. With internals a tuple: output0, then what `internal_outputs` lists.
    """

    def __init__(self, model: DLKAModel, internals: bool = False) -> None:
        super().__init__()
        self.internals = internals
        self.model = model.float().fuse(verbose=False).eval().requires_grad_(False)
        head: Any = model.model[-1]
        head.export = True  # decoded boxes alone, without the raw maps
        head.dynamic = True  # the grid is made anew in the graph instead of taken from the last size seen

    def forward(self, images: torch.Tensor) -> Any:
        if not self.internals:
            return self.model(images)
        offsets: list[torch.Tensor] = []
        gates: list[torch.Tensor] = []
        with ExitStack() as hooks:
            for module in self.model.modules():
                if isinstance(module, DeformConv):
                    hooks.enter_context(module.offset_net.register_forward_hook(lambda _, x, out: offsets.append(out)))
                if isinstance(module, DeformableLKA):
                    hooks.enter_context(module.conv1.register_forward_hook(lambda _, x, out: gates.append(out)))
            output = self.model(images)
        return (output, *offsets, *gates)


def internal_outputs(model: nn.Module) -> list[dict[str, Any]]:
    """One row for each further output, in order: all offsets, then all gates, each as they run.

    Offsets [N, 2K, H/stride, W/stride] are in cells, interleaved dy, dx, taps row-major; gates [N, C, H/stride,
    W/stride] are signed. "output" is the name, for example offset_P3_5x5, offset_P3_7x7_d3 or gate_P3; the second of
    the same name in a model ends in _2 and so on; "module" says which one it is.
    """
    with torch.no_grad(), probe(model) as captures:
        model(torch.zeros(1, 3, 64, 64))
    rows: list[dict[str, Any]] = []
    seen: Counter[str] = Counter()

    def add(output: str, module: str, stride: int, channels: int, **sizes: Any) -> None:
        seen[output] += 1
        name = output if seen[output] == 1 else f"{output}_{seen[output]}"
        rows.append({"output": name, "module": module, "stride": stride, "channels": channels, **sizes})

    for stage in (capture.stage for capture in captures.offsets):
        sizes = {"kernel": stage.kernel, "dilation": stage.dilation, "padding": stage.padding}
        add("offset_" + stage.label.replace(" ", "_"), stage.name, stage.stride, 2 * stage.taps, **sizes)
    for gate in captures.gates:
        add(f"gate_{gate.level}", gate.block, gate.stride, gate.values.shape[0])
    return rows


def metadata(name: str, card: Card, strides: list[int], internals: list[dict[str, Any]]) -> dict[str, str]:
    """What stands in the file, all texts.

    Keys that Ultralytics knows have its meaning, and no key is the name of a part of its backends, which take all of
    them for attributes: so Ultralytics' YOLO runs the file.
    names: JSON, class number -> name; card: JSON of the weights file's card without the names; internals: JSON of
    `internal_outputs`.
    """
    values = asdict(card)
    names = values.pop("names")
    return {
        "description": f"{name}: YOLOv8{card.scale}, placement {card.placement}, offsets {card.offsets}",
        "model_id": name,
        "version": dlka.__version__,
        "license": card.licence,
        "task": "detect",
        "stride": str(side_multiple(strides)),
        "strides": json.dumps(strides),
        "names": json.dumps({str(number): text for number, text in names.items()}),
        "imgsz": json.dumps([card.input_size] * 2),
        "batch": "1",
        "channels": "3",
        "args": json.dumps({"dynamic": 1}),  # read as a Python literal by Ultralytics, which has no `true`
        "card": json.dumps(values),
        "internals": json.dumps(internals),
    }


def write(net: ExportNet, file: Path, further: Sequence[dict[str, Any]], about: dict[str, str]) -> None:
    """Write the network in the format of the file's suffix; batch and sides of the input stay free.

    further: rows of `internal_outputs`, where the network gives them; about: the metadata.
    """
    # To trace with: more than one picture, not square, so that no size is taken for a constant.
    images = torch.zeros(2, 3, 3 * STRIDE, 2 * STRIDE)
    sides = (STRIDE * Dim(side, min=LEAST // STRIDE, max=MOST // STRIDE) for side in ("height", "width"))
    dynamic_shapes: Any = ({0: Dim("batch", min=1), **dict(zip((2, 3), sides))},)
    # The exporters remark on attributes that Ultralytics' head sets while it runs, and on checks of shapes that a trace
    # leaves out.
    logger = logging.getLogger("torch.onnx")
    with ExitStack() as after, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        after.callback(logger.setLevel, logger.level)
        logger.setLevel(logging.ERROR)
        if file.suffix == ".onnx":
            _write_onnx(net, file, images, dynamic_shapes, further, about)
            return
        # The layout that the fused operator works in.
        net.to(memory_format=torch.channels_last)
        images = images.contiguous(memory_format=torch.channels_last)
        if file.suffix == ".pt2":
            program = torch.export.export(net, (images,), dynamic_shapes=dynamic_shapes, strict=False)
            torch.export.save(program, file, extra_files={PT2_METADATA: json.dumps(about)})
        else:
            with torch.no_grad():
                traced = torch.jit.trace(net, (images,), check_trace=False)
            torch.jit.save(traced, str(file), _extra_files={TORCHSCRIPT_METADATA: json.dumps(about)})


def _write_onnx(
    net: ExportNet,
    file: Path,
    images: torch.Tensor,
    dynamic_shapes: Any,
    further: Sequence[dict[str, Any]],
    about: dict[str, str],
) -> None:
    import onnx

    table: dict[Any, Any] = {}
    if hasattr(torch.ops.dlka, "deform_dwconv2d"):
        table[torch.ops.dlka.deform_dwconv2d.default] = onnx_deform_conv
    program = torch.onnx.export(
        net,
        (images,),
        dynamo=True,
        opset_version=OPSET,
        input_names=[INPUT],
        output_names=[OUTPUT, *(row["output"] for row in further)],
        dynamic_shapes=dynamic_shapes,
        custom_translation_table=table,
        verbose=False,
    )
    assert program is not None
    model = program.model_proto
    graph = model.graph
    # Names for people in place of the exporter's symbols, which no later step needs.
    del graph.value_info[:]
    strides = [1, None, *(row["stride"] for row in further)]
    for value, stride in zip([graph.input[0], *graph.output], strides):
        batch, _, *sides = value.type.tensor_type.shape.dim
        batch.dim_param = "batch"
        for side, word in zip(sides, ["cells"] if stride is None else ["height", "width"]):
            side.dim_param = word if stride in (None, 1) else f"{word}/{stride}"
    for node in graph.node:  # where it stood in the source, with the paths of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.helper.set_model_props(model, about)
    model.producer_name, model.producer_version = "dlka", about["version"]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def onnx_deform_conv(
    x: Any,
    offset: Any,
    weight: Any,
    bias: Any = None,
    stride: Sequence[int] = (1, 1),
    padding: Sequence[int] = (0, 0),
    dilation: Sequence[int] = (1, 1),
) -> Any:
    """The project's operator in ONNX's words. Both lay offsets out alike: dy, dx interleaved, taps row-major."""
    from onnxscript import opset19

    channels, _, height, width = (int(side) for side in weight.shape)
    return opset19.DeformConv(
        x,
        weight,
        offset,
        *(() if bias is None else (bias,)),
        dilations=list(dilation),
        group=channels,
        kernel_shape=[height, width],
        offset_group=1,
        pads=[*padding, *padding],
        strides=list(stride),
    )
