"""Watching the deformable convolutions of anybody's model."""

from __future__ import annotations

import textwrap

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.ops import DeformConv2d

import dlka
from dlka.layers import DeformConv
from dlka.ops.sampling import sampling_locations


class Deforming(nn.Module):
    """A stem with stride 4, then a DeformConv2d (DCNv2) with predicted offsets and masks, and this project's layer."""

    def __init__(self, geometry, groups=1):
        super().__init__()
        torch.manual_seed(0)
        taps = geometry["kernel_size"][0] * geometry["kernel_size"][1]
        self.stem = nn.Conv2d(3, 4, 4, 4)
        self.offset = nn.Conv2d(4, 2 * groups * taps, **geometry)
        self.mask = nn.Conv2d(4, groups * taps, **geometry)
        self.deform = DeformConv2d(4, 6, **geometry)
        self.own = DeformConv(6)
        nn.init.normal_(self.offset.weight, std=0.4)
        nn.init.normal_(self.offset.bias, std=0.8)

    def forward(self, x):
        x = self.stem(x)
        self.read = x.detach()
        self.given = self.offset(x).detach(), self.mask(x).sigmoid().detach()
        return self.own(self.deform(x, *self.given[:1], mask=self.given[1]))


AWKWARD = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2), "dilation": (2, 1)}
PLAIN = {"kernel_size": (3, 3), "padding": 1}


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def photo(height, width):
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def bilinear(image, y, x):
    """image [C, H, W] at one real-valued place, zero outside."""
    value = np.zeros(len(image))
    for row, share_y in ((int(np.floor(y)), 1 - (y - np.floor(y))), (int(np.floor(y)) + 1, y - np.floor(y))):
        for column, share_x in ((int(np.floor(x)), 1 - (x - np.floor(x))), (int(np.floor(x)) + 1, x - np.floor(x))):
            if 0 <= row < image.shape[1] and 0 <= column < image.shape[2]:
                value += share_y * share_x * image[:, row, column]
    return value


@pytest.mark.parametrize(("geometry", "groups"), [(PLAIN, 1), (AWKWARD, 2)])
def test_captures_explain_the_layers_own_output(geometry, groups):
    """Reading at the captured places, times masks and weights, is what torchvision's layer computes at a cell."""
    model = Deforming(geometry, groups)
    with torch.no_grad(), dlka.watch(model, picture=1) as seen:
        model(torch.rand(2, 3, 40, 32))
    calls = [c for c in seen.calls.calls if c.name == "deform"]
    assert len(calls) == groups
    for group, call in enumerate(calls):
        taps = call.kernel[0] * call.kernel[1]
        wanted = model.given[0][1, 2 * taps * group : 2 * taps * (group + 1)]
        np.testing.assert_array_equal(call.offset, wanted.numpy())
    cell, total = (1, 3), np.zeros(6)
    for group, (call, capture) in enumerate(zip(calls, seen.captures)):
        stage = capture.stage
        places = sampling_locations(capture.offset, stage.kernel, stage.step, stage.padding, stage.dilation)
        channels = slice(group * call.channels, (group + 1) * call.channels)
        read = np.stack(
            [bilinear(model.read[1, channels].numpy(), *place) for place in places[:, :, cell[0], cell[1]]], axis=1
        )
        weights = model.deform.weight[:, channels].detach().flatten(2).numpy()  # [out, in, K]
        total += np.einsum("oik,ik->o", weights, read * call.mask[:, cell[0], cell[1]])
    with torch.no_grad():
        layer = model.deform(model.read, model.given[0], model.given[1])[1, :, cell[0], cell[1]]
    np.testing.assert_allclose(total + model.deform.bias.detach().numpy(), layer.numpy(), atol=1e-5)


def test_the_output_stays_and_hooks_go():
    model, x = Deforming(PLAIN), torch.rand(1, 3, 32, 32)
    with torch.no_grad():
        plain = model(x)
        with dlka.watch(model) as seen:
            watched = model(x)
            model(x)
        assert torch.equal(plain, watched)
    assert len(seen.captures) == 2, "a second pass replaces the first"
    assert hooks(model) == 0
    with pytest.raises(RuntimeError), dlka.watch(model):
        raise RuntimeError
    assert hooks(model) == 0


def test_five_lines(tmp_path, monkeypatch, capsys):
    """The example of the docstring, as it stands there."""
    lines = dlka.watch.__doc__.split("In five lines:")[1].split("picture:")[0]
    monkeypatch.chdir(tmp_path)
    names = {"dlka": dlka, "model": Deforming(PLAIN), "x": torch.rand(1, 3, 160, 160), "image": photo(90, 120)}
    exec(textwrap.dedent(lines), names)
    assert (tmp_path / "offsets.png").read_bytes().startswith(b"\x89PNG")
    assert b"Reads of cell (row 20, column 30): 9 taps" in (tmp_path / "samples.svg").read_bytes()
    assert "'name': 'deform'" in capsys.readouterr().out


def test_numbers_of_every_layer():
    model = Deforming(PLAIN)
    with torch.no_grad(), dlka.watch(model) as seen:
        nn.init.zeros_(model.offset.weight)
        model.offset.bias.copy_(torch.tensor([3.0, 4.0] * 9))
        model(torch.rand(1, 3, 64, 48))
    first, second = seen.rows()
    assert (first["name"], first["stride"], first["cells"]) == ("deform", (4, 4), (16, 12))
    assert first["mean"] == pytest.approx(5)
    assert first["mask"] == pytest.approx(float(model.given[1].mean()))
    assert (second["name"], second["mask"]) == ("own", None)
    for kind in ("magnitude", "arrows", "flow", "density"):
        assert "P2" in seen.draw(photo(64, 48), 1, kind=kind).legend_text


def test_a_layer_alone_and_a_model_that_takes_a_list():
    layer = DeformConv2d(3, 3, 3, padding=1)
    with torch.no_grad(), dlka.watch(layer) as seen:
        layer(torch.rand(1, 3, 20, 30), torch.zeros(1, 18, 20, 30))
    assert seen.rows()[0]["stride"] == (1, 1)

    class Listed(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = Deforming(PLAIN)

        def forward(self, pictures):
            return self.inner(torch.stack(pictures))

    model = Listed()
    with torch.no_grad(), dlka.watch(model) as seen:
        model([torch.rand(3, 64, 64)])
    assert "1 cell = 8 px" in seen.draw(photo(128, 128), cell=(2, 3)).legend_text


def test_refusals():
    with pytest.raises(ValueError, match="found none"), dlka.watch(nn.Conv2d(3, 3, 1)):
        pass
    model = Deforming(PLAIN)
    with pytest.raises(ValueError, match="picture: expected 0 to 0"), dlka.watch(model, picture=3), torch.no_grad():
        model(torch.rand(1, 3, 32, 32))
    assert hooks(model) == 0
    with torch.no_grad(), dlka.watch(model) as seen:
        with pytest.raises(ValueError, match="layer: expected one of the 0 that ran"):
            seen.draw(photo(32, 32))
        model(torch.rand(1, 3, 32, 32))
    awkward = Deforming(AWKWARD)
    with torch.no_grad(), dlka.watch(awkward) as twice:
        awkward(torch.rand(1, 3, 40, 32))
    with pytest.raises(ValueError, match=r"own: expected a map with one stride to draw it, got \(10, 3\)"):
        twice.draw(photo(40, 32), 1)
    for arguments, says in (
        ({"layer": 9}, "layer: expected one of the 2"),
        ({"cell": (99, 0)}, "cell: expected"),
        ({"kind": "magic"}, "kind: expected one of magnitude"),
    ):
        with pytest.raises(ValueError, match=says):
            seen.draw(photo(32, 32), **arguments)
