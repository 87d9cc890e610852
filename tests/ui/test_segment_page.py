"""The planes of the page "Segment" in a browser: cross, samples, overlays, on a phone and for a screen reader."""

from __future__ import annotations

import re

import numpy as np
from playwright.sync_api import expect
from segment_window import (
    CUTS,
    at_cross,
    choose,
    drawn,
    network,
    plane,
    point,
    until,
)

from dlka.segment import segmenter
from dlka.segment.samples import samples
from dlka.segment.scans import read_scan
from dlka.ui import app


def test_the_header_leads_there_only_where_networks_are(tmp_path, monkeypatch):
    network(tmp_path / "hippocampus.safetensors", "hippocampus", "none")
    for folder, there in ((tmp_path, True), (tmp_path / "empty", False)):
        monkeypatch.setattr(segmenter, "FOLDER", folder)
        routes = [path for path, *_ in app.build_app(app.first_look()).pages]
        assert ("segment" in routes) is there
        assert "many" in routes


def test_pointer_wheel_and_keys_move_the_cross_in_all_planes(seg):
    axial, coronal = plane(seg, "Axial"), plane(seg, "Coronal")
    seg.mouse.click(*point(seg, "Axial", (0, 30, 10)))
    z = drawn(seg)["cross"][0]
    at_cross(seg, [z, 30, 10])
    seg.mouse.move(*point(seg, "Coronal", (8, 0, 20)))
    until(seg, "String(drawn.place) === '8,30,20'")  # looked at, while the cross stays
    at_cross(seg, [z, 30, 10])
    seg.mouse.down()
    seg.mouse.move(*point(seg, "Coronal", (12, 0, 22)))
    seg.mouse.up()
    at_cross(seg, [12, 30, 22])
    seg.mouse.wheel(0, -100)
    at_cross(seg, [12, 31, 22])
    for _ in range(3):  # a pad's small steps are one slice together
        seg.mouse.wheel(0, 10)
    at_cross(seg, [12, 30, 22])
    axial.focus()
    for key in ("ArrowLeft", "ArrowUp", "PageUp", "PageUp"):
        axial.press(key)
    at_cross(seg, [14, 31, 21])
    coronal.press("ArrowDown")
    at_cross(seg, [13, 31, 21])
    outline = coronal.evaluate("canvas => getComputedStyle(canvas).outlineWidth")
    assert outline == "3px"


def test_the_27_samples_are_those_of_the_network(seg, segment_server):
    sample = samples()["Hippocampus 1"]
    scan = read_scan(sample.file)
    stages = segmenter.Segmenter.of("hippocampus").look(scan).stages
    seg.mouse.click(*point(seg, "Axial", (0, 21, 12)))
    seg.mouse.click(*point(seg, "Sagittal", (17, 21, 0)))
    at_cross(seg, [17, 21, 12])
    seg.mouse.move(5, 5)
    for number in (0, 1):
        seg.locator(".seg-stage").select_option(str(number))
        stage = stages[number]
        until(seg, f"drawn.label === '{stage.label}'")
        seen, cell = drawn(seg), [17 // stage.stride[0], 21 // stage.stride[1], 12 // stage.stride[2]]
        assert seen["cell"] == cell
        taps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(27, 3)
        wanted = (cell + taps + stage.offset[tuple(cell)] + 0.5) * stage.stride - 0.5
        assert np.abs(stage.offset).max() > 1, "it would be seen if nothing moved"
        assert np.allclose(seen["reads"]["samples"], wanted, atol=0.01)
        height = plane(seg, "Sagittal").bounding_box()["height"]
        shown = plane(seg, "Sagittal").evaluate("canvas => canvas.drawn.samples")
        side = height / scan.space[0]
        assert np.allclose(shown, [[(y + 0.5) * side, height - (z + 0.5) * side] for z, y, _ in wanted], atol=0.1)
        turned = seg.locator(".seg-solid canvas").evaluate("canvas => canvas.drawn.samples")
        assert len(turned) == 27
    moved = np.linalg.norm(stage.offset[tuple(cell)] * stage.stride, axis=-1).mean()
    expect(seg.locator(".seg-reads")).to_contain_text(f"27 taps of {stage.label}, moved by {moved:.2f} mm on average")
    expect(seg.locator(".seg-reads")).to_contain_text(f"its gate here: {stage.gate[tuple(cell)]:.1f}"[:-1])


def test_only_what_lies_beyond_the_filled_up_map_reads_zero(seg, segment_server):
    scan = read_scan(samples()["Hippocampus 1"].file)
    stage = segmenter.Segmenter.of("hippocampus").look(scan).stages[0]
    top = scan.space[0] - 1
    seg.locator(".seg-stage").select_option("0")
    seg.mouse.click(*point(seg, "Sagittal", (top, 21, 0)))
    until(seg, f"drawn.cross[0] === {top} && drawn.label === '{stage.label}'")
    seen = drawn(seg)
    taps = np.stack(np.meshgrid(*[[-1, 0, 1]] * 3, indexing="ij"), -1).reshape(27, 3)
    reads = seen["cell"] + taps + stage.offset[tuple(seen["cell"])]
    inside = ((reads > -1) & (reads < -(-np.array(scan.space) // 16) * 8)).all(-1)  # the scan is filled up to 16s
    assert (inside & (reads[:, 0] >= stage.offset.shape[0])).any(), "some read what was filled up"
    assert seen["reads"]["zero"] == (~inside).tolist()


def test_the_small_view_turns_as_it_is_dragged(seg):
    solid = seg.locator(".seg-solid canvas")
    box, before = solid.bounding_box(), solid.evaluate("canvas => canvas.drawn")
    middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    seg.mouse.move(*middle)
    seg.mouse.down()
    seg.mouse.move(middle[0] + 8, middle[1])
    seg.mouse.up()
    seg.wait_for_function(
        "old => document.querySelector('.seg-solid canvas').drawn.samples[0][0] !== old", arg=before["samples"][0][0]
    )
    after = solid.evaluate("canvas => canvas.drawn")
    far, shift = np.array(before["far"]), np.array(after["samples"])[:, 0] - np.array(before["samples"])[:, 0]
    assert np.corrcoef(far, shift)[0, 1] < -0.5, "what is in front goes with the pointer, what is behind against it"
    solid.press("ArrowLeft")
    seg.wait_for_function(
        "old => document.querySelector('.seg-solid canvas').drawn.samples[0][0] !== old", arg=after["samples"][0][0]
    )


def test_overlays_and_their_legends(seg):
    def colours():
        return plane(seg, "Axial").evaluate("c => c.toDataURL()")

    seen = {}
    for over, legend in (
        ("found", "anterior"),
        ("true", "posterior"),
        ("length", "mean length of the offsets, mm"),
        ("gate", "gate, mean over channels"),
        ("none", ""),
    ):
        before = colours()
        seg.locator(".seg-over").select_option(over)
        if over != "found":
            seg.wait_for_function("old => document.querySelector('.seg-planes canvas').toDataURL() !== old", arg=before)
        expect(seg.locator(".seg-legend")).to_contain_text(legend)
        seen[over] = colours()
    assert len(set(seen.values())) == 5
    expect(seg.locator(".seg-scores")).to_contain_text("Dice, offsets at zero")


def test_a_picture_has_its_mask_and_the_samples_of_both_kernels(seg, segment_server):
    choose(seg, "sample", "White blood cell 2")
    until(seg, "drawn.name.startsWith('cell')")
    expect(seg.locator("#seg-credit")).to_contain_text("Jiangxi Tecom")
    assert seg.locator("#seg-net input").input_value() == "cells (deformable)"
    expect(seg.locator(".seg-solid")).to_be_hidden()
    expect(seg.locator(".seg-of-volume")).to_be_hidden()
    scan = read_scan(samples()["White blood cell 2"].file)
    stages = segmenter.Segmenter.of("cells").look(scan).stages
    box = plane(seg, "Picture").bounding_box()
    side = box["width"] / scan.space[1]
    seg.mouse.move(box["x"] + 60.5 * side, box["y"] + 40.5 * side)
    for number, taps in ((0, 25), (1, 49)):
        seg.locator(".seg-stage").select_option(str(number))
        until(seg, f"drawn.label === '{stages[number].label}' && String(drawn.place) === '0,40,60'")
        seen, stage = drawn(seg), stages[number]
        cell = [0, 40 // stage.stride[1], 60 // stage.stride[2]]
        reach = np.arange(stage.kernel[1]) - stage.kernel[1] // 2
        grid = np.stack(np.meshgrid([0], reach, reach, indexing="ij"), -1).reshape(taps, 3) * stage.dilation
        wanted = (cell + grid + stage.offset[tuple(cell)] + 0.5) * stage.stride - 0.5
        assert np.allclose(seen["reads"]["samples"], wanted, atol=0.05)
    expect(seg.locator(".seg-told")).to_contain_text("Pixel 60, 40")


def test_on_a_phone_a_finger_moves_the_cross_and_nothing_is_cut_off(seg_phone):
    page = seg_phone
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 390
    expect(page.get_by_text("A research model, not for diagnosis.")).to_be_visible()
    plane(page, "Axial").scroll_into_view_if_needed()
    start, end = point(page, "Axial", (0, 10, 10)), point(page, "Axial", (0, 40, 20))
    before = page.evaluate("() => scrollY")
    touch = page.context.new_cdp_session(page)
    steps = [(start[0] + (end[0] - start[0]) * t / 5, start[1] + (end[1] - start[1]) * t / 5) for t in range(6)]
    for number, (x, y) in enumerate(steps):
        kind = "touchStart" if number == 0 else "touchMove"
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": x, "y": y}]})
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    at_cross(page, [drawn(page)["cross"][0], 40, 20])
    assert page.evaluate("() => scrollY") == before
    boxes = [plane(page, name).bounding_box() for name in CUTS]
    assert max(box["x"] + box["width"] for box in boxes) <= 390
    assert max(box["y"] + box["height"] for box in boxes) - min(box["y"] for box in boxes) < 600, "seen together"
    table = page.locator(".seg-scores")
    assert table.evaluate("e => e.scrollWidth <= e.clientWidth + 1")


def test_a_screen_reader_is_told_what_is_where(seg):
    for name in CUTS:
        canvas = plane(seg, name)
        assert (
            canvas.get_attribute("aria-label")
            == f"{name}: arrow keys move the cross, page up and down go through slices"
        )
        told = seg.locator(f"#{canvas.get_attribute('aria-describedby')}")
        expect(told).to_contain_text(re.compile(r"^Voxel \d+, \d+, \d+ of the file, at .* mm R, .* mm A, .* mm S: \w+"))
        assert told.get_attribute("aria-live") == "polite"
    expect(seg.get_by_role("application", name="The samples of the cell from any side")).to_be_visible()
    for role, name in (("combobox", "Overlay"), ("slider", "Opacity"), ("combobox", "Stage"), ("combobox", "Network")):
        expect(seg.get_by_role(role, name=name, exact=True)).to_be_visible()
