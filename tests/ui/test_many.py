"""Many pictures without a browser: which files are what, a run over real pictures, its numbers and its report."""

from __future__ import annotations

import html.parser
import json
import re
import threading
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from dlka.analysis.analysis import Settings, analyse_once
from dlka.analysis.examples import examples, labelled
from dlka.analysis.labels import TruthRefused
from dlka.analysis.labels_coco import CocoLabels
from dlka.analysis.labels_yolo import YoloLabels
from dlka.analysis.many import analyses, report, tables
from dlka.analysis.many.analyses import ManyAnalyses
from dlka.analysis.many.inputs import MAX_PICTURES, Given, sort_files
from dlka.drawn.shapes import SHAPES
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.models.catalog import CONTROL, DEFECTS, cards
from dlka.types import BOTH, CLASS_CHANGED, ONLY_FIRST, count_pairs
from dlka.ui import page_many
from dlka.ui.page_many import viewer_value

CASES = Path(__file__).parents[1] / "cases"
SETTINGS = Settings(size=320, confidence=0.1)
HOSTILE = '"><img src=x onerror=alert(1)>.jpg'
KNOWN = {0: "person", 1: "car"}
COCO = b'{"images": [], "annotations": [], "categories": [{"id": 1, "name": "car"}]}'


def files(tmp_path, **contents):
    """Paths of files of these names and contents; "_" in a keyword is the dot before the ending."""
    paths = []
    for key, content in contents.items():
        path = tmp_path / ".".join(key.rsplit("_", 1))
        path.write_bytes(content)
        paths.append(str(path))
    return paths


# Which files are what.


def test_files_are_sorted_and_labels_find_their_pictures(tmp_path):
    paths = files(tmp_path, a_jpg=b"", b_PNG=b"", a_txt=b"1 0.5 0.5 0.2 0.2", notes_txt=b"hello", x_md=b"")
    given = sort_files(paths, KNOWN)
    assert [path.name for path in given.pictures] == ["a.jpg", "b.PNG"]
    assert isinstance(given.labels, YoloLabels)
    assert given.labels.truth("a.jpg", (10, 10)).classes.tolist() == [1]
    assert given.labels.truth("b.PNG", (10, 10)) is None
    assert given.told == ("Left aside, neither a picture that is read here nor labels: notes.txt, x.md.",)


def test_a_file_that_is_named_often_is_one_file(tmp_path):
    a, labels, b = files(tmp_path, a_jpg=b"", a_txt=b"1 0.5 0.5 0.2 0.2", b_jpg=b"")
    other_way = f"{tmp_path}/../{tmp_path.name}/a.jpg"
    given = sort_files([a, other_way, *200 * [a], labels, labels, b], KNOWN)
    assert sorted(path.name for path in given.pictures) == ["a.jpg", "b.jpg"]
    assert given.labels.truth("a.jpg", (10, 10)).classes.tolist() == [1]
    assert given.told == ("Files named more than once count once: 202 left aside.",)


def test_class_names_beside_the_labels_are_used(tmp_path):
    labels = {"a_txt": b"0 0.5 0.5 0.2 0.2\n1 0.5 0.5 0.2 0.2"}
    for names in ({"classes_txt": b"Car\ndragon"}, {"data_yaml": b"names: [Car, dragon]"}):
        given = sort_files(files(tmp_path, a_jpg=b"", **labels, **names), KNOWN)
        assert given.labels.truth("a.jpg", (10, 10)).classes.tolist() == [1]
        assert given.told == ("Labelled objects of classes that the models do not know are left out: dragon (1).",)


def test_a_json_is_a_coco_file(tmp_path):
    given = sort_files(files(tmp_path, a_jpg=b"", labels_json=COCO), KNOWN)
    assert isinstance(given.labels, CocoLabels)


def test_what_label_studio_and_cvat_add_is_left_aside_and_named(tmp_path):
    given = sort_files([str(path) for path in (CASES / "data/labelstudio").rglob("*.*")], KNOWN)
    assert given.labels.truth("1a-car.jpg", (10, 10)).classes.tolist() == [1]
    assert given.told == ("Left aside, neither a picture that is read here nor labels: notes.json.",)

    row, lists = b"0 0.5 0.5 0.2 0.2", b"data/obj_train_data/a.jpg\ndata/obj_train_data/train.jpg\n"
    cvat = {"obj_data": b"classes = 1", "obj_names": b"car\n", "train_txt": lists, "a_txt": row}
    given = sort_files(files(tmp_path, a_jpg=b"", train_jpg=b"", b_HEIC=b"", **cvat), KNOWN)
    assert given.labels.truth("a.jpg", (10, 10)).classes.tolist() == [1]
    assert given.labels.truth("train.jpg", (10, 10)) is None, "a list of pictures is no label file"
    assert given.told == ("Left aside, neither a picture that is read here nor labels: b.HEIC, obj.data, train.txt.",)


@pytest.mark.parametrize("notes", [b"", b"not JSON", b'{"a": 1}\n{"b": 2}', b"\xff\xfe", b'{"images": [{'])
def test_beside_label_files_a_json_that_is_none_is_left_aside(tmp_path, notes):
    given = sort_files(files(tmp_path, a_jpg=b"", a_txt=b"1 0.5 0.5 0.2 0.2", notes_json=notes), KNOWN)
    assert given.labels.truth("a.jpg", (10, 10)).classes.tolist() == [1]
    assert given.told == ("Left aside, neither a picture that is read here nor labels: notes.json.",)


@pytest.mark.parametrize("name", ["_darknet.labels", "coco.names", "OBJ.NAMES"])
def test_class_names_as_darknet_calls_them(tmp_path, name):
    (tmp_path / name).write_text("car\nperson\n")
    paths = files(tmp_path, a_jpg=b"", a_txt=b"0 0.5 0.5 0.2 0.2")
    given = sort_files([*paths, str(tmp_path / name)], KNOWN)
    assert given.labels.truth("a.jpg", (10, 10)).classes.tolist() == [1]
    assert not given.told


@pytest.mark.parametrize(
    "other", [b"nc: 1\nlr0: 0.1", b"[1, 2]", b"", b"a: &x 1", b"a: !x 1", b"a: [", b"\xff", b"#" * 300_000]
)
def test_yamls_about_something_else_are_left_aside(tmp_path, other):
    labels = {"a_txt": b"0 0.5 0.5 0.2 0.2", "data_yaml": b"names: [car]", "classes_txt": b"car"}
    given = sort_files(files(tmp_path, a_jpg=b"", args_yaml=other, **labels), KNOWN)
    assert given.labels.truth("a.jpg", (10, 10)).classes.tolist() == [1], "two files that say the same are one"
    assert given.told == ("Left aside, neither a picture that is read here nor labels: args.yaml.",)


def test_hidden_files_and_folders_are_left_out(tmp_path):
    folder = tmp_path / ".cache/data"
    (folder / ".ipynb_checkpoints").mkdir(parents=True)
    paths = files(folder, a_jpg=b"") + files(folder / ".ipynb_checkpoints", b_jpg=b"")
    (folder / "._a.jpg").write_bytes(b"")
    given = sort_files([*paths, str(folder / "._a.jpg")], KNOWN)
    assert [path.name for path in given.pictures] == ["a.jpg"], "dots above the folder are its own matter"
    assert not given.told
    uploaded = tmp_path / "uploaded"
    uploaded.mkdir()
    copies = files(uploaded, a_jpg=b"", **{"a-checkpoint_jpg": b"", "b-checkpoint_jpg": b""})
    assert [path.name for path in sort_files(copies, KNOWN).pictures] == ["a.jpg", "b-checkpoint.jpg"]


def test_polygons_and_boxes_without_area_are_told(tmp_path):
    rows = b"0 0.1 0.1 0.4 0.1 0.4 0.5 0.1 0.5\n0 0.1 0.1 0.1 0.2 0.1 0.3"
    given = sort_files(files(tmp_path, a_jpg=b"", a_TXT=rows), KNOWN)
    np.testing.assert_allclose(given.labels.truth("a.jpg", (100, 100)).boxes, [[10, 10, 40, 50]])
    assert given.told == (
        "1 label file with polygons: the boxes around them are taken.",
        "1 labelled box without a width or a height: left out.",
    )


@pytest.mark.parametrize(
    ("file", "says"),
    [
        ("coco/coco-same-id.json", "two images have the id 1, a.jpg and b.jpg"),
        ("coco/huge-integer.json", "annotation 1: expected image_id, category_id and bbox"),
        ("labels/classes_timestamp.yaml", "line 1 has the tag !!timestamp, which is not read here"),
    ],
)
def test_files_that_broke_it_once_are_refused_in_a_sentence(tmp_path, file, says):
    picture = files(tmp_path, a_jpg=b"", a_txt=b"") if file.endswith("yaml") else files(tmp_path, a_jpg=b"")
    with pytest.raises(TruthRefused, match=says):
        sort_files([*picture, str(CASES / file)], KNOWN)


def test_a_coco_box_without_height_is_left_out_and_told(tmp_path):
    given = sort_files([*files(tmp_path, a_jpg=b""), str(CASES / "coco/coco-zero-height.json")], KNOWN)
    assert given.labels.truth("a.jpg", (48, 64)).boxes.tolist() == [[1, 2, 11, 12]]
    assert given.told == ("1 labelled box without a width or a height: left out.",)


@pytest.mark.parametrize(
    ("contents", "says"),
    [
        ({"a_txt": b""}, "There are no pictures yet"),
        ({}, "There are no pictures yet"),
        ({"a_jpg": b"", "x_json": COCO, "y_json": COCO}, "Expected one COCO file, got x.json and y.json"),
        ({"a_jpg": b"", "x_json": b""}, "x.json is not valid JSON"),
        (
            {"a_jpg": b"", "a_txt": b"", "x_yaml": b"names: [car, person]", "classes_txt": b"person\ncar"},
            "Expected one list of class names, got different ones in x.yaml and classes.txt",
        ),
        ({"a_jpg": b"", "a_txt": b"", "x_json": COCO}, "got a.txt and x.json"),
        ({"a_jpg": b"", "a_txt": b"", "classes_txt": b"car", "data_yaml": b"a: &x 1"}, "data.yaml: line 1 has"),
        ({"a_jpg": b"", "a_txt": b"", "x_yaml": b"names: !!timestamp x"}, "x.yaml: line 1 has the tag !!timestamp"),
        ({"a_jpg": b"", "x_json": b'[{"id": 1, "data": {}, "annotations": []}]'}, "of Label Studio's own format"),
        ({"a_jpg": b"", "a_txt": "0 0.5 0.5 0.1 0.1 车".encode("gbk")}, "a.txt is not UTF-8 (it looks like GBK)"),
        ({"a_jpg": b"", "x_md": b" " * (20 * 2**20 + 1)}, "Expected at most 20 MB of labels"),
        ({"a_jpg": b"", "a_png": b"", "a_txt": b""}, "Two pictures could own the labels in a.txt"),
        ({"a_jpg": b"", "a_txt": b"0 0.5"}, "a.txt, line 1"),
        ({"a_jpg": b"", "x_json": b"[]"}, "x.json is JSON: expected COCO"),
        ({f"p{i}_jpg": b"" for i in range(MAX_PICTURES + 1)}, "at most 200 pictures at once, got 201"),
    ],
)
def test_files_that_do_not_fit_together_are_refused(tmp_path, contents, says):
    with pytest.raises((DlkaError, TruthRefused), match=re.escape(says)):
        sort_files(files(tmp_path, **contents), KNOWN)


def test_files_below_a_hidden_folder_are_no_hidden_files(tmp_path):
    """The README's environment is called .venv, and most examples lie in it."""
    deep, hidden = tmp_path / ".venv" / "assets", tmp_path / ".ipynb_checkpoints"
    for folder in (deep, hidden):
        folder.mkdir(parents=True)
    given = sort_files(
        [*files(deep, bus_jpg=b"", a_jpg=b""), *files(hidden, b_jpg=b""), *files(tmp_path, c_jpg=b"")], {}
    )
    assert [path.name for path in given.pictures] == ["bus.jpg", "a.jpg", "c.jpg"]


def test_the_examples_labels_are_of_the_examples():
    """Package pictures of another size would be told as not judged; the far crowd is the bus stop twelve times."""
    known = cards()[CONTROL].names
    given = sort_files([*map(str, labelled(known))], known)
    counts = {}
    for path in given.pictures:
        truth = given.labels.truth(path.name, read_image(path).shape[:2])
        counts[path.name] = len(truth)
    assert counts["far-crowd.png"] == 12 * counts["bus.jpg"] > 0
    assert counts["dots-and-curves.png"] == 0
    assert not given.told


def test_models_of_drawn_shapes_are_judged_by_drawn_scenes():
    known = dict(enumerate(reversed(SHAPES)))  # another order than that of the labels
    given = sort_files([*map(str, labelled(known))], known)
    assert sorted(path.name for path in given.pictures) == ["scene-1.png", "scene-2.png", "scene-3.png"]
    assert not given.told
    found = given.labels.truth("scene-1.png", (240, 320))
    assert [known[number] for number in found.classes] == ["E"] * 4 + ["ring"] * 3 + ["T"]
    every = known, {0: "person"}, dict(enumerate(DEFECTS)), cards()["hit-uav-head"].names
    both = [path for known in every for path in labelled(known)[:-1]]
    assert sorted(both) == sorted(examples().values())


# A run over two real pictures, a broken one and a hostile name, labelled with what the baseline finds.


@pytest.fixture(scope="module")
def given(tmp_path_factory):
    root = tmp_path_factory.mktemp("many")
    (root / "broken.jpg").write_bytes(b"\xff\xd8\xff no picture")
    pictures = [root / "bus.jpg", root / "broken.jpg", root / HOSTILE]
    for path, example in ((pictures[0], "Bus stop"), (pictures[2], "Two people")):
        small = cv2.resize(read_image(examples()[example]), (320, 240), interpolation=cv2.INTER_AREA)
        path.write_bytes(cv2.imencode(".png", small[..., ::-1])[1].tobytes())
        found = analyse_once(small, SETTINGS).baseline.detections
        lines = []
        for (x1, y1, x2, y2), number in zip(found.boxes / [320, 240, 320, 240], found.classes):
            lines.append(f"{number} {(x1 + x2) / 2} {(y1 + y2) / 2} {x2 - x1} {y2 - y1}")
        assert lines
        path.with_suffix(".txt").write_text("\n".join(lines))
    paths = [str(path) for path in root.iterdir()]
    sorted_files = sort_files(paths, cards()[SETTINGS.dlka].names)
    return replace(sorted_files, pictures=tuple(pictures))


@pytest.fixture(scope="module")
def many(given, tmp_path_factory):
    run = ManyAnalyses(SETTINGS, given.labels, tmp_path_factory.mktemp("run"))
    list(run.add(given.pictures))
    return run


def test_a_broken_file_is_a_row_and_stops_nothing(many):
    assert [row.file for row in many.rows] == ["bus.jpg", "broken.jpg", HOSTILE]
    assert [row.size for row in many.rows] == [(240, 320), None, (240, 320)]
    assert "damaged" in many.rows[1].problem
    assert '<td>broken.jpg</td><td colspan="10">The file starts like a JPEG picture but is damaged' in tables.pictures(
        many
    )


def test_counts_add_up(many):
    """The labels are the baseline's own boxes: it hits all of them, and wherever the two disagree it is right."""
    dlka, baseline = many.truth
    assert baseline.objects() == dlka.objects() == sum(row.kinds.total() - row.kinds[ONLY_FIRST] for row in many.rows)
    assert (baseline.misses.total(), baseline.false_alarms.total()) == (0, 0)
    assert dlka.hits.total() + dlka.misses.total() == dlka.objects()
    assert dlka.misses.total() > 0, "else this test shows nothing"
    differing = [found for found in many.findings if found.kind != "both"]
    assert len(differing) == many.right.total() == sum(pair.kind != BOTH for pair in many.pairs) > 0
    assert many.right["D-LKA"] == many.right["neither"] == 0
    assert sum(many.agreement.values()) == dlka.objects()
    assert sum(n for (which, _), n in many.agreement.items() if which == "hit only by D-LKA") == 0
    wrong = sum(found.verdict.told == "false alarm" for found in differing)
    assert wrong == dlka.false_alarms.total() - count_pairs(many.pairs, CLASS_CHANGED)


def test_findings_come_smallest_first_with_close_ups(many):
    areas = [found.area for found in many.findings]
    assert areas == sorted(areas)
    for found in many.findings:
        tile = cv2.imdecode(np.frombuffer(found.tile, np.uint8), cv2.IMREAD_COLOR)
        assert tile.shape == (analyses.TILE, analyses.TILE, 3)
        assert max(cv2.imread(str(many.folder / f"{found.picture}.jpg")).shape) == 320
        assert max(cv2.imread(str(many.folder / f"{found.picture}-small.jpg")).shape) == analyses.THUMBNAIL


def test_only_the_smallest_have_close_ups_of_their_own_but_all_are_there(given, many, monkeypatch, tmp_path):
    monkeypatch.setattr(analyses, "KEPT", 2)
    run = ManyAnalyses(SETTINGS, given.labels, tmp_path)
    list(run.add(reversed(given.pictures)))  # the smallest come last and take the close-ups of others
    assert [found.box for found in run.findings] == [found.box for found in many.findings]
    assert [bool(found.tile) for found in run.findings] == [True, True, *[False] * (len(run.findings) - 2)]
    assert run.right == many.right
    items = json.loads(viewer_value(run))["items"]
    assert ["tile" in item for item in items] == [bool(found.tile) for found in run.findings]


def test_chosen_classes_narrow_the_labels_too(given, tmp_path):
    run = ManyAnalyses(replace(SETTINGS, classes=("bus",)), given.labels, tmp_path)
    list(run.add([given.pictures[0]]))
    assert run.truth[1].objects() == run.truth[1].hits.total() == run.rows[0].kinds[BOTH] == 1


def test_a_run_without_pictures_says_nothing_of_what_the_models_found(tmp_path):
    said = tables.summary(ManyAnalyses(SETTINGS, None, tmp_path))
    assert said.strip() == "<h2>0 pictures compared</h2>"


def test_without_labels_nobody_is_right(given, tmp_path):
    run = ManyAnalyses(SETTINGS, None, tmp_path)
    list(run.add([given.pictures[0]]))
    assert run.truth is None
    assert "labelled objects</th>" not in tables.summary(run)
    assert {found.verdict for found in run.findings} == {None}


def test_labels_of_another_size_leave_the_picture_unjudged(given, tmp_path):
    content = {
        "images": [{"id": 1, "file_name": "bus.jpg", "width": 640, "height": 480}],
        "annotations": [],
        "categories": [{"id": 1, "name": "bus"}],
    }
    labels = sort_files([str(given.pictures[0]), *files(tmp_path, x_json=json.dumps(content).encode())], {0: "bus"})
    run = ManyAnalyses(SETTINGS, labels.labels, tmp_path)
    (row,) = run.add([given.pictures[0]])
    assert row.truth is None
    assert row.kinds.total() > 0
    assert "should be 640 x 480 pixels and is 320 x 240" in row.problem


@pytest.mark.parametrize("settings", [Settings(dlka="nonsense"), Settings(size=33), Settings(classes=("dragon",))])
def test_settings_that_cannot_be_are_refused_before_the_first_picture(settings, tmp_path):
    with pytest.raises(ValueError, match=r"expected|not one of"):
        ManyAnalyses(settings, None, tmp_path)


class Parsed(html.parser.HTMLParser):
    """All tags with their attributes, and all text."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.text = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_stands_alone_and_runs_nothing(many):
    text = report.report(many, tables.summary(many), ["<b>told</b>"])
    parsed = Parsed(text)
    tags = {tag for tag, _ in parsed.tags}
    assert not tags & {"script", "link", "iframe", "object", "embed", "base", "a", "form"}
    names = {name for _, attributes in parsed.tags for name in attributes}
    assert not [name for name in names if name.startswith("on")]
    sources = [attributes["src"] for tag, attributes in parsed.tags if tag == "img"]
    assert len(sources) == len(many.findings)
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"https?:|url\(|@import", text)
    assert all(attributes.get("alt") for tag, attributes in parsed.tags if tag == "img")
    said = "".join(parsed.text)
    assert HOSTILE in said, "the name is told as it is, as text"
    assert "<b>told</b>" in said
    for part in ("stock YOLOv8n", "torch", "confidence", "320 px", "damaged", "training seed", "recall"):
        assert part in said


def test_a_long_report_shows_the_smallest_and_says_how_many_are_left_out(many, monkeypatch):
    monkeypatch.setattr(report, "MOST", 1)
    text = report.report(many, "")
    assert text.count("<img ") == 1
    assert f"The 1 smallest of {len(many.findings)} findings" in text


def test_a_run_that_is_stopped_shows_what_there_is():
    stop = threading.Event()
    pictures = (examples()["Two people"], examples()["Bus stop"])
    steps = page_many.compare_pictures(stop, SETTINGS, Given(pictures))
    assert "Picture 1 of 2" in next(steps)["progress"]["value"]
    stop.set()
    shown = list(steps)[-1]
    assert set(shown) == set(page_many.OUTPUTS)
    assert shown["told"]["value"] == "<p>Stopped after 1 of 2 pictures.</p>"
    verdict = '<div class="many-verdict"><p>Without labelled objects nobody can tell which model is better'
    assert shown["summary"].strip().startswith(f"<h2>1 picture compared</h2>\n{verdict}")
    with open(shown["report"], encoding="utf-8") as file:
        assert "Stopped after 1 of 2 pictures." in file.read()
