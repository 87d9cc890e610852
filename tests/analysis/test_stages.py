"""The numbers of a stage, from offsets set by hand."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest

from dlka.analysis.stages import all_stage_stats, stage_stats
from dlka.inference.letterbox import Letterbox
from dlka.types import Capture, Stage

STAGE = Stage("b.conv0", "b", "P3", 8, (3, 3), (1, 1), (1, 1), 4)
LETTERBOX = Letterbox.fit((64, 32), 128)  # enlarged twice: one cell of stride 8 is 4 pixels of the picture


def capture(value=(0.0, 0.0), size=(16, 8)):
    offset = np.zeros((18, *size), np.float32)
    offset[0::2], offset[1::2] = value
    return Capture(STAGE, offset)


def test_lengths_in_cells_and_pixels():
    stats = stage_stats(capture((0.3, -0.4)), LETTERBOX)
    assert [stats.mean, stats.p95, stats.maximum] == pytest.approx([0.5, 0.5, 0.5])
    assert [stats.mean_px, stats.p95_px, stats.maximum_px] == pytest.approx([2, 2, 2])
    assert stats.moved == 1
    assert stats.varies == pytest.approx(0, abs=1e-6)
    assert stats.cells == (16, 8)


def test_a_rigid_stage_reads_outside_only_at_the_border():
    stats = stage_stats(capture(), LETTERBOX)
    assert stats.moved == 0
    # of 16 * 8 * 9 taps, the frame's corner and edge cells lose 3 each, corners counted once
    assert stats.outside == stats.regular_outside == pytest.approx((2 * (16 + 8) * 3 - 4) / (16 * 8 * 9))


def test_one_moved_tap_in_one_cell():
    moved = capture()
    moved.offset[8, 3, 3] = 0.2
    stats = stage_stats(moved, LETTERBOX)
    assert stats.maximum == pytest.approx(0.2)
    assert stats.moved == pytest.approx(1 / (9 * 128))
    assert stats.varies > 0
    assert [asdict(s)["label"] for s in all_stage_stats([moved], LETTERBOX)] == ["P3 3x3"]
