"""A model as it is exported: one tensor in, named tensors out, and what the file says about itself."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from typing import Any

import torch
from torch import nn

import dlka
from dlka.inference.letterbox import side_multiple
from dlka.inference.probe import probe
from dlka.layers import DeformableLKA, DeformConv
from dlka.models.build import DLKAModel
from dlka.models.weights import Card

INPUT, OUTPUT = "images", "output0"  # as Ultralytics' exporters name them


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
        handles = []
        try:
            for module in self.model.modules():
                if isinstance(module, DeformConv):
                    handles.append(module.offset_net.register_forward_hook(_keep(offsets)))
                if isinstance(module, DeformableLKA):
                    handles.append(module.conv1.register_forward_hook(_keep(gates)))
            output = self.model(images)
        finally:
            for handle in handles:
                handle.remove()
        return (output, *offsets, *gates)


def _keep(found: list[torch.Tensor]) -> Any:
    def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        found.append(output)

    return hook


def internal_outputs(model: nn.Module) -> list[dict[str, Any]]:
    """One row for each further output, in order: all offsets, then all gates, each as they run.

    Offsets [N, 2K, H/stride, W/stride] are in cells, interleaved dy, dx, taps row-major; gates [N, C, H/stride,
    W/stride] are signed. "output" is the name, for example offset_P3_5x5, offset_P3_7x7_d3 or gate_P3; the second of
    the same name in a model ends in _2 and so on; "module" says which one it is.
    """
    with torch.no_grad(), probe(model) as captures:
        model(torch.zeros(1, 3, 64, 64))
    rows: list[dict[str, Any]] = []
    for stage in (capture.stage for capture in captures.offsets):
        sizes = {"kernel": stage.kernel, "dilation": stage.dilation, "padding": stage.padding}
        label = "offset_" + stage.label.replace(" ", "_")
        rows.append(
            {"output": label, "module": stage.name, "stride": stage.stride, "channels": 2 * stage.taps, **sizes}
        )
    for gate in captures.gates:
        channels = gate.values.shape[0]
        rows.append({"output": f"gate_{gate.level}", "module": gate.block, "stride": gate.stride, "channels": channels})
    seen: Counter[str] = Counter()
    for row in rows:
        label = row["output"]
        seen[label] += 1
        row["output"] = label if seen[label] == 1 else f"{label}_{seen[label]}"
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
