"""The page "Segment" alone, beside networks of random numbers, for tests of it."""

from __future__ import annotations

import re
import zlib
from contextlib import contextmanager
from urllib.request import urlopen

import nibabel
import numpy as np
import pytest
import torch
from playwright.sync_api import expect

from dlka.nets import build_net
from dlka.segment import segmenter
from dlka.segment.net_file import NetCard, save_net
from dlka.ui import page_segment
from dlka.ui.app import launch
from dlka.ui.guard import Page

PARTS = {"hippocampus": ("volume", "anterior", "posterior"), "cells": ("picture", "cytoplasm", "nucleus")}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
CUTS = {"Axial": 0, "Coronal": 1, "Sagittal": 2}
DRAWN = "document.querySelector('.seg-planes')?.drawn"
TILTED = np.array(
    [[0, -1.5, 0, 9], [0.9, 0, 0.2, -30], [0.1, 0, -2, 5], [0, 0, 0, 1.0]]
)  # axes y, x, z, two of them back


def network(path, name, offsets):
    """Write a small network of random numbers, whose offsets are a few cells long."""
    kind, *parts = PARTS[name]
    torch.manual_seed(0)
    net = build_net(kind, preset="small", classes=3, offsets=offsets).eval().requires_grad_(False)
    for key, value in net.named_parameters():
        if kind == "volume" and key.endswith(("gamma", "deform_conv.weight")):  # else what is sampled hardly counts
            value.mul_(30)
        if "offset" in key:
            value.copy_(torch.randn_like(value) * (0.5 if value.dim() > 1 else 2))
    names = ["background", *parts]
    save_net(path, net, NetCard(kind, "small", offsets, names, 32, "nothing", {}, "AGPL-3.0", 0, {}))


@contextmanager
def served(folder):
    """The address of the page, whose networks are written into this folder."""
    for name in PARTS:
        network(folder / f"{name}.safetensors", name, "dense")
        network(folder / f"{name}-rigid.safetensors", name, "none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(segmenter, "FOLDER", folder)
        with Page() as app:
            pass
        with app.route(page_segment.NAME, page_segment.PATH):
            page_segment.build()
        launch(app, block=False)
        yield app.local_url
        app.close()


def opened(page, server):
    page.goto(f"{server}segment")
    page.wait_for_function(f"() => {DRAWN}", timeout=120_000)
    return page


def drawn(page):
    return page.evaluate(f"() => {DRAWN}")


def value_of(page):
    return page.evaluate("() => document.querySelector('.seg-planes').data")


def loaded(page, server, address):
    return zlib.decompress(urlopen(f"{server}{address}").read())


def plane(page, name):
    return page.get_by_role("application", name=re.compile(f"^{name}:"))


def until(page, condition):
    page.wait_for_function(f"() => {{ const drawn = {DRAWN}; return drawn && {condition} }}", timeout=120_000)


def at_cross(page, cross):
    """Wait until the cross is there, and all planes show it."""
    until(page, f"String(drawn.cross) === '{','.join(map(str, cross))}'")
    for name, cut in CUTS.items():
        assert plane(page, name).evaluate("canvas => canvas.drawn.slice") == cross[cut]
        expect(page.locator("figcaption", has_text=name)).to_have_text(
            f"{name}, {cross[cut]} (0 to {value_of(page)['size'][cut] - 1})"
        )


def point(page, name, place):
    """CSS pixels of a voxel (z, y, x) in a plane, from the window's corner."""
    box = plane(page, name).bounding_box()
    across, up = {"Axial": (2, 1), "Coronal": (2, 0), "Sagittal": (1, 0)}[name]
    size = value_of(page)["size"]
    side = box["width"] / size[across]
    return box["x"] + (place[across] + 0.5) * side, box["y"] + box["height"] - (place[up] + 0.5) * side


def choose(page, of, name):
    page.locator(f"#seg-{of} input").click()
    page.get_by_role("option", name=name).first.click()


def give(page, path):
    page.locator("#seg-file input[type=file]").set_input_files(str(path))


def volume(path, affine=None, shape=(18, 14, 12)):
    values = np.random.default_rng(0).normal(100, 20, shape).astype(np.float32)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4) if affine is None else affine), path)
    return path
