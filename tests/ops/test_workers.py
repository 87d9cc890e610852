"""The thread pool of the kernels: every job once, whoever is free takes the next, the same bits whoever took it."""

from __future__ import annotations

import threading
import time

import pytest
import torch
from test_operator import make

from dlka.ops import deform_dwconv2d, numba_cpu, workers
from dlka.ops.geometry import Geometry


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_every_job_runs_once(threads):
    seen = []
    workers.run(lambda *job: seen.append(job), [(i, -i) for i in range(20)], threads)
    assert sorted(seen) == [(i, -i) for i in range(20)]


def test_a_thread_that_is_held_up_leaves_the_other_jobs_to_the_rest():
    rest = threading.Semaphore(0)

    def kernel(job):
        if job == 0:  # a core that is busy with something else: it gets on when all other jobs are done
            assert all(rest.acquire(timeout=30) for _ in range(7))
        else:
            rest.release()

    workers.run(kernel, [(i,) for i in range(8)], 2)


@pytest.mark.parametrize("threads", [1, 2])
def test_an_error_in_a_job_reaches_the_caller(threads):
    def kernel(job):
        raise ZeroDivisionError(job)

    with pytest.raises(ZeroDivisionError):
        workers.run(kernel, [(1,), (2,), (3,)], threads)


@pytest.mark.parametrize("error", [ZeroDivisionError, KeyboardInterrupt])
@pytest.mark.parametrize("who", ["caller", "other"])
def test_when_a_job_raises_no_kernel_runs_any_more(who, error):
    """Kernels write to arrays of the caller, who may do anything with them once the call is over."""
    caller, lock, together = threading.current_thread(), threading.Lock(), threading.Barrier(3)
    begun, done = [], []

    def kernel(job):
        me = threading.current_thread()
        with lock:
            begun.append((job, me))
        if job < 3:
            together.wait(timeout=30)  # all three threads are at work
            others = [thread for _, thread in begun if thread is not caller]
            if me is (caller if who == "caller" else others[0]):
                raise error(job)
        time.sleep(0 if me is caller else 0.1)  # the caller is done first, whoever raises
        done.append(job)

    with pytest.raises(error):
        workers.run(kernel, [(i,) for i in range(10)], 3)
    assert len(done) == len(begun) - 1
    assert (len(begun) < 10) == (who == "caller")  # nobody begins another job once the caller's has raised
    count = len(begun)
    time.sleep(0.15)
    assert len(begun) == count


def test_no_jobs():
    workers.run(lambda: None, [], 4)


@pytest.mark.parametrize(("rows", "parts"), [(10, 3), (3, 10), (1, 1), (0, 4), (17, 8)])
def test_ranges_cover_all_rows_once(rows, parts):
    ranges = workers.ranges(rows, parts)
    assert [row for first, last in ranges for row in range(first, last)] == list(range(rows))
    assert len(ranges) == min(rows, parts)
    assert all(first < last for first, last in ranges)


def test_gradients_have_the_same_bits_every_time():
    tensors, geometry = make((2, 8, 40, 20), (3, 3), (1, 1), (1, 1), (1, 1), dtype=torch.float32)
    leaves = [t.requires_grad_() for t in tensors]
    results = [
        torch.autograd.grad(deform_dwconv2d(*leaves, **geometry, backend="numba").square().sum(), leaves)
        for _ in range(5)
    ]
    for result in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(result, results[0]))


class _Deformed(torch.utils.data.Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        torch.set_num_threads(2)  # a worker has one by default; with two its own pool must come to life
        tensors, geometry = make((1, 8, 20, 20), (3, 3), (1, 1), (1, 1), (1, 1), seed=index)
        return deform_dwconv2d(*tensors, **geometry, backend="numba")


@pytest.mark.slow
def test_data_loader_workers_give_the_same_numbers():
    before = torch.get_num_threads()
    try:
        wanted = [_Deformed()[i] for i in range(4)]  # this process has its pool before its workers are forked
    finally:
        torch.set_num_threads(before)
    loader = torch.utils.data.DataLoader(_Deformed(), batch_size=None, num_workers=2, timeout=60)
    assert all(torch.equal(a, b) for a, b in zip(loader, wanted, strict=True))


def test_many_threads_do_not_mean_many_maps_to_sum_into(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    jobs = []
    run = workers.run
    monkeypatch.setattr(workers, "run", lambda kernel, given, threads: (jobs.append(len(given)), run(kernel, given, 2)))
    (x, offset, weight, _), _ = make((1, 8, 100, 5), (3, 3), (1, 1), (1, 1), (1, 1), dtype=torch.float32)
    geometry = Geometry((3, 3), (1, 1), (1, 1), (1, 1))
    numba_cpu.backward(torch.ones_like(x), x, offset, weight, geometry)
    assert jobs[-1] == 16
