"""A picture in, a Prediction out: boxes with the cell behind each, offsets and gates of every deform stage."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial, wraps
from itertools import chain
from pathlib import Path
from typing import Any, ClassVar, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch

from dlka.errors import DlkaError
from dlka.inference.block_values import BlockValues, watch_block
from dlka.inference.box_gradients import BoxGradients, box_gradients, effective_receptive_field
from dlka.inference.box_origin import BoxOrigins, candidates
from dlka.inference.interventions import Intervention, intervene
from dlka.inference.lanes import MOST_LANES, MOST_PICTURES, lane
from dlka.inference.letterbox import Letterbox, side_multiple
from dlka.inference.prepared import as_input, check_shares, check_size, ready
from dlka.inference.probe import probe, tap_weights
from dlka.models.blocks import suppress
from dlka.models.build import DLKAModel
from dlka.models.catalog import find
from dlka.models.cost import multiply_adds, parameters
from dlka.models.weights import Card, load_model
from dlka.ops.backends import device_of
from dlka.types import Capture, Detections, Gate

AS_LEARNED = Intervention()
Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class PredictionFailed(DlkaError):
    """The model gave something that is not a result; one sentence for the user."""


@dataclass(frozen=True)
class Prediction:
    """What one model saw in one picture.

    letterbox maps between picture and model input; captures and gates are in the order the stages ran, empty for stock
    YOLOv8; milliseconds: "letterbox", "model" and "boxes", of a batch this picture's share; device: where it ran, for
    example "cpu".
    """

    detections: Detections
    letterbox: Letterbox
    captures: tuple[Capture, ...]
    gates: tuple[Gate, ...]
    milliseconds: dict[str, float]
    device: str


def best_device() -> torch.device:
    """CUDA where there is one, else Apple's MPS, else the CPU; the CPU, too, where models run elsewhere."""
    if Predictor.elsewhere is not None:
        return torch.device("cpu")
    if torch.cuda.is_available():
        return torch.device("cuda")
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def runs_model(
    method: Callable[Concatenate[Predictor, Arguments], Answer],
) -> Callable[Concatenate[Predictor, Arguments], Answer]:
    """Decorator of what a Predictor does with its model: it is done where Predictor.elsewhere has it done."""

    @wraps(method)
    def run(self: Predictor, /, *arguments: Arguments.args, **named: Arguments.kwargs) -> Answer:
        here = partial(method, self, *arguments, **named)
        if Predictor.elsewhere is None or self.file is None:
            return here()
        answer: Answer = Predictor.elsewhere(here, (self.file, method.__name__, arguments, named))
        return answer

    return run


class Predictor:
    """One model, ready to look at pictures. Safe to call from several threads: they take turns, but for the lanes of
    dlka.inference.lanes, which run at the same time and wait while another thread has its turn.

    elsewhere: None, or what has models run in another process that has a GPU while this one has none. It is given what
    does the same here, and the arguments of `answer` for the other process. file: the weights file by which the model
    is found there; None: it runs here. place: what that process is called.
    """

    place: ClassVar[str] = ""
    elsewhere: ClassVar[Callable[[Callable[[], Any], tuple[Any, ...]], Any] | None] = None
    file: str | None = None

    def __init__(self, model: DLKAModel, device: torch.device | None = None) -> None:
        self.device = device or best_device()
        self.names: dict[int, str] = dict(model.names)
        self.parameters = parameters(model)  # before batch norms are folded into convolutions
        self.model = ready(model, self.device)
        self.strides = [int(s) for s in model.stride]
        self.multiple = side_multiple(self.strides)
        self._turns = [threading.Lock() for _ in range(MOST_LANES)]
        self._twins: dict[int, DLKAModel] = {0: self.model}
        self._fits = MOST_PICTURES

    @contextmanager
    def _turn(self) -> Iterator[DLKAModel]:
        """A model for whoever runs it: a lane has one of its own, and anybody else has all turns."""
        number = lane()
        if number is None:
            with ExitStack() as turns:
                for turn in self._turns:
                    turns.enter_context(turn)
                yield self.model
            return
        if number not in self._twins:
            with self._turns[0]:  # while nobody's hooks are on what is copied
                shared = {id(t): t for t in chain(self.model.parameters(), self.model.buffers())}
                self._twins[number] = deepcopy(self.model, shared)  # modules of its own, on the same weights
        with self._turns[number]:
            yield self._twins[number]

    def predict(self, image: np.ndarray, **asked: Any) -> Prediction:
        """Look at one picture: what `predict_all` gives for it."""
        return self.predict_all([image], **asked)[0]

    @runs_model
    def predict_all(
        self,
        images: Sequence[np.ndarray],
        *,
        confidence: float = 0.25,
        iou: float = 0.7,
        size: int | Sequence[int] = 640,
        classes: list[int] | None = None,
        intervention: Intervention = AS_LEARNED,
        multi_label: bool = False,
    ) -> list[Prediction]:
        """Look at pictures of any shapes, those together that have one shape as input.

        images: RGB [H, W, 3] uint8, each; confidence and iou in 0..1; size: longer side of the input in pixels, a
        multiple of 32, of all or of each; classes: ids to keep; intervention: what is done to the model for this look;
        multi_label: a cell may give several classes, as AP is measured. Raises ValueError for arguments out of range
        and PredictionFailed where the model's output is not finite on one of them.

        What is seen in a picture does not depend on the others, but for the last digits of floats.
        """
        sizes = [size] * len(images) if isinstance(size, int) else size
        alike = defaultdict(list)  # input (height, width) -> pictures by their place
        boxes = []
        for place, (image, pixels) in enumerate(zip(images, sizes, strict=True)):
            if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
                raise ValueError(f"image: expected RGB [H, W, 3] uint8, got {list(image.shape)} {image.dtype}")
            check_size(pixels, self.multiple)
            boxes.append(Letterbox.fit((image.shape[0], image.shape[1]), pixels, self.multiple))
            alike[boxes[-1].padded].append(place)
        check_shares(confidence, iou)
        kept = {"confidence": confidence, "iou": iou, "classes": classes, "multi_label": multi_label}
        found: dict[int, Prediction] = {}
        for places in alike.values():
            group = [(images[place], boxes[place]) for place in places]
            found |= zip(places, self._halving(group, intervention, kept))
        return [found[place] for place in range(len(images))]

    def _halving(
        self, group: list[tuple[np.ndarray, Letterbox]], intervention: Intervention, kept: dict[str, Any]
    ) -> list[Prediction]:
        """Pictures of one input shape, fewer at once where a GPU's memory is too small for all."""
        half = len(group) // 2
        if len(group) <= self._fits:
            try:
                return self._run(group, intervention, kept)
            except torch.OutOfMemoryError:
                if len(group) == 1:
                    raise
                self._fits = half  # from now on
        # Out of `except`, which would hold what was in memory.
        return [p for part in (group[:half], group[half:]) for p in self._halving(part, intervention, kept)]

    def _run(
        self, group: list[tuple[np.ndarray, Letterbox]], intervention: Intervention, kept: dict[str, Any]
    ) -> list[Prediction]:
        begin = time.perf_counter()
        x = as_input(np.stack([letterbox.apply(image) for image, letterbox in group]), self.device)
        prepared = time.perf_counter()
        with self._turn() as model, torch.inference_mode(), intervene(model, intervention), probe(model) as captures:
            output = model(x)[0].float()
            finite = bool(output.isfinite().all())  # also waits for the device
        ran = time.perf_counter()
        if not finite:
            raise PredictionFailed(
                "The model's output is not finite (NaN or infinite), so its boxes mean nothing; "
                "the weights are damaged or the deformation strength is too large."
            )
        shares = {"letterbox": (prepared - begin) / len(group), "model": (ran - prepared) / len(group)}
        predictions = []
        for number, (_, letterbox) in enumerate(group):
            started = time.perf_counter()
            rows, index = suppress(output[number : number + 1], **kept)
            kept_rows, (height, width) = rows.cpu().double().numpy(), letterbox.original
            detections = Detections(
                letterbox.boxes_back(kept_rows[:, :4]).clip(0, [width, height, width, height]).astype(np.float32),
                kept_rows[:, 4].astype(np.float32),
                kept_rows[:, 5].astype(np.int64),
                *self._cells(index.cpu().numpy(), letterbox.padded),
            )
            seconds = shares | {"boxes": time.perf_counter() - started}
            spent = {part: 1000 * value for part, value in seconds.items()}
            predictions.append(Prediction(detections, letterbox, *captures.of(number), spent, str(self.device)))
        return predictions

    @runs_model
    def block_values(
        self, image: np.ndarray, block: str, *, size: int = 640, intervention: Intervention = AS_LEARNED
    ) -> BlockValues:
        """What one D-LKA block (its module path) computes when the model looks at a picture [H, W, 3] uint8 like this.

        Raises ValueError for a block that the model does not have.
        """
        with (
            self._asked(image, size, intervention) as (model, x),
            torch.inference_mode(),
            watch_block(model, block) as values,
        ):
            model(x)
        return values

    @runs_model
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
        with self._asked(image, size, intervention) as (model, x):
            return effective_receptive_field(model, x, block, cell)

    @runs_model
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
        with self._asked(image, size, intervention) as (model, x), torch.inference_mode():
            output = model(x)[0].float()
        levels, places = self._cells(np.arange(output.shape[-1]), (x.shape[-2], x.shape[-1]))
        seen = candidates(output, confidence, iou, classes)
        return BoxOrigins(output[0].cpu().numpy(), levels, places, seen)

    @runs_model
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
        """What the class logit of one cell depends on (see dlka.inference.box_gradients). level: 3, 4, 5 for P3, ..."""
        with self._asked(image, size, intervention) as (model, x):
            return box_gradients(model, x, level - (self.strides[0].bit_length() - 1), cell, number)

    @contextmanager
    def _asked(
        self, image: np.ndarray, size: int, intervention: Intervention
    ) -> Iterator[tuple[DLKAModel, torch.Tensor]]:
        """A model for whoever runs it, with what is done to it, and its input for a picture."""
        letterbox = Letterbox.fit((image.shape[0], image.shape[1]), size, self.multiple)
        x = as_input(letterbox.apply(image)[None], self.device)
        with self._turn() as model, intervene(model, intervention):
            yield model, x

    @cached_property
    def tap_weights(self) -> dict[str, np.ndarray]:
        """How much each tap of a deform stage counts: stage name -> [K] float32, the mean of |weight| over channels."""
        return tap_weights(self.model)

    def multiply_adds(self, size: tuple[int, int]) -> dict[str, int]:
        """Multiply-adds of one picture by part and in total, for an input of (height, width) pixels."""
        with self._turn() as model:
            return multiply_adds(model, size)

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
    """The predictor of a model id ("neck") or a weights file, and what the file says about itself; kept in memory until
    the file changes.

    Raises DlkaError with one sentence.
    """
    file = find(model)
    return kept_predictor(file, file.stat().st_mtime_ns if file.exists() else -1, device)


@lru_cache(maxsize=16)
def kept_predictor(file: Path, changed: int, device: str | None) -> tuple[Predictor, Card]:
    """The same of a file as it was at a time (nanoseconds)."""
    net, card = load_model(file)
    predictor = Predictor(net, device_of(device) if device else None)
    predictor.file = None if device else str(file)
    return predictor, card


def answer(file: str, method: str, arguments: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """What a method of the Predictor of a weights file returns, in the process that Predictor.elsewhere calls upon.

    It may have been forked, and then has none of the threads that its parent counts on: one does.
    """
    Predictor.elsewhere = None
    torch.set_num_threads(1)
    return getattr(load_predictor(file)[0], method)(*arguments, **named)
