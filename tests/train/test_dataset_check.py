"""Data sets in Ultralytics' format: where their pictures are, and what is told before anything is trained on them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from ultralytics.data.utils import img2label_paths

from dlka.errors import DlkaError
from dlka.train.dataset import find_pictures, label_file, read_dataset, read_val
from dlka.train.dataset_check import check_dataset


@pytest.fixture
def data(tmp_path):
    """Two parts of two pictures 100x50 each with one box, of 10x10 and of 50x50 pixels."""
    for part in ("train", "val"):
        for kind in ("images", "labels"):
            (tmp_path / "set" / kind / part).mkdir(parents=True)
        for name, side in (("a", 10), ("b", 50)):
            cv2.imwrite(str(tmp_path / f"set/images/{part}/{name}.png"), np.zeros((50, 100, 3), np.uint8))
            row = f"0 0.5 0.5 {side / 100} {side / 50}\n"
            (tmp_path / f"set/labels/{part}/{name}.txt").write_text(row)
    (tmp_path / "set/data.yaml").write_text("names: [dot, line]\n")
    return tmp_path / "set"


def write(data, text, name="data.yaml"):
    (data / name).write_text(text)
    return data / name


def names_of(pictures):
    return [f"{p.parent.name}/{p.name}" for p in pictures]


TRAIN = ["train/a.png", "train/b.png"]


@pytest.mark.parametrize(
    ("text", "train", "val"),
    [
        ("names: [dot]", TRAIN, ["val/a.png", "val/b.png"]),
        ("names: {0: dot}\ntrain: images/train\nval: images/val", TRAIN, ["val/a.png", "val/b.png"]),
        ("names: [dot]\npath: .\ntrain: [images/val, images/train]\nval: images/val", None, ["val/a.png", "val/b.png"]),
        ("names: [dot]\ntrain: images\nval:", [*TRAIN, "val/a.png", "val/b.png"], ["val/a.png", "val/b.png"]),
        ("names: [dot]\ntrain: list.txt\nval: ./list.txt", ["train/b.png"], ["train/b.png"]),
        ("names: [dot]\npath: {root}\ntrain: images/train", TRAIN, ["val/a.png", "val/b.png"]),
        ("names: [dot]\ntrain: {root}/images/train/\nval: [list.txt]", TRAIN, ["train/b.png"]),
    ],
)
def test_what_a_yaml_names(data, text, train, val):
    (data / "list.txt").write_text("\ufeff./images/train/b.png\n\n")
    found = read_dataset(write(data, text.replace("{root}", str(data)), "my.yaml"))
    assert found.title == "my"
    assert names_of(find_pictures(found.train).pictures) == (train or ["val/a.png", "val/b.png", *TRAIN])
    assert names_of(find_pictures(found.val).pictures) == val


def test_paths_are_relative_to_the_yaml_wherever_one_stands(data, monkeypatch):
    monkeypatch.chdir(data.parent)
    (data.parent / "yamls").mkdir()
    file = write(data.parent / "yamls", "path: ../set\nnames: [dot, line]\ntrain: images/train\nval: images/val")
    assert names_of(find_pictures(read_dataset(file).train).pictures) == TRAIN
    assert [picture.name for picture in read_val(file).pictures] == ["a.png", "b.png"]
    assert read_val(file, limit=1).rows[0].boxes.tolist() == [[0.5, 0.5, 0.1, 0.2]]
    assert read_dataset(data).title == "set", "data.yaml is everybody's name"


@pytest.mark.parametrize("path", ["/d/images/train/a.b.jpg", "/d/images/images/x/a.png", "/d/pictures/a.bmp"])
def test_labels_lie_where_ultralytics_looks(path):
    from pathlib import Path

    assert [str(label_file(Path(path)))] == img2label_paths([path])


def test_what_is_told(data):
    lines = check_dataset(read_dataset(data)).lines()
    assert lines == [
        "set train: 2 pictures, 2 boxes of 1 of 2 classes, 50 % of them under 32x32 px",
        "set val: 2 pictures, 2 boxes of 1 of 2 classes, 50 % of them under 32x32 px",
        "Warning: no training picture shows line.",
    ]
    (data / "labels/train/a.txt").unlink()
    write(data, "names: [dot]\nval: images/train")
    first, _, warning = check_dataset(read_dataset(data)).lines()
    assert first == "set train: 2 pictures (1 without any), 1 boxes of 1 of 1 classes, 0 % of them under 32x32 px"
    assert warning.startswith("Warning: 2 of the validation pictures are trained on too")


def test_no_validation_part_is_said(data):
    (data / "images/val").rename(data / "images/elsewhere")
    checked = check_dataset(read_dataset(data))
    assert checked.val is None
    assert "There is no validation part: nothing will be measured." in checked.lines()
    with pytest.raises(DlkaError, match="expected a folder with pictures, got none"):
        read_val(data)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("train: images/train", r"data\.yaml: expected class names, a list or numbered from 0, under 'names'"),
        ("names: {1: a}", "expected class names numbered from 0"),
        ("names: [a, a]", "two classes are called 'a'"),
        ("names: ['']", "class names of 1 to 100 characters"),
        ("names: [a]\nnc: 2", "'nc' is 2, and there are 1 names"),
        ("names: [a]\npath: nowhere", "'path' is 'nowhere', and there is no such folder; leave it out"),
        ("names: [a]\ntrain: nowhere", "nowhere: expected a folder with pictures, got none"),
        ("names: [a]\nval: nowhere", "nowhere: expected a folder with pictures, got none"),
        ("names: [a]\ntrain: nowhere.txt", r"nowhere\.txt: expected a folder with pictures, got none"),
        ("names: [a]\ntrain: data.txt", r"data\.txt, line 2: expected a picture file, got 'gone\.png'"),
        ("names: [a]\ntrain: 3", "expected a path or a list of paths under 'train' and 'val', got 3"),
        ("names: [a", "is not valid yaml"),
    ],
)
def test_yamls_that_do_not_fit(data, text, says):
    (data / "data.txt").write_text("images/train/a.png\ngone.png\n")
    with pytest.raises(DlkaError, match=says):
        check_dataset(read_dataset(write(data, text)))


@pytest.mark.parametrize("part", ["train", "val"])
@pytest.mark.parametrize(
    ("row", "says"),
    [
        ("0 0.5 0.5 0.1", "a.txt, line 2: expected class cx cy w h, class under 2, got '0 0.5 0.5 0.1'"),
        ("2 0.5 0.5 0.1 0.1", "a.txt, line 2: expected class cx cy w h, class under 2"),
        ("0 320 240 64 64", "a.txt, line 2: .*shares of the picture, 0 to 1"),
        ("0 0.5 0.5 0.1 -0.1", "a.txt, line 2: "),
        ("caf\xe9 0.5", "a.txt is not UTF-8"),
    ],
)
def test_broken_rows(data, part, row, says):
    (data / f"labels/{part}/a.txt").write_bytes(b"0 0.5 0.5 0.1 0.1\n" + row.encode("latin-1"))
    with pytest.raises(DlkaError, match=says):
        check_dataset(read_dataset(data))


def test_all_that_is_wrong_is_counted(data):
    for name in "ab":
        (data / f"labels/train/{name}.txt").write_text("x")
    with pytest.raises(DlkaError, match=r"a\.txt, line 1: .*\(1 more of 2 pictures are wrong\.\)"):
        check_dataset(read_dataset(data))


def test_labels_of_boxes_without_area_alone_are_not_called_empty(data):
    for name in "ab":
        (data / f"labels/train/{name}.txt").write_text("0 0.5 0.5 0 0.2\n")
    with pytest.raises(DlkaError, match="train: all 2 labelled boxes are without a width or a height"):
        check_dataset(read_dataset(data))


@pytest.mark.parametrize("part", ["train", "val"])
def test_labels_that_are_not_there(data, part):
    for name in "ab":
        (data / f"labels/{part}/{name}.txt").write_text("\n")
    with pytest.raises(DlkaError, match=f"{part}: all label files are empty"):
        check_dataset(read_dataset(data))
    for name in "ab":
        (data / f"labels/{part}/{name}.txt").rename(data / f"labels/{part}/{name}2.txt")
    with pytest.raises(DlkaError, match=r"expected a\.txt for a\.png and so on, got no such file"):
        check_dataset(read_dataset(data))
    (data / f"labels/{part}").rename(data / "labels/elsewhere")
    with pytest.raises(DlkaError, match=f"labels/{part}: expected a folder with the labels of .*images/{part}"):
        check_dataset(read_dataset(data))


@pytest.mark.parametrize("content", [b"", b"<html>", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF1234WEBP"])
def test_files_that_are_no_pictures(data, content):
    (data / "images/train/b.png").write_bytes(content)
    with pytest.raises(DlkaError, match=r"b\.png: expected a JPEG, PNG, WebP or BMP picture, got something else"):
        check_dataset(read_dataset(data))


def test_every_kind_of_picture_is_known(data):
    for suffix in (".jpg", ".webp", ".bmp", ".JPEG"):
        file = data / f"images/train/c{suffix}"
        cv2.imwrite(str(file), np.zeros((40, 60, 3), np.uint8))
    assert len(check_dataset(read_dataset(data)).train.pictures) == 6


def test_pictures_too_small_to_train_on_or_too_large_to_measure(data, monkeypatch):
    from dlka.train import dataset_check

    cv2.imwrite(str(data / "images/train/b.png"), np.zeros((9, 100, 3), np.uint8))
    with pytest.raises(DlkaError, match="expected sides of at least 10 pixels, got 100x9"):
        check_dataset(read_dataset(data))
    cv2.imwrite(str(data / "images/train/b.png"), np.zeros((60, 100, 3), np.uint8))
    monkeypatch.setattr(dataset_check, "MAX_PIXELS", 5500)
    check_dataset(read_dataset(data))
    cv2.imwrite(str(data / "images/val/b.png"), np.zeros((60, 100, 3), np.uint8))
    with pytest.raises(DlkaError, match="expected a validation picture of at most"):
        check_dataset(read_dataset(data))
