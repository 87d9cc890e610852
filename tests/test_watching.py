"""Watching the deformable convolutions of anybody's model."""

from __future__ import annotations

import copy
import textwrap
import threading

import numpy as np
import pytest
import torch
from deforming import hooks
from PIL import Image
from torch import nn
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack
from torch.utils.checkpoint import checkpoint
from torchvision.ops import DeformConv2d, deform_conv2d

import dlka
from dlka.images import read_image
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


class Pack(DeformConv2d):
    """The usual subclass: it predicts its own offsets and masks."""

    def __init__(self, channels, groups=1, masked=True, function=False, **geometry):
        super().__init__(channels, channels, **geometry)
        taps = groups * self.kernel_size[0] * self.kernel_size[1]
        self.predict = nn.Conv2d(channels, 3 * taps, **geometry)
        self.taps, self.masked, self.function, self.given = taps, masked, function, []

    def forward(self, x):
        offset, mask = self.predict(x).split([2 * self.taps, self.taps], dim=1)
        mask = mask.sigmoid() if self.masked else None
        self.given.append((offset.detach(), None if mask is None else mask.detach()))
        if self.function:
            geometry = {n: getattr(self, n) for n in ("stride", "padding", "dilation")}
            return deform_conv2d(x, offset, self.weight, self.bias, mask=mask, **geometry)
        return super().forward(x, offset, mask) if self.masked else super().forward(x, offset)


class Packed(nn.Module):
    """Packs of several kinds, one of them run twice and two in a part that may be checkpointed."""

    def __init__(self, checkpointing=None):
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 4, 2, 2)
        self.twice = Pack(4, **PLAIN)
        self.part = nn.Sequential(Pack(4, 2, masked=False, **PLAIN), nn.ReLU(), Pack(4, 1, True, True, **PLAIN))
        self.offset, self.weight = nn.Conv2d(4, 18, 3, padding=1), nn.Parameter(torch.randn(4, 4, 3, 3))
        self.checkpointing = checkpointing

    def forward(self, x):
        x = self.twice(self.twice(self.stem(x)))
        x = self.part(x) if self.checkpointing is None else checkpoint(self.part, x, use_reentrant=self.checkpointing)
        self.given = self.offset(x).detach()
        return deform_conv2d(x, self.given, self.weight, padding=1)


NAMES = ["twice", "twice #2", "part.0", "part.0", "part.2", "Packed"]


def fields(model, picture=0):
    """The offset fields and masks of Packed, from what its parts kept by themselves."""
    (first, first_mask), (second, second_mask) = (tuple(t[picture].numpy() for t in g) for g in model.twice.given[:2])
    groups, (third, third_mask) = model.part[0].given[0][0][picture].numpy(), model.part[2].given[0]
    masks = [first_mask, second_mask, None, None, third_mask[picture].numpy(), None]
    return [first, second, groups[:18], groups[18:], third[picture].numpy(), model.given[picture].numpy()], masks


AWKWARD = {"kernel_size": (3, 2), "stride": (2, 1), "padding": (1, 2), "dilation": (2, 1)}
PLAIN = {"kernel_size": (3, 3), "padding": 1}


def assert_rows(seen, model, picture=0, names=NAMES):
    wanted, masks = fields(model, picture)
    rows = seen.rows()
    assert [row["name"] for row in rows] == names
    assert [row["group"] for row in rows] == [0, 0, 0, 1, 0, 0]
    for row, field, mask, capture, seen_mask in zip(rows, wanted, masks, seen.captures, seen.masks):
        np.testing.assert_array_equal(capture.offset, field)
        lengths = np.hypot(field[0::2], field[1::2])
        assert row["mean"] == pytest.approx(lengths.mean(), rel=1e-5)
        assert row["maximum"] == pytest.approx(lengths.max(), rel=1e-5)
        assert (row["mask"] is None) == (mask is None)
        if mask is not None:
            np.testing.assert_array_equal(seen_mask, mask)
            assert row["mask"] == pytest.approx(mask.mean())
        assert (row["kernel"], row["stride"], row["cells"]) == ((3, 3), (2, 2), (8, 6))


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


@pytest.mark.parametrize("grad", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_subclasses_and_functions(grad):
    """Each by its own name, a second call with its number, the model itself by its class."""
    model, x = Packed(), torch.rand(2, 3, 16, 12)
    with grad():
        plain = model(x)
        for part in (model.twice, model.part[0], model.part[2]):
            part.given.clear()
        with dlka.watch(model, picture=1) as seen:
            assert torch.equal(model(x), plain)
    assert_rows(seen, model, picture=1)
    assert hooks(model) == 0


@pytest.mark.parametrize("backend", ["numba", "torch", "torchvision", "reference"])
def test_own_layer_has_one_row_whatever_computes_it_and_the_function_one(backend):
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.own = DeformConv(3, (3, 2), padding=1, stride=2)
            self.own.backend = backend
            nn.init.normal_(self.own.offset_net.weight)
            self.own.offset_net.register_forward_hook(lambda module, inputs, output: output + 1)

        def forward(self, x):
            x = self.own(x)
            self.offset = torch.full((1, 2, *x.shape[2:]), 0.5)
            return dlka.deform_dwconv2d(x, self.offset, torch.ones(3, 1, 1, 1))

    model, x = Both(), torch.rand(1, 3, 12, 10)
    with torch.no_grad(), dlka.watch(model) as seen:
        model(x)
        np.testing.assert_array_equal(seen.captures[0].offset, model.own.offset_net(x)[0].numpy())
    assert [(r["name"], r["kernel"], r["cells"]) for r in seen.rows()] == [
        ("own", (3, 2), (6, 6)),
        ("Both", (1, 1), (6, 6)),
    ]
    np.testing.assert_array_equal(seen.captures[1].offset, model.offset[0].numpy())


@pytest.mark.parametrize("reentrant", [False, True])
def test_what_a_backward_pass_computes_again_is_seen_once(reentrant):
    model, x = Packed(checkpointing=reentrant), torch.rand(1, 3, 16, 12)
    with dlka.watch(model) as seen:
        model(x).sum().backward()
    assert len(model.part[0].given) == 2, "it was computed again"
    assert_rows(seen, model)
    whole = Packed()
    with dlka.watch(whole) as seen:
        checkpoint(whole, x.requires_grad_(), use_reentrant=reentrant).sum().backward()
    assert_rows(seen, whole)


@pytest.mark.slow
def test_a_compiled_model_that_has_run():
    """Whichever of the two is watched and called, compiled in place or inside the context."""
    model, x = Packed(), torch.rand(1, 3, 16, 12)
    torch.compiler.reset()
    compiled = torch.compile(model, backend="aot_eager")
    wanted = compiled(x)
    for watched, called in ((model, compiled), (compiled, compiled), (compiled, model), (model, model)):
        for part in (model.twice, model.part[0], model.part[2]):
            part.given.clear()
        with dlka.watch(watched) as seen:
            torch.testing.assert_close(called(x), wanted)
        assert_rows(seen, model, names=NAMES)
    outer = nn.Sequential(copy.deepcopy(model))
    outer[0].compile(backend="aot_eager")
    outer(x)
    for part in (outer[0].twice, outer[0].part[0], outer[0].part[2]):
        part.given.clear()
    with dlka.watch(outer) as seen:
        outer(x)
    assert_rows(seen, outer[0], names=[f"0.{name}" for name in NAMES[:-1]] + ["0"])


def test_traced_and_exported_models_and_the_bare_operator():
    """What runs in them has no module of its own that torch calls: it has the name of the one around it."""
    layer, x = DeformConv2d(3, 3, 3, padding=1), torch.rand(1, 3, 8, 8)
    offset = torch.randn(1, 18, 8, 8)

    class Bare(nn.Module):
        def forward(self, x, offset):
            ints = dict(zip(("stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w"), (1, 1, 1, 1, 1, 1)))
            tensors = {"weight": layer.weight, "offset": offset, "mask": x.new_zeros(1, 1), "bias": layer.bias}
            return torch.ops.torchvision.deform_conv2d(
                input=x, **tensors, **ints, groups=1, offset_groups=1, use_mask=False
            )

    scripted = nn.ModuleDict({"scripted": torch.jit.script(layer)})
    scripted.forward = lambda *inputs: scripted["scripted"](*inputs)
    exported = torch.export.export(layer, (x, offset)).module()
    for model, name in (
        (torch.jit.trace(layer, (x, offset)), "TopLevelTracedModule"),
        (scripted, "ModuleDict"),
        (exported, "GraphModule"),
        (Bare(), "Bare"),
    ):
        with torch.no_grad(), dlka.watch(model) as seen:
            torch.testing.assert_close(model(x, offset), layer(x, offset))
        assert [row["name"] for row in seen.rows()] == [name]
        np.testing.assert_array_equal(seen.captures[0].offset, offset[0].numpy())
    refused = r"got a scripted one: put it into a torch\.nn\.Sequential"
    with pytest.raises(ValueError, match=refused), dlka.watch(torch.jit.script(layer)):
        pass


def test_threads_copies_and_contexts_in_one_another():
    model, x = Packed(), torch.rand(1, 3, 16, 12)
    with torch.no_grad(), dlka.watch(model) as seen, dlka.watch(model.part) as part:
        thread = threading.Thread(target=model, args=(x,))
        thread.start()
        thread.join()
        copy.deepcopy(model)(x)
        Packed()(x)
        model.part(torch.rand(1, 4, 8, 8))
    assert_rows(seen, model)
    assert [row["name"] for row in part.rows()] == ["0", "0", "2"]
    np.testing.assert_array_equal(part.captures[2].offset, model.part[2].given[1][0][0].numpy())
    assert hooks(model) == 0


def test_a_pass_that_fails_leaves_nothing_on():
    class Failing(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner, self.error = Packed(), None

        def forward(self, x):
            x = self.inner(x)
            if self.error:
                raise self.error
            return x

    model, x = Failing(), torch.rand(1, 3, 16, 12)
    with torch.no_grad(), dlka.watch(model) as seen:
        model(x)
        wanted = seen.rows()
        model.error = KeyError("a fault")
        with pytest.raises(KeyError):
            model(x + 1)
        assert seen.rows() == wanted, "the last pass that ended"
        assert _get_current_dispatch_mode_stack() == []
        model.error = None
        model(x + 1)
        assert seen.rows() != wanted
    model.error = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt), dlka.watch(model):
        model(x)
    assert _get_current_dispatch_mode_stack() == []
    assert hooks(model) == 0


def test_draws_a_pil_picture_as_it_is_read_from_a_file(tmp_path):
    model, path = Deforming(PLAIN), tmp_path / "turned.png"
    with torch.no_grad(), dlka.watch(model) as seen:
        model(torch.rand(1, 3, 64, 48))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(photo(48, 64)).save(path, exif=exif)
    wanted = seen.draw(read_image(path)).to_png()
    assert seen.draw(Image.open(path)).to_png() == wanted
    assert seen.draw(photo(48, 64)).to_png() != wanted
    palette = Image.fromarray(photo(64, 48)).convert("P")
    assert seen.draw(palette).to_png() == seen.draw(np.asarray(palette.convert("RGB"))).to_png()
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(ValueError, match="image: expected a picture whose pixels can be read"):
        seen.draw(Image.open(path))
    for image, got in (
        (torch.rand(3, 64, 48), r"torch\.float32 \[3, 64, 48\]"),
        (photo(64, 48)[..., 0], r"uint8 \[64, 48\]"),
        (photo(64, 48) / 255, r"float64 \[64, 48, 3\]"),
        ("photo.jpg", "str"),
    ):
        with pytest.raises(ValueError, match=rf"image: expected a PIL picture or RGB \[H, W, 3\] uint8, got {got}"):
            seen.draw(image)


def test_refusals():
    with pytest.raises(ValueError, match="found none"), dlka.watch(nn.Conv2d(3, 3, 1)):
        pass
    model = Deforming(PLAIN)
    with pytest.raises(ValueError, match=r"in a call of the model, model\(x\)"), dlka.watch(model), torch.no_grad():
        model.forward(torch.rand(1, 3, 32, 32))
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


def test_a_notebook_shows_every_layer():
    model = Deforming({"kernel_size": (3, 3), "padding": 1})
    with dlka.watch(model) as seen:
        model(torch.rand(1, 3, 32, 48))
    shown = seen._repr_html_()
    assert shown.count("<tr>") == 1 + len(seen.rows())
    assert shown.count("data:image/png;base64,") == len(seen.rows())
    assert "<td>deform</td>" in shown
