"""`dlka bench folder`: all ways look at the whole folder and write the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from dlka.bench import folder
from dlka.images import read_image
from dlka.results import load


@pytest.mark.slow
def test_every_way_writes_every_picture(monkeypatch):
    written: dict[str, list] = {way: [] for way in folder.WAYS}
    result = folder.bench_folder(["control"], sizes=[64], count=3, rounds=1)
    (row,) = result["rows"]
    assert all(row[way] > 0 for way in folder.WAYS)
    assert row["lanes, times as fast"] == pytest.approx(row[folder.ALONE] / row[folder.LANES])
    model = load("control", "cpu")
    files = sorted(Path(folder.folder()).glob("bench-[0-2].jpg"))
    for way, run in folder.WAYS.items():
        monkeypatch.setattr(folder, "draw_into_file", written[way].append)
        run(model, files, 64)
    looked_at = [sorted(one.image.tolist() for one in results) for results in written.values()]  # lanes: as they end
    assert looked_at == [sorted(read_image(file).tolist() for file in files)] * len(folder.WAYS)
