"""Vectors of numbers inside numba kernels: they stay in registers from load to store.

numba leaves it to LLVM to find vectors in loops over arrays. There it has to check at run time whether arrays overlap,
and sums travel through memory at every step; along 32 to 128 channels that costs more than the arithmetic. With a type
for vectors a kernel says what it means, and LLVM cuts 32 lanes into what the processor has: AVX-512, AVX2, SSE, NEON.

Vectors know +, - and *; a product and a sum may fuse into one rounding. Arrays are contiguous and one-dimensional;
indices count from their start and are not checked. ``like`` is any vector: its type says how many lanes to read.
"""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic as numba_intrinsic
from numba.extending import models, overload, register_model

intrinsic: Any = numba_intrinsic  # to a type checker, numba's own annotations hide what an intrinsic is called with


class Vector(types.Type):
    """So many lanes of one numba float type."""

    def __init__(self, scalar: types.Float, lanes: int) -> None:
        self.scalar, self.lanes = scalar, lanes
        super().__init__(name=f"Vector({scalar}, {lanes})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, vector: Vector) -> None:
        super().__init__(manager, vector, ir.VectorType(manager[vector.scalar].get_value_type(), vector.lanes))


def _pointer(context: Any, builder: Any, kind: types.Array, array: Any, index: Any) -> Any:
    return builder.gep(cgutils.create_struct_proxy(kind)(context, builder, array).data, [index])


def _spread(context: Any, builder: Any, kind: Vector, value: Any) -> Any:
    undefined = ir.Constant(context.get_value_type(kind), ir.Undefined)
    first = ir.Constant(ir.VectorType(ir.IntType(32), kind.lanes), None)  # every lane takes lane 0
    return builder.shuffle_vector(
        builder.insert_element(undefined, value, ir.Constant(ir.IntType(32), 0)), undefined, first
    )


@intrinsic(prefer_literal=True)
def zeros(typing: Any, array: Any, lanes: Any) -> Any:
    """A vector of zeros of an array's dtype; lanes is a constant."""
    kind = Vector(array.dtype, lanes.literal_value)

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return ir.Constant(context.get_value_type(kind), None)

    return kind(array, lanes), generate


@intrinsic
def load(typing: Any, array: Any, index: Any, like: Any) -> Any:
    """The vector that stands in an array from an index on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        pointer = builder.bitcast(pointer, context.get_value_type(like).as_pointer())
        return builder.load(pointer, align=array.dtype.bitwidth // 8)

    return like(array, types.intp, like), generate


@intrinsic
def store(typing: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write a vector into an array from an index on."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args[:2])
        pointer = builder.bitcast(pointer, context.get_value_type(vector).as_pointer())
        builder.store(args[2], pointer, align=array.dtype.bitwidth // 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@intrinsic
def item(typing: Any, array: Any, index: Any) -> Any:
    """array[index] without numba's counting from the end for negative indices."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_pointer(context, builder, signature.args[0], *args))

    return array.dtype(array, types.intp), generate


@intrinsic
def spread(typing: Any, array: Any, index: Any, like: Any) -> Any:
    """A vector with array[index] in every lane."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        value = builder.load(_pointer(context, builder, signature.args[0], *args[:2]))
        return _spread(context, builder, like, value)

    return like(array, types.intp, like), generate


@intrinsic
def total(typing: Any, vector: Any) -> Any:
    """The sum of a vector's lanes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        scalar, kind = (context.get_value_type(t) for t in (vector.scalar, vector))
        name = f"llvm.vector.reduce.fadd.v{vector.lanes}f{vector.scalar.bitwidth}"
        reduce = cgutils.get_or_insert_function(builder.module, ir.FunctionType(scalar, [scalar, kind]), name)
        return builder.call(reduce, [ir.Constant(scalar, -0.0), args[0]], fastmath=("reassoc",))

    return vector.scalar(vector), generate


def _operator(symbol: Any, instruction: str) -> None:
    @intrinsic
    def compute(typing: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            return getattr(builder, instruction)(*args, flags=("contract",))

        return a(a, b), generate

    @overload(symbol, inline="always")
    # Numba compares its parameters, annotations included, with those of the lambda.
    def on_vectors(a, b):  # type: ignore[no-untyped-def]
        return (lambda a, b: compute(a, b)) if isinstance(a, Vector) and a == b else None


for _symbol, _instruction in ((operator.add, "fadd"), (operator.sub, "fsub"), (operator.mul, "fmul")):
    _operator(_symbol, _instruction)
