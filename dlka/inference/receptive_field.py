"""What really influences one cell on one picture: the effective receptive field, by gradients."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import nn

from dlka.errors import DlkaError
from dlka.layers import DeformableLKAAttention

BLOCK = 4  # letterboxed pixels: gradients of single pixels are noise to the eye


class Reached(Exception):
    """The part of a model that is asked about has done its work; the rest of the pass is not needed."""


def effective_receptive_field(model: nn.Module, x: torch.Tensor, block: str, cell: tuple[int, int]) -> np.ndarray:
    """How strongly each patch of the input changes one D-LKA block's output at one cell.

    x [1, 3, H, W]; block: module path; cell: (row, column) of the block's map. Returns [H / BLOCK, W / BLOCK] float32:
    the absolute gradient of the output's sum over channels, summed over the colours and the pixels of each patch (Luo
    et al., arXiv:1701.04128, there as a mean over pictures). Raises ValueError for a block or a cell that is not there.
    """
    blocks = {n: m for n, m in model.named_modules() if isinstance(m, DeformableLKAAttention)}
    if block not in blocks:
        raise DlkaError(f"block: expected one of {', '.join(blocks) or 'none in this model'}, got {block!r:.60}")
    outputs: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: tuple[Any, ...], output: torch.Tensor) -> None:
        outputs.append(output)
        raise Reached  # what follows is not needed, and decoding boxes keeps anchors without gradients

    handle = blocks[block].register_forward_hook(keep)
    try:
        with torch.enable_grad():
            picture = x.detach().clone().requires_grad_(True)
            with suppress(Reached):
                model(picture)
            height, width = outputs[0].shape[-2:]
            if not (0 <= cell[0] < height and 0 <= cell[1] < width):
                raise DlkaError(f"cell: expected (row, column) on a map of {height} x {width}, got {cell}")
            (gradient,) = torch.autograd.grad(outputs[0][0, :, cell[0], cell[1]].sum(), picture)
    finally:
        handle.remove()
    return patch_sums(gradient[0])


def patch_sums(gradient: torch.Tensor) -> np.ndarray:
    """[3, H, W] -> [H / BLOCK, W / BLOCK]: absolute values, summed over colours and the pixels of each patch."""
    strength = gradient.abs().sum(0).cpu().numpy()
    rows, columns = strength.shape[0] // BLOCK, strength.shape[1] // BLOCK
    return strength.reshape(rows, BLOCK, columns, BLOCK).sum((1, 3))
