"""By gradients: why a detector gives one box its class, and what really influences one cell of a D-LKA block."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from dlka.errors import DlkaError
from dlka.inference.block_values import block_of
from dlka.models.build import DLKAModel

BLOCK = 4  # letterboxed pixels: gradients of single pixels are noise to the eye


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
