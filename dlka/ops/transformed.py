"""A backend under ``torch.func``: vmap calls it once per element, and reverse mode takes its own gradients.

torch.func knows the rules of its own operations and of an autograd.Function that brings them along; compiled kernels,
torchvision's included, are neither. What has no rule here, dlka.ops computes by the reference.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import TransformType, peek_interpreter_stack
from torch.autograd import forward_ad

from dlka.ops.backends import Run
from dlka.ops.geometry import Geometry


def transformed() -> bool:
    """Whether a transform of torch.func is at work that asks for rules: vmap, grad, vjp, jacrev, jvp, ..."""
    if not torch._C._are_functorch_transforms_active():
        return False
    # Functionalization takes kernels as they are; torch.compile cannot follow the question, and does without it.
    return torch.compiler.is_compiling() or peek_interpreter_stack().key() != TransformType.Functionalize


def needs_reference() -> bool:
    """Whether only torch's own operations will do: forward mode (a dual level is open), or a transform inside of
    torch.compile."""
    return forward_ad._current_level >= 0 or (torch.compiler.is_compiling() and transformed())


def transformable(run: Run) -> Run:
    """The same for what vmap, grad, vjp and jacrev hand over, in any nesting. Differentiable once."""

    def apply(x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None, geometry: Geometry) -> Tensor:
        return _Output.apply(run, geometry, x, offset, weight, bias)

    return apply


class _Transformable(torch.autograd.Function):
    """A function of (run, geometry, tensors): vmap takes one element of what is mapped after the other."""

    @classmethod
    def vmap(cls, info: Any, in_dims: tuple[int | None, ...], *operands: Any) -> Any:
        if info.batch_size == 0:
            raise ValueError("vmap: expected at least one element to map the deformable convolution over, got 0")
        results = [
            cls.apply(*(value if dim is None else value.select(dim, i) for value, dim in zip(operands, in_dims)))
            for i in range(info.batch_size)
        ]
        if isinstance(results[0], Tensor):
            return torch.stack(results), 0
        return tuple(torch.stack(parts) for parts in zip(*results)), (0,) * len(results[0])


class _Output(_Transformable):
    @staticmethod
    def forward(run: Run, geometry: Geometry, x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return run(x, offset, weight, bias, geometry)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.run, ctx.geometry, *tensors = inputs
        ctx.save_for_backward(*tensors)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        grads = _Gradients.apply(ctx.run, ctx.geometry, grad, *ctx.saved_tensors)
        return None, None, *grads, *(None for _ in range(4 - len(grads)))


class _Gradients(_Transformable):
    """Of x, offset, weight and, where there is one, bias: by the backend's own backward, after its forward again."""

    @staticmethod
    def forward(
        run: Run, geometry: Geometry, grad: Tensor, x: Tensor, offset: Tensor, weight: Tensor, bias: Tensor | None
    ) -> tuple[Tensor, ...]:
        with torch.enable_grad():
            leaves = [t.detach().requires_grad_() for t in (x, offset, weight)]
            if bias is not None:
                leaves.append(bias.detach().requires_grad_())
            out = run(leaves[0], leaves[1], leaves[2], None if bias is None else leaves[3], geometry)
        return torch.autograd.grad(out, leaves, grad)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Any:
        raise RuntimeError("this deformable convolution is differentiable once; use backend='reference' for more")
