"""The command sizes: the cell that found the object, its zoom and score, and five crops in one measure."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.lines import Line2D

from dlka import palette
from dlka.analysis import five_sizes as job
from dlka.analysis.five_sizes import SIZES, five_sizes, rows
from dlka.cli import main
from dlka.drawn.scenes import SIDE
from dlka.drawn.shapes import Placed
from dlka.images import read_image
from dlka.inference.letterbox import Letterbox
from dlka.ops.sampling import tap_grid
from dlka.types import Capture, Detections, Stage

STAGE = Stage("model.9.conv0", "model.9", "P3", 8, (5, 5), (1, 1), (2, 2), 16)
CELLS = SIDE // 8
LETTERBOX = Letterbox.fit((SIDE, SIDE), SIDE, 8)


class Breathing:
    """A model whose every kernel is as wide as the object: zoom = its size / 20. It finds what is 18 px or larger, one
    cell to the right of its middle, and something that is no E everywhere."""

    def __init__(self, name="E", stages=(STAGE,)):
        self.names, self.stages, self.seen = {0: "H", 1: name}, stages, []
        self.wild = 0.0  # cells that the middle tap is moved by

    def predict(self, image, size):
        assert size == SIDE
        self.seen.append(image)
        dark = np.argwhere(np.abs(image[..., 0].astype(int) - 128) > 45)  # ink, not noise
        side = float(np.ptp(dark, axis=0).max() + 1) if len(dark) else 20.0
        side = min(SIZES, key=lambda known: abs(known - side))
        grid = tap_grid((1, 1), STAGE.kernel, STAGE.step, STAGE.padding, STAGE.dilation)[:, :, 0, 0]  # [K, 2]
        grid = grid - grid.mean(axis=0)
        offset = np.broadcast_to((grid * (side / 20 - 1)).reshape(-1, 1, 1), (50, CELLS, CELLS)).astype(np.float32)
        offset[25] += self.wild
        box = Placed("E", side, 0, 1, (83.5, 83.5), max(1.0, job.PEN * side)).box()
        found = np.array([box, box], np.float32), np.array([0.9, 0.6], np.float32), np.array([0, 1])
        kept = slice(None) if side >= 18 else slice(1)
        detections = Detections(
            *(part[kept] for part in found), np.array([3, 3])[kept], np.array([[0, 0], [10, 11]])[kept]
        )
        return SimpleNamespace(
            detections=detections, letterbox=LETTERBOX, captures=tuple(Capture(stage, offset) for stage in self.stages)
        )


@pytest.fixture
def breathing(monkeypatch):
    def use(model):
        monkeypatch.setattr(job, "load_predictor", lambda name: (model, None))
        return model

    return use


def samples(axes) -> np.ndarray:
    """[n, 2] of the samples in a panel, also of those outside the map."""

    def is_sample(mark) -> bool:
        coloured = palette.DLKA in (mark.get_markerfacecolor(), mark.get_markeredgecolor())
        return mark.get_marker() in ("o", "x") and coloured

    marks = [artist for artist in axes.get_children() if isinstance(artist, Line2D)]
    return np.concatenate([mark.get_xydata() for mark in marks if is_sample(mark)])


def test_the_cell_that_found_it_is_shown_with_its_zoom(breathing):
    model = breathing(Breathing())
    found = five_sizes("fake")
    assert found.stage == "P3 5x5"
    assert len({image.tobytes() for image in model.seen[1:]}) == 5
    assert [one.size for one in found.sizes] == list(SIZES)
    np.testing.assert_allclose([one.zoom for one in found.sizes], np.array(SIZES) / 20, rtol=1e-5)
    assert [one.score for one in found.sizes] == [None, *[pytest.approx(0.6)] * 4]  # not 0.9, which is an H's
    assert [one.samples.reads.cell for one in found.sizes] == [(10, 10), *[(10, 11)] * 4]
    assert [row["score"] for row in rows(found)] == ["not found", *["0.60"] * 4]
    assert [row["zoom"] for row in rows(found)] == ["0.50", "0.90", "1.60", "2.80", "4.60"]
    assert [row["affine zoom"] for row in rows(found)] == [row["zoom"] for row in rows(found)]
    assert [row["outside"] for row in rows(found)] == [0, 0, 0, 0, 5]  # a column of taps


def test_crops_have_one_measure_and_hold_all_samples(breathing):
    breathing(Breathing())
    paper = five_sizes("fake").drawing
    panels = [axes for axes, _ in paper.panels]
    assert len(panels) == 5
    assert len({(*axes.get_xlim(), *axes.get_ylim()) for axes in panels}) == 1
    left, right = panels[0].get_xlim()
    assert (left + right) / 2 == 83.5  # the middle of the object
    for axes, size in zip(panels, SIZES):
        points = samples(axes)
        assert len(points) == 25
        np.testing.assert_allclose(np.ptp(points, axis=0), 4 * 8 * size / 20, rtol=1e-4)
        assert left < points.min()
        assert points.max() < right
    text = paper.legend_text
    assert "E at five sizes, read by fake" in text
    assert "10 px, zoom 0.50, not found" in text
    assert "92 px, zoom 4.60, score 0.60" in text
    assert "no box of its class" in text
    assert "knows no class" not in text


def test_a_wild_sample_is_not_hidden(breathing):
    """One sample far off the picture drives the zoom; no crop grows to it, and the drawing says so."""
    model = breathing(Breathing())
    assert "Beyond the crops" not in five_sizes("fake").drawing.legend_text
    model.wild = 1000.0
    found = five_sizes("fake")
    panel = found.drawing.panels[0][0]
    assert np.ptp(panel.get_xlim()) <= SIDE + 2 * 8
    assert "Beyond the crops, and counted in the zoom: 5 of the samples." in found.drawing.legend_text
    assert all(row["outside"] >= 1 and float(row["zoom"]) > 10 for row in rows(found))


def test_the_svg_says_in_words_what_it_shows(breathing, tmp_path):
    breathing(Breathing())
    assert main(["sizes", "fake", "--out", str(tmp_path / "e.svg")]) == 0
    drawn = (tmp_path / "e.svg").read_text(encoding="utf-8")
    assert "<desc>E at five sizes, read by fake" in drawn
    assert "56 px, zoom 2.80, score 0.60" in drawn


def test_a_model_without_the_class_finds_nothing_and_it_is_said(breathing):
    breathing(Breathing(name="person"))
    found = five_sizes("fake")
    assert [one.score for one in found.sizes] == [None] * 5
    assert [one.samples.reads.cell for one in found.sizes] == [(10, 10)] * 5
    assert "it knows no class called E" in found.drawing.legend_text


def test_two_stages_that_are_alike_have_numbers(breathing):
    breathing(Breathing(stages=(STAGE, STAGE)))
    assert five_sizes("fake").stage == "P3 5x5 (1)"
    assert five_sizes("fake", stage="P3 5x5 (2)").stage == "P3 5x5 (2)"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--shape", "Q"], "shape: expected one of E, H, T, X, L, U, ring, open ring, wave, got 'Q'."),
        (["--stage", "P9"], "stage: expected one of P3 5x5, got 'P9'."),
        (["--out", "x.gif"], "x.gif: expected a name that ends in .png, .svg, .pdf."),
    ],
)
def test_what_cannot_be_drawn_is_one_sentence(breathing, capsys, argv, says):
    breathing(Breathing())
    assert main(["sizes", "fake", *argv]) == 2
    assert capsys.readouterr().err == f"dlka: {says}\n"


def test_a_model_without_stages_is_refused(breathing, capsys):
    breathing(Breathing(stages=()))
    assert main(["sizes", "fake"]) == 2
    assert "fake has no deform stages" in capsys.readouterr().err


def test_the_command_draws_with_a_shipped_model(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["sizes", "neck", "--shape", "open ring", "--stage", "P4 7x7 d3"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "neck, open ring, P4 7x7 d3"
    assert [line.split()[0] for line in lines[2:7]] == ["10", "18", "32", "56", "92"]
    assert lines[7] == "Written: neck-open-ring-sizes.png."
    assert read_image("neck-open-ring-sizes.png").shape[1] == 1600
