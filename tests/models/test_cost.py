"""Costs against torch's own counter, against sums by hand, and pinned."""

from __future__ import annotations

import pytest
import torch
from deforming import hooks
from torch.utils.flop_counter import FlopCounterMode

from dlka.layers import DeformConv
from dlka.models.build import build_model, model_config
from dlka.models.cost import PARTS, multiply_adds, parameters
from dlka.models.model_yaml import ATTENTION
from dlka.models.placements import OFFSETS, PLACEMENTS

CELLS = (80 * 80, 40 * 40, 20 * 20)  # of P3, P4, P5 at 640
SEPARABLE = {"neck": 79_564_800, "residual": 159_129_600, "head": 149_184_000, "neck-head": 228_748_800}
PINNED = {  # scale n at 640: backbone, neck, head, offset convolutions, deformable step
    ("control", "dense"): (1_577_779_200, 983_040_000, 1_811_174_400, 0, 0),
    ("neck", "dense"): (1_577_779_200, 865_075_200, 1_811_174_400, 2_169_036_800, 132_608_000),
    ("neck", "none"): (1_577_779_200, 891_596_800, 1_811_174_400, 0, 0),
    ("residual", "dense"): (1_577_779_200, 1_218_969_600, 1_811_174_400, 4_338_073_600, 265_216_000),
    ("residual", "none"): (1_577_779_200, 1_272_012_800, 1_811_174_400, 0, 0),
    ("head", "dense"): (1_577_779_200, 983_040_000, 1_972_454_400, 4_066_944_000, 248_640_000),
    ("head", "none"): (1_577_779_200, 983_040_000, 2_022_182_400, 0, 0),
    ("neck-head", "dense"): (1_577_779_200, 865_075_200, 1_972_454_400, 6_235_980_800, 381_248_000),
    ("neck-head", "none"): (1_577_779_200, 891_596_800, 2_022_182_400, 0, 0),
}
BLOCKS = [row[2] for row in model_config("one-level")["head"]].count(ATTENTION)
_P3 = 80 * 80 * 64 * BLOCKS  # channels and cells of the blocks of one-level
_PLAIN = (463_667_200, 0, 111_820_800)
PINNED["one-level-plain", "dense"] = (*_PLAIN, 0, 0)
PINNED["one-level", "dense"] = (
    _PLAIN[0],
    3 * 64 * _P3,
    _PLAIN[2],
    (50 * 25 + 98 * 49) * _P3,
    5 * (25 + 49) * _P3,
)
PINNED["one-level", "none"] = (_PLAIN[0], (3 * 64 + 25 + 49) * _P3, _PLAIN[2], 0, 0)
SEPARABLE["one-level"] = 3 * (25 + 49) * _P3
for _placement in ("control", "one-level-plain"):
    for _offsets in list(OFFSETS)[1:]:
        PINNED[_placement, _offsets] = PINNED[_placement, "dense"]
for _placement, _net in SEPARABLE.items():
    *_stock, _, _step = PINNED[_placement, "dense"]
    PINNED[_placement, "separable"] = (*_stock, _net, _step)
    PINNED[_placement, "features"] = (*PINNED[_placement, "none"][:3], _net, 0)  # the net, and a rigid convolution


@pytest.mark.slow
@pytest.mark.parametrize("offsets", OFFSETS)
@pytest.mark.parametrize("placement", PLACEMENTS)
def test_pinned_at_640(placement, offsets):
    counts = multiply_adds(build_model(placement, offsets=offsets))
    assert tuple(counts[part] for part in PARTS) == PINNED[placement, offsets]
    assert list(counts) == [*PARTS, "total"]
    assert counts["total"] == sum(PINNED[placement, offsets])


def test_stock_yolov8n_has_the_published_cost():
    model = build_model("control")
    assert parameters(model) == 3_157_200
    assert 8.7 <= 2 * multiply_adds(model)["total"] / 1e9 <= 8.9


@pytest.mark.slow
@pytest.mark.parametrize("placement", ["control", "neck-head", "residual", "one-level"])
@pytest.mark.parametrize("offsets", OFFSETS)
@pytest.mark.parametrize("size", [(96, 96), (96, 192)])  # maps that fall into phases of a dilation without padding
def test_convolutions_are_those_that_torch_counts(placement, offsets, size):
    model = build_model(placement, offsets=offsets).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, *size))
    counts = multiply_adds(model, size)
    assert 2 * (counts["total"] - counts["deformable step"]) == counter.get_total_flops()


def test_a_residual_block_counted_by_hand():
    counts, stock = (multiply_adds(build_model(p)) for p in ("residual", "control"))
    channels = (64, 128, 256)
    assert counts["neck"] - stock["neck"] == sum(3 * c * c * cells for c, cells in zip(channels, CELLS))
    assert counts["offset convolutions"] == sum(
        (25 * c * 50 + 49 * c * 98) * cells for c, cells in zip(channels, CELLS)
    )
    assert counts["deformable step"] == sum(5 * c * (25 + 49) * cells for c, cells in zip(channels, CELLS))


def test_a_separable_offset_net_counted_by_hand():
    counts = multiply_adds(build_model("neck", offsets="separable"))
    halves = (32, 64, 128)
    assert counts["offset convolutions"] == sum(3 * c * (25 + 49) * cells for c, cells in zip(halves, CELLS))


def test_cost_grows_with_the_area_and_knows_rectangles():
    model = build_model("neck")
    small, tall, wide = (multiply_adds(model, size) for size in (64, (128, 64), (64, 128)))
    assert tall == wide == {part: 2 * value for part, value in small.items()}
    assert multiply_adds(model, (64, 64)) == small


def test_batch_norms_folded_away_change_nothing_and_classes_cost_in_the_head_only():
    model = build_model("head").eval()
    counts = multiply_adds(model, 64)
    assert multiply_adds(model.fuse(verbose=False), 64) == counts
    fewer = multiply_adds(build_model("head", classes=2), 64)
    assert fewer["backbone"] == counts["backbone"]
    assert fewer["neck"] == counts["neck"]
    assert fewer["head"] < counts["head"]


@pytest.mark.slow
def test_larger_scales_and_half_precision():
    scales = [multiply_adds(build_model("neck", scale), 64)["total"] for scale in "nsm"]
    assert scales == sorted(scales)
    half = build_model("neck").bfloat16()
    assert multiply_adds(half, 64)["total"] == scales[0]


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was(training, monkeypatch):
    model = build_model("neck").train(training)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    multiply_adds(model, 64)
    monkeypatch.setattr(DeformConv, "forward", lambda self, x: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        multiply_adds(model, 64)
    assert hooks(model) == 0
    assert all(m.training == training for m in model.modules())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


@pytest.mark.parametrize("size", [0, 31, 100, (64, 100), (-64, 64)])
def test_sizes_that_do_not_fit_are_refused(size):
    with pytest.raises(ValueError, match="size: expected multiples of 32 pixels, got"):
        multiply_adds(build_model("control"), size)
