"""The lesson's step on volumes: what it says is counted, what it draws are the shipped network's samples."""

from __future__ import annotations

import re
import zlib
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from learn_window import go, kept_open, opened
from playwright.sync_api import expect

from dlka.layers3d import DeformConv3d, VolumeGate
from dlka.nets import build_net
from dlka.offset_nets import OffsetConv3d
from dlka.ops import deform_conv3d
from dlka.segment.net_file import NetCard
from dlka.segment.samples import samples
from dlka.segment.scans import read_scan
from dlka.segment.segmenter import Segmenter
from dlka.ui.learn import example, words

STEP = words()["volume"]


def plain(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", "", html).split())


def size(part: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in part.parameters())


def cells_read(offset: float) -> int:
    """How many cells of one channel one output cell depends on, every offset the same, all weights one."""
    x = torch.zeros(1, 1, 9, 9, 9, requires_grad=True)
    # Taps two cells apart, so that no two read the same ones.
    spread = torch.tensor(list(product((-1.0, 0.0, 1.0), repeat=3)))
    offsets = (spread + offset).reshape(1, 81, 1, 1, 1).expand(1, 81, 9, 9, 9).contiguous()
    deform_conv3d(x, offsets, torch.ones(1, 1, 3, 3, 3), padding=1, backend="torch")[0, 0, 4, 4, 4].backward()
    return int((x.grad != 0).sum())


def test_what_the_step_says_of_taps_and_readings_is_counted():
    text, number = plain(STEP["text"]), STEP["questions"][0]["number"]
    field = DeformConv3d(4).offset_net(torch.zeros(1, 4, 3, 3, 3))
    assert f"3 · 27 = {field.shape[1]} numbers" in text
    assert cells_read(0.3) == number == 216
    assert cells_read(0) == 27
    assert f"27 · 8 = {number} values" in text
    assert f"and it is {cells_read(0)}." in STEP["questions"][0]["why"]


def test_channels_of_a_tap_are_those_that_the_step_names():
    """Tap 5 is (0, 1, 2), x first; its channels 15, 16, 17 move it along z, y, x."""
    x, weight = torch.randn(1, 1, 5, 5, 5), torch.zeros(1, 1, 3, 3, 3)
    weight.view(-1)[5] = 1
    for axis in range(3):
        offsets, at = torch.zeros(1, 81, 5, 5, 5), [1, 2, 3]
        offsets[:, 3 * 5 + axis] = 1
        at[axis] += 1
        read = deform_conv3d(x, offsets, weight, padding=1, backend="torch")[0, 0, 2, 2, 2]
        assert read == x[(0, 0, *at)]


def test_what_the_step_says_of_the_block_is_counted():
    text = plain(STEP["text"])
    with torch.device("meta"):
        gate = VolumeGate(64)
        nets = [OffsetConv3d(64, 3 * kernel**3, kernel) for kernel in (5, 7)]
        paper = {
            kind: size(build_net("volume", preset="paper", classes=14, offsets=kind)) for kind in ("dense", "absent")
        }
    large = [gate.conv0, gate.conv_spatial]
    assert [module for module in gate.modules() if isinstance(module, DeformConv3d)] == [gate.deform_conv]
    assert gate.deform_conv.kernel_size == (3, 3, 3)
    assert "only the 27" in STEP["questions"][1]["choices"][STEP["questions"][1]["right"]]
    taps = [np.prod(kernel.kernel_size) for kernel in large]
    assert f"not the {taps[0]} + {taps[1]} = {sum(taps)} of both large ones" in text
    assert f"would take {sum(net.out_channels for net in nets)} numbers per cell" in text
    assert f"nets of {sum(map(size, nets)) / 1e6:.1f} million parameters for 64 channels" in text
    own = size(gate.deform_conv.offset_net)
    assert f"Here it is {own / 1e6:.2f} million." in text
    assert f"{paper['dense'] / 1e6:.2f} million parameters with these" in text
    assert f"{paper['absent'] / 1e6:.2f} million without them" in text
    reach = sum((kernel.kernel_size[0] - 1) // 2 * kernel.dilation[0] for kernel in large)
    assert f"up to {reach} cells to every side" in text
    assert f"{2 * reach + 1} cells from edge to edge" in STEP["questions"][1]["why"]


def test_parameters_are_counted_by_part():
    with torch.device("meta"):
        net = build_net("volume", preset="small", classes=3)
    found = example.parts(dict(net.named_parameters()))
    assert sum(found.values()) == size(net)
    gates = [module for module in net.modules() if isinstance(module, VolumeGate)]
    nets = sum(size(gate.deform_conv.offset_net) for gate in gates)
    assert found["nets"] == nets
    assert found["three"] == sum(size(gate.deform_conv) for gate in gates) - nets
    assert [found["five"], found["one"]] == [sum(map(size, part)) for part in zip(*((g.conv0, g.conv1) for g in gates))]
    assert found["rest"] == size(net) - sum(map(size, gates))


@pytest.fixture(scope="module")
def looked():
    """What the network samples in the lesson's volume."""
    sample = next(sample for sample in samples().values() if sample.model == example.VOLUME_MODEL)
    return Segmenter.of(example.VOLUME_MODEL).look(read_scan(sample.file))


def test_the_answer_holds_the_networks_offsets(looked):
    answer = example.see_volume({})
    assert answer["kind"] == "volume"
    assert "Decathlon" in answer["credit"]
    for told, stage in zip(answer["stages"], looked.stages, strict=True):
        packed = Path(told["offsets"].split("file=")[1]).read_bytes()
        levels = np.frombuffer(zlib.decompress(packed), "<i2").reshape(stage.offset.shape)
        assert np.abs(levels * told["unit"] - stage.offset).max() <= 0.51 * told["unit"]
    cells = [tuple(np.array(answer["start"]) // stage.stride) for stage in looked.stages]
    moved = [np.linalg.norm(stage.offset[cell], axis=-1).mean() for stage, cell in zip(looked.stages, cells)]
    apart = [max(length, 1 / length) for length in moved]
    assert answer["chosen"] == apart.index(min(apart))


def test_without_the_network_there_is_no_answer(monkeypatch):
    monkeypatch.setattr(example, "shipped", dict)
    assert example.see_volume({}) == {}


def test_dice_with_offsets_and_without_is_what_the_card_says():
    def row(name, value):
        return {"model": name, "front": {"dice": [value, 0.7, 0.9], "hd95": [1.0, 0.5, 1.5]}}

    scores = {"cases": 40, "parts": ["front"], "rows": [row("net", 0.85), row("net, offsets at zero", 0.84)]}
    scores["against"] = [{"model": "net", "against": "net, offsets at zero", "front": [0.01, -0.002, 0.02]}]
    given = {"net": "volume", "preset": "small", "offsets": "dense", "names": ["background", "front"], "window": 32}
    card = NetCard(**given, data="", recipe={}, licence="", seed=0, versions={}, scores=scores)
    told = example.measured(card)
    (part,) = told["parts"]
    assert (told["cases"], part["part"]) == (40, "front")
    assert [part["own"], part["zero"], part["change"], *part["between"]] == pytest.approx([85, 84, 1, -0.2, 2])
    scores["rows"] = scores["rows"][:1]  # a rigid network's, or one that was never measured
    assert example.measured(card) is None
    scores.clear()
    assert example.measured(card) is None


@pytest.fixture(scope="module")
def lesson(browser, server):
    with kept_open(browser, server) as page:
        yield page


def state(page, condition="true"):
    """What the cube shows once the condition on it holds."""
    page.wait_for_function(
        f"() => {{ const told = document.querySelector('.volume-cube')?.told; return told && {condition} }}"
    )
    return page.locator(".volume-cube").evaluate("cube => cube.told")


def test_the_cubes_samples_are_the_networks(lesson, looked):
    go(lesson, "volume")
    value = example.see_volume({})
    grid = np.indices((3, 3, 3)).reshape(3, 27).T - 1

    def check(told):
        stage = next(stage for stage in looked.stages if stage.label == told["stage"])
        z, y, x = told["cell"]
        wanted = np.array(told["cell"]) + grid + told["amount"] * stage.offset[z, y, x]
        unit = next(stage["unit"] for stage in value["stages"] if stage["label"] == told["stage"])
        assert np.abs(np.array(told["samples"]) - wanted).max() <= 0.51 * unit
        k = int(lesson.locator(".volume-tap").input_value())
        near = np.array([one["cell"] for one in told["near"]])
        shares = np.array([one["share"] for one in told["near"]])
        assert shares.sum() == pytest.approx(1)
        assert shares @ near == pytest.approx(told["samples"][k])  # trilinear shares have their mean at the place
        length = np.linalg.norm(told["amount"] * stage.offset[z, y, x], axis=1)
        assert f"moved by {length.mean():.2f} cells" in lesson.locator(".volume-told").inner_text()
        return told

    first = check(state(lesson))
    assert first["stage"] == looked.stages[value["chosen"]].label
    lesson.locator(".volume-tap").press("End")
    expect(lesson.locator(".volume-one")).to_contain_text("Tap 26, channels 78, 79, 80: ")
    lesson.locator(".volume-strength").press("Home")
    none = check(state(lesson, "told.amount === 0"))
    assert [sum(one["share"] > 0 for one in none["near"])] == [1]
    expect(lesson.locator(".volume-reads")).to_have_text(STEP["reads"].format(count=1, shares="1.000"))
    for _ in range(10):
        lesson.locator(".volume-strength").press("ArrowRight")
    check(state(lesson, "told.amount === 0.5"))
    lesson.locator(".volume-stage").select_option("0")
    assert check(state(lesson, "told.stage.startsWith('encoder 1')"))["stage"] == looked.stages[0].label
    lesson.locator(".volume-strength").press("End")
    check(state(lesson, "told.amount === 1"))


def test_the_cube_is_turned_and_another_voxel_is_chosen(lesson):
    go(lesson, "volume")
    cube, slice_ = lesson.locator(".volume-cube"), lesson.locator(".volume-slice")
    before = state(lesson)
    drawn = cube.evaluate("c => c.toDataURL()")
    cube.press("ArrowRight")
    turned = state(lesson, f"told.angle[0] < {before['angle'][0]}")
    assert cube.evaluate("c => c.toDataURL()") != drawn
    box = cube.bounding_box()
    lesson.mouse.move(box["x"] + 100, box["y"] + 100)
    lesson.mouse.down()
    lesson.mouse.move(box["x"] + 140, box["y"] + 120, steps=4)
    lesson.mouse.up()
    dragged = state(lesson, f"told.angle[0] < {turned['angle'][0] - 0.45}")
    assert dragged["angle"] == pytest.approx([turned["angle"][0] - 0.5, turned["angle"][1] + 0.25], abs=0.02)
    assert dragged["samples"] == before["samples"]
    z, y, x = before["cell"]
    for key, cell in (("ArrowRight", [z, y, x + 1]), ("ArrowUp", [z, y + 1, x + 1]), ("PageUp", [z + 1, y + 1, x + 1])):
        slice_.press(key)
        state(lesson, f"String(told.cell) === '{','.join(map(str, cell))}'")
    box = slice_.bounding_box()
    lesson.mouse.click(box["x"] + 1, box["y"] + box["height"] - 1)  # of the slice the first voxel: left, and back
    state(lesson, f"String(told.cell) === '{z + 1},0,0'")


def test_the_step_leads_to_the_page_segment(lesson):
    go(lesson, "volume")
    link = lesson.get_by_role("link", name=STEP["see"])
    assert link.evaluate("a => a.href").endswith("/segment")
    assert lesson.request.get(link.evaluate("a => a.href")).ok
    bars = lesson.locator(".volume-costs b").all_inner_texts()
    assert [int(bar.split(", ")[0].replace(",", "")) for bar in bars] == list(example.see_volume({})["parts"].values())


def test_without_the_network_the_step_says_so(browser, server, monkeypatch):
    monkeypatch.setattr(example, "shipped", dict)
    page = opened(browser, server, "?step=9&lang=de")
    expect(page.locator(".volume-told")).to_have_text(words("de")["volume"]["none"])
    assert page.strangers == page.errors == []
    page.context.close()
