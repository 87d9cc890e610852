"""The command draw-scenes: a data set that the project's own readers take, the same from the same numbers."""

from __future__ import annotations

import errno
import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from dlka.cli import main
from dlka.drawn.scenes import draw_scene, write_data_set
from dlka.drawn.shapes import SHAPES
from dlka.images import read_image
from dlka.train.dataset import read_dataset, read_labels, read_val


def contents(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn") / "scenes"
    write_data_set(folder, 12, 3, 4)
    return folder


def test_it_is_a_data_set(drawn):
    data = read_dataset(drawn)
    assert list(data.names.values()) == list(SHAPES)
    part = read_val(drawn)
    assert (len(part.pictures), part.told) == (4, [])
    assert len(list((drawn / "images" / "train").iterdir())) == len(list((drawn / "labels" / "train").iterdir())) == 12


def test_labels_are_the_boxes_of_the_scene(drawn):
    for number in range(12):
        scene = draw_scene(3, number)
        file = drawn / "images" / "train" / f"{number:06}.png"
        assert (cv2.imread(str(file), cv2.IMREAD_UNCHANGED) == scene.picture).all()
        assert (read_image(file) == scene.picture[..., None]).all()
        found = read_labels(file, len(SHAPES))
        assert [list(SHAPES)[c] for c in found.classes] == [one.name for one in scene.objects]
        middle, size = found.boxes[:, :2], found.boxes[:, 2:]
        corners = np.concatenate([middle - size / 2, middle + size / 2], axis=1) * scene.picture.shape[0]
        np.testing.assert_allclose(corners, [one.box() for one in scene.objects], atol=1e-3)


def test_the_same_numbers_give_the_same_files(drawn, tmp_path):
    write_data_set(tmp_path / "again", 12, 3, 4)
    write_data_set(tmp_path / "more", 20, 3, 4)
    first, again, more = (contents(folder) for folder in (drawn, tmp_path / "again", tmp_path / "more"))
    assert first == again
    assert first.items() - {"data.yaml": first["data.yaml"]}.items() <= more.items()


def test_no_picture_is_in_two_parts_or_two_seeds(drawn, tmp_path):
    write_data_set(tmp_path, 12, 4, 4)
    pictures = [
        digest for folder in (drawn, tmp_path) for name, digest in contents(folder).items() if name.startswith("images")
    ]
    assert len(set(pictures)) == len(pictures) == 2 * (12 + 4)


def test_without_a_validation_part(tmp_path, capsys):
    assert main(["draw-scenes", "--out", str(tmp_path), "--count", "2", "--val", "0"]) == 0
    assert "2 pictures to train on, 0 to validate." in capsys.readouterr().out
    assert read_dataset(tmp_path).val == ()


def test_a_fifth_is_for_validation(tmp_path, capsys):
    assert main(["draw-scenes", "--out", str(tmp_path / "a" / "b"), "--count", "10"]) == 0
    assert "10 pictures to train on, 2 to validate." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--count", "0"], "count: expected 1 to 1000000, got 0."),
        (["--count", "1000001"], "count: expected 1 to 1000000, got 1000001."),
        (["--count", "1", "--val", "-1"], "val: expected 0 to 1000000, got -1."),
        (["--count", "1", "--seed", "-1"], "seed: expected 0 to 4294967295, got -1."),
        (["--count", "1", "--seed", str(2**32)], "seed: expected 0 to 4294967295, got 4294967296."),
    ],
)
def test_bad_numbers_are_refused(tmp_path, capsys, flags, says):
    assert main(["draw-scenes", "--out", str(tmp_path / "new"), *flags]) == 2
    assert capsys.readouterr().err == f"dlka: {says}\n"
    assert not (tmp_path / "new").exists()


def test_what_is_there_is_left_alone(tmp_path, capsys):
    mine = tmp_path / "mine.txt"
    mine.write_text("mine")
    for out, says in ((tmp_path, "expected an empty folder"), (mine, "expected a folder to draw into, got a file")):
        assert main(["draw-scenes", "--out", str(out), "--count", "1"]) == 2
        assert says in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
    assert mine.read_text() == "mine"


def test_a_full_disk_is_one_sentence(tmp_path, capsys, monkeypatch):
    def full(path, data):
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    assert main(["draw-scenes", "--out", str(tmp_path), "--count", "1"]) == 2
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "data.yaml").exists()
