"""Reading ground truth: what files say, in pixels of the picture, and what is refused in which words."""

from __future__ import annotations

import json

import numpy as np
import pytest

from dlka.truth import TruthRefused, parse_coco, parse_names, parse_yolo

KNOWN = {0: "person", 1: "traffic light", 2: "car"}


def yolo(text, **more):
    return parse_yolo([("a.txt", text.encode())], KNOWN, **more)


def coco(annotations=(), images=({"id": 7, "file_name": "train/a.jpg", "width": 200, "height": 100},), **more):
    content = {
        "images": list(images),
        "categories": [{"id": 30, "name": "Car"}, {"id": 31, "name": "dragon"}],
        "annotations": list(annotations),
    }
    return parse_coco(json.dumps(content | more).encode(), KNOWN, "labels.json")


def test_yolo_rows_are_boxes_in_pixels():
    truth = yolo("2 0.5 0.5 0.25 0.5\n\n0 0.1 0.2 0.2 0.4\n2 0.5 0.5 0.25 0.5").truth("a.jpg", (100, 200))
    np.testing.assert_allclose(truth.boxes, [[75, 25, 125, 75], [0, 0, 40, 40]], atol=1e-9)
    assert truth.classes.tolist() == [2, 0], "a row that stands twice is one object"
    assert not truth.crowd.any()
    assert truth.labelled == {0, 1, 2}


def test_yolo_boxes_are_cut_to_the_picture():
    truth = yolo("0 1.0 0.5 0.5 1.0").truth("a.png", (100, 200))
    np.testing.assert_allclose(truth.boxes, [[150, 0, 200, 100]])


def test_an_empty_file_is_a_picture_without_objects_and_no_file_is_not_labelled():
    labels = yolo("")
    assert len(labels.truth("a.jpg", (10, 10))) == 0
    assert labels.truth("b.jpg", (10, 10)) is None


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0.5 0.5 0.1 0.1\n0 0.5 0.5 0.1", "a.txt, line 2: expected class cx cy w h, class under 3, got '0 0.5 0.5"),
        ("3 0.5 0.5 0.1 0.1", "a.txt, line 1"),
        ("-1 0.5 0.5 0.1 0.1", "a.txt, line 1"),
        ("0.5 0.5 0.5 0.1 0.1", "a.txt, line 1"),
        ("0 nan 0.5 0.1 0.1", "a.txt, line 1"),
        ("0 0.5 inf 0.1 0.1", "a.txt, line 1"),
        ("0 0.5 0.5 -0.1 0.1", "a.txt, line 1"),
        ("0 0.5 0.5 0 0.1", "a.txt, line 1"),
        ("0 -0.5 0.5 0.9 0.9", "a.txt, line 1"),
        ("0 320 240 40 40", "a.txt, line 1.*boxes are shares of the picture, 0 to 1"),
        ("person 0.5 0.5 0.1 0.1", "a.txt, line 1"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3", "a.txt, line 1"),
    ],
)
def test_broken_rows_are_refused_with_file_and_line(text, says):
    with pytest.raises(TruthRefused, match=says):
        yolo(text)


def test_a_box_of_which_nothing_is_in_the_picture_is_refused():
    with pytest.raises(TruthRefused, match=r"a\.txt: the box .* lies outside of its picture of 200 x 100"):
        yolo("0 1.01 0.5 0.001 0.1").truth("a.jpg", (100, 200))


def test_label_files_that_are_no_text_or_have_one_name_are_refused():
    with pytest.raises(TruthRefused, match=r"a\.txt is no text file"):
        parse_yolo([("a.txt", b"\xff\xfe\x00")], KNOWN)
    with pytest.raises(TruthRefused, match=r"Two label files are called a\.txt"):
        parse_yolo([("a.txt", b""), ("a.txt", b"")], KNOWN)


def test_own_class_names_are_matched_by_name():
    names = parse_names(b"names:\n  0: dragon\n  1: CAR\n  2: traffic_light\n", "data.yaml")
    labels = yolo("0 0.5 0.5 0.1 0.1\n1 0.5 0.5 0.2 0.2\n2 0.5 0.5 0.4 0.4", names=names, source="data.yaml")
    truth = labels.truth("a.jpg", (100, 100))
    assert truth.classes.tolist() == [2, 1]
    assert truth.labelled == {1, 2}, "nobody labelled persons"
    assert labels.left_out == {"dragon": 1}


def test_class_names_come_as_a_list_too():
    assert parse_names(b"names: [car, person]", "data.yaml") == {0: "car", 1: "person"}
    assert parse_names("car\r\nperson\r\n".encode("utf-8-sig"), "classes.txt") == {0: "car", 1: "person"}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"names: {0: a, 2: b}", "numbered from 0"),
        (b"nc: 3", "expected 1 to 10000 class names"),
        (b"a: &x [1]\nnames: [*x, *x]", "alias"),
        (b"names: [", "not valid yaml"),
        (b"[" * 5000, "not valid yaml"),
        (b"\x00", "not valid yaml"),
    ],
)
def test_class_names_that_cannot_be_used(content, says):
    with pytest.raises(TruthRefused, match=f"data.yaml.*{says}"):
        parse_names(content, "data.yaml")


def test_labels_that_share_no_class_with_the_models_are_refused():
    with pytest.raises(TruthRefused, match=r"classes\.txt: its classes are dragon; the models know person, traffic"):
        yolo("", names={0: "dragon"}, source="classes.txt")


def test_coco_boxes_and_crowds():
    labels = coco(
        [
            {"image_id": 7, "category_id": 30, "bbox": [10, 20, 30, 40]},
            {"image_id": 7, "category_id": 30, "bbox": [-5, 0, 500.5, 50], "iscrowd": 1},
            {"image_id": 7, "category_id": 30, "bbox": [1, 1, 2, 2], "ignore": 1},
            {"image_id": 7, "category_id": 31, "bbox": [1, 1, 2, 2]},
        ]
    )
    truth = labels.truth("a.jpg", (100, 200))
    assert truth.boxes.tolist() == [[10, 20, 40, 60], [0, 0, 200, 50], [1, 1, 3, 3]]
    assert truth.crowd.tolist() == [False, True, True]
    assert truth.classes.tolist() == [2, 2, 2]
    assert truth.labelled == {2}
    assert labels.left_out == {"dragon": 1}
    assert labels.truth("b.jpg", (100, 200)) is None


def test_coco_boxes_of_another_size_of_the_picture_are_refused():
    with pytest.raises(TruthRefused, match=r"labels\.json: a\.jpg should be 200 x 100 pixels and is 400 x 200"):
        coco().truth("a.jpg", (200, 400))


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ([1, 2, 3], "annotation 1: expected image_id"),
        ([1, 2, -3, 4], "annotation 1: expected a box with a width"),
        ([1, 2, 3, 0], "annotation 1: expected a box with a width"),
        ([1, 2, float("nan"), 4], "NaN is no number"),
        ([1, 2, 3, float("inf")], "Infinity is no number"),
        ([1, 2, 3, 1e300], "annotation 1"),
        (["1", 2, 3, 4], "annotation 1"),
        ([[]] * 4, "annotation 1"),
        ([300, 2, 3, 4], "a.jpg: the box .* outside of its picture"),
    ],
)
def test_coco_boxes_that_are_none(box, says):
    with pytest.raises(TruthRefused, match=f"labels.json.*{says}"):
        coco([{"image_id": 7, "category_id": 30, "bbox": box}]).truth("a.jpg", (100, 200))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"[1, 2]", "expected COCO ground truth with the lists images, annotations, categories"),
        (b'{"images": [], "annotations": [],\n "categories": ]', "not valid JSON at line 2"),
        (b"[" * 100_000, "not valid JSON"),
        (b"9" * 5000, "not valid JSON"),
        (b'{"images": [7], "annotations": [], "categories": [{"id": 1, "name": "car"}]}', "expected images with an id"),
        (b'{"images": [], "annotations": [], "categories": []}', "its classes are none"),
        (b"\xff", "no text file"),
    ],
)
def test_coco_files_that_are_none(content, says):
    with pytest.raises(TruthRefused, match=f"labels.json.*{says}"):
        parse_coco(content, KNOWN, "labels.json")


def test_coco_files_that_do_not_fit_together():
    with pytest.raises(TruthRefused, match="annotation 1: its image_id or category_id is not listed"):
        coco([{"image_id": 8, "category_id": 30, "bbox": [1, 2, 3, 4]}])
    twice = ({"id": 1, "file_name": "x/a.jpg"}, {"id": 2, "file_name": "y\\a.jpg"})
    with pytest.raises(TruthRefused, match=r"two images are called 'a\.jpg'"):
        coco(images=twice)


def test_too_large_a_file_is_refused():
    with pytest.raises(TruthRefused, match="larger than 20 MB"):
        parse_coco(b" " * (20 * 2**20 + 1), KNOWN, "labels.json")
