"""A picture in, a Prediction out: boxes with the cell behind each, offsets and gates of every deform stage."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import torch

from dlka.errors import DlkaError
from dlka.inference.block_values import BlockValues, watch_block
from dlka.inference.box_gradients import BoxGradients, box_gradients, effective_receptive_field
from dlka.inference.box_origin import BoxOrigins, candidates
from dlka.inference.interventions import Intervention, intervene
from dlka.inference.letterbox import Letterbox, side_multiple
from dlka.inference.probe import probe, stages, tap_weights
from dlka.models.blocks import suppress
from dlka.models.build import DLKAModel
from dlka.models.catalog import find
from dlka.models.cost import multiply_adds, parameters
from dlka.models.weights import Card, load_model
from dlka.ops.sampling import output_size
from dlka.types import Capture, Detections, Gate

AS_LEARNED = Intervention()
# Asked for every model that is kept: who answers its `predict` with the same arguments, None for the model itself.
elsewhere: Callable[[str], Callable[..., Prediction] | None] | None = None


class PredictionFailed(DlkaError):
    """The model gave something that is not a result; one sentence for the user."""


@dataclass(frozen=True)
class Prediction:
    """What one model saw in one picture.

    letterbox maps between picture and model input; captures and gates are in the order the stages ran, empty for stock
    YOLOv8; milliseconds: "letterbox", "model" and "boxes"; device: where it ran, for example "cpu".
    """

    detections: Detections
    letterbox: Letterbox
    captures: tuple[Capture, ...]
    gates: tuple[Gate, ...]
    milliseconds: dict[str, float]
    device: str


def best_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU."""
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


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


class Predictor:
    """One model, ready to look at pictures. Safe to call from several threads: they take turns.

    elsewhere: who answers `predict` in its place, as dlka.cluster.replicas has it.
    """

    elsewhere: Callable[..., Prediction] | None = None

    def __init__(self, model: DLKAModel, device: torch.device | None = None) -> None:
        self.device = device or best_device()
        self.names: dict[int, str] = dict(model.names)
        self.parameters = parameters(model)  # before batch norms are folded into convolutions
        self.model = ready(model, self.device)
        self.strides = [int(s) for s in model.stride]
        self.multiple = side_multiple(self.strides)
        self._lock = threading.Lock()

    def predict(
        self,
        image: np.ndarray,
        *,
        confidence: float = 0.25,
        iou: float = 0.7,
        size: int = 640,
        classes: list[int] | None = None,
        intervention: Intervention = AS_LEARNED,
        multi_label: bool = False,
    ) -> Prediction:
        """Look at one picture.

        image: RGB [H, W, 3] uint8; confidence and iou in 0..1; size: longer side of the input in pixels, a multiple of
        32; classes: ids to keep; intervention: what is done to the model for this look; multi_label: a cell may give
        several classes, as AP is measured. Raises ValueError for arguments out of range and PredictionFailed
        where the model's output is not finite.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image: expected RGB [H, W, 3] uint8, got {list(image.shape)} {image.dtype}")
        _check_size(size, self.multiple)
        if not (0 <= confidence <= 1 and 0 <= iou <= 1):
            raise DlkaError(f"confidence and iou: expected 0 to 1, got {confidence} and {iou}")
        if self.elsewhere is not None:
            asked = {"confidence": confidence, "iou": iou, "size": size, "classes": classes}
            return self.elsewhere(image, **asked, intervention=intervention, multi_label=multi_label)
        begin = time.perf_counter()
        letterbox = Letterbox.fit((image.shape[0], image.shape[1]), size, self.multiple)
        x = as_input(letterbox.apply(image)[None], self.device)
        prepared = time.perf_counter()
        with self._lock, torch.inference_mode(), intervene(self.model, intervention), probe(self.model) as captures:
            output = self.model(x)[0].float()
            finite = bool(output.isfinite().all())  # also waits for the device
        ran = time.perf_counter()
        if not finite:
            raise PredictionFailed(
                "The model's output is not finite (NaN or infinite), so its boxes mean nothing; "
                "the weights are damaged or the deformation strength is too large."
            )
        rows, index = suppress(output, confidence, iou, classes, multi_label)
        detections = self._detections(rows.cpu().double().numpy(), index.cpu().numpy(), letterbox)
        done = time.perf_counter()
        seconds = {"letterbox": prepared - begin, "model": ran - prepared, "boxes": done - ran}
        return Prediction(
            detections,
            letterbox,
            tuple(captures.offsets),
            tuple(captures.gates),
            {part: 1000 * value for part, value in seconds.items()},
            str(self.device),
        )

    def block_values(
        self, image: np.ndarray, block: str, *, size: int = 640, intervention: Intervention = AS_LEARNED
    ) -> BlockValues:
        """What one D-LKA block (its module path) computes when the model looks at a picture [H, W, 3] uint8 like this.

        Raises ValueError for a block that the model does not have.
        """
        x = self._input(image, size)
        with (
            self._lock,
            torch.inference_mode(),
            intervene(self.model, intervention),
            watch_block(self.model, block) as values,
        ):
            self.model(x)
        return values

    def receptive_field(
        self,
        image: np.ndarray,
        block: str,
        cell: tuple[int, int],
        *,
        size: int = 640,
        intervention: Intervention = AS_LEARNED,
    ) -> np.ndarray:
        """The effective receptive field of one cell of a D-LKA block on a picture (see effective_receptive_field)."""
        x = self._input(image, size)
        with self._lock, intervene(self.model, intervention):
            return effective_receptive_field(self.model, x, block, cell)

    def box_origins(
        self,
        image: np.ndarray,
        *,
        confidence: float = 0.25,
        iou: float = 0.7,
        size: int = 640,
        classes: list[int] | None = None,
        intervention: Intervention = AS_LEARNED,
    ) -> BoxOrigins:
        """Which cells the boxes come from that `predict` gives for the same arguments."""
        x = self._input(image, size)
        with self._lock, torch.inference_mode(), intervene(self.model, intervention):
            output = self.model(x)[0].float()
        levels, places = self._cells(np.arange(output.shape[-1]), (x.shape[-2], x.shape[-1]))
        seen = candidates(output, confidence, iou, classes)
        return BoxOrigins(output[0].cpu().numpy(), levels, places, seen)

    def box_gradients(
        self,
        image: np.ndarray,
        level: int,
        cell: tuple[int, int],
        number: int,
        *,
        size: int = 640,
        intervention: Intervention = AS_LEARNED,
    ) -> BoxGradients:
        """What the class logit of one cell depends on (see dlka.inference.box_origin). level: 3, 4, 5 for P3, ..."""
        x = self._input(image, size)
        with self._lock, intervene(self.model, intervention):
            return box_gradients(self.model, x, level - (self.strides[0].bit_length() - 1), cell, number)

    def _input(self, image: np.ndarray, size: int) -> torch.Tensor:
        letterbox = Letterbox.fit((image.shape[0], image.shape[1]), size, self.multiple)
        return as_input(letterbox.apply(image)[None], self.device)

    @cached_property
    def tap_weights(self) -> dict[str, np.ndarray]:
        """How much each tap of a deform stage counts: stage name -> [K] float32, the mean of |weight| over channels."""
        return tap_weights(self.model)

    def multiply_adds(self, size: tuple[int, int]) -> dict[str, int]:
        """Multiply-adds of one picture by part and in total, for an input of (height, width) pixels."""
        with self._lock:
            return multiply_adds(self.model, size)

    def _detections(self, rows: np.ndarray, index: np.ndarray, letterbox: Letterbox) -> Detections:
        """Rows [N, 6] in letterboxed pixels and flat cell indices [N] -> Detections in the original picture."""
        height, width = letterbox.original
        boxes = letterbox.boxes_back(rows[:, :4])
        boxes = boxes.clip(0, [width, height, width, height]).astype(np.float32)
        levels, cells = self._cells(index, letterbox.padded)
        return Detections(boxes, rows[:, 4].astype(np.float32), rows[:, 5].astype(np.int64), levels, cells)

    def _cells(self, index: np.ndarray, padded: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Flat index over all levels, finest first and row-major, -> pyramid level [N] and (row, column) [N, 2]."""
        levels = np.zeros(len(index), np.int64)
        cells = np.zeros((len(index), 2), np.int64)
        first = 0
        for stride in self.strides:
            rows, columns = padded[0] // stride, padded[1] // stride
            here = (index >= first) & (index < first + rows * columns)
            levels[here] = stride.bit_length() - 1
            cells[here] = np.stack(np.divmod(index[here] - first, columns), axis=1)
            first += rows * columns
        return levels, cells


def load_predictor(model: str, device: str | None = None) -> tuple[Predictor, Card]:
    """The predictor of a model id ("neck") or a weights file, and what the file says about itself; kept in memory.

    Raises DlkaError with one sentence.
    """
    return kept_predictor(model, device)


@lru_cache(maxsize=16)
def kept_predictor(model: str, device: str | None) -> tuple[Predictor, Card]:
    """The same; both arguments are a part of what is kept, so that nothing is loaded twice."""
    net, card = load_model(find(model))
    predictor = Predictor(net, torch.device(device) if device else None)
    predictor.elsewhere = elsewhere(model) if elsewhere else None
    return predictor, card


def _check_size(size: int, multiple: int) -> None:
    if size % multiple or not 32 <= size <= 4096:
        raise DlkaError(f"size: expected a multiple of {multiple} from 32 to 4096, got {size}")


def stage_rows(model: str, size: int) -> list[dict[str, Any]]:
    """One row a stage, in the order they run, for a square input of `size` pixels; empty for stock YOLOv8.

    map: (height x width) in cells; parameters: of the stage with its offset convolution. Raises DlkaError, and
    ValueError for a size that is no multiple of 32 from 32 to 4096.
    """
    net, _ = load_model(find(model))
    multiple = side_multiple(int(stride) for stride in net.stride)
    _check_size(size, multiple)
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
