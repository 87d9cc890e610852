"""Models of somebody's own: named by an operator, or brought by a visitor."""

from __future__ import annotations

import re
import shutil

import numpy as np
import pytest
import torch
from test_catalog import COCO, put

from dlka import temporary
from dlka.analysis.analysis import Settings, analyse_pixels
from dlka.analysis.examples import examples
from dlka.analysis.models import baseline_models, dlka_models
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.models import catalog, own
from dlka.models.build import build_model
from dlka.models.weights import load_card, load_model, save_weights


@pytest.fixture(autouse=True)
def forgotten():
    """What a test adds is forgotten after it."""
    yield
    catalog.ADDED.clear()
    catalog.GUESTS.clear()


@pytest.fixture
def mine(tmp_path):
    """A folder with a model of classes that no other knows."""
    (tmp_path / "own").mkdir()
    put(tmp_path / "own", "mine", "head", {0: "dragon"}, "separable")
    return tmp_path / "own"


def test_a_file_is_added(mine):
    assert "mine" not in catalog.cards()
    assert own.add(mine / "mine.safetensors") == "mine"
    assert catalog.find("mine") == mine / "mine.safetensors"
    assert catalog.cards()["mine"].names == {0: "dragon"}
    assert not own.added(), "a single file does not become more"


def test_what_appears_in_an_added_folder_is_there(mine):
    own.add(mine)
    assert own.added()
    put(mine, "later", "residual", COCO)
    assert {"mine", "later", "residual"} <= catalog.cards().keys()
    put(mine, "control", "control", {0: "dragon"})
    assert catalog.cards()["control"].names == COCO, "what was there first keeps its name"


@pytest.mark.slow
def test_a_checkpoint_is_converted_and_added(mine, shared):
    copy = mine / "theirs.pt"
    shutil.copy(shared / "weights" / "yolov8n.pt", copy)
    assert own.add(copy) == "theirs"
    assert catalog.cards()["theirs"].placement == "control"
    assert catalog.find("theirs").is_relative_to(temporary.folder()), "nothing is written beside the checkpoint"


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("gone.safetensors", "gone.safetensors: expected a .safetensors file or a .pt checkpoint, or a folder of"),
        ("gone.pt", "gone.pt: expected a .safetensors file or a .pt checkpoint, or a folder of .safetensors files."),
        ("words.txt", "words.txt: expected a .safetensors file"),
        ("broken.safetensors", "broken.safetensors"),
        ("residual.safetensors", "there is a model residual already; give this file another name."),
        ("taken", "residual.safetensors: there is a model residual already"),
    ],
)
def test_what_cannot_be_added_is_one_sentence(mine, name, says):
    (mine / "words.txt").write_text("words")
    (mine / "broken.safetensors").write_bytes(b"broken")
    (mine / "taken").mkdir()
    for place in (mine, mine / "taken"):
        put(place, "residual", "residual", COCO)
    with pytest.raises(DlkaError, match=re.escape(says)):
        own.add(mine / name)
    assert catalog.ADDED == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dense", "separable"])
def test_a_visitors_model_without_partner_stands_beside_itself_without_offsets(mine, kind):
    put(mine, "mine", "head", {0: "dragon"}, kind)
    model, rigid = own.bring(mine / "mine.safetensors")
    assert re.fullmatch(r"mine-[0-9a-f]{8}", model)
    assert rigid == f"{model}-rigid" == catalog.baseline_of(model)
    net, twin = load_model(catalog.find(model))[0], load_model(catalog.find(rigid))[0]
    state = net.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in twin.state_dict().items())
    assert load_card(catalog.find(rigid)).recipe == f"the weights of {model} with its offsets at zero, not trained so"
    image = read_image(examples()["Two people"])
    off = analyse_pixels(image, Settings(model, rigid, confidence=0.01, size=160, strength=0))
    assert len(off.dlka.detections) > 0
    assert off.dlka.detections.boxes == pytest.approx(off.baseline.detections.boxes, abs=1e-3)


def test_nobody_else_is_offered_what_a_visitor_brought(mine):
    (theirs,) = own.bring(catalog.WEIGHTS / "residual.safetensors")
    stock = own.bring(catalog.WEIGHTS / "control.safetensors")[0]
    assert {theirs, stock} <= catalog.cards().keys()
    assert not {theirs, stock} & {*dlka_models(), *baseline_models()}
    assert catalog.baseline_of("neck") == catalog.baseline_of(theirs) == "control", "no visitor's model is anybody's"
    with pytest.raises(DlkaError) as refused:
        analyse_pixels(np.zeros((40, 40, 3), np.uint8), Settings("nobody"))
    assert theirs not in str(refused.value)
    with pytest.raises(DlkaError) as refused:
        catalog.find("nobody")
    assert theirs not in str(refused.value)


@pytest.mark.slow
def test_the_oldest_make_room(mine, monkeypatch):
    monkeypatch.setattr(own, "MOST", 3)
    first = own.bring(mine / "mine.safetensors")
    file = catalog.find(first[0])
    second = own.bring(mine / "mine.safetensors")
    assert list(catalog.GUESTS) == [first[1], *second]
    assert not file.exists()


@pytest.mark.slow
def test_what_a_visitor_sends_must_be_a_model(mine):
    (mine / "words.txt").write_text("words")
    (mine / "broken.safetensors").write_bytes(b"broken")
    (mine / "broken.pt").write_bytes(b"broken")
    lied = mine / "lied.safetensors"
    save_weights(lied, build_model("head", "n", 2).state_dict(), load_card(catalog.WEIGHTS / "head.safetensors"))
    kept = set(temporary.lasting)
    for name in ("words.txt", "broken.safetensors", "broken.pt", "lied.safetensors"):
        with pytest.raises(DlkaError, match=f"^{name}"):
            own.bring(mine / name)
    assert catalog.GUESTS == {}
    assert temporary.lasting == kept, "what is refused takes no room for ever"
