"""Everything takes turns and the least time counts; bytes are counted exactly. No time is judged."""

from __future__ import annotations

import time

import torch
from torchvision.ops import deform_conv2d

from dlka.bench import timing
from dlka.bench.timing import least_in_turns, peak_bytes

MEGABYTE = 1 << 20


def test_all_take_turns_and_the_least_counts():
    order, times = [], {"a": iter([3.0, 1.0, 2.0]), "b": iter([5.0, 6.0, 4.0])}
    turns = {name: lambda name=name: (order.append(name), next(times[name]))[1] for name in times}
    assert least_in_turns(turns, 3) == {"a": 1.0, "b": 4.0}
    assert order == ["a", "b"] * 3


def test_milliseconds_are_those_of_one_call():
    assert 2 <= timing.turn(lambda: time.sleep(0.002)) < 1000


def test_the_most_that_is_alive_at_once():
    source = torch.zeros(MEGABYTE // 4)

    def call():
        for _ in range(3):
            scratch = torch.zeros(MEGABYTE)
            del scratch
        return source.clone()

    assert peak_bytes(call) == 4 * MEGABYTE


def test_results_count_and_inputs_do_not():
    source = torch.zeros(MEGABYTE // 4)
    assert peak_bytes(lambda: source.clone()) == MEGABYTE
    assert peak_bytes(lambda: source.add_(source)) == 0


def test_what_is_freed_within_does_not_hide_what_is_taken():
    before = [torch.zeros(MEGABYTE)]

    def call():
        scratch = torch.zeros(MEGABYTE // 4)
        before.clear()
        return scratch

    assert peak_bytes(call) == MEGABYTE


def test_scratch_inside_an_operator_counts():
    x, offset, weight = torch.randn(1, 8, 16, 16), torch.zeros(1, 18, 16, 16), torch.randn(8, 1, 3, 3)
    columns = 9 * x.nbytes
    assert columns < peak_bytes(lambda: deform_conv2d(x, offset, weight, padding=1)) <= columns + 3 * x.nbytes + 4096


def test_backward_counts():
    x = torch.randn(MEGABYTE // 4, requires_grad=True)
    # What exp keeps, what it is multiplied by, and the two at work.
    assert 2 * MEGABYTE <= peak_bytes(lambda: torch.autograd.grad(x.exp().sum(), x)) <= 4 * MEGABYTE + 64
