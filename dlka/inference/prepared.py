"""What goes into a model, and the model as it looks: folded, in the memory layout that is quickest, sizes checked."""

from __future__ import annotations

from copy import deepcopy
from numbers import Integral, Real
from typing import Any

import numpy as np
import torch

from dlka.errors import DlkaError, short
from dlka.inference.letterbox import side_multiple
from dlka.inference.probe import stages
from dlka.models.build import DLKAModel
from dlka.models.catalog import find
from dlka.models.weights import load_model
from dlka.ops.sampling import output_size


def ready(model: DLKAModel, device: torch.device) -> DLKAModel:
    """A copy of a model as it looks at pictures: float32, batch norms folded into convolutions, on the device.

    On the CPU its weights lie channels-last, as pictures do: then no layer has to turn its maps around. On other
    devices their layout is left alone (unmeasured).
    """
    copy = deepcopy(model).float().fuse(verbose=False).eval().requires_grad_(False).to(device)
    return copy.to(memory_format=torch.channels_last) if device.type == "cpu" else copy


def as_input(pictures: np.ndarray, device: torch.device) -> torch.Tensor:
    """RGB [N, H, W, 3] uint8 -> [N, 3, H, W] float32 in 0..1; channels-last in memory, as the pictures are."""
    return torch.from_numpy(pictures).to(device).permute(0, 3, 1, 2).float() / 255


def check_size(size: int, multiple: int) -> None:
    """Raises DlkaError for the longer side of an input, in pixels, that no model takes."""
    if not isinstance(size, Integral) or size % multiple or not 32 <= size <= 4096:
        raise DlkaError(f"size: expected a multiple of {multiple} from 32 to 4096, got {short(size)}")


def check_shares(confidence: float, iou: float) -> None:
    """Raises DlkaError for a least score, or an overlap that suppresses, that cannot be."""
    if not all(isinstance(value, Real) and 0 <= value <= 1 for value in (confidence, iou)):
        raise DlkaError(f"confidence and iou: expected 0 to 1, got {short(confidence)} and {short(iou)}")


def check_strength(strength: float) -> None:
    """Raises DlkaError for a factor on offsets that no model is asked with."""
    if not isinstance(strength, Real) or not 0 <= strength <= 2:
        raise DlkaError(f"Deformation strength: expected 0 to 2; got {short(strength)}.")


def stage_rows(model: str, size: int) -> list[dict[str, Any]]:
    """One row a stage, in the order they run, for a square input of `size` pixels; empty for stock YOLOv8.

    map: (height x width) in cells; parameters: of the stage with its offset convolution. Raises DlkaError, and
    ValueError for a size that is no multiple of 32 from 32 to 4096.
    """
    net, _ = load_model(find(model))
    check_size(size, side_multiple(int(stride) for stride in net.stride))
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
