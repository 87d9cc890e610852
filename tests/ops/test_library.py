"""The operator inside torch: registration, compilation, threads and processes."""

from __future__ import annotations

import importlib
import multiprocessing
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from test_operator import make

import dlka.ops.library
from dlka.ops import deform_dwconv2d
from dlka.ops.backends import BACKENDS, Backend, resolve
from dlka.ops.geometry import channels_last

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_opcheck():
    (x, offset, weight, bias), geometry = make(dtype=torch.float32)
    lists = [list(geometry[k]) for k in ("stride", "padding", "dilation")]
    leaves = [t.requires_grad_() for t in (x, offset, weight, bias)]
    torch.library.opcheck(dlka.ops.library.fused, (*leaves, *lists))
    torch.library.opcheck(dlka.ops.library.fused, (*leaves[:3], None, *lists))
    grad = torch.randn(2, 5, 2, 3)
    torch.library.opcheck(dlka.ops.library.fused_backward, (grad, *(t.detach() for t in leaves[:3]), *lists))


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_a_first_call_may_be_compiled():
    """In a fresh process: choosing a backend imports and asks the driver, which a compiler must not follow."""
    code = (
        "import torch; from dlka.ops import deform_dwconv2d\n"
        "x, offset, weight = torch.randn(1, 2, 4, 4), torch.randn(1, 18, 4, 4), torch.randn(2, 1, 3, 3)\n"
        "compiled = torch.compile(deform_dwconv2d, fullgraph=True, backend='eager')\n"
        "got = compiled(x, offset, weight, padding=1)\n"
        "torch.testing.assert_close(got, deform_dwconv2d(x, offset, weight, padding=1))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", BACKENDS)
def test_half_is_widened_for_backends_that_do_not_take_it(name, monkeypatch):
    seen = []

    def run(x, offset, weight, bias, geometry):
        seen.extend(t.dtype for t in (x, offset, weight, bias))
        return x

    backend = BACKENDS[name]
    monkeypatch.setitem(BACKENDS, f"{name} here", Backend(lambda device: None, lambda: run, backend.half))
    (x, offset, weight, bias), geometry = make((1, 3, 4, 4), (1, 1), (1, 1), (0, 0), (1, 1), dtype=torch.float32)
    out = deform_dwconv2d(x.half(), offset, weight.half(), bias.half(), **geometry, backend=f"{name} here")
    inside = torch.float16 if backend.half else torch.float32
    assert seen == [inside, torch.float32, inside, inside]
    assert out.dtype == torch.float16


def test_auto_on_cuda(monkeypatch):
    device = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert resolve("auto", device) == "torchvision"
    with pytest.raises(RuntimeError, match="'triton' was asked for, but torch finds no CUDA device"):
        resolve("triton", device)
    with pytest.raises(RuntimeError, match="'triton' was asked for, but it runs on CUDA and the tensors are on cpu"):
        resolve("triton", torch.device("cpu"))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    pytest.importorskip("triton")
    triton_probe = importlib.import_module("dlka.ops.triton_probe")  # which other tests import anew

    monkeypatch.setattr(triton_probe, "start_error", lambda device: "no compiler")
    assert resolve("auto", device) == "torchvision"
    with pytest.raises(RuntimeError, match="'triton' was asked for, but no compiler"):
        resolve("triton", device)
    monkeypatch.setattr(triton_probe, "start_error", lambda device: None)
    assert resolve("auto", device) == "triton"
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (7, 5))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Old")
    assert resolve("auto", device) == "torchvision"
    with pytest.raises(RuntimeError, match=r"needs compute capability 8\.0 and Old has less"):
        resolve("triton", device)


@pytest.mark.parametrize("last", [False, True])
def test_the_node_keeps_the_memory_format(last):
    (x, *rest), geometry = make(dtype=torch.float32)
    x = x.contiguous(memory_format=torch.channels_last) if last else x
    out = dlka.ops.library.fused(x, *rest, *(list(geometry[k]) for k in ("stride", "padding", "dilation")))
    assert channels_last(out) == last
    assert out.is_contiguous() != last
