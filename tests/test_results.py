"""`dlka.load` and `dlka.compare`: what page and command line give, in the forms that scripts and notebooks take."""

from __future__ import annotations

import doctest
import json
from dataclasses import replace
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
EMPTY = np.full((64, 64, 3), 90, np.uint8)


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
        (lambda: dlka.load("scenes")(np.zeros((0, 8, 3), np.uint8)), r"got uint8 \[0, 8, 3\]"),
        (lambda: dlka.load("scenes")(["README.md"]), "README.md: The file is not in a format that is read here"),
        (lambda: dlka.load("scenes")([np.zeros((8, 8), np.uint8)]), "Picture 0: Picture: expected a file"),
        (lambda: dlka.compare("nothing.jpg", "scenes"), "cannot be opened"),
        (lambda: dlka.compare(examples()[SCENE], "scenes", "control"), "only models of the same classes"),
        (lambda: pair.figure("nothing"), "Figure: expected one of boxes"),
        (lambda: pair.figure("samples", object=99), "Object: expected a row of to_pandas"),
        (lambda: pair.figure("samples", object="a"), "Object: expected a row of to_pandas.*got 'a'"),
        (lambda: pair.figure("samples", colour="red"), "Figure samples: expected x, y"),
        (lambda: pair.canvas().save("gone/x.html"), "gone/x.html cannot be written"),
        (lambda: pair.draw().save("gone/x.png"), "gone/x.png cannot be written"),
        (lambda: pair.figure("samples").save("gone/x.npz"), "gone/x.npz cannot be written"),
        (lambda: pair.save("README.md"), "README.md: expected a folder to write to, got a file"),
        (lambda: dlka.load("scenes", "abacus"), "device: torch finds no 'abacus' here"),
        (lambda: dlka.compare(EMPTY, "scenes").figure("boxes", object=0), "the models found none in this picture"),
    ):
        with pytest.raises(DlkaError, match=said):
            call()


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"classes": "E"}, "Classes: expected a list of names, such as .*; got 'E'"),
        ({"classes": 3}, "Classes: expected a list of names, such as .*; got 3"),
        ({"classes": [["E"]]}, "Classes: expected a list of names"),
        ({"size": "64"}, "size: expected a multiple of 32 from 32 to 4096, got '64'"),
        ({"size": 0}, "size: expected a multiple of 32 from 32 to 4096, got 0"),
        ({"confidence": "0.5"}, "confidence and iou: expected 0 to 1, got '0.5'"),
        ({"iou": None}, "confidence and iou: expected 0 to 1, got 0.25 and None"),
        ({"strength": "1"}, "Deformation strength: expected 0 to 2; got '1'"),
        ({"strength": 3}, "Deformation strength: expected 0 to 2; got 3"),
    ],
    ids=str,
)
def test_wrong_types_and_sizes_are_one_sentence(asked, said):
    model = dlka.load("scenes")
    for call in (lambda: model(EMPTY, **asked), lambda: dlka.compare(EMPTY, "scenes", **asked)):
        with pytest.raises(DlkaError, match=said):
            call()
    with pytest.raises(DlkaError, match=f"^{said}"):  # of no picture
        model([EMPTY, EMPTY], **asked)


def test_notebooks_show_pictures(pair):
    assert pair._repr_html_().count("data:image/jpeg;base64,") == 2
    assert pair.dlka._repr_png_().startswith(b"\x89PNG")
    assert pair.figure("samples")._repr_png_().startswith(b"\x89PNG")
    assert pair.figure("samples").draw()._repr_png_().startswith(b"\x89PNG")


def test_a_comparison_is_written_to_a_folder(pair, tmp_path):
    written = pair.save(tmp_path / "out")
    assert {path.name for path in written} >= {"boxes-dlka.png", "difference.png", "samples.png", "objects.csv"}
    assert all(path.stat().st_size for path in written)


CELL = """() => {
  const { cell, amount, samples } = document.querySelector(".see-picture").drawn;
  return [cell, amount, samples];
}"""


@pytest.mark.parametrize("colours", ["light", "dark"])
def test_the_canvas_of_a_cell_moves_by_itself(pair, browser, tmp_path, colours):
    """As a notebook shows it: in a frame that may run scripts and reach nothing."""
    file, wrong = tmp_path / "cell.html", []
    file.write_text(f'<!doctype html><meta charset="utf-8">{pair.canvas()._repr_html_()}', encoding="utf-8")
    context = browser.new_context(viewport={"width": 1100, "height": 860}, color_scheme=colours)
    page = context.new_page()
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda asked: asked.url.startswith(("file:", "data:")) or wrong.append(asked.url))
    page.goto(file.as_uri())
    frame = page.frames[1]
    frame.wait_for_function("() => document.querySelector('.see-picture').drawn?.amount === 1")
    cell, _, samples = frame.evaluate(CELL)
    box = page.frame_locator("iframe").locator(".see-picture").bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.6 * box["height"])
    frame.wait_for_function(f"before => `${{({CELL})()[0]}}` !== before", arg=",".join(map(str, cell)))
    assert frame.evaluate(CELL)[2] != samples
    frame.get_by_text("Attention", exact=True).click()
    frame.wait_for_function("() => document.querySelector('.see-picture').layer?.cells")
    ground = frame.evaluate("() => getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 23, 26)"}[colours]
    assert wrong == []
    context.close()


def test_a_canvas_is_a_page_and_a_picture(pair, tmp_path):
    made = pair.canvas()
    made.save(tmp_path / "canvas.html")
    assert "&quot;" not in (tmp_path / "canvas.html").read_text(encoding="utf-8").partition("<script")[2]
    made.save(tmp_path / "canvas.svg")
    assert made._repr_png_().startswith(b"\x89PNG")
    assert "<img" in made._repr_html_().partition("<iframe")[0], "for who takes frames away"


def test_no_text_of_a_model_ends_the_script_of_a_canvas(pair):
    names = dict.fromkeys(pair.analysis.names, "</script><b>")
    page = dlka.comparison.Comparison(replace(pair.analysis, names=names)).canvas().page
    assert page.count("</script>") == 2


@pytest.mark.slow
def test_the_notebook_runs(tmp_path):
    book = nbformat.read(ASSETS / "notebook.ipynb", as_version=4)
    nbclient.NotebookClient(book, timeout=300, resources={"metadata": {"path": str(ASSETS.parent)}}).execute()
    shown = json.dumps([cell.get("outputs", []) for cell in book.cells])
    assert "text/html" in shown
    assert "image/png" in shown
    assert "<iframe sandbox=" in shown
