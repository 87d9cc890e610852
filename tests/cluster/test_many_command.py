"""Very many pictures without Ray: rows and the way back, a run that goes on, one bad picture, labels and AP."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import fsspec
import numpy as np
import polars as pl
import pytest
from PIL import Image

from dlka.analysis import batch
from dlka.analysis.analysis import Settings, analyse_once
from dlka.analysis.many.analyses import ManyAnalyses
from dlka.analysis.many.inputs import sort_files
from dlka.analysis.many.precision import precisions
from dlka.cli import main
from dlka.cluster.engines import Comparer
from dlka.cluster.many import Run, measure
from dlka.cluster.parts import Parts, part_of, pictures_in, pixels_of
from dlka.cluster.rows import BELOW, SCHEMA, detections, picture_rows
from dlka.drawn.scenes import write_data_set
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.inference.kernel_shape import stage_shapes
from dlka.types import KIND_NAMES

SETTINGS = Settings("scenes", "scenes-rigid", confidence=0.3)


@pytest.fixture(scope="module")
def scenes(tmp_path_factory) -> Path:
    """Twelve drawn scenes with labels, and a file that is no picture."""
    folder = tmp_path_factory.mktemp("scenes")
    write_data_set(folder / "set", count=1, seed=3, val=12)
    shutil.copytree(folder / "set/images/val", folder / "in")
    shutil.copytree(folder / "set/labels/val", folder / "labels")
    shutil.copy(folder / "set/data.yaml", folder / "labels")
    (folder / "in/bad.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    return folder


def labels_of(scenes: Path) -> list[str]:
    return [str(path) for path in sorted((scenes / "labels").iterdir())]


@pytest.fixture(scope="module")
def run(scenes) -> tuple[Run, dict]:
    made = Run(pictures_in(str(scenes / "in")), SETTINGS, str(scenes / "out"), labels_of(scenes), block=5)
    assert [len(block) for block in made.blocks] == [5, 5, 3]
    assert sum(part["problems"] for part in map(Comparer(made.question), made.blocks)) == 1
    return made, made.summarise()


@pytest.fixture(scope="module")
def picture(scenes) -> np.ndarray:
    return read_image(sorted((scenes / "in").glob("[!b]*.png"))[0])


def test_rows_give_back_what_was_found(picture):
    every = analyse_once(picture, Settings("scenes", "scenes-rigid", confidence=0.01))
    rows = pl.DataFrame(picture_rows("a.png", every, 0.3), SCHEMA)
    assert rows.height > len(every.pairing.pairs) / 2
    back = detections(rows.sample(fraction=1.0, shuffle=True, seed=0), every.names)
    for found, own in zip(back, (every.dlka.detections, every.baseline.detections)):
        assert len(own) > 5
        for name in ("boxes", "scores", "classes", "levels", "cells"):
            np.testing.assert_array_equal(getattr(found, name), getattr(own, name))
            assert getattr(found, name).dtype == getattr(own, name).dtype
    kept = rows.filter(pl.col("kind") != BELOW)
    assert kept.select(pl.max_horizontal("dlka_score", "baseline_score")).min().item() > 0.3
    below = rows.filter(pl.col("kind") == BELOW)
    assert 0.01 < below.select(pl.max_horizontal("dlka_score", "baseline_score")).max().item() <= 0.3


def test_a_row_has_the_offsets_of_its_winning_cell(picture):
    seen = analyse_once(picture, SETTINGS)
    rows = picture_rows("a.png", seen, SETTINGS.confidence)
    assert len(rows) == len(seen.pairing.pairs) > 3
    for row in rows:
        cell = row["dlka_cell"] or row["baseline_cell"]
        assert [stage["stage"] for stage in row["stages"]] == seen.stage_labels
        for stage, capture in zip(row["stages"], seen.dlka.captures):
            own, shape = capture.offset[:, cell[0], cell[1]], stage_shapes(capture)
            lengths = np.hypot(own[0::2], own[1::2])
            assert (stage["mean"], stage["maximum"]) == pytest.approx((lengths.mean(), lengths.max()))
            assert stage["zoom"] == pytest.approx(shape.zoom[tuple(cell)])
            assert stage["rotation"] == pytest.approx(shape.rotation[tuple(cell)])
            assert [stage["shift_y"], stage["shift_x"]] == pytest.approx(shape.shift[tuple(cell)].tolist())


def test_the_numbers_are_those_of_many_pictures_on_the_page(scenes, run, tmp_path):
    """Counts, AP and verdicts from the parts, against ManyAnalyses, which looks itself."""
    made, counts = run
    many = ManyAnalyses(SETTINGS, None, tmp_path)
    given = sort_files([*pictures_in(str(scenes / "in")), *labels_of(scenes)], many.names)
    many.labels = given.labels
    list(many.add(given.pictures))
    assert counts["measures"] == [measure(one) for one in precisions(many)]
    assert [one["measure"] for one in counts["measures"]] == ["AP", "AP_S"]
    assert 0 < counts["measures"][0]["baseline"] < 1
    assert (made.many.truth, made.many.right, made.many.agreement) == (many.truth, many.right, many.agreement)
    assert made.many.findings == many.findings
    assert [(row.file, row.size, row.kinds) for row in made.many.rows] == [
        (row.file, row.size, row.kinds) for row in many.rows
    ]
    for kind, name in KIND_NAMES.items():
        assert counts["kinds"][name] == sum(pair.kind == kind for pair in many.pairs)
        assert counts["sizes"]["S"][name] == sum(pair.kind == kind and pair.size == "S" for pair in many.pairs)
    assert (counts["pictures"], counts["problems"], counts["objects"]) == (13, 1, len(many.pairs))


def test_one_bad_picture_costs_one_row(scenes, run):
    rows = pl.concat(run[0].parts.tables())
    (bad,) = rows.filter(pl.col("picture").str.ends_with("bad.png")).to_dicts()
    assert bad["problem"].startswith("The file starts like a PNG picture but is damaged")
    assert bad["kind"] is None
    assert rows["picture"].n_unique() == 13
    assert "bad.png" in (scenes / "out/report.html").read_text()


def test_a_picture_without_an_object_is_a_row(tmp_path):
    seen = analyse_once(np.full((64, 64, 3), 90, np.uint8), SETTINGS)
    assert picture_rows("a.png", seen, 0.3) == [{"picture": "a.png", "height": 64, "width": 64}]


def test_a_run_goes_on_where_it_was_stopped(scenes, run, tmp_path):
    out, pictures = str(tmp_path / "out"), pictures_in(str(scenes / "in"))
    first = Run(pictures, SETTINGS, out, labels_of(scenes), block=5)
    next(map(Comparer(first.question), first.blocks))  # and is stopped here
    (tmp_path / "out/.part-0123.parquet-0123.tmp").write_bytes(b"half of it")
    second = Run(pictures, SETTINGS, out, labels_of(scenes), block=4)
    assert (second.done, second.left) == (5, 8)
    assert not set(first.blocks[0]) & {picture for block in second.blocks for picture in block}
    assert list(map(len, second.blocks)) == [4, 4]
    list(map(Comparer(second.question), second.blocks))
    assert second.summarise() == run[1]
    assert not list((tmp_path / "out").glob(".*"))
    assert Run(pictures, SETTINGS, out, labels_of(scenes)).blocks == [[str(scenes / "in/bad.png")]]


def test_a_picture_that_failed_is_tried_again(tmp_path, picture):
    pictures, out = [str(tmp_path / name) for name in ("a.png", "b.png", "c.png")], str(tmp_path / "out")
    Image.fromarray(picture).save(pictures[0])
    first = Run(pictures, SETTINGS, out, block=2)  # of which one is left a part of its own
    list(map(Comparer(first.question), first.blocks))
    assert first.summarise()["problems"] == 2
    Image.fromarray(picture).save(pictures[1])
    second = Run(pictures, SETTINGS, out)
    assert (second.done, second.again, second.blocks) == (1, 2, [pictures[1:]])
    list(map(Comparer(second.question), second.blocks))
    counts = second.summarise()
    assert (counts["pictures"], counts["problems"]) == (3, 1)
    assert [Path(name).name for name, _ in second.parts.problems()] == ["c.png"]
    assert [row.file for row in second.many.rows] == ["a.png", "b.png", "c.png"]


def test_numbers_are_of_the_pictures_that_are_asked_for(scenes, run, tmp_path):
    """Whatever else an earlier run has left in the folder."""
    shutil.copytree(scenes / "out", tmp_path / "out")
    pictures = pictures_in(str(scenes / "in"))[1:4]
    shorter = Run(pictures, SETTINGS, str(tmp_path / "out"), labels_of(scenes))
    assert (shorter.blocks, shorter.done) == ([], 3)
    alone = Run(pictures, SETTINGS, str(tmp_path / "alone"), labels_of(scenes))
    list(map(Comparer(alone.question), alone.blocks))
    assert shorter.summarise() == alone.summarise()
    assert [row.file for row in shorter.many.rows] == [Path(picture).name for picture in pictures]
    assert Run(pictures_in(str(scenes / "in")), SETTINGS, str(tmp_path / "out"), labels_of(scenes)).done == 12


def test_failures_are_named(scenes, tmp_path, capsys):
    (tmp_path / "list.txt").write_text("".join(f"none-{number}.png\n" for number in range(7)))
    assert main(["many", str(tmp_path / "list.txt"), "--model", "scenes", "--out", str(tmp_path / "out")]) == 1
    *named, more = capsys.readouterr().err.splitlines()
    assert [f"none-{number}.png' cannot be opened" in line for number, line in enumerate(named)] == [True] * 5
    assert more == "... and 2 more: the column problem of the parts names them."


def test_a_folder_with_another_run_is_left_alone(scenes, run):
    pictures, out = pictures_in(str(scenes / "in")), str(scenes / "out")
    with pytest.raises(DlkaError, match="holds a run with other settings: give another --out"):
        Run(pictures, replace(SETTINGS, confidence=0.5), out, labels_of(scenes))
    with pytest.raises(DlkaError, match="holds a run with other use of --labels: give another --out"):
        Run(pictures, SETTINGS, out)
    with pytest.raises(DlkaError, match="holds a run with other settings and models"):
        Run(pictures, replace(SETTINGS, baseline="scenes-control"), out, labels_of(scenes))


@pytest.mark.parametrize("left", ["no json", "[]", "7"])
def test_a_folder_with_something_else_is_left_alone(tmp_path, left):
    (tmp_path / "run.json").write_text(left)
    with pytest.raises(DlkaError, match="give another --out"):
        Parts(str(tmp_path), SETTINGS, 0.3)


def test_a_damaged_part_is_named(tmp_path):
    parts = Parts(str(tmp_path), SETTINGS, 0.3)
    (tmp_path / "part-0.parquet").write_bytes(b"half of it")
    with pytest.raises(DlkaError, match=r"part-0\.parquet is no part of a run, or damaged"):
        parts.done()


def test_a_manifest_is_utf8_with_or_without_its_mark(tmp_path):
    file = tmp_path / "list.txt"
    file.write_bytes("\ufeffa.png\r\n\r\nb.png\r\n".encode())
    assert pictures_in(str(file)) == [str(tmp_path / "a.png"), str(tmp_path / "b.png")]
    file.write_bytes("ä.png".encode("latin-1"))
    with pytest.raises(DlkaError, match="expected a text file in UTF-8"):
        pictures_in(str(file))


def test_an_address_that_nothing_reads():
    for asked in (pixels_of, pictures_in, lambda address: Parts(address, SETTINGS, 0.3)):
        with pytest.raises(DlkaError, match=r"nothing here reads such an address \(Protocol not known: foo\)"):
            asked("foo://a/b.png")


def test_addresses_that_are_no_local_paths(scenes):
    system = fsspec.filesystem("memory")
    for path in sorted((scenes / "in").iterdir())[-3:]:
        system.pipe_file(f"/album/deep/{path.name}", path.read_bytes())
    system.pipe_file("/album/list.txt", b"deep/bad.png\n\nmemory://album/deep/none.png\n")
    pictures = pictures_in("memory://album")
    assert len(pictures) == 3
    assert all(picture.startswith("memory://") for picture in pictures)
    listed = pictures_in("memory://album/list.txt")
    assert [Path(picture).name for picture in listed] == ["bad.png", "none.png"]
    made = Run([*pictures, *listed[1:]], SETTINGS, "memory://made")
    (part,) = map(Comparer(made.question), made.blocks)
    assert (part["pictures"], part["problems"]) == (4, 2)
    assert system.exists(f"/made/{part_of(made.blocks[0])}")
    assert made.summarise()["problems"] == 2
    problems = pl.concat(made.parts.tables()).drop_nulls("problem")["problem"]
    assert any("memory://album/deep/none.png' cannot be opened" in problem for problem in problems)


def test_one_row_of_a_coco_file_is_not_for_two_pictures_of_its_name(tmp_path):
    paths = [tmp_path / part / name for part in ("train", "val") for name in ("a.jpg", "other.jpg")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.touch()
    labels, car = tmp_path / "x.json", [{"id": 1, "name": "car"}]
    content = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [], "categories": car}
    labels.write_text(json.dumps(content))
    with pytest.raises(DlkaError, match=r"Two pictures could own the labels of a\.jpg in x\.json"):
        sort_files([*map(str, paths), str(labels)], {2: "car"})
    assert len(sort_files([*map(str, paths[1:]), str(labels)], {2: "car"}).pictures) == 3


def test_what_is_hidden_in_a_folder_is_left_out(tmp_path):
    system = fsspec.filesystem("memory")
    names = ("a.png", "deep/b.png", "._a.png", ".cache/c.png", "deep/.ipynb_checkpoints/b-checkpoint.png")
    for name in names:
        system.pipe_file(f"/.shown/{name}", b"")
        path = tmp_path / ".shown" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    local = pictures_in(str(tmp_path / ".shown"))
    assert [str(Path(name).relative_to(tmp_path)) for name in local] == [".shown/a.png", ".shown/deep/b.png"]
    assert len(pictures_in("memory://.shown")) == 2


@pytest.mark.parametrize("source", ["nothing-here", "assets/scene-3.png", "tests/cluster"])
def test_what_names_no_pictures(source):
    with pytest.raises(DlkaError, match=r"expected (a folder of )?pictures"):
        pictures_in(source)


def test_a_fault_of_the_program_costs_one_row_and_is_in_the_log(scenes, tmp_path, monkeypatch, caplog):
    def look(*arguments):
        raise ValueError("operands could not be broadcast together")

    made = Run(pictures_in(str(scenes / "in"))[1:2], SETTINGS, str(tmp_path / "out"))
    monkeypatch.setattr(batch, "look", look)
    assert [part["problems"] for part in map(Comparer(made.question), made.blocks)] == [1]
    (record,) = caplog.records
    assert "broadcast" in str(record.exc_info[1])


def test_the_command(scenes, run, tmp_path, capsys):
    asked = ["many", str(scenes / "in"), "--model", "scenes", "--confidence", "0.3", "--out", str(tmp_path / "out")]
    labels = ["--labels", str(scenes / "labels")]
    assert main([*asked, *labels, "--block", "7"]) == 1  # one picture is bad
    assert json.loads((tmp_path / "out/counts.json").read_text()) == run[1]
    printed = capsys.readouterr().out
    assert "7 of 13 pictures\n13 of 13 pictures\n" in printed
    assert "13 pictures: 12 compared, 1 failed." in printed
    assert main([*asked, *labels, "--report", "5"]) == 1
    out, err = capsys.readouterr()
    assert "12 pictures are there already.\n1 picture that failed is tried again.\n" in out
    assert "bad.png: The file starts like a PNG picture" in err
    assert (
        "This shows the first 5 of 13 pictures; counts.json counts all." in (tmp_path / "out/report.html").read_text()
    )
    assert Parts(str(tmp_path / "out"), SETTINGS, 0.001).done() == set(pictures_in(str(scenes / "in")))


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--block", "0"], "--block: expected 1 or more"),
        (["--engine", "ray", "--workers", "0"], "--workers: expected 1 or more"),
        (["--gpus", "-1"], "--cpus, --gpus: expected 0 or more"),
        (["--workers", "2"], "are Ray's: give --engine ray"),
        (["--labels", "nothing-here"], "there is no such file or folder"),
        (["--labels", "README.md"], "expected YOLO's .txt files"),
        (["--labels", "dlka/render"], "there are none"),
        (["--cpus", "nan"], "--cpus, --gpus: expected 0 or more"),
        (["--model", "control"], "D-LKA model: expected one of"),
    ],
)
def test_what_the_command_refuses(scenes, tmp_path, capsys, flags, sentence):
    assert main(["many", str(scenes / "in"), "--out", str(tmp_path / "out"), *flags]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
