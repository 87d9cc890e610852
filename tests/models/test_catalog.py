"""Which models there are, which belong together, and that fetching one stops at the network."""

from __future__ import annotations

import os
import shutil

import pytest
import torch
from safetensors.torch import save_file

from dlka.errors import DlkaError
from dlka.models import catalog
from dlka.models.build import build_model
from dlka.models.catalog import fetch
from dlka.models.weights import Card, load_card, load_model, save_weights

COCO = load_card(catalog.WEIGHTS / "control.safetensors").names
THERMAL = dict(enumerate(("person", "car", "bicycle", "other vehicle")))


def put(folder, model, placement, names, offsets="dense"):
    """A weights file of an untrained model."""
    card = Card(placement, "n", offsets, names, 640, "nothing", "none", "AGPL-3.0", 0, {})
    save_weights(folder / f"{model}.safetensors", build_model(placement, "n", len(names), offsets).state_dict(), card)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("weights")
    put(folder, "control", "control", COCO)
    put(folder, "yolov8n", "control", COCO)
    put(folder, "residual", "residual", COCO, "separable")
    put(folder, "a-drone-control", "control", THERMAL)
    put(folder, "a-thermal-control", "control", THERMAL)
    put(folder, "a-thermal-head-separable", "head", THERMAL, "separable")
    put(folder, "stranger", "head", {0: "dragon"}, "separable")
    return folder


@pytest.fixture(autouse=True)
def in_folder(folder, monkeypatch):
    monkeypatch.setattr(catalog, "WEIGHTS", folder)


def test_coco_comes_first_then_ids():
    assert list(catalog.cards()) == [
        *("control", "residual", "yolov8n"),
        *("a-drone-control", "a-thermal-control", "a-thermal-head-separable", "stranger"),
    ]


def test_the_control_has_the_same_classes_and_the_same_beginning(folder):
    assert catalog.control_of("residual") == "control"
    assert catalog.control_of("a-thermal-head-separable") == "a-thermal-control"
    assert catalog.control_of("stranger") is None
    assert catalog.control_of("nonsense") is None
    put(folder, "residual-control", "control", {0: "dragon"})  # begins alike and is no fair comparison
    assert catalog.control_of("residual") == "control"
    assert catalog.control_of("stranger") == "residual-control", (
        "another stock model of these classes is better than none"
    )
    (folder / "residual-control.safetensors").unlink()


def test_a_file_that_is_no_weights_is_left_out_and_a_new_one_is_seen(folder, caplog):
    file = folder / "broken.safetensors"
    file.write_bytes(b"no weights")
    assert "broken" in catalog.available()
    for _ in range(2):  # told once, however often the page asks
        assert "broken" not in catalog.cards()
        assert list(catalog.left_out()) == ["broken"]
    assert caplog.text.count("left out of the models: broken.safetensors is not a whole safetensors file") == 1
    with pytest.raises(DlkaError, match=r"got 'brokn'; broken\.safetensors is not a whole safetensors file"):
        catalog.find("brokn")
    put(folder, "broken", "control", {0: "phoenix"})
    os.utime(file, ns=(1, 1))
    assert catalog.cards()["broken"].names == {0: "phoenix"}
    put(folder, "broken", "control", {0: "griffin"})
    assert catalog.cards()["broken"].names == {0: "griffin"}
    file.unlink()
    assert "broken" not in catalog.cards()


def foreign(path):
    save_file({"w": torch.zeros(2)}, path)


def huge_header(path):
    path.write_bytes((1 << 62).to_bytes(8, "little") + b"{}")


def deep_header(path):
    text = b'{"__metadata__":' + b"[" * 100_000
    path.write_bytes(len(text).to_bytes(8, "little") + text)


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (foreign, "got one without its card"),
        (lambda path: path.write_bytes(b""), "not a whole safetensors file"),
        (huge_header, "not a whole safetensors file"),
        (deep_header, "not a whole safetensors file"),
        (lambda path: path.mkdir(), "odd.safetensors is no file."),
        (os.mkfifo, "odd.safetensors is no file."),
        (lambda path: path.symlink_to("nowhere"), "odd.safetensors: there is no such file."),
        (lambda path: path.symlink_to("odd.safetensors"), "odd.safetensors: there is no such file."),
    ],
    ids=["foreign", "empty", "huge header", "deep header", "folder", "pipe", "link to nowhere", "link to itself"],
)
def test_other_files_are_left_out_with_a_reason(tmp_path, monkeypatch, make, why):
    monkeypatch.setattr(catalog, "WEIGHTS", tmp_path)
    make(tmp_path / "odd.safetensors")
    (tmp_path / ".hidden.safetensors").write_bytes(b"a download that was not finished")
    assert list(catalog.left_out()) == ["odd"]
    assert why in catalog.left_out()["odd"]
    assert catalog.cards() == {}


def test_a_folder_without_models(tmp_path, monkeypatch):
    for folder in (tmp_path, tmp_path / "none"):
        monkeypatch.setattr(catalog, "WEIGHTS", folder)
        assert catalog.cards() == catalog.left_out() == {}
        with pytest.raises(DlkaError) as caught:
            catalog.find("head")
        expected = f"model: expected a model in {folder}, which holds none of this kind, or the path of a"
        assert str(caught.value) == f"{expected} .safetensors file, got 'head'."


@pytest.mark.parametrize(
    ("size", "changed"),
    [
        (640, {}),
        (160, {"metrics": {"size": 160}}),
        (1280, {"metrics": {"size": 1280}, "input_size": 320, "recipe": '{"start": "none"}'}),
        (320, {"input_size": 320, "recipe": '{"start": "none"}'}),
        (224, {"input_size": 200, "recipe": '{"start": "none"}'}),
        (640, {"input_size": 320, "recipe": '{"start": "control"}'}),
        (960, {"input_size": 960}),
        (640, {"input_size": 320, "recipe": "none"}),
        *((640, {"metrics": {"size": strange}}) for strange in ("160", 160.0, True, 0, -64, 10**9, None, [160])),
    ],
)
def test_the_size_that_suits_a_model(size, changed):
    """What its figures were measured at, else what they would be: from scratch what it was trained at."""
    fields = {"input_size": 640, "recipe": "converted", "metrics": {}} | changed
    card = Card("control", "n", "dense", COCO, data="", licence="", seed=0, versions={}, **fields)
    assert catalog.suited_size(card) == size


@pytest.mark.slow
def test_fetch_converts_what_was_downloaded(shared, tmp_path, monkeypatch):
    places = []

    def download(asset, folder):
        places.append(folder)
        return shutil.copy(shared / "weights" / asset, folder)

    monkeypatch.setattr(catalog, "download", download)
    out = fetch("yolov8n", tmp_path)
    assert out == tmp_path / "yolov8n.safetensors"
    assert load_model(out)[1].placement == "control"
    assert not places[0].exists()
    with pytest.raises(DlkaError, match="is there already; remove it to fetch it again"):
        fetch("yolov8n", tmp_path)


@pytest.mark.parametrize("name", ["yolov8t", "../yolov8n", "https://example.org/yolov8n.pt", "", "yolov8n.pt"])
def test_only_official_names_are_fetched(name, tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "download", lambda *_: pytest.fail("nothing may be downloaded"))
    with pytest.raises(DlkaError, match="expected one of yolov8n, yolov8s, yolov8m, yolov8l, yolov8x"):
        fetch(name, tmp_path)


@pytest.mark.slow
def test_the_download_goes_up_to_the_network(tmp_path, monkeypatch):
    """Ultralytics' own downloader runs in the child, online, in a folder of its own; only its last call is replaced."""
    replaced = (
        "import os, ultralytics.utils.downloads as d\n"
        "state = [str('YOLO_OFFLINE' in os.environ), os.environ['YOLO_CONFIG_DIR']]\n"
        "d.safe_download = lambda url, file, **options: open(file, 'w').write('\\n'.join([url, *state]))\n"
    )
    monkeypatch.setattr(catalog, "FETCH", replaced + catalog.FETCH)
    monkeypatch.setenv("YOLO_OFFLINE", "1")
    file = catalog.download("yolov8n.pt", tmp_path)
    url, offline, folder = file.read_text().split("\n")
    assert file == tmp_path / "yolov8n.pt"
    assert url.startswith("https://github.com/ultralytics/assets/releases/download/")
    assert url.endswith("/yolov8n.pt")
    assert (offline, folder) == ("False", str(tmp_path))


def test_a_failing_network_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "FETCH", "raise ConnectionError('no route to host')")
    with pytest.raises(DlkaError) as caught:
        fetch("yolov8n", tmp_path)
    text = str(caught.value)
    assert text.startswith("yolov8n.pt could not be downloaded from Ultralytics (ConnectionError: no route to host); ")
    assert "\n" not in text
    assert not list(tmp_path.iterdir())


def test_a_download_without_end_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(catalog, "FETCH", "import time; time.sleep(60)")
    monkeypatch.setattr(catalog, "FETCH_SECONDS", 0.2)
    with pytest.raises(DlkaError, match=r"it took more than 0\.2 seconds"):
        fetch("yolov8n", tmp_path)
