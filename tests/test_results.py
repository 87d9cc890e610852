"""`dlka.load` and `dlka.compare`: what page and command line give, in the forms that scripts and notebooks take."""

from __future__ import annotations

import doctest
import json
from pathlib import Path

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

import dlka
from dlka import comparison, results
from dlka.analysis.analysis import Settings, analyse
from dlka.analysis.examples import ASSETS, examples
from dlka.analysis.figures import KINDS
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.inference.predictor import load_predictor

SCENE = "Drawn scene: letters and curves"


@pytest.fixture(scope="module")
def pair():
    return dlka.compare(examples()[SCENE], "scenes")


def test_the_examples_of_the_docstring_hold(monkeypatch):
    monkeypatch.chdir(ASSETS.parent)
    for module in (results, comparison):
        done = doctest.testmod(module)
        assert done.failed == 0 < done.attempted


def test_a_file_an_array_and_a_pil_picture_are_the_same():
    model, path = dlka.load("scenes"), examples()[SCENE]
    seen = [model(picture) for picture in (path, str(path), read_image(path), Image.open(path))]
    wanted = load_predictor("scenes")[0].predict(read_image(path), size=320).detections
    for result in seen:
        np.testing.assert_array_equal(result.detections.boxes, wanted.boxes)
    several = model([path, read_image(path)])
    assert [len(result) for result in several] == [len(wanted)] * 2


def test_a_folder_is_its_pictures_by_name(tmp_path):
    for name in ("b.PNG", "a.png"):
        (tmp_path / name).write_bytes(examples()[SCENE].read_bytes())
    (tmp_path / "notes.txt").write_text("none")
    assert [Path(result.path).name for result in dlka.load("scenes")(tmp_path)] == ["a.png", "b.PNG"]


def test_a_comparison_is_that_of_the_page(pair):
    analysis = analyse(examples()[SCENE], Settings("scenes", "scenes-rigid"))
    assert pair.analysis is analysis, "one question has one answer, which is kept"
    assert sum(pair.counts.values()) == len(pair.to_pandas()) == len(analysis.pairing.pairs)
    assert dlka.compare(read_image(examples()[SCENE]), "scenes").counts == pair.counts
    off = dlka.compare(examples()[SCENE], "scenes", strength=0)
    assert off.analysis.settings.strength == 0
    assert off.counts != pair.counts
    assert set(dlka.compare(examples()[SCENE], "scenes", classes=["H"]).dlka.to_pandas()["class"]) == {"H"}


def test_other_libraries_get_the_same_boxes(pair):
    found, result = pair.dlka.detections, pair.dlka
    table, sv, own = result.to_pandas(), result.to_supervision(), result.to_ultralytics()
    np.testing.assert_array_equal(table[["x1", "y1", "x2", "y2"]].to_numpy(), found.boxes)
    np.testing.assert_array_equal(sv.xyxy, found.boxes)
    np.testing.assert_array_equal(own.boxes.xyxy.numpy(), found.boxes)
    np.testing.assert_array_equal(own.boxes.conf.numpy(), found.scores)
    np.testing.assert_array_equal(own.orig_img[..., ::-1], pair.analysis.image)
    names = [result.names[number] for number in found.classes]
    assert table["class"].tolist() == sv.data["class_name"].tolist() == names
    assert own.summary()[0]["name"] == names[0]
    assert pair.to_supervision()[1].xyxy.shape == pair.baseline.detections.boxes.shape


@pytest.mark.parametrize("kind", KINDS)
def test_every_figure_needs_no_arguments(pair, kind, tmp_path):
    made = pair.figure(kind)
    assert made.caption
    made.save(tmp_path / "figure.npz")
    assert set(np.load(tmp_path / "figure.npz")) == set(made.arrays)


def test_a_figure_is_about_an_object(pair, tmp_path):
    table = pair.to_pandas()
    number = int(table.index[table["kind"] == "both"][-1])
    made = pair.figure("reads", object=number)
    assert made.arrays["cell"].tolist() == table.loc[number, "dlka_cell"]
    assert made.arrays["cell"].tolist() != pair.figure("reads", object=0).arrays["cell"].tolist()
    for ending, start in ((".png", b"\x89PNG"), (".svg", b"<?xml"), (".pdf", b"%PDF")):
        made.save(tmp_path / f"figure{ending}")
        assert (tmp_path / f"figure{ending}").read_bytes().startswith(start)
    with pytest.raises(DlkaError, match=r"expected a name that ends in \.png, \.svg, \.pdf"):
        made.save(tmp_path / "figure.gif")


def test_what_is_wrong_is_one_sentence(pair):
    for call, said in (
        (lambda: dlka.load("nothing"), "Model: expected a file, or one of"),
        (lambda: dlka.load("nothing.pt"), "expected a .safetensors file"),
        (lambda: dlka.compare(np.zeros((8, 8)), "scenes"), "Picture: expected a file, a PIL picture or RGB"),
        (lambda: dlka.compare("nothing.jpg", "scenes"), "cannot be opened"),
        (lambda: dlka.compare(examples()[SCENE], "scenes", "control"), "only models of the same classes"),
        (lambda: pair.figure("nothing"), "Figure: expected one of boxes"),
        (lambda: pair.figure("samples", object=99), "Object: expected a row of to_pandas"),
        (lambda: pair.figure("samples", colour="red"), "Figure samples: expected x, y"),
    ):
        with pytest.raises(DlkaError, match=said):
            call()


def test_notebooks_show_pictures(pair):
    assert pair._repr_html_().count("data:image/jpeg;base64,") == 2
    assert pair.dlka._repr_png_().startswith(b"\x89PNG")
    assert pair.figure("samples")._repr_png_().startswith(b"\x89PNG")
    assert pair.figure("samples").draw()._repr_png_().startswith(b"\x89PNG")


def test_a_comparison_is_written_to_a_folder(pair, tmp_path):
    written = pair.save(tmp_path / "out")
    assert {path.name for path in written} >= {"boxes-dlka.png", "difference.png", "samples.png", "objects.csv"}
    assert all(path.stat().st_size for path in written)


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    book = nbformat.read(ASSETS / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(ASSETS.parent)}}).execute()
    shown = json.dumps([cell.get("outputs", []) for cell in book.cells])
    assert "text/html" in shown
    assert "image/png" in shown
