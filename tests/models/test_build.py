"""Models are built right at every scale, say what is wrong with a yaml, and leave Ultralytics as it was."""

from __future__ import annotations

import copy
import pickle
import re
from pathlib import Path

import pytest
import torch
from torch import nn
from ultralytics import YOLO as StockYOLO
from ultralytics.nn import tasks
from ultralytics.nn.modules import C2f, Conv, Detect, DWConv

from dlka.errors import DlkaError
from dlka.layers import DeformableLKAAttention, DeformConv, RigidConv
from dlka.models.blocks import BottleneckDLKA, C2f_DLKA, DetectDLKA
from dlka.models.build import DLKAModel, build_model, model_config, placement_of, read_config
from dlka.models.cost import parameters
from dlka.models.model_yaml import ATTENTION, load_model_yaml, read_text
from dlka.models.placements import OFFSETS, PLACEMENTS, SCALES
from dlka.offset_nets import OffsetConv2d, SeparableOffsetNet

HERE = Path(__file__).parent
ONE, TWO = HERE / "article_one.yaml", HERE / "article_two.yaml"
STOCK_PARAMETERS = dict(zip(SCALES, (3_157_200, 11_166_560, 25_902_640, 43_691_520, 68_229_648)))  # as published
P3_P4_P5 = {"n": (64, 128, 256), "s": (128, 256, 512), "m": (192, 384, 576), "l": (256, 512, 512), "x": (320, 640, 640)}
REPEATS = {"n": 1, "s": 1, "m": 2, "l": 3, "x": 3}  # of 3, after the depth gain
PINNED = {  # scale n: as OFFSETS, of which features has what separable has
    "control": (3_157_200, 3_157_200, 3_157_200, 3_157_200),
    "neck": (4_401_068, 3_095_148, 3_044_976, 3_095_148),
    "residual": (6_161_484, 3_549_644, 3_449_744, 3_549_644),
    "head": (4_686_204, 3_287_004, 3_233_280, 3_287_004),
    "neck-head": (5_930_072, 3_224_952, 3_121_056, 3_224_952),
}
ONE_LEVEL = 48_880  # scale n without a block
BLOCKS = [row[2] for row in model_config("one-level")["head"]].count(ATTENTION)
PINNED["one-level-plain"] = (ONE_LEVEL,) * 4
STRIDES = {placement: [8] if "one-level" in placement else [8, 16, 32] for placement in PLACEMENTS}
PLACED = [p for p in PLACEMENTS if p not in ("control", "one-level-plain")]  # with D-LKA


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def block_parameters(c: int, offsets: str) -> int:
    """Parameters of a D-LKA block, counted by hand: three 1x1 convolutions, two depthwise weights, two offset nets."""
    rigid = 3 * (c * c + c) + 25 * c + 49 * c
    nets = {"dense": 50 * (25 * c) + 98 * (49 * c), "separable": (25 + 50) * c + (49 + 98) * c}  # without biases
    nets["features"] = nets["separable"]
    return rigid + (nets[offsets] + 50 + 98 if offsets in nets else 0)


PINNED["one-level"] = tuple(ONE_LEVEL + BLOCKS * block_parameters(64, offsets) for offsets in OFFSETS)


def expected_parameters(placement: str, scale: str, offsets: str) -> int:
    channels = P3_P4_P5[scale]
    if "one-level" in placement:
        stock = tasks.DetectionModel(f"yolov8{scale}.yaml", verbose=False)
        c = channels[0]  # in the head, two 1x1 convolutions a branch, the first with a batch norm, and its 16 constants
        count = sum(map(parameters, stock.model[:4])) + sum(c * c + 2 * c + c * n + n for n in (64, 80)) + 16
        return count + (BLOCKS * block_parameters(channels[0], offsets) if placement == "one-level" else 0)
    count = STOCK_PARAMETERS[scale]
    if placement == "residual":
        count += sum(block_parameters(c, offsets) for c in channels)
    if "neck" in placement:  # every bottleneck gives a 3x3 convolution with its batch norm for a block
        halves = [c // 2 for c in channels]
        count += REPEATS[scale] * sum(block_parameters(c, offsets) - 9 * c * c - 2 * c for c in halves)
    if "head" in placement:
        count += 3 * block_parameters(max(channels[0], 80), offsets)
    return count


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """The model with blocks that do something, and batch norms that know one batch: an untrained net is silent."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, DeformableLKAAttention):
            module.proj_2.weight.data.normal_(0, 0.05, generator=generator)
        if isinstance(module, OffsetConv2d):
            module.bias.data.normal_(0, 1, generator=generator)
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    kept = [m.momentum for m in norms]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model.train()(torch.rand(4, 3, 64, 64, generator=generator))
    for norm, momentum in zip(norms, kept):
        norm.momentum = momentum
    return model.eval()


def scores(model: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """Class logits before the sigmoid."""
    with torch.no_grad():
        return model(x)[1]["scores"]


def edited(tmp_path: Path, source: Path, *changes: tuple[str, str], name: str = "edited.yaml") -> Path:
    text = read_text(source)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    path = tmp_path / name
    path.write_text(text)
    return path


@pytest.mark.slow
@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_every_placement_builds_at_every_scale(placement, scale):
    model = build_model(placement, scale)
    assert model.stride.tolist() == STRIDES[placement]
    assert model.model[-1].stride.tolist() == STRIDES[placement]
    assert parameters(model) == expected_parameters(placement, scale, "dense")


@pytest.mark.parametrize("offsets", OFFSETS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_pinned_parameters(placement, offsets):
    model = build_model(placement, "n", 80, offsets)
    pinned = PINNED[placement][tuple(OFFSETS).index(offsets)]
    assert parameters(model) == pinned == expected_parameters(placement, "n", offsets)
    assert sum(layer.np for layer in model.model) == parameters(model)


@pytest.mark.slow
@pytest.mark.parametrize("offsets", OFFSETS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_rectangular_pictures_and_other_class_counts(placement, offsets):
    model = shaken(build_model(placement, "n", 3, offsets))
    with torch.no_grad():
        out = model(torch.rand(2, 3, 64, 96))[0]
    assert list(out.shape) == [2, 4 + 3, sum((64 // s) * (96 // s) for s in STRIDES[placement])]
    assert out.isfinite().all()


@pytest.mark.slow
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_a_picture_that_is_no_number_does_not_crash(placement):
    model = shaken(build_model(placement))
    with torch.no_grad():
        out = model(torch.full((1, 3, 64, 64), float("nan")))[0]
    assert out.isnan().any()  # and it is not hidden either


def test_where_the_blocks_sit():
    neck, residual, head, both, one = (
        build_model(p).model for p in ("neck", "residual", "head", "neck-head", "one-level")
    )
    assert [type(m).__name__ for m in one] == ["Conv", "Conv", "C2f", "Conv", "DeformableLKAAttention", "Detect1x1"]
    assert {m.kernel_size for m in one[-1].modules() if isinstance(m, nn.Conv2d)} == {(1, 1)}
    for layers in (neck, both):
        assert [i for i, m in enumerate(layers) if isinstance(m, C2f_DLKA)] == [15, 18, 21]
        assert all(isinstance(b, BottleneckDLKA) and not b.add for i in (15, 18, 21) for b in layers[i].m)
    assert [i for i, m in enumerate(residual) if isinstance(m, DeformableLKAAttention)] == [16, 20, 24]
    assert [residual[i].proj_1.in_channels for i in (16, 20, 24)] == [64, 128, 256]
    assert type(neck[-1]) is type(residual[-1]) is Detect
    for layers in (head, both):
        assert type(layers[-1]) is DetectDLKA
        assert [[type(m).__name__ for m in branch] for branch in layers[-1].cv3] == [
            ["Conv", "Conv", "DeformableLKAAttention", "Conv2d"]
        ] * 3
    assert [i for i, m in enumerate(head) if isinstance(m, C2f_DLKA)] == []


@pytest.mark.slow
@pytest.mark.parametrize("offsets", ["dense", "separable"])
@pytest.mark.parametrize("placement", PLACED)
def test_the_rigid_twin_takes_the_weights_without_the_offset_nets(placement, offsets):
    torch.manual_seed(0)
    model, twin = shaken(build_model(placement, offsets=offsets)), build_model(placement, offsets="none").eval()
    assert any(isinstance(m, OffsetConv2d) for m in model.modules())
    assert not any(isinstance(m, OffsetConv2d | DeformConv) for m in twin.modules())
    assert any(isinstance(m, RigidConv) for m in twin.modules())
    twin.load_state_dict({k: v for k, v in model.state_dict().items() if ".offset_net." not in k}, strict=True)
    x = torch.rand(2, 3, 64, 64)
    assert (scores(model, x) - scores(twin, x)).abs().max() > 1e-3
    for module in model.modules():
        if isinstance(module, OffsetConv2d):
            module.bias.data.zero_()
    torch.testing.assert_close(scores(model, x), scores(twin, x), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("placement", PLACED)
def test_separable_is_the_yamls_word_for_every_block(placement):
    nets = [m.offset_net for m in build_model(placement, offsets="separable").modules() if isinstance(m, DeformConv)]
    assert len(nets) == {"neck-head": 12, "one-level": 2 * BLOCKS}.get(placement, 6)
    assert all(type(net) is SeparableOffsetNet for net in nets)
    torch.manual_seed(0)
    model = shaken(build_model(placement, offsets="separable"))
    assert model.yaml["offsets"] == "separable"
    assert scores(model, torch.rand(1, 3, 64, 64)).std() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("placement", PLACED)
def test_the_twin_of_the_same_cost_takes_the_weights_of_a_separable_model(placement):
    model, twin = shaken(build_model(placement, offsets="separable")), build_model(placement, offsets="features").eval()
    assert not any(isinstance(m, DeformConv) for m in twin.modules())
    twin.load_state_dict(model.state_dict(), strict=True)
    x = torch.rand(2, 3, 64, 64)
    assert (scores(model, x) - scores(twin, x)).abs().max() > 1e-3


def test_control_is_ultralytics_own_model():
    control, stock = build_model("control").eval(), tasks.DetectionModel("yolov8n.yaml", verbose=False).eval()
    control.load_state_dict(stock.state_dict(), strict=True)
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(control(x)[0], stock(x)[0])


def test_new_layers_are_set_up_as_ultralytics_sets_up_its_own():
    model = build_model("neck-head")
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-3, 0.03)}
    stock = build_model("control")
    for ours, theirs in zip(model.model[-1].cv3, stock.model[-1].cv3):
        torch.testing.assert_close(ours[-1].bias, theirs[-1].bias)
    for ours, theirs in zip(model.model, stock.model):
        assert (ours.i, ours.f) == (theirs.i, theirs.f)
    assert model.training
    assert model.names == {i: str(i) for i in range(80)}


def test_fused_copied_and_pickled_models_give_the_same():
    model = shaken(build_model("neck-head")).double()  # in float32, offsets at random make much of rounding
    x = torch.rand(1, 3, 64, 96, dtype=torch.float64)
    wanted = scores(model, x)
    assert wanted.std() > 0.1
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(scores(twin, x), wanted)
    fused = copy.deepcopy(model).fuse(verbose=False)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in fused.modules())
    torch.testing.assert_close(scores(fused, x), wanted, rtol=1e-6, atol=1e-6)


class TestUltralyticsIsLeftAlone:
    @staticmethod
    def counts() -> list[int]:
        return [parameters(tasks.DetectionModel(f"{n}.yaml", verbose=False)) for n in ("yolo11n", "yolo26n", "yolov8n")]

    @pytest.mark.slow
    @pytest.mark.parametrize("legacy", [False, True])
    def test_names_defaults_and_flags(self, legacy, monkeypatch):
        monkeypatch.setattr(Detect, "legacy", legacy)
        build_model("control")  # what is imported late is imported now
        before = dict(vars(tasks))
        activation = Conv.default_act
        for placement in PLACEMENTS:
            build_model(placement)
            assert Detect.legacy is legacy
        with pytest.raises(DlkaError):
            DLKAModel(ONE, verbose=False)
        after = vars(tasks)
        assert set(after) == set(before)
        assert all(after[name] is before[name] for name in before)
        assert Conv.default_act is activation
        assert Detect.legacy is legacy
        fresh = Detect(80, ch=(64, 128, 256))
        assert isinstance(fresh.cv3[0][0], Conv if legacy else nn.Sequential)
        assert (type(fresh.cv3[0][0]) is Conv) == legacy
        assert legacy or isinstance(fresh.cv3[0][0][0], DWConv)

    @pytest.mark.slow
    def test_stock_models_are_the_same_before_and_after(self):
        before = self.counts()
        for placement in PLACEMENTS:
            build_model(placement)
        assert self.counts() == before
        assert before[2] == 3_157_200
        assert parameters(StockYOLO("yolov8n.yaml").model) == 3_157_200
        stock = tasks.DetectionModel("yolov8n.yaml", verbose=False)
        assert type(stock) is tasks.DetectionModel
        assert isinstance(stock.model[15], C2f)

    @pytest.mark.slow
    def test_the_order_of_building_does_not_matter(self):
        names = ["head", "control", "neck", "residual", "neck-head", "one-level"]

        def shapes(order: list[str]) -> dict[str, dict]:
            built = {}
            for name in order:
                built[name] = {k: v.shape for k, v in build_model(name).state_dict().items()}
                tasks.DetectionModel("yolo11n.yaml", verbose=False)
            return built

        assert shapes(names) == shapes(names[::-1])

    def test_the_config_that_is_passed_is_not_changed(self):
        config = model_config("neck-head")
        before = copy.deepcopy(config)
        DLKAModel(config, nc=7, verbose=False)
        assert config == before


class TestTheArticlesYamls:
    def test_the_second_builds_with_its_own_class_names(self):
        model = DLKAModel(TWO, verbose=False)
        blocks = {i: m for i, m in enumerate(model.model) if isinstance(m, DeformableLKAAttention)}
        assert {i: b.proj_1.in_channels for i, b in blocks.items()} == {16: 64, 20: 128, 24: 256}
        assert model.stride.tolist() == [8, 16, 32]
        ours = build_model("residual")
        assert {k: v.shape for k, v in model.state_dict().items()} == {k: v.shape for k, v in ours.state_dict().items()}

    @pytest.mark.slow
    def test_the_second_repeats_its_blocks_by_the_depth_gain(self):
        model = DLKAModel({**load_model_yaml(TWO), "scale": "l"}, verbose=False)
        for index, channels in ((16, 256), (20, 512), (24, 512)):
            assert [b.proj_1.in_channels for b in model.model[index]] == [channels] * 3
        assert parameters(model) == STOCK_PARAMETERS["l"] + 3 * sum(block_parameters(c, "dense") for c in P3_P4_P5["l"])

    def test_the_first_is_refused_with_its_first_wrong_row(self):
        with pytest.raises(DlkaError, match=r"^row 1: Conv \[128\] has kernel 1 and stride 1.*dlka doctor"):
            DLKAModel(ONE, verbose=False)

    def test_the_first_builds_once_its_rows_are_mended(self, tmp_path):
        changes = [(f"Conv, [{c}]]", f"Conv, [{c}, 3, 2]]") for c in (128, 256, 512, 1024, 256, 512)]
        model = DLKAModel(edited(tmp_path, ONE, *changes), verbose=False)
        assert parameters(model) == PINNED["neck"][0]

    def test_attention_rows_may_name_the_channels_they_get(self, tmp_path):
        row = "deformable_LKA_Attention, []]  # 16"
        right = edited(tmp_path, TWO, (row, row.replace("[]", "[64]")))
        assert DLKAModel(right, verbose=False).model[16].proj_1.in_channels == 64

    @pytest.mark.parametrize("args", ["[256]", "[63]", "[64, 64]", "[[64]]"])
    def test_attention_rows_with_other_channels_are_refused(self, tmp_path, args):
        row = "deformable_LKA_Attention, []]  # 16"
        wrong = edited(tmp_path, TWO, (row, row.replace("[]", args)))
        with pytest.raises(
            DlkaError,
            match=rf"^row 16: deformable_LKA_Attention {re.escape(args)} gets 64 channels at this scale; ",
        ):
            DLKAModel(wrong, verbose=False)


def test_a_block_with_another_expansion_has_those_hidden_channels(tmp_path):
    changed = edited(
        tmp_path,
        HERE.parents[1] / "dlka/models/configs/yolov8-dlka-neck.yaml",
        ("[256]]  # 15", "[256, True, 1, 0.25]]  # 15"),
    )
    block = DLKAModel(changed, verbose=False).model[15]
    assert block.c == block.m[0].cv2.proj_1.in_channels == 16
    assert block.m[0].add


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"offsets": "factorised"}, "^offsets: expected one of dense, separable, none, features, got 'factorised'"),
        ({"offsets": ["dense"]}, r"^offsets: expected one of dense, separable, none, features, got \['dense'\]"),
        ({"end2end": True}, "^row 22: DetectDLKA has no branches for end2end; remove that line or use Detect; "),
        ({"scale": "q"}, "^scale 'q' is not one of this yaml's scales"),
    ],
)
def test_settings_that_would_be_ignored_are_refused(change, says):
    with pytest.raises(DlkaError, match=says):
        DLKAModel({**model_config("head"), **change}, verbose=False)


def test_an_unknown_module_is_refused_in_one_sentence(tmp_path):
    path = edited(tmp_path, TWO, ("C2f, [512]", "C2f_DLAK, [512]"))
    with pytest.raises(DlkaError, match=r"^row 12: C2f_DLAK \[512\]: C2f_DLAK is not registered: "):
        DLKAModel(path, verbose=False)


@pytest.mark.parametrize(("field", "value"), [("placement", "tail"), ("scale", "z"), ("offsets", "")])
def test_unknown_words_name_the_known_ones(field, value):
    arguments = {"placement": "neck", "scale": "n", "offsets": "dense", field: value}
    with pytest.raises(ValueError, match=f"{field}: expected one of .*, got {value!r}"):
        model_config(**arguments)


def test_names_of_the_projects_yamls(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert placement_of("yolov8-dlka-neck.yaml") == "neck"
    assert placement_of("yolov8x-dlka-neck-head.yaml") == "neck-head"
    assert placement_of("yolov8m.yaml") == "control"
    assert placement_of("yolov8n-dlka-one-level.yaml") == "one-level"
    assert placement_of("yolov8n-one-level.yaml") == "one-level-plain"
    assert placement_of("yolov8q-dlka-neck.yaml") is placement_of("yolo11n.yaml") is placement_of("neck") is None
    assert read_config("yolov8s-dlka-head.yaml") == model_config("head", "s")
    edited(tmp_path, TWO, ("nc: 80", "nc: 5"), name="yolov8s-dlka-head.yaml")
    assert read_config("yolov8s-dlka-head.yaml")["nc"] == 5  # a file that exists stands for itself
    with pytest.raises(DlkaError, match="cannot be read"):
        read_config("nothing.yaml")
