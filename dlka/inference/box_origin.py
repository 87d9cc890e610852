"""Where a box comes from: the cell that won, and those whose boxes the suppression merged into it; and by gradients why
it has its class, and what influences one cell of a D-LKA block."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn
from torchvision.ops import box_iou

from dlka.errors import DlkaError
from dlka.inference.block_values import block_of
from dlka.models.blocks import suppress
from dlka.models.build import DLKAModel

FAR = 7680  # letterboxed pixels between the boxes of different classes while they are suppressed; Ultralytics' max_wh
SAME = 0.5  # IoU from which two boxes are of one object, as in dlka.analysis.pairing
BLOCK = 4  # letterboxed pixels: gradients of single pixels are noise to the eye


@dataclass(frozen=True)
class Candidates:
    """All boxes of a picture that went into the suppression: those of cells whose best score is high enough.

    index   [N] int64, cell over all levels, finest level first and row-major
    scores  [N] float32, the best class' score; classes [N] int64
    boxes   [N, 4] float32, x1 y1 x2 y2 in letterboxed pixels
    owner   [N] int64, place of the detection (in the order of Detections) that won over this box, or is this box; -1
            where that detection was left out, as there were too many
    overlap [N] float32, IoU with the owner's box, 1 for the winner
    """

    index: np.ndarray
    scores: np.ndarray
    classes: np.ndarray
    boxes: np.ndarray
    owner: np.ndarray
    overlap: np.ndarray


@dataclass(frozen=True)
class BoxOrigins:
    """A model's answer to one picture before the suppression, and what the suppression made of it.

    output      [4 + classes, cells] float32, boxes as centre and size in letterboxed pixels, scores in 0..1
    levels      [cells] int64, 3 for P3, ...; places [cells, 2] int64, (row, column) on that level's map
    candidates  those that went into the suppression
    """

    output: np.ndarray
    levels: np.ndarray
    places: np.ndarray
    candidates: Candidates

    def index(self, level: int, place: tuple[int, int]) -> int:
        """The index of a cell over all levels. Raises ValueError for a cell that is not there."""
        found = np.flatnonzero((self.levels == level) & (self.places == place).all(axis=1))
        if not len(found):
            raise DlkaError(f"cell: expected one of the maps of this picture, got {place} on P{level}")
        return int(found[0])

    def merged(self, index: int) -> np.ndarray:
        """[n] places in `candidates`, best first, of the boxes that the one of this cell won over."""
        own = self.candidates.index == index
        others = np.flatnonzero(np.isin(self.candidates.owner, self.candidates.owner[own]) & ~own)
        return others[self.candidates.scores[others].argsort()[::-1]]


def candidates(output: torch.Tensor, confidence: float, iou: float, classes: list[int] | None = None) -> Candidates:
    """Repeat the suppression of one picture and keep who won over whom; arguments as in `suppress`.

    The suppression goes through the boxes by score and takes out every later one of the same class with an IoU above
    `iou`: a box that several winners overlap belongs to the best of them.
    """
    # The suppression tells only who won; who went into it is found by its own first step, the scores.
    rows, winners = suppress(output, confidence, iou, classes)
    scores, best = output[0, 4:].max(0)
    allowed = scores > confidence
    if classes is not None:
        allowed &= torch.isin(best, torch.tensor(classes, device=best.device))
    index = allowed.nonzero().view(-1)
    boxes = corners(output[0, :4, index].T)
    # [N, 4]: each class in a region of its own, as boxes of different classes do not suppress each other.
    apart = boxes + FAR * best[index, None]
    won = rows[:, :4] + FAR * rows[:, 5:6]  # far apart as in the suppression, so that IoUs are rounded alike
    overlap, owner = torch.zeros(len(index)), torch.full((len(index),), -1)
    if len(winners):
        overlaps = box_iou(apart, won).cpu()  # [candidates, detections]
        taken = overlaps > iou
        first = taken.int().argmax(dim=1)  # detections come best first
        owner = torch.where(taken.any(dim=1), first, owner)
        # A winner is its own, also where its box has no area and so overlaps not even itself.
        owner[torch.searchsorted(index, winners).cpu()] = torch.arange(len(winners))
        overlap = torch.where(owner < 0, overlap, overlaps[torch.arange(len(index)), owner])
    arrays = (index, scores[index], best[index], boxes, owner, overlap)
    return Candidates(*(a.cpu().numpy() for a in arrays))


def corners(boxes: torch.Tensor) -> torch.Tensor:
    """[N, 4] centre and size -> x1, y1, x2, y2."""
    return torch.cat([boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2], dim=1)


def best_cell(output: np.ndarray, number: int, box: np.ndarray) -> tuple[int, float] | None:
    """(index, IoU) of the cell that scores best for a class among those whose boxes overlap a box [4] by SAME or more.

    output [4 + classes, cells] as in BoxOrigins, box x1 y1 x2 y2 in letterboxed pixels. None where there is no such
    cell.
    """
    boxes = corners(torch.from_numpy(output[:4].T))
    overlaps = box_iou(boxes, torch.as_tensor(box, dtype=boxes.dtype)[None])[:, 0].numpy()
    if not (overlaps >= SAME).any():
        return None
    index = int(np.where(overlaps >= SAME, output[4 + number], -1).argmax())
    return index, float(overlaps[index])


class Reached(Exception):
    """The part of a model that is asked about has done its work; what follows is not needed, and decoding boxes keeps
    anchors without gradients."""


def effective_receptive_field(model: nn.Module, x: torch.Tensor, block: str, cell: tuple[int, int]) -> np.ndarray:
    """How strongly each patch of the input changes one D-LKA block's output at one cell.

    x [1, 3, H, W]; block: module path; cell: (row, column) of the block's map. Returns [H / BLOCK, W / BLOCK] float32:
    the absolute gradient of the output's sum over channels, summed over the colours and the pixels of each patch (Luo
    et al., arXiv:1701.04128, there as a mean over pictures). Raises ValueError for a block or a cell that is not there.
    """
    outputs: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        outputs.append(output)
        raise Reached

    with block_of(model, block).register_forward_hook(keep), torch.enable_grad():
        picture = x.detach().clone().requires_grad_(True)
        with contextlib.suppress(Reached):
            model(picture)
        _check_cell(cell, outputs[0])
        (gradient,) = torch.autograd.grad(outputs[0][0, :, cell[0], cell[1]].sum(), picture)
    return patch_sums(gradient[0])


def _check_cell(cell: tuple[int, int], values: torch.Tensor) -> None:
    height, width = values.shape[-2:]
    if not (0 <= cell[0] < height and 0 <= cell[1] < width):
        raise DlkaError(f"cell: expected (row, column) on a map of {height} x {width}, got {cell}")


def patch_sums(gradient: torch.Tensor) -> np.ndarray:
    """[3, H, W] -> [H / BLOCK, W / BLOCK]: absolute values, summed over colours and the pixels of each patch."""
    strength = gradient.abs().sum(0).cpu().numpy()
    rows, columns = strength.shape[0] // BLOCK, strength.shape[1] // BLOCK
    return strength.reshape(rows, BLOCK, columns, BLOCK).sum((1, 3))


@dataclass(frozen=True)
class BoxGradients:
    """What one cell's class logit depends on.

    logit   the class score before the sigmoid
    cam     [H, W] float32 >= 0, LayerCAM on the map of the cell's level that enters the head, in logits
    field   [H / BLOCK, W / BLOCK] float32 >= 0, the gradient receptive field on patches of letterboxed pixels: logits
            per full change (0 to 1) of the pixels' colours
    reach   number of cells of the map that the logit depends on at all
    """

    logit: float
    cam: np.ndarray
    field: np.ndarray
    reach: int


def box_gradients(model: DLKAModel, x: torch.Tensor, level: int, cell: tuple[int, int], number: int) -> BoxGradients:
    """LayerCAM and gradient receptive field of a class (its id) at one cell.

    x [1, 3, H, W]; level: place among the head's levels, from 0; cell: (row, column) on that level's map.

    LayerCAM (Jiang et al., "LayerCAM: Exploring Hierarchical Class Activation Maps for Localization", IEEE TIP 30,
    2021): the sum over channels of ReLU(gradient) times activation, rectified. The gradient is that of the logit, not
    of the score: the sigmoid would make gradients vanish for boxes that a model is sure of, and two models could not
    be compared. Raises ValueError for a level, a cell or a class that is not there.
    """
    head: Any = model.model[-1]
    if not 0 <= level < len(head.cv3):
        raise DlkaError(f"level: expected 0 to {len(head.cv3) - 1}, got {level}")
    maps: list[torch.Tensor] = []

    def keep(module: Any, inputs: tuple[Any, ...]) -> None:
        maps.extend(inputs[0])
        raise Reached

    with head.register_forward_pre_hook(keep), torch.enable_grad():
        picture = x.detach().clone().requires_grad_(True)
        with contextlib.suppress(Reached):
            model(picture)
        entering = maps[level]
        _check_cell(cell, entering)
        # [1, classes, H, W]: after its map a cell's logit depends on this one branch of the head alone.
        logits = head.cv3[level](entering)
        if not 0 <= number < logits.shape[1]:
            raise DlkaError(f"class: expected 0 to {logits.shape[1] - 1}, got {number}")
        logit = logits[0, number, cell[0], cell[1]]
        on_map, on_picture = torch.autograd.grad(logit, [entering, picture])
    # Each cell of each channel [C, H, W] weighs by its own gradient, and only by what speaks for the class.
    cam = (on_map[0].relu() * entering.detach()[0]).sum(0).relu()
    reach = int((on_map[0] != 0).any(0).sum())
    return BoxGradients(float(logit.detach()), cam.float().cpu().numpy(), patch_sums(on_picture[0]), reach)
