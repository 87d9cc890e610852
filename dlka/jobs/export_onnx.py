"""ONNX with the standard operator DeformConv: writing the file, and running it in ONNX Runtime.

The only file that imports onnx and its relatives, each when it is needed.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dlka.jobs.export_formats import ExportRefused
from dlka.jobs.export_net import INPUT, ExportNet
from dlka.jobs.export_torch import dynamic_shapes, example

OPSET = 19  # the first one with DeformConv; a newer one would only shut out older readers
RUNTIME = (1, 25)  # the first ONNX Runtime that runs DeformConv


def check_runtime(deformable: bool) -> None:
    """ExportRefused where the ONNX Runtime that is installed cannot run a deformable convolution."""
    import onnxruntime

    version = tuple(int(part) for part in onnxruntime.__version__.split(".")[:2])
    if deformable and version < RUNTIME:
        raise ExportRefused(
            f"format onnx: ONNX Runtime {onnxruntime.__version__} cannot run DeformConv, so the file could not be "
            f"checked; expected {RUNTIME[0]}.{RUNTIME[1]} or newer, which needs Python 3.11 or newer."
        )


def write(
    net: ExportNet, file: Path, names: Sequence[str], strides: Sequence[int | None], about: dict[str, str]
) -> None:
    """Write the network with dynamic axes batch, height and width.

    names, strides: of every output, the stride in pixels a cell, None for output0; about: the metadata.
    """
    import onnx

    table: dict[Any, Any] = {}
    if _has_operator():
        table[torch.ops.dlka.deform_dwconv2d.default] = _deform_conv
    with _quiet():
        program = torch.onnx.export(
            net,
            (example(),),
            dynamo=True,
            opset_version=OPSET,
            input_names=[INPUT],
            output_names=list(names),
            dynamic_shapes=dynamic_shapes(),
            custom_translation_table=table,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    _name_axes(model.graph, strides)
    for node in model.graph.node:  # where it stood in the source, with the paths of this machine
        del node.metadata_props[:]
        node.doc_string = ""
    onnx.helper.set_model_props(model, about)
    model.producer_name, model.producer_version = "dlka", about["version"]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, file)


def run(file: Path, inputs: Sequence[np.ndarray]) -> list[list[np.ndarray]]:
    """The outputs of the file for every input, by ONNX Runtime on the CPU."""
    import onnxruntime

    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return [session.run(None, {INPUT: images}) for images in inputs]


def runtime() -> str:
    """What `run` runs it with, for people."""
    import onnxruntime

    return f"ONNX Runtime {onnxruntime.__version__}"


def _deform_conv(
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


def _has_operator() -> bool:
    return hasattr(torch.ops.dlka, "deform_dwconv2d")


def _name_axes(graph: Any, strides: Sequence[int | None]) -> None:
    """Names for people in place of the exporter's symbols, which no later step needs."""
    del graph.value_info[:]
    for value, stride in [(graph.input[0], 1), *zip(graph.output, strides)]:
        batch, _, *sides = value.type.tensor_type.shape.dim
        batch.dim_param = "batch"
        words = ["cells"] if stride is None else ["height", "width"]
        for side, word in zip(sides, words):
            side.dim_param = word if stride in (None, 1) else f"{word}/{stride}"


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's remarks on attributes that Ultralytics' head sets while it runs."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
