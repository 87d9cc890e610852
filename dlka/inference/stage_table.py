"""The deform stages of a model as rows for a table."""

from __future__ import annotations

from typing import Any

from dlka.errors import DlkaError
from dlka.inference.letterbox import side_multiple
from dlka.inference.probe import stages
from dlka.models.catalog import find
from dlka.models.weights import load_model
from dlka.ops.sampling import output_size


def stage_rows(model: str, size: int) -> list[dict[str, Any]]:
    """One row a stage, in the order they run, for a square input of `size` pixels; empty for stock YOLOv8.

    map: (height x width) in cells; parameters: of the stage with its offset convolution. Raises DlkaError, and
    ValueError for a size that is no multiple of 32 from 32 to 4096.
    """
    net, _ = load_model(find(model))
    multiple = side_multiple(int(stride) for stride in net.stride)
    if size % multiple or not 32 <= size <= 4096:
        raise DlkaError(f"size: expected a multiple of {multiple} from 32 to 4096, got {size}")
    rows = []
    for stage in stages(net):
        side = size // stage.stride
        height, width = output_size((side, side), stage.kernel, stage.step, stage.padding, stage.dilation)
        rows.append(
            {
                "name": stage.name,
                "level": stage.level,
                "kernel": f"{stage.kernel[0]}x{stage.kernel[1]}",
                "dilation": stage.dilation[0],
                "stride": stage.stride,
                "map": f"{height}x{width}",
                "channels": stage.channels,
                "parameters": sum(p.numel() for p in net.get_submodule(stage.name).parameters()),
            }
        )
    return rows
