"""The bench of the operator of volumes: what it runs, and that wrong results are not timed. No time is judged."""

from __future__ import annotations

import json

import pytest

from dlka.bench import volume
from dlka.bench.ops import bench_ops, ops_text
from dlka.bench.volume import bench_volume, volume_text
from dlka.errors import DlkaError


def test_result():
    result = bench_volume(1, 1, 3, (3, 4, 5))
    for which in ("forward", "backward"):
        times = result["milliseconds"][which]
        assert set(times) == {"numba", "torch", "reference", "conv3d"}
        assert min(times.values()) > 0
        assert result["ratio"][which] == {n: pytest.approx(times[n] / times["numba"]) for n in ("reference", "conv3d")}
    assert "3 channels to as many, 3x4x5 voxels" in volume_text(result)
    assert ops_text(result) == volume_text(result)
    json.dumps(result)


@pytest.mark.parametrize("wrong", ["out", "grad"])
def test_a_wrong_result_is_not_timed(monkeypatch, wrong):
    right = volume.deform_conv3d

    def off(*args, backend, **options):
        out = right(*args, backend=backend, **options)
        if backend != "numba":
            return out
        return 1.1 * out if wrong == "out" else out.detach() + 1.1 * (out - out.detach())

    monkeypatch.setattr(volume, "deform_conv3d", off)
    monkeypatch.setattr(volume, "turn", lambda run: pytest.fail("a wrong result was timed"))
    with pytest.raises(RuntimeError, match="numba does not compute what the reference computes"):
        bench_volume(1, 1, 3, (3, 4, 5))


def test_refusals():
    with pytest.raises(DlkaError, match="rounds and threads: expected at least 1, got 0 and None"):
        bench_ops(0, volume=True)
    with pytest.raises(DlkaError, match="--volume: it is measured on the CPU"):
        bench_ops(device="cuda", volume=True)
