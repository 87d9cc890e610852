"""Stock weights in D-LKA models: the same output where nothing was exchanged, and a ledger that adds up."""

from __future__ import annotations

import re

import pytest
import torch
from torch import nn
from ultralytics.nn.tasks import DetectionModel

from dlka.layers import DeformableLKAAttention
from dlka.models.build import DLKAModel, build_model, model_config
from dlka.models.checkpoint import read_checkpoint
from dlka.models.cost import parameters
from dlka.models.transfer import transfer
from dlka.offset_nets import OffsetConv2d

COCO = {i: f"class {i}" for i in range(80)} | {0: "person", 1: "bicycle", 2: "car"}
FOUR = {0: "person", 1: "Car", 2: "bicycle", 3: "other"}
STOCK_ROW = {"control": {}, "neck": {}, "head": {}, "neck-head": {}, "residual": {}}
for _row in range(26):  # residual: attention rows 16, 20, 24 have no stock row and push the later ones on
    if _row not in (16, 20, 24):
        STOCK_ROW["residual"][_row] = _row - sum(_row > a for a in (16, 20, 24))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="module")
def stock() -> DetectionModel:
    """A stock YOLOv8n whose every tensor is different, statistics included, so that mixed-up tensors show."""
    torch.manual_seed(0)
    model = DetectionModel("yolov8n.yaml", verbose=False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
            module.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.rand(4, 3, 64, 64))
    model.model[-1].cv3[0][-1].bias.data.normal_()
    return model.eval()


def raw(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        out = model.eval()(x)[1]
    return torch.cat([out["boxes"], out["scores"]], 1)


@pytest.mark.parametrize("offsets", ["dense", "separable", "none"])
@pytest.mark.parametrize("placement", ["control", "residual", "head"])
def test_placements_that_add_start_exactly_as_stock(placement, offsets, stock):
    torch.manual_seed(1)
    model = build_model(placement, offsets=offsets)
    transfer(model, stock.state_dict(), COCO, COCO)
    x = torch.rand(2, 3, 64, 96)
    wanted = raw(stock, x)
    assert wanted.std() > 0.5
    torch.testing.assert_close(raw(model, x), wanted, rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_the_official_weights_too(shared):
    checkpoint = read_checkpoint(shared / "weights" / "yolov8n.pt")
    control = build_model("control")
    transfer(control, checkpoint.tensors, checkpoint.names, checkpoint.names)
    x = torch.rand(1, 3, 96, 64)
    for placement in ("residual", "head"):
        model = build_model(placement)
        transfer(model, checkpoint.tensors, checkpoint.names, checkpoint.names)
        torch.testing.assert_close(raw(model, x), raw(control, x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("placement", STOCK_ROW)
def test_every_tensor_outside_the_blocks_is_the_stock_one(placement, stock):
    model = build_model(placement)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    transfer(model, stock.state_dict(), COCO, COCO)
    blocks = tuple(f"{n}." for n, m in model.named_modules() if isinstance(m, DeformableLKAAttention))
    mapping = STOCK_ROW[placement] or {i: i for i in range(23)}
    theirs, seen = stock.state_dict(), set()
    for name, tensor in model.state_dict().items():
        if name.startswith(blocks or ("none",)):
            assert torch.equal(tensor, before[name])
            continue
        _, row, rest = name.split(".", 2)
        rest = re.sub(r"^(cv3\.\d)\.3\.", r"\1.2.", rest)  # the last convolution moves on by one behind a block
        source = f"model.{mapping[int(row)]}.{rest}"
        assert torch.equal(tensor, theirs[source]), name
        seen.add(source)
    left = {name.rpartition(".")[0] for name in set(theirs) - seen}
    bottlenecks = {f"model.{row}.m.0.cv2" for row in (15, 18, 21)} if "neck" in placement else set()
    assert {re.sub(r"\.(conv|bn)$", "", name) for name in left} == bottlenecks


@pytest.mark.slow
@pytest.mark.parametrize("offsets", ["dense", "separable"])
@pytest.mark.parametrize("classes", [COCO, FOUR], ids=["80", "4"])
@pytest.mark.parametrize("placement", STOCK_ROW)
def test_the_ledger_adds_up(placement, classes, offsets, stock):
    model = build_model(placement, classes=len(classes), offsets=offsets)
    ledger = transfer(model, stock.state_dict(), classes, COCO)
    totals = ledger.totals()
    assert sum(totals.values()) == parameters(model)
    names = [name for kind in (ledger.copied, ledger.part, ledger.new) for name in kind]
    assert sorted(names) == sorted(name for name, _ in model.named_parameters())
    blocks = [m for m in model.modules() if isinstance(m, DeformableLKAAttention)]
    assert totals["new"] == sum(parameters(block) for block in blocks)
    assert (totals["part"] == 0) == (classes is COCO)


def test_a_model_of_one_level_begins_as_the_plain_one_that_it_starts_from():
    torch.manual_seed(1)
    plain, model = build_model("one-level-plain"), build_model("one-level")
    nn.init.normal_(plain.model[-1].cv2[0][-1].weight)
    ledger = transfer(model, plain.state_dict(), COCO, COCO)
    assert ledger.totals()["copied"] == parameters(plain)
    x = torch.rand(2, 3, 64, 96)
    wanted = raw(plain, x)
    assert wanted.std() > 0.1
    torch.testing.assert_close(raw(model, x), wanted, rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match=r"model\.4\..*expected the state dict of a whole stock YOLOv8"):
        transfer(build_model("control"), plain.state_dict(), COCO, COCO)


@pytest.mark.parametrize("placement", ["one-level", "one-level-plain"])
def test_stock_weights_do_not_fit_into_a_model_without_its_head(placement, stock):
    with pytest.raises(ValueError, match="expected the weights of a model with a head of 1x1 convolutions"):
        transfer(build_model(placement), stock.state_dict(), COCO, COCO)


def test_the_ledgers_line(stock):
    model = build_model("residual")
    line = transfer(model, stock.state_dict(), COCO, COCO).text()
    assert line == "copied 3,157,200 (51.2 %), in part 0 (0.0 %), new 3,004,284 (48.8 %)"


@pytest.mark.parametrize("placement", ["control", "head"])
def test_class_rows_follow_their_names(placement, stock):
    model = build_model(placement, classes=4)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    ledger = transfer(model, stock.state_dict(), FOUR, COCO)
    for level in range(3):
        theirs, ours = stock.model[-1].cv3[level], model.model[-1].cv3[level]
        width = ours[-1].in_channels
        assert (width, theirs[-1].in_channels) == (64, 80)  # the branch's width depends on the number of classes
        for row, coco in ((0, 0), (1, 2), (2, 1)):
            assert torch.equal(ours[-1].weight[row], theirs[-1].weight[coco, :width])
            assert torch.equal(ours[-1].bias[row], theirs[-1].bias[coco])
        last = f"model.22.cv3.{level}.{len(ours) - 1}"
        assert torch.equal(ours[-1].weight[3], before[f"{last}.weight"][3])  # nobody's row: as it was built
        assert torch.equal(ours[0].conv.weight, theirs[0].conv.weight[:width])
        assert torch.equal(ours[1].bn.running_var, theirs[1].bn.running_var[:width])
        assert {f"{last}.weight", f"{last}.bias", f"model.22.cv3.{level}.0.conv.weight"} <= set(ledger.part)
    assert ledger.copied["model.22.cv2.0.2.weight"]


def test_the_same_classes_in_another_order_are_still_copied_whole(stock):
    turned = {i: COCO[79 - i] for i in range(80)}
    model = build_model("control")
    ledger = transfer(model, stock.state_dict(), turned, COCO)
    assert ledger.part == ledger.new == {}
    for ours, theirs in zip(model.model[-1].cv3, stock.model[-1].cv3):
        assert torch.equal(ours[-1].weight, theirs[-1].weight.flip(0))


def test_classes_without_a_stock_name_start_new(stock):
    model = build_model("control", classes=2)
    ledger = transfer(model, stock.state_dict(), {0: "crack", 1: "weld"}, COCO)
    assert set(ledger.new) == {f"model.22.cv3.{level}.2.{p}" for level in range(3) for p in ("weight", "bias")}


def test_more_classes_than_stock_keep_the_wider_branch(stock):
    many = {i: COCO.get(i, f"new {i}") for i in range(95)}
    model = build_model("control", classes=95)
    ledger = transfer(model, stock.state_dict(), many, COCO)
    ours, theirs = model.model[-1].cv3[1], stock.model[-1].cv3[1]
    assert ours[-1].in_channels == 95
    assert torch.equal(ours[-1].weight[:80, :80], theirs[-1].weight)
    assert sum(ledger.totals().values()) == parameters(model)


class TestRefusals:
    @staticmethod
    def refused(model: DLKAModel, state: dict, says: str, names=COCO) -> None:
        before = {k: v.clone() for k, v in model.state_dict().items()}
        with pytest.raises(ValueError, match=says) as caught:
            transfer(model, state, COCO, names)
        assert "\n" not in str(caught.value)
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())

    @pytest.mark.parametrize("placement", ["neck", "residual", "head"])
    def test_another_scale(self, placement, stock):
        model = DLKAModel(model_config(placement, "s"), verbose=False)
        self.refused(model, stock.state_dict(), r"expected .*\[32, 3, 3, 3\], got \[16, 3, 3, 3\]; take .* own scale$")

    @pytest.mark.parametrize(
        "state", [{}, {"weight": torch.zeros(3)}, {"model.0.conv.weight": torch.zeros(16, 3, 3, 3)}]
    )
    def test_something_else(self, state):
        self.refused(build_model("neck"), state, "expected the state dict of a whole stock YOLOv8")

    @pytest.mark.parametrize(
        "name", ["model.9.cv1.bn.running_mean", "model.21.cv2.conv.weight", "model.22.cv3.0.2.bias"]
    )
    def test_a_tensor_that_is_missing(self, name, stock):
        state = {k: v for k, v in stock.state_dict().items() if k != name}
        self.refused(build_model("neck"), state, f"{re.escape(name)}: expected .* got one without this tensor")

    def test_a_tensor_with_other_dimensions(self, stock):
        state = stock.state_dict() | {"model.22.cv3.0.0.conv.weight": torch.zeros(80)}
        self.refused(
            build_model("control"), state, r"cv3.0.0.conv.weight: expected stock weights of shape \[80, 64, 3, 3\]"
        )

    def test_names_of_another_number_of_classes(self, stock):
        self.refused(build_model("control"), stock.state_dict(), "expected 4 rows for 4 class names, got 80", FOUR)


def test_offsets_still_start_at_zero(stock):
    model = build_model("neck-head")
    transfer(model, stock.state_dict(), COCO, COCO)
    assert all(not p.any() for m in model.modules() if isinstance(m, OffsetConv2d) for p in m.parameters())
