"""Data sets as other programs write them: the pictures and boxes that Ultralytics reads, a sentence on what is not."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from ultralytics.data.dataset import YOLODataset
from ultralytics.data.utils import check_det_dataset

from dlka.errors import DlkaError
from dlka.train.dataset import find_pictures, read_dataset, read_labels
from dlka.train.dataset_check import check_dataset
from dlka.train.folder import RunFolder
from dlka.train.recipe import Recipe

CASES = Path(__file__).parents[1] / "cases/data"
BOX = "0 0.25 0.3 0.3 0.4\n"


@pytest.fixture
def case(tmp_path):
    """Copies a case of tests/cases/data to where caches may be written."""

    def copied(name):
        return Path(shutil.copytree(CASES / name, tmp_path / name))

    return copied


def picture(file, side=32):
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(cv2.imencode(".jpg", np.full((side, side, 3), 90, np.uint8))[1].tobytes())
    return file


def layout(root, yaml, *pictures):
    """Pictures [folder/images/name] with a box each, and data.yaml."""
    for name in pictures:
        picture(root / name)
        labels = root / name.replace("images", "labels")
        labels.parent.mkdir(parents=True, exist_ok=True)
        labels.with_suffix(".txt").write_text(BOX)
    (root / "data.yaml").write_text(yaml, encoding="utf-8")
    return root


def seen_by_ultralytics(yaml, part):
    """Picture -> boxes cx cy w h, as its trainer gets them."""
    data = check_det_dataset(str(yaml))
    dataset = YOLODataset(img_path=data[part], data=data, task="detect", imgsz=32, augment=False)
    return {Path(label["im_file"]): label["bboxes"].tolist() for label in dataset.labels}


def read_here(data, part):
    return {p: read_labels(p, len(data.names)).boxes.tolist() for p in find_pictures(getattr(data, part)).pictures}


def same(ours, theirs):
    assert ours.keys() == theirs.keys()
    for file in ours:
        np.testing.assert_allclose(ours[file], theirs[file], atol=1e-6)


@pytest.mark.parametrize("name", ["roboflow", "polygon", "hidden"])
def test_the_trainer_gets_what_is_read_here(case, name, tmp_path):
    data = read_dataset(case(name))
    checked = check_dataset(data)
    run = RunFolder(tmp_path / "run")
    run.begin(
        Recipe("neck", str(data.file)),
        tmp_path / "m.safetensors",
        data.names,
        checked.train.pictures,
        checked.val.pictures,
    )
    for part in ("train", "val"):
        ours = read_here(data, part)
        assert len(ours) == 2
        assert all(len(boxes) == 1 for boxes in ours.values())
        same(ours, seen_by_ultralytics(data.file, part))
        same(ours, seen_by_ultralytics(run.file("data.yaml"), part))


def test_what_is_told_of_them(case):
    assert len(check_dataset(read_dataset(case("roboflow"))).lines()) == 2
    told = check_dataset(read_dataset(case("polygon"))).lines()
    assert told.count("2 label files with polygons: the boxes around them are taken.") == 2
    told = check_dataset(read_dataset(case("hidden"))).lines()
    assert told[1] == "1 picture left out, in names that begin with a dot."
    assert len(told) == 3


PICTURES = ("train/images/a.jpg", "valid/images/b.jpg")


@pytest.mark.parametrize(
    "yaml",
    [
        "train: ../train/images\nval: ../valid/images\nnames: [car]",
        "train: ../train/images\nval: ../valid/images\nnc: 1",
        "train: train/images\nvalidation: valid/images\nnames: {'0': car}",
        "train: [./train/images]\nval: [valid/images]\nnames: {0: car}\nroboflow: {workspace: x, version: 1}",
        "path: .\ntrain: train\nval: valid\ntest: nowhere\nnames: [car]",
        "path: {root}\ntrain: train/images/../images\nval: valid/images/\nnc: '1'\nnames: [car]",
        "train: {root}/train/images\nval: {root}/valid/images\nnames: [car]",
        "train: lists/train.txt\nval: lists/val.txt\nnames: [car]",
        "\ufefftrain: train/images\nval: valid/images\nnames: [行人]\ndownload: |\n  raise SystemExit\n",
    ],
)
def test_yamls_of_many_programs(tmp_path, monkeypatch, yaml):
    root = layout(tmp_path / "my data é", yaml.replace("{root}", str(tmp_path / "my data é")), *PICTURES)
    (root / "lists").mkdir()
    (root / "lists/train.txt").write_text("\ufeff./../train/images/a.jpg\n")
    (root / "lists/val.txt").write_text(f"{root}/valid/images/b.jpg\r\n\r\n", newline="")
    monkeypatch.chdir(root)  # Ultralytics looks there for a relative `path`
    data = read_dataset(root)
    for part, file in (("train", PICTURES[0]), ("val", PICTURES[1])):
        ours = read_here(data, part)
        assert [os.path.relpath(path, root) for path in ours] == [file]
        theirs = seen_by_ultralytics(data.file, part)
        same(ours, {Path(os.path.normpath(path)): boxes for path, boxes in theirs.items()})


@pytest.mark.parametrize(
    "yaml",
    [
        "train: train\\images\nval: .\\valid\\images\nnames: [car]",
        "train: ..\\train\\images\nval: ..\\valid\\images\nnames: [car]",
        "train: list.txt\nval: [../valid/images]\nnames: [car]",
    ],
)
def test_paths_as_windows_writes_them(tmp_path, yaml):
    root = layout(tmp_path, yaml, *PICTURES)
    (root / "list.txt").write_text("train\\images\\a.jpg\n")
    data = read_dataset(root)
    assert [p.name for s in (data.train, data.val) for p in find_pictures(s).pictures] == ["a.jpg", "b.jpg"]


def test_the_folder_that_is_there_goes_before_roboflows_rule(tmp_path):
    """As in Ultralytics: ../train beside the data set's own folder is what the yaml says."""
    layout(tmp_path, "names: [car]", "train/images/other.jpg")
    root = layout(tmp_path / "set", "train: ../train/images\nval: ../valid/images\nnames: [car]", *PICTURES)
    assert [p.name for p in find_pictures(read_dataset(root).train).pictures] == ["other.jpg"]


def test_a_yaml_of_any_name_is_found_if_it_is_the_only_one(tmp_path):
    root = layout(tmp_path, "train: train/images\nval: valid/images\nnames: [car]", *PICTURES)
    (root / "data.yaml").rename(root / "cars.yml")
    (root / "._cars.yml").write_bytes(b"\0")  # as macOS writes beside every file on other disks
    assert read_dataset(root).title == "cars"
    (root / "more.yaml").write_text("names: [bus]")
    with pytest.raises(DlkaError, match=r"expected a data set folder with data\.yaml"):
        read_dataset(root)


def test_what_is_left_out_of_a_folder_is_counted(tmp_path):
    root = layout(tmp_path, "train: train/images\nval: valid/images\nnames: [car]", *PICTURES)
    images = root / "train/images"
    for name in ("b.tif", "c.TIF", "d.heic", "e.gif", "notes.md", ".hidden.jpg", "._a.jpg", ".ipynb_checkpoints/a.jpg"):
        (images / name).parent.mkdir(exist_ok=True)
        (images / name).write_bytes(b"")
    picture(images / "below/UPPER.JPG")
    (root / "train/labels/below").mkdir()
    (root / "train/labels/below/UPPER.TXT").write_text(BOX)
    (root / "train/labels/classes.txt").write_text("car")
    lines = check_dataset(read_dataset(root)).lines()
    assert lines[0].startswith(f"{root.name} train: 2 pictures (1 without any), 1 boxes")
    assert "4 files left out, expected .jpg, .jpeg, .png, .webp, .bmp, got .gif (1), .heic (1), .tif (2)." in lines
    assert "3 pictures left out, in names that begin with a dot." in lines
    assert "Text files that are the labels of no picture here: UPPER.TXT, classes.txt." in lines


def test_a_folder_of_other_formats_only_says_which(tmp_path):
    root = layout(tmp_path, "train: train/images\nval: valid/images\nnames: [car]", *PICTURES)
    for part in ("train/images/a", "valid/images/b"):
        (root / f"{part}.jpg").rename(root / f"{part}.tiff")
    with pytest.raises(DlkaError, match=r"train/images: expected a folder with pictures, got none.*got \.tiff \(1\)"):
        check_dataset(read_dataset(root))


def test_links_that_lead_in_circles_are_walked_once(tmp_path):
    root = layout(tmp_path, "train: train/images\nval: valid/images\nnames: [car]", *PICTURES)
    (root / "train/images/again").symlink_to(root / "train/images")
    (root / "train/images/other").symlink_to(root / "valid/images")
    assert [p.name for p in find_pictures([root / "train/images"]).pictures] == ["a.jpg", "b.jpg"]


@pytest.mark.parametrize("place", ["train/images/b.jpg", "data.yaml", "train.txt", "train"])
def test_pipes_are_refused_and_never_waited_for(tmp_path, place):
    train = "train.txt" if place == "train.txt" else "train" if place == "train" else "train/images"
    root = layout(tmp_path, f"train: {train}\nval: valid/images\nnames: [car]", *PICTURES)
    if place == "train":
        shutil.rmtree(root / place)
    (root / place).unlink(missing_ok=True)
    os.mkfifo(root / place)
    with pytest.raises(DlkaError, match=f"{place}: expected"):
        check_dataset(read_dataset(root))


def test_a_device_is_no_list(tmp_path):
    root = layout(tmp_path, "train: /dev/zero\nval: valid/images\nnames: [car]", *PICTURES)
    with pytest.raises(DlkaError, match="/dev/zero: expected"):
        check_dataset(read_dataset(root))


@pytest.mark.parametrize("name", ["a\nb.jpg", "a\u2028b.jpg", os.fsdecode(b"caf\xe9.jpg")])
def test_names_that_no_list_can_hold_are_told(tmp_path, name):
    root = layout(tmp_path, "train: train/images\nval: valid/images\nnames: [car]", *PICTURES)
    picture(root / "train/images" / name)
    with pytest.raises(DlkaError, match="expected a file name in UTF-8 without line breaks; rename it"):
        check_dataset(read_dataset(root))


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        (
            "train/labels/a.txt",
            "0 0.5 0.5 0.1 0.1 汽车".encode("gbk"),
            "a.txt is not UTF-8 .it looks like GBK.; save it as",
        ),
        ("data.yaml", "names: [汽车]".encode("gbk"), "data.yaml is not UTF-8 .it looks like GBK"),
        ("list.txt", "汽车/a.jpg".encode("gbk"), "list.txt is not UTF-8 .it looks like GBK"),
        ("data.yaml", b"train: list.txt\nnames: [car]\npath: 'a\0b'", "data.yaml: it is not valid yaml"),
        ("data.yaml", b'train: "a\\0b"\nnames: [car]', "expected a path or a list of paths under 'train'"),
        ("data.yaml", b"train: " + b"x" * 900 + b"\nnames: [car]", "expected a folder with pictures, got none"),
        ("data.yaml", b"path: " + b"x" * 900 + b"\nnames: [car]", "there is no such folder"),
        ("data.yaml", b"train: [list.txt, 3]\nnames: [car]", "expected a path or a list of paths"),
        ("data.yaml", b"names: [car]\nkpt_shape: [17, 3]", "got those of keypoints"),
        ("data.yaml", b"names: &a [car]\nx: *a", "anchor or alias"),
        ("data.yaml", b"path: C:\\Users\\me\\set\nnames: [car]", "there is no such folder; leave it out"),
        ("train/labels/a.txt", b"0 0.1 0.1 0.4 0.1 0.4 0.4\n" + BOX.encode(), "expected polygons in all rows"),
        ("train/images/a.jpg", b"II*\0 a TIFF", "expected a JPEG, PNG, WebP or BMP picture"),
    ],
)
def test_what_is_wrong_is_one_sentence(tmp_path, file, content, says):
    root = layout(tmp_path, "train: [train/images, list.txt]\nval: valid/images\nnames: [car]", *PICTURES)
    (root / "list.txt").write_text("train/images/a.jpg\n")
    (root / file).write_bytes(content)
    with pytest.raises(DlkaError, match=says) as refusal:
        check_dataset(read_dataset(root))
    assert "\n" not in str(refusal.value)


def test_ultralytics_leaves_out_what_is_refused_here(tmp_path):
    """Pictures whose labels mix boxes and polygons, or have a score, never reach its trainer."""
    root = layout(tmp_path, "train: train/images\nval: valid/images\nnames: [car]", *PICTURES)
    for rows in ("0 0.1 0.1 0.4 0.1 0.4 0.4\n" + BOX, BOX.strip() + " 0.9\n"):
        file = root / "train/labels/a.txt"
        file.write_text(rows)
        with pytest.raises(DlkaError):
            read_labels(root / PICTURES[0], 1)
        (root / "train/labels.cache").unlink(missing_ok=True)
        with pytest.raises(RuntimeError, match=r"labels mix segment and detection|require 5 columns"):
            seen_by_ultralytics(root / "data.yaml", "train")
