"""The operator inside torch: registration, compilation, threads and processes."""

from __future__ import annotations

import multiprocessing
import threading

import pytest
import torch
from test_operator import make

import dlka.ops.library
from dlka.ops import deform_dwconv2d


def test_opcheck():
    (x, offset, weight, bias), geometry = make(dtype=torch.float32)
    lists = [list(geometry[k]) for k in ("stride", "padding", "dilation")]
    leaves = [t.requires_grad_() for t in (x, offset, weight, bias)]
    torch.library.opcheck(dlka.ops.library.fused, (*leaves, *lists))
    torch.library.opcheck(dlka.ops.library.fused, (*leaves[:3], None, *lists))
    grad = torch.randn(2, 5, 2, 3)
    torch.library.opcheck(dlka.ops.library.fused_backward, (grad, *(t.detach() for t in leaves[:3]), *lists))


@pytest.mark.parametrize("channels_last", [False, True])
def test_compiles_whole_forward_and_backward(channels_last):
    tensors, geometry = make(dtype=torch.float32)
    if channels_last:
        tensors = (tensors[0].contiguous(memory_format=torch.channels_last), *tensors[1:])

    def function(*leaves):
        return deform_dwconv2d(*(leaf * 1.5 for leaf in leaves), **geometry).tanh()

    torch.compiler.reset()
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    results = []
    for run in (function, compiled):
        leaves = [t.clone().requires_grad_() for t in tensors]
        out = run(*leaves)
        out.square().sum().backward()
        results.append([out.detach(), *(leaf.grad for leaf in leaves)])
        assert out.is_contiguous(memory_format=torch.channels_last) == channels_last
    for got, wanted in zip(*results):
        torch.testing.assert_close(got, wanted)


def test_torchs_thread_count_stays():
    tensors, geometry = make((2, 8, 20, 20), (3, 3), (1, 1), (1, 1), (1, 1))
    before = torch.get_num_threads()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            deform_dwconv2d(*tensors, **geometry, backend="numba")
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(before)


def test_many_callers_at_once_get_the_same_bits():
    tensors, geometry = make((2, 8, 20, 20), (3, 3), (1, 1), (1, 1), (1, 1))
    wanted = deform_dwconv2d(*tensors, **geometry, backend="numba")
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(deform_dwconv2d(*tensors, **geometry, backend="numba")))
        for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert all(torch.equal(result, wanted) for result in results)


def _child(queue):
    tensors, geometry = make((2, 8, 20, 20), (3, 3), (1, 1), (1, 1), (1, 1))
    queue.put(float(deform_dwconv2d(*tensors, **geometry, backend="numba").sum()))


def test_a_forked_process_works_too():
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system has no fork")
    tensors, geometry = make((2, 8, 20, 20), (3, 3), (1, 1), (1, 1), (1, 1))
    wanted = float(deform_dwconv2d(*tensors, **geometry, backend="numba").sum())  # the pool exists before the fork
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=_child, args=(queue,))
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert queue.get() == wanted
