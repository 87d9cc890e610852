"""The arithmetic of a block adds up to what the network computed, to the last bits of float32."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from deforming import deforming, hooks, picture, run

from dlka.inference.block_values import tap_sum, watch_block
from dlka.inference.interventions import Intervention, intervene
from dlka.inference.probe import probe, stages

PLACEMENTS = ["residual", "neck", "head"]


def seen(model, block, intervention=None):
    with intervene(model, intervention or Intervention()), watch_block(model, block) as values:
        run(model, picture())
    return values


@pytest.fixture(scope="module", params=PLACEMENTS)
def model(request):
    return deforming(request.param)


def close(a, b):
    return abs(a - b) <= 1e-5 * max(1.0, abs(b))


@pytest.mark.slow
def test_sums_are_those_of_the_network(model):
    random = np.random.default_rng(0)
    for stage in stages(model):
        values = seen(model, stage.block)
        channels, height, width = values.gate.shape
        for corner in ((0, 0), (height - 1, width - 1), (height // 2, width // 3)):
            channel, tap = int(random.integers(channels)), int(random.integers(stage.taps))
            told = tap_sum(values, stage, corner, channel, tap)
            assert close(told.stage, told.stage_network)
            assert close(told.gate, told.gate_network)
            assert close(told.product, told.gate_network * told.gated)
            assert close(told.output, told.output_network)
            assert told.products[tap] == pytest.approx(told.weight * told.read)
            assert sum(share for *_, share, _ in told.corners) == pytest.approx(1)
            assert told.output_network == values.output[channel, corner[0], corner[1]]
            assert abs(told.added) > 0


@pytest.mark.slow
def test_a_tap_reads_its_four_neighbours(model):
    stage = stages(model)[0]
    values = seen(model, stage.block)
    told = tap_sum(values, stage, (2, 3), 1, 12)  # the middle of 5x5
    dy, dx = values.offsets[stage.name][24:26, 2, 3]
    assert told.place == pytest.approx([2 + dy, 3 + dx], abs=1e-6)
    rows, columns = zip(*[(row, column) for row, column, *_ in told.corners])
    assert (min(rows), max(rows)) == (np.floor(2 + dy), np.floor(2 + dy) + 1)
    assert (min(columns), max(columns)) == (np.floor(3 + dx), np.floor(3 + dx) + 1)
    size = values.gate.shape[1:]
    for row, column, _, value in told.corners:
        inside = 0 <= row < size[0] and 0 <= column < size[1]
        assert value == (values.samples[stage.name][1, row, column] if inside else 0)


@pytest.mark.slow
def test_it_sees_what_an_intervention_does_and_leaves_no_hook():
    model = deforming("residual")
    stage = stages(model)[0]
    still = seen(model, stage.block, Intervention(strength=0.0))
    assert not still.offsets[stage.name].any()
    assert tap_sum(still, stage, (1, 1), 0, 12).place.tolist() == [1, 1]
    before = run(model, picture())
    with probe(model) as captures, watch_block(model, stage.block) as values:
        assert torch.equal(run(model, picture()), before)
    assert np.array_equal(values.offsets[stage.name], captures.offsets[0].offset)
    assert np.array_equal(values.gate, captures.gates[0].values)
    with pytest.raises(ZeroDivisionError), watch_block(model, stage.block):
        raise ZeroDivisionError
    assert hooks(model) == 0


def test_what_is_not_there_is_refused():
    model = deforming("residual")
    stage = stages(model)[0]
    with (
        pytest.raises(ValueError, match=r"block: expected one of model\.16, .*, got 'model\.3'"),
        watch_block(model, "model.3"),
    ):
        pass
    values = seen(model, stage.block)
    for cell, channel, tap, what in (
        ((-1, 0), 0, 0, "row"),
        ((0, 99), 0, 0, "column"),
        ((0, 0), 999, 0, "channel"),
        ((0, 0), 0, 25, "tap: expected 0 to 24, got 25"),
    ):
        with pytest.raises(ValueError, match=what):
            tap_sum(values, stage, cell, channel, tap)
