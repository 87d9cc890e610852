"""Folders on the command line: JSON alone on stdout, labels, bars on terminals only, and what the exit status means."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys

import pytest

from dlka.analysis.examples import examples
from dlka.cli import as_flags, build_parser, main
from dlka.images import read_image
from dlka.models.catalog import cards
from dlka.printing import progress


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A scene, and a file that is none."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in").mkdir()
    scene = next(path for path in examples().values() if path.name == "scene-3.png")
    shutil.copy(scene, tmp_path / "in/a.png")
    (tmp_path / "in/b.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    return tmp_path


def test_json_has_stdout_for_itself(folder, capsys):
    assert main(["predict", "in", "--model", "scenes", "--json", "-"]) == 1
    out, err = capsys.readouterr()
    found = json.loads(out)
    assert [(each["picture"], len(each["boxes"])) for each in found["pictures"]] == [("in/a.png", 12)]
    assert [each["picture"] for each in found["failed"]] == ["in/b.png"]
    assert "in/a.png: " in err
    assert "in/b.png: The file starts like a PNG picture" in err


def test_compare_judges_by_labels(folder, capsys):
    assert main(["predict", "in/a.png", "--model", "scenes", "--json", "found.json"]) == 0
    found = json.loads((folder / "found.json").read_text())["pictures"][0]["boxes"]
    height, width = read_image("in/a.png").shape[:2]
    number = {name: i for i, name in cards()["scenes"].names.items()}
    rows = [
        f"{number[b['class']]} {(b['x1'] + b['x2']) / 2 / width} {(b['y1'] + b['y2']) / 2 / height} "
        f"{(b['x2'] - b['x1']) / width} {(b['y2'] - b['y1']) / height}"
        for b in found
    ]
    (folder / "labels").mkdir()
    (folder / "labels/a.txt").write_text("\n".join(rows))
    capsys.readouterr()
    assert main(["compare", "in", "--model", "scenes", "--out", "out", "--labels", "labels", "--json", "-"]) == 1
    out, err = capsys.readouterr()
    said = json.loads(out)
    dlka, baseline = (said["labelled"][side] for side in ("dlka", "baseline"))
    assert (sum(dlka["hits"].values()), sum(dlka["misses"].values()), sum(dlka["false_alarms"].values())) == (12, 0, 0)
    assert sum(baseline["hits"].values()) < 12 == sum(baseline["hits"].values()) + sum(baseline["misses"].values())
    assert said["pictures"][0]["labelled"]["dlka"] == dlka
    assert "12 of 12 hit" in err
    assert said["pictures"][1]["problem"].startswith("The file starts like a PNG picture")
    (folder / "labels/a.txt").rename(folder / "labels/c.txt")
    assert main(["compare", "in", "--model", "scenes", "--out", "out", "--labels", "labels"]) == 2
    assert "expected YOLO's .txt files called as the pictures" in capsys.readouterr().err


def test_compare_says_what_a_model_was_made_for_where_nothing_is_found(folder, capsys):
    asked = ["compare", "in/a.png", "--confidence", "0.9", "--out", "out"]
    assert main([*asked, "--model", "head"]) == 0
    assert "Neither found anything: head was made for everyday photographs." in capsys.readouterr().out
    assert main([*asked, "--model", "scenes"]) == 0
    assert "Neither found anything" not in capsys.readouterr().out


def test_compare_tells_what_it_does_not_take_of_labels(folder, capsys):
    (folder / "labels").mkdir()
    (folder / "labels/a.txt").write_text("0 0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5\n0 0.5 0.5 0.5 0.5 0.5 0.6\n")
    (folder / "labels/notes.json").write_text("{}")
    argv = ["compare", "in/a.png", "--model", "scenes", "--size", "64", "--out", "out", "--labels", "labels"]
    assert main([*argv, "in/a.png"]) == 0
    told = capsys.readouterr().err.splitlines()
    assert told == [
        "Left aside, neither a picture that is read here nor labels: notes.json.",
        "1 label file with polygons: the boxes around them are taken.",
        "1 labelled box without a width or a height: left out.",
    ]


def test_labels_of_other_pictures_judge_nothing_and_say_so(folder, capsys):
    coco = {"images": [{"id": 1, "file_name": "c.png"}], "categories": [{"id": 1, "name": "E"}], "annotations": []}
    coco["annotations"].append({"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 9, 9]})
    (folder / "labels.json").write_text(json.dumps(coco))
    asked = ["compare", "in/b.png", "--model", "scenes", "--out", "out", "--labels"]
    assert main([*asked, "labels.json"]) == 1
    assert "none is among them, so that nothing was judged" in capsys.readouterr().out
    assert main([*asked, "gone"]) == 2
    assert "--labels gone: there is no such file or folder" in capsys.readouterr().err


def test_bars_are_for_terminals(monkeypatch, capsys):
    assert list(progress(iter("abc"), 3)) == ["a", "b", "c"]
    assert capsys.readouterr() == ("", "")

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr", Terminal())
    assert list(progress(iter("abc"), 3)) == ["a", "b", "c"]
    assert "0/3" in sys.stderr.getvalue()


def test_help_says_what_the_exit_status_means(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    assert "Exit status: 0 done; 1 done with something wrong" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--size", "0"], "size: expected a multiple of 32 from 32 to 4096, got 0"),
        (["--size", "100"], "size: expected a multiple of 32 from 32 to 4096, got 100"),
        (["--confidence", "nan"], "confidence and iou: expected 0 to 1, got nan and 0.7"),
        (["--strength", "-1"], "Deformation strength: expected 0 to 2; got -1.0"),
        (["--device", "abacus"], "device: torch finds no 'abacus' here"),
        (["--device", "cuda:9999"], "device: torch finds no 'cuda:9999' here"),
        (["--out", "file"], "file: expected a folder to write to, got a file"),
        (["--out", "file/x"], "file/x cannot be written (Not a directory)"),
        (["--out", ""], "--out: expected a name, got an empty one"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("command", ["predict", "compare", "many"])
def test_what_no_picture_can_be_asked_is_refused_once(folder, capsys, command, flags, says):
    (folder / "file").touch()
    argv = [command, "in", "--model", "scenes", *([] if flags[0] == "--out" else ["--out", "out"]), *flags]
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith("dlka: ")
    assert err.count("\n") == 1
    assert says in err
    assert "[Errno" not in err
    assert not (folder / "out").exists() or command == "many"


def test_a_class_that_no_model_knows_is_refused_once(folder, capsys):
    assert main(["predict", "in", "--model", "scenes", "--classes", "99", "--out", "out"]) == 2
    assert capsys.readouterr().err == "dlka: Classes: '99' is not one of the 9 classes that the models know.\n"


def test_a_folder_that_cannot_be_written_to(folder, capsys, monkeypatch):
    (folder / "out").mkdir()
    monkeypatch.setattr(os, "access", lambda *_: False)  # as who runs tests may write everywhere
    assert main(["predict", "in/a.png", "--model", "scenes", "--out", "out"]) == 2
    assert capsys.readouterr().err == "dlka: out cannot be written (Permission denied): give a name that can be.\n"


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["predict", "in/a.png", "--model", "scenes", "--json", "/proc/x.json"], "/proc/x.json cannot be written (No"),
        (["sizes", "scenes", "--out", "gone/x.png"], "gone/x.png cannot be written (No such file or directory)"),
        (["draw-scenes", "--count", "1", "--out", "/proc/x"], "/proc/x cannot be written (No such file or directory)"),
        (["replay", "gone.json"], "gone.json: No such file or directory"),
    ],
    ids=" ".join,
)
def test_no_number_of_an_error_is_shown(folder, capsys, argv, says):
    assert main(argv) == 2
    assert capsys.readouterr().err.startswith(f"dlka: {says}")


def test_no_picture_is_drawn_over(folder, capsys):
    before = (folder / "in/a.png").read_bytes()
    assert main(["predict", "in", "--model", "scenes", "--out", "in"]) == 2
    assert "--out in: a.png is a picture to look at: give another folder" in capsys.readouterr().err
    assert (folder / "in/a.png").read_bytes() == before


def test_the_value_of_a_flag_may_have_an_equals_sign(folder, capsys):
    asked = ["predict", "source=in/a.png", "--out", "lr=0.1", "model=scenes"]
    assert main(asked) == 0
    assert (folder / "lr=0.1/a.png").is_file()
    assert as_flags(["export", "--internals", "format=onnx"], build_parser())[2:] == ["--format", "onnx"]
