"""Converting checkpoints: the right model is recognised, and all else is refused."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest
import torch

from dlka.errors import DlkaError
from dlka.models.build import build_model
from dlka.models.checkpoint import convert, identify, read_checkpoint, sha256
from dlka.models.weights import load_model

NAMES = {0: "ant", 1: "bee", 2: "cat"}


def checkpoint(path, placement="control", scale="n", offsets="dense", **settings):
    """A checkpoint as Ultralytics' trainer saves it, of a random model."""
    torch.manual_seed(0)
    model = build_model(placement, scale, len(NAMES), offsets)
    model.names = NAMES
    for parameter in model.parameters():
        parameter.data.add_(0.01 * torch.randn_like(parameter))
    torch.save({"model": None, "ema": model.half(), "train_args": settings}, path)
    return model.float()


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    path = tmp_path_factory.mktemp("known") / "control.pt"
    checkpoint(path)
    return read_checkpoint(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("placement", "scale", "offsets"),
    [
        ("control", "n", "dense"),
        ("neck", "n", "dense"),
        ("residual", "n", "dense"),
        ("head", "n", "dense"),
        ("neck-head", "n", "dense"),
        ("neck", "n", "separable"),
        ("neck", "n", "none"),
        ("head", "s", "dense"),
        ("one-level", "n", "separable"),
        ("one-level", "n", "features"),
        ("one-level-plain", "n", "dense"),
    ],
)
def test_every_placement_is_recognised(tmp_path, placement, scale, offsets):
    original = checkpoint(tmp_path / "a.pt", placement, scale, offsets, imgsz=416, seed=7, data="/home/me/set.yaml")
    card = convert(tmp_path / "a.pt", tmp_path / "b.safetensors")
    model, stored = load_model(tmp_path / "b.safetensors")
    assert stored == card
    assert (card.placement, card.scale, card.offsets, card.names) == (placement, scale, offsets, NAMES)
    assert (card.input_size, card.seed, card.data) == (416, 7, "set.yaml, as the checkpoint says")
    assert card.recipe == f"converted from a.pt, sha256 {sha256(tmp_path / 'a.pt')}"
    state = model.state_dict()
    for name, value in original.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(state[name], value)


@pytest.mark.slow
def test_the_stock_checkpoint(shared, tmp_path):
    source = shared / "weights" / "yolov8n.pt"
    card = convert(source, tmp_path / "yolov8n.safetensors", data="COCO", licence="AGPL-3.0")
    assert (card.placement, card.scale, len(card.names), card.names[5]) == ("control", "n", 80, "bus")
    assert (card.input_size, card.data, card.licence) == (640, "COCO", "AGPL-3.0")
    assert hashlib.sha256(source.read_bytes()).hexdigest() in card.recipe
    assert [p.name for p in tmp_path.iterdir()] == ["yolov8n.safetensors"]


def test_identified_models_are_exact(known):
    model, card = identify(known, "a.pt")
    assert card.placement == "control"
    assert model.names == NAMES
    assert not model.training
    for name, value in model.state_dict().items():
        if value.is_floating_point():
            assert torch.equal(value, known.tensors[name].float())


def row(checkpoint, part, index, **changes):
    """The checkpoint with one row of its yaml changed: source, module or args."""
    rows = [list(r) for r in checkpoint.yaml[part]]
    for position, key in ((0, "source"), (2, "module"), (3, "args")):
        rows[index][position] = changes.get(key, rows[index][position])
    return replace(checkpoint, yaml={**checkpoint.yaml, part: rows})


def tensors(checkpoint, **changes):
    """The checkpoint with tensors exchanged or (None) left out; two underscores in a name stand for a dot."""
    given = dict(checkpoint.tensors)
    for name, value in changes.items():
        key = name.replace("__", ".")
        given.pop(key, None)
        if value is not None:
            given[key] = value
    return replace(checkpoint, tensors=given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: replace(c, yaml=None), "without the yaml and class names"),
        (lambda c: replace(c, names=None), "without the yaml and class names"),
        (lambda c: replace(c, names={1: "a", 2: "b", 3: "c"}), "classes are not numbered 0, 1, 2"),
        (lambda c: replace(c, names={0: "a"}), r"should be \[1, 80, 1, 1\]|should be .*, is "),
        (lambda c: replace(c, yaml={**c.yaml, "activation": "nn.ReLU()"}), "rows of its yaml are another model's"),
        (lambda c: replace(c, yaml={"backbone": 3, "head": None}), "rows of its yaml are another model's"),
        (lambda c: replace(c, yaml={}), "rows of its yaml are another model's"),
        (lambda c: row(c, "backbone", 1, args=[128, 3, 1]), "rows of its yaml are another model's"),
        (lambda c: row(c, "backbone", 2, args=[128, False]), "rows of its yaml are another model's"),
        (lambda c: row(c, "head", 1, source=[-1, 5]), "rows of its yaml are another model's"),
        (lambda c: row(c, "head", 0, args=[None, 2, "bilinear"]), "rows of its yaml are another model's"),
        (lambda c: row(c, "head", 2, module="C3"), "rows of its yaml are another model's"),
        (lambda c: tensors(c, model__0__conv__weight=None), r"1 tensors are missing \(model.0.conv.weight\)"),
        (lambda c: tensors(c, model__0__conv__weight=torch.zeros(24, 3, 3, 3)), r"should be \[16, 3"),
        (lambda c: tensors(c, model__0__conv__weight=torch.zeros(())), r"should be \[16, 3"),
        (lambda c: tensors(c, model__0__conv__weight=torch.zeros(32, 3, 3, 3)), r"should be \["),
        (lambda c: tensors(c, model__1__bn__bias=None), r"1 tensors are missing \(model.1.bn.bias\)"),
        (lambda c: tensors(c, model__9__extra=torch.zeros(2)), r"1 do not belong \(model.9.extra\)"),
        (lambda c: tensors(c, model__1__bn__bias=torch.full((32,), torch.nan)), "not finite"),
    ],
)
def test_what_is_not_known_is_refused(known, change, message):
    with pytest.raises(DlkaError, match=message) as caught:
        identify(change(known), "strange.pt")
    text = str(caught.value)
    assert text.startswith("strange.pt")
    assert text.endswith(".")
    assert "\n" not in text


def test_sources_may_be_written_from_either_end(known):
    absolute = row(known, "head", 1, source=[10, 6])
    assert identify(absolute, "a.pt")[1].placement == "control"


@pytest.mark.parametrize(
    ("out", "message"),
    [("b.pt", "ends in .safetensors"), ("there.safetensors", "exists already"), ("no/b.safetensors", "no such folder")],
)
def test_places_that_are_refused(tmp_path, out, message):
    (tmp_path / "there.safetensors").write_bytes(b"mine")
    with pytest.raises(DlkaError, match=message):
        convert(tmp_path / "a.pt", tmp_path / out)
    assert (tmp_path / "there.safetensors").read_bytes() == b"mine"


@pytest.mark.slow
def test_a_refused_checkpoint_leaves_no_file(tmp_path):
    torch.save({"state_dict": {"w": torch.zeros(2)}}, tmp_path / "a.pt")
    with pytest.raises(DlkaError, match=r"a\.pt holds tensors without the yaml"):
        convert(tmp_path / "a.pt", tmp_path / "b.safetensors")
    assert [p.name for p in tmp_path.iterdir()] == ["a.pt"]
