"""Folders on the command line: JSON alone on stdout, labels, bars on terminals only, and what the exit status means."""

from __future__ import annotations

import io
import json
import shutil
import sys

import pytest

from dlka.analysis.examples import examples
from dlka.cli import main
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
