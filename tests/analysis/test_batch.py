"""Comparing many pictures: what is written, and that one bad file stops nothing."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from ultralytics.utils import ASSETS

from dlka.analysis import batch
from dlka.analysis.analysis import Settings
from dlka.analysis.batch import folders, run_batch
from dlka.analysis.pairing import interesting_object, interesting_point
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.models.build import build_model
from dlka.models.catalog import find
from dlka.models.weights import Card, load_model, save_weights
from dlka.types import ONLY_FIRST, ONLY_SECOND, Detections, Pair, Pairing

SMALL = Settings("neck", "control", size=160, confidence=0.05)
STOCK = replace(SMALL, dlka="control")


def save(path: Path, image: np.ndarray) -> Path:
    Image.fromarray(image).save(path)
    return path


@pytest.fixture(scope="module")
def bus() -> np.ndarray:
    return np.ascontiguousarray(read_image(ASSETS / "bus.jpg")[::3, ::3])


@pytest.fixture(scope="module")
def run(tmp_path_factory, bus):
    """One run over a good picture, a broken one, a missing one, and another good one of the same stem."""
    folder = tmp_path_factory.mktemp("batch")
    (folder / "in" / "b").mkdir(parents=True)
    good, twin = save(folder / "in/bus.png", bus), save(folder / "in/b/bus.png", bus[:, ::-1])
    broken = folder / "in" / "broken.jpg"
    broken.write_bytes((ASSETS / "bus.jpg").read_bytes()[:2000])
    images = [good, broken, folder / "in/none.png", twin]
    return folder, images, list(run_batch(images, SMALL, folder / "out"))


@pytest.mark.slow
def test_one_bad_file_does_not_stop_the_others(run):
    folder, images, outcomes = run
    assert [o.image for o in outcomes] == [str(i) for i in images]
    assert [o.folder for o in outcomes] == [folder / "out/bus", None, None, folder / "out/bus-2"]
    assert "damaged, incomplete" in outcomes[1].problem
    assert "cannot be opened" in outcomes[2].problem
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["bus", "bus-2"]
    assert str(outcomes[1]).startswith(f"{images[1]}: The file starts like")
    assert str(outcomes[0]).startswith(f"{images[0]}: {outcomes[0].counts['objects']} objects (")


@pytest.mark.slow
def test_pictures_and_report(run, bus):
    folder, images, outcomes = run
    report = json.loads((folder / "out/bus/comparison.json").read_text())
    pictures = {p.name for p in (folder / "out/bus").glob("*.png")}
    assert set(report["pictures"]) == pictures
    stages = ["01-p3-5x5", "02-p3-7x7-d3", "03-p4-5x5", "04-p4-7x7-d3", "05-p5-5x5", "06-p5-7x7-d3"]
    assert pictures == {
        *(f"{n}.png" for n in ("boxes-dlka", "boxes-baseline", "difference", "small-objects", "samples")),
        *(f"offsets-{stage}-{kind}.png" for stage in stages for kind in ("arrows", "length")),
        *(f"gate-{n}.png" for n in ("01-p3", "02-p4", "03-p5")),
    }
    for name in pictures:
        height, width = cv2.imread(str(folder / "out/bus" / name)).shape[:2]
        assert width > 300
        assert height > (50 if name == "small-objects.png" else 300)  # without such objects it is a sentence only
    assert report["summary"] == outcomes[0].counts
    assert len(report["objects"]) == report["summary"]["objects"]
    assert report["picture"] == {
        "file": "bus.png",
        "sha256": hashlib.sha256(images[0].read_bytes()).hexdigest(),
        "height": bus.shape[0],
        "width": bus.shape[1],
    }
    assert report["settings"] == {"size": 160, "confidence": 0.05, "iou": 0.7, "strength": 1.0}
    assert report["device"] == "cpu"
    assert len(report["stages"]) == 6
    for side, model in (("dlka", "neck"), ("baseline", "control")):
        weights = report["models"][side]
        assert (weights["id"], weights["placement"], weights["classes"]) == (model, model, 80)
        assert weights["sha256"] == hashlib.sha256(find(model).read_bytes()).hexdigest()
        assert "seed" in weights
        assert set(report["milliseconds"][side]) == {"letterbox", "model", "boxes"}
    assert {"dlka", "torch", "ultralytics"} <= set(report["versions"])


@pytest.mark.slow
def test_a_drawn_scene_goes_in_as_large_as_it_is(tmp_path):
    scene = Path(__file__).parents[2] / "assets" / "scene-3.png"
    (outcome,) = run_batch([scene], Settings("scenes", "scenes-rigid"), tmp_path)
    report = json.loads((outcome.folder / batch.REPORT).read_text())
    assert report["settings"]["size"] == 320
    assert [stage["cells"] for stage in report["stages"]] == [[32, 40], [32, 40]]


@pytest.mark.slow
def test_both_models_look_with_the_size_that_suits_the_first(tmp_path, bus):
    picture = save(tmp_path / "bus.png", bus)
    model, card = load_model(find("neck"))
    save_weights(tmp_path / "neck.safetensors", model.state_dict(), replace(card, metrics={"size": 160}))
    (outcome,) = run_batch([picture], Settings(str(tmp_path / "neck.safetensors")), tmp_path / "out")
    report = json.loads((outcome.folder / batch.REPORT).read_text())
    assert report["settings"]["size"] == 160
    assert report["stages"][0]["cells"] == [20, 16]


@pytest.mark.slow
def test_scales_are_shared_between_stages(run):
    folder, *_ = run
    told = json.loads((folder / "out/bus/comparison.json").read_text())["pictures"]

    def ends(start: str, kind: str, row: str) -> set[str]:
        return {
            line.split(" | ")[-1]
            for name, legend in told.items()
            if name.startswith(start) and kind in name
            for line in legend.split("\n")
            if " | " in line and row in line
        }

    assert len(ends("offsets", "arrows", "cells")) == 1
    assert len(ends("offsets", "length", "cells")) == 1
    assert len(ends("offsets", "length", "px")) == 3  # one cell is another length on every level
    assert len({line for line in ends("gate", "", ".") if line.replace(".", "").isdigit()}) == 1


@pytest.mark.slow
def test_the_twin_picture_is_its_own(run):
    folder, *_ = run
    first, second = (json.loads((folder / "out" / n / "comparison.json").read_text()) for n in ("bus", "bus-2"))
    assert first["picture"]["sha256"] != second["picture"]["sha256"]


def test_stock_models_draw_boxes_only(tmp_path, bus):
    image = save(tmp_path / "a.png", bus)
    (outcome,) = run_batch([image], STOCK, tmp_path / "out")
    assert sorted(p.name for p in outcome.folder.iterdir()) == [
        "boxes-baseline.png",
        "boxes-dlka.png",
        "comparison.json",
        "difference.png",
        "small-objects.png",
    ]
    assert outcome.counts["kinds"]["both"] == outcome.counts["objects"] > 0


@pytest.mark.parametrize(
    ("model", "changes", "error", "message"),
    [
        ("neck", {"size": 33}, ValueError, "size: expected a multiple of 32"),
        ("neck", {"size": 10**9}, ValueError, "size: expected a multiple of 32"),
        ("neck", {"confidence": 2}, ValueError, "confidence and iou: expected 0 to 1"),
        ("neck", {"strength": float("nan")}, DlkaError, "neck: The model's output is not finite"),
        ("nothing", {}, DlkaError, "expected one of .*, got 'nothing'"),
    ],
)
def test_a_run_that_cannot_start(tmp_path, model, changes, error, message):
    with pytest.raises(error, match=message):
        run_batch([ASSETS / "bus.jpg"], Settings(model, "control", **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_models_of_different_classes(tmp_path):
    card = Card("neck", "n", "dense", {0: "ant"}, 64, "none", "random", "AGPL-3.0", 0, {})
    save_weights(tmp_path / "ants.safetensors", build_model("neck", "n", 1).state_dict(), card)
    with pytest.raises(DlkaError, match="know different classes"):
        run_batch([ASSETS / "bus.jpg"], replace(SMALL, dlka=str(tmp_path / "ants.safetensors")), tmp_path / "out")


def test_a_fault_of_the_program_is_no_mistake_of_a_picture(tmp_path, bus, monkeypatch, caplog):
    def gallery(*arguments):
        raise ValueError("operands could not be broadcast together")

    monkeypatch.setattr(batch, "gallery", gallery)
    (one,) = run_batch([save(tmp_path / "a.png", bus)], SMALL, tmp_path / "out")
    assert one.problem.startswith("Something broke here, it was not your picture.")
    (record,) = caplog.records
    assert "broadcast" in str(record.exc_info[1])
    assert record.getMessage().split()[-1] in one.problem


def test_a_full_disk_stops_one_picture_only(tmp_path, bus, monkeypatch):
    images = [save(tmp_path / "a.png", bus), save(tmp_path / "b.png", bus)]
    whole = batch.gallery

    def gallery(analysis):
        if not list((tmp_path / "out").glob("*/*.png")):
            (tmp_path / "out/a/full.png").write_bytes(b"")
            raise OSError(28, "No space left on device")
        return whole(analysis)

    monkeypatch.setattr(batch, "gallery", gallery)
    first, second = run_batch(images, STOCK, tmp_path / "out")
    assert "No space left" in first.problem
    assert second.folder == tmp_path / "out/b"


@given(st.lists(st.text(min_size=1, max_size=12), max_size=8))
@settings(max_examples=100, deadline=None)
def test_folders_are_distinct_and_lead_nowhere_else(names):
    names = [f"{n}.jpg" for n in names] + [".jpg", "...jpg", "..", "a/A.png", "b/a.jpg", "a-2.gif", "x" * 3]
    found = folders(names)
    assert len({n.casefold() for n in found}) == len(names)
    for name in found:
        assert Path(name).name == name
        assert name.strip(". ")
        assert not set(name) & set('/\\:*?"<>|\0\n')


def test_folders_keep_readable_stems():
    assert folders(["in/bus.jpg", "bus.png", "bus-2.jpg", "my cat (1).webp", "Zoë.jpg"]) == [
        "bus",
        "bus-2",
        "bus-2-2",
        "my cat (1)",
        "Zoë",
    ]


def test_the_interesting_point_is_the_smallest_object():
    def found(*boxes):
        n = len(boxes)
        whole = np.zeros(n, np.int64)
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4), np.ones(n), whole, whole, np.zeros((n, 2), np.int64)
        )

    none, one = found(), found([10, 20, 14, 26], [0, 0, 50, 50])
    left = Pairing(one, none, (Pair(ONLY_FIRST, 0, None, 0, 24, "S", 1), Pair(ONLY_FIRST, 1, None, 0, 2500, "M", 1)))
    right = Pairing(none, one, (Pair(ONLY_SECOND, None, 0, 0, 24, "S", -1),))
    assert interesting_point(left, (100, 200)) == (11.5, 22.5)
    assert interesting_point(right, (100, 200)) == (11.5, 22.5)
    assert interesting_point(Pairing(none, none, ()), (100, 200)) == (99.5, 49.5)


@pytest.mark.parametrize(
    ("boxes", "chosen"),
    [
        ([(1, 40, 9, 48), (40, 40, 60, 60)], 1),  # the smaller one is cut by the edge
        ([(6, 40, 14, 48), (40, 40, 60, 60)], 0),
        ([(40, 89, 44, 96), (50, 40, 90, 80)], 1),  # 4 px from the lower edge, where 5 % are asked for
        ([(0, 0, 5, 5), (0, 0, 90, 90)], 0),  # nothing stands clear
    ],
)
def test_what_the_edge_may_cut_is_not_looked_at_first(boxes, chosen):
    many = len(boxes)
    whole = np.zeros(many, np.int64)
    seen = Detections(np.array(boxes, np.float32), np.ones(many), whole, whole, np.zeros((many, 2), np.int64))
    pairs = tuple(Pair(ONLY_FIRST, i, None, 0, 1, "S", 1) for i in range(many))
    assert interesting_object(Pairing(seen, seen, pairs), (100, 120)) == chosen
