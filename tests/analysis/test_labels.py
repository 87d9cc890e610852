"""Reading ground truth: what files say, in pixels of the picture, and what is refused in which words."""

from __future__ import annotations

import math
import time

import numpy as np
import pytest
import yaml

from dlka.analysis.labels import TruthRefused, parse_names, same_names
from dlka.analysis.labels_coco import coco_labels, parse_json
from dlka.analysis.labels_yolo import parse_yolo
from dlka.safe_yaml import MAX_BYTES as MAX_YAML

KNOWN = {0: "person", 1: "traffic light", 2: "car"}


def yolo(text, **more):
    return parse_yolo([("a.txt", text.encode())], KNOWN, **more)


def coco(annotations=(), images=({"id": 7, "file_name": "train/a.jpg", "width": 200, "height": 100},), **more):
    content = {
        "images": list(images),
        "categories": [{"id": 30, "name": "Car"}, {"id": 31, "name": "dragon"}],
        "annotations": list(annotations),
    }
    return coco_labels(content | more, KNOWN, "labels.json")


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
        ("0 -0.5 0.5 0.9 0.9", "a.txt, line 1"),
        ("0 320 240 40 40", "a.txt, line 1.*boxes are shares of the picture, 0 to 1"),
        ("person 0.5 0.5 0.1 0.1", "a.txt, line 1"),
    ],
)
def test_broken_rows_are_refused_with_file_and_line(text, says):
    with pytest.raises(TruthRefused, match=says):
        yolo(text)


def test_polygons_are_the_boxes_around_them():
    labels = yolo("2 0.1 0.2 0.5 0.2 0.5 0.6\t0.1 0.6  \n0 0.1 0.1 0.9 0.1 0.5 0.5")
    truth = labels.truth("a.jpg", (100, 200))
    np.testing.assert_allclose(truth.boxes, [[20, 20, 100, 60], [20, 10, 180, 50]], atol=1e-9)
    assert truth.classes.tolist() == [2, 0]
    assert labels.told() == ["1 label file with polygons: the boxes around them are taken."]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("0 0.1 0.1 0.2 0.2 0.3 0.3\n0 0.5 0.5 0.1 0.1", "a.txt, line 2: expected polygons in all rows"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.4", "a.txt, line 1: expected class x1 y1 x2 y2"),
        ("0 0.1 0.1 0.2 0.2 0.3 nan", "a.txt, line 1"),
        ("0 0.1 0.1 0.2 0.2 0.3 1.5", "a.txt, line 1.*points are shares of the picture"),
        ("3 0.1 0.1 0.2 0.2 0.3 0.3", "a.txt, line 1.*class under 3"),
        ("0 0.5 0.5 0.1 0.1 0.9", "a.txt, line 1: .*no score or the like behind it"),
    ],
)
def test_polygons_that_are_none(text, says):
    with pytest.raises(TruthRefused, match=says):
        yolo(text)


def test_rows_without_area_are_left_out_and_counted():
    labels = yolo("0 0.5 0.5 0 0.1\n0 0.5 0.5 0.1 0\n2.0 0.5 0.5 0.1 0.1\n")
    assert labels.truth("a.jpg", (10, 10)).classes.tolist() == [2]
    assert labels.told() == ["2 labelled boxes without a width or a height: left out."]


@pytest.mark.parametrize("letter", ["\u00e9", "e\u0301"])
def test_names_are_one_in_both_forms_of_unicode(letter):
    other = "\u00e9" if len(letter) > 1 else "e\u0301"
    labels = parse_yolo([(f"caf{letter}.txt", b"0 0.5 0.5 0.1 0.1")], KNOWN)
    assert len(labels.truth(f"caf{other}.jpg", (10, 10))) == 1
    labels = coco([], [{"id": 7, "file_name": f"caf{letter}.jpg"}])
    assert labels.truth(f"caf{other}.jpg", (10, 10)) is not None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("行人\n汽车".encode("gbk"), "it looks like GBK.*save it as UTF-8"),
        ("0 0.5 0.5 0.1 0.1 # 汽车".encode("gb18030"), "it looks like GBK"),
        ("car".encode("utf-16"), "it looks like UTF-16"),
        ("\ufeffcar".encode("utf-16-be"), "it looks like UTF-16"),
        ("été caché".encode("latin-1"), "is not UTF-8: expected a text file in UTF-8"),
        (b"\xff", "is not UTF-8: expected"),
    ],
)
def test_other_encodings_are_named(content, says):
    with pytest.raises(TruthRefused, match=rf"^classes\.txt.*{says}"):
        parse_names(content, "classes.txt")
    with pytest.raises(TruthRefused, match=rf"^data\.yaml.*{says}"):
        parse_names(content, "data.yaml")


def test_a_box_of_which_nothing_is_in_the_picture_is_refused():
    with pytest.raises(TruthRefused, match=r"a\.txt: the box .* lies outside of its picture of 200 x 100"):
        yolo("0 1.01 0.5 0.001 0.1").truth("a.jpg", (100, 200))


def test_label_files_that_are_no_text_or_have_one_name_are_refused():
    with pytest.raises(TruthRefused, match=r"a\.txt is not UTF-8"):
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
    ("content", "names"),
    [
        ("names: {'0': person, '1': car}", {0: "person", 1: "car"}),
        ("names: {1: car, '0': person}", {0: "person", 1: "car"}),
        ("names: {0.0: person}", {0: "person"}),
        ("nc: '2'\nnames: ['0', 7]", {0: "0", 1: "7"}),
        ("names: [yes, 2026-01-02]", {0: "True", 1: "2026-01-02"}),
        ("nc: 2", {0: "class_0", 1: "class_1"}),
        ("download: |\n" + "  import this\n" * 400 + "names: [a]", {0: "a"}),
        ("\ufeffnames: [行人]", {0: "行人"}),
    ],
)
def test_class_names_as_ultralytics_reads_them(content, names):
    from ultralytics.nn.autobackend import check_class_names

    assert parse_names(content.encode(), "data.yaml") == names
    given = yaml.safe_load(content.removeprefix("\ufeff"))
    if "names" in given:
        assert check_class_names(given["names"]) == names


@pytest.mark.parametrize(
    "content",
    [
        "names: !!timestamp x",
        "names: !!int ''",
        "names: [!!bool x]",
        "names: !!python/object/apply:os.system ['true']",
        "names: !!python/name:os.system",
        "a: 2026-99-99",
        "a: 0b_",
        "names: [" + "9" * 5000 + "]",
        "a: " + ":".join(["59"] * 300) + ".5",
        "names: {? [a] : b}",
        "names: {0: a, 0: b}",
        "names: [a]\nnames: [b]",
        "names: {0: a, '0': b}",
        "names: {0: a, false: b}",
        "names: {1: a, 0: b, 1.0: c}",
        "names: [2001-12-14t21:59:43.10-99:99]",
        "names: {true: a, 0: b}",
        "names: [null]",
        "names: ['  ']",
        "names: [[a]]",
        "names: car",
        "names:",
        "nc: .nan",
        "nc: 1" + "0" * 400,
        "nc: -1",
        "nc: 2\nnames: [a]",
        "names: [" + "a, " * 100_000 + "]",
        "names: [" + "x" * 300_000 + "]",
        "a: " + "{a: " * 1000,
        "- " * 20_000,
        "? " * 20_000,
        "&x [*x]",
        "a: 1\n---\nb: 1",
    ],
)
def test_hostile_or_broken_class_names_are_one_sentence_at_once(content):
    start = time.perf_counter()
    with pytest.raises(TruthRefused) as refusal:
        parse_names(content.encode(), "data.yaml")
    assert time.perf_counter() - start < 5
    assert str(refusal.value).startswith("data.yaml")
    assert not str(refusal.value).endswith("..")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 400


def test_ten_thousand_classes_are_read_at_once_and_a_megabyte_is_refused():
    start = time.perf_counter()
    text = "names:\n" + "".join(f"  {number}: class {number}\n" for number in range(10_000))
    assert len(parse_names(text.encode(), "data.yaml")) == 10_000
    with pytest.raises(TruthRefused, match=f"larger than {MAX_YAML >> 10} KB"):
        parse_names(b"names: [" + b"a, " * 340_000 + b"]", "data.yaml")
    with pytest.raises(TruthRefused, match="larger than 1 MB"):
        parse_names(b"a\n" * 600_000, "classes.txt")
    with pytest.raises(TruthRefused, match="larger than 4 MB"):
        yolo("0 0.5 0.5 0.1 0.1\n" * 300_000)
    assert time.perf_counter() - start < 10


def test_a_blank_line_does_not_shift_the_classes_after_it():
    assert parse_names(b"car\n bus \n\n", "classes.txt") == {0: "car", 1: "bus"}
    with pytest.raises(TruthRefused, match="got '' for class 1"):
        parse_names(b"car\n\nbus", "classes.txt")


def test_the_very_same_name_goes_before_one_that_is_alike():
    assert same_names({0: "Car", 1: "CAR", 2: "car"}, {5: "car", 6: "Car"}, "x") == {0: 6, 1: 6, 2: 5}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"names: {0: a, 2: b}", "numbered from 0"),
        (b"nc: 30000", "the number of classes, from 1 to 10000, got 30000"),
        (b"a: &x [1]\nnames: [*x, *x]", "alias"),
        (b"names: {0: a,\n  false: b}", "line 2: 'false' is given twice, the first time as '0'; keep one of them"),
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


@pytest.mark.parametrize(
    ("flag", "crowd"), [("0", False), ("1", True), (" False", False), (0.0, False), (None, False), (True, True)]
)
def test_coco_flags_may_be_texts(flag, crowd):
    box = {"image_id": 7, "category_id": 30, "bbox": [10, 20, 30, 40]}
    for key in ("iscrowd", "ignore"):
        assert coco([box | {key: flag}]).truth("a.jpg", (100, 200)).crowd.tolist() == [crowd]


def test_coco_boxes_of_another_size_of_the_picture_are_refused():
    with pytest.raises(TruthRefused, match=r"labels\.json: a\.jpg should be 200 x 100 pixels and is 400 x 200"):
        coco().truth("a.jpg", (200, 400))


@pytest.mark.parametrize(
    ("box", "says"),
    [
        ([1, 2, 3], "annotation 1: expected image_id"),
        ([1, 2, -3, 4], "annotation 1: expected a box with a width"),
        (None, "annotation 1: expected image_id"),
        ([1, 2, float("nan"), 4], "annotation 1: expected image_id"),
        ([1, 2, 3, float("inf")], "annotation 1: expected image_id"),
        ([1, 2, 3, 1e300], "annotation 1"),
        ([1, 2, 3, 10**400], "annotation 1"),
        ([1, 2, True, 4], "annotation 1"),
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
        (b"[1, 2]", "is JSON: expected COCO ground truth with the lists images, annotations, categories"),
        (b'{"images": [], "annotations": [],\n "categories": ]', "not valid JSON at line 2"),
        (b"[" * 100_000, "has lists or objects in each other without end"),
        (b"9" * 5000, "has a number of thousands of digits"),
        (b'{"images": [7], "annotations": [], "categories": [{"id": 1, "name": "car"}]}', "expected images with an id"),
        (b'{"images": [], "annotations": [], "categories": []}', "its classes are none"),
        (b"\xff", "not UTF-8"),
    ],
)
def test_coco_files_that_are_none(content, says):
    with pytest.raises(TruthRefused, match=f"labels.json.*{says}"):
        coco_labels(parse_json(content, "labels.json"), KNOWN, "labels.json")


def test_coco_files_that_do_not_fit_together():
    twice = ({"id": 1, "file_name": "x/a.jpg"}, {"id": 2, "file_name": "y\\a.jpg"})
    with pytest.raises(TruthRefused, match=r"two images are called 'a\.jpg'"):
        coco(images=twice)


IMAGE = {"id": 7, "file_name": "a.jpg"}
CAR = {"id": 30, "name": "car"}


def test_boxes_without_area_and_orphans_are_left_out_and_counted():
    box = {"image_id": 7, "category_id": 30, "bbox": [1, 2, 3, 4]}
    labels = coco(
        [
            box,
            box | {"bbox": [1, 2, 3, 0]},
            box | {"bbox": [1, 2, 0.0, 4]},
            box | {"image_id": 8},
            box | {"category_id": 99},
            box | {"image_id": "none"},
        ]
    )
    assert len(labels.truth("a.jpg", (100, 200))) == 1
    assert labels.told() == [
        "2 labelled boxes without a width or a height: left out.",
        "3 annotations of images or categories that are not listed: left out.",
    ]


def test_ids_may_be_texts():
    for image in (7, "7", 7.0):
        labels = coco([{"image_id": image, "category_id": "30", "bbox": [1, 2, 3, 4]}], [IMAGE])
        assert len(labels.truth("a.jpg", (100, 200))) == 1
    labels = coco([{"image_id": "x-1", "category_id": 30, "bbox": [1, 2, 3, 4]}], [IMAGE | {"id": "x-1"}])
    assert len(labels.truth("a.jpg", (100, 200))) == 1


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"images": [IMAGE, IMAGE | {"file_name": "b.jpg"}]}, "two images have the id 7, a.jpg and b.jpg"),
        ({"images": [IMAGE, {"id": "7", "file_name": "b.jpg"}]}, "two images have the id 7"),
        ({"categories": [CAR, {"id": 30, "name": "bus"}]}, "two categories have the id 30, car and bus"),
        ({"images": [IMAGE | {"id": None}]}, "expected images with an id"),
        ({"images": [IMAGE | {"id": True}]}, "expected images with an id"),
        ({"images": [IMAGE | {"file_name": None}]}, "expected images with an id and a file_name"),
        ({"categories": [CAR | {"name": 3}]}, "expected categories with an id and a name"),
    ],
)
def test_ids_that_stand_twice_or_are_none(more, says):
    with pytest.raises(TruthRefused, match=says):
        coco(**{"images": [IMAGE], **more})


@pytest.mark.parametrize("side", [1e300, 10**400, math.nan, math.inf, "64", 0, -64, 64.5, True, [64], 100_001])
@pytest.mark.parametrize("key", ["width", "height"])
def test_a_size_that_is_none_is_refused(key, side):
    with pytest.raises(TruthRefused, match=r"a height and a width of 'a\.jpg' from 1 to 100000 whole pixels, got \["):
        coco(images=[IMAGE | {key: side}])


@pytest.mark.parametrize(
    "sides", [{}, {"width": None, "height": None}, {"width": 200}, {"width": 200.0, "height": 100}]
)
def test_a_size_may_be_missing(sides):
    assert coco(images=[IMAGE | sides]).truth("a.jpg", (100, 200)) is not None


def test_numbers_that_are_none_do_no_harm_where_nothing_is_read():
    content = {"images": [IMAGE], "categories": [CAR]}
    box = {"image_id": 7, "category_id": 30, "bbox": [1, 2, 3, 4], "area": math.nan, "segmentation": {"counts": "x"}}
    labels = coco_labels(content | {"annotations": [box]}, KNOWN, "labels.json")
    assert len(labels.truth("a.jpg", (10, 10))) == 1


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"images": [], "images": [], "annotations": [], "categories": []}', "'images' is given twice"),
        (b'[{"id": 1, "data": {"image": "a.jpg"}, "annotations": []}]', "JSON of Label Studio's own format"),
        (b'{"version": "5", "shapes": [], "imagePath": "a.jpg"}', "JSON of LabelMe's own format"),
        (b'[{"image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4], "score": 0.5}]', "JSON with detections"),
        (b'{"categories": [{"id": 1, "name": "car \\ud800"}]}', "got half of one at the end of .* .ud800'"),
        (b'{"a": ' * 100_000, "has lists or objects in each other without end"),
        (b"", "not valid JSON"),
    ],
)
def test_json_that_is_not_coco_is_named(content, says):
    with pytest.raises(TruthRefused, match=f"labels.json.*{says}"):
        coco_labels(parse_json(content, "labels.json"), KNOWN, "labels.json")


def test_too_large_a_file_is_refused():
    with pytest.raises(TruthRefused, match="larger than 20 MB"):
        parse_json(b" " * (20 * 2**20 + 1), "labels.json")
