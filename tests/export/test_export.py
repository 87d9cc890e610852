"""Exported files find what PyTorch finds, say what they are, and are not kept where they do not agree."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from deforming import hooks
from torch import nn
from ultralytics import YOLO
from ultralytics.engine.exporter import export_formats as ultralytics_formats
from ultralytics.utils import ASSETS

import dlka
import dlka.ops.library  # the operator that pt2 and TorchScript files name
from dlka.errors import DlkaError
from dlka.export import exporter, network
from dlka.export.check import Agreement, Case, cases, compare
from dlka.export.exporter import ALIASES, ELSEWHERE, FORMATS, check_format, check_runtime, export_model
from dlka.export.network import PT2_METADATA, TORCHSCRIPT_METADATA, ExportNet, internal_outputs, onnx_deform_conv, write
from dlka.images import read_image
from dlka.inference.letterbox import Letterbox
from dlka.inference.predictor import load_predictor
from dlka.inference.probe import probe
from dlka.models.blocks import suppress
from dlka.models.build import build_model
from dlka.models.catalog import find
from dlka.models.weights import load_card

SIZES = (160, 96)
STAGES = [f"offset_P{level}_{kernel}" for level in (3, 4, 5) for kernel in ("5x5", "7x7_d3")]
GATES = ["gate_P3", "gate_P4", "gate_P5"]
ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:`torch.jit.load` is deprecated")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("exports")


@pytest.fixture(scope="module")
def residual(folder):
    """residual.onnx with internals."""
    pytest.importorskip("onnxruntime", minversion="1.25")
    return export_model("residual", "onnx", folder / "residual.onnx", True, SIZES)


@pytest.fixture(scope="module")
def residual_session(residual):
    import onnxruntime

    return onnxruntime.InferenceSession(residual.file, providers=["CPUExecutionProvider"])


@pytest.fixture(scope="module")
def neck(folder):
    """neck.pt2 with internals."""
    return export_model("neck", "pt2", folder / "neck.pt2", True, SIZES)


@pytest.fixture(scope="module")
def traced(folder):
    return export_model("neck", "torchscript", folder / "neck.torchscript", False, SIZES)


def picture(name="bus.jpg", size=160, count=1):
    """A letterboxed picture as input [count, 3, H, W], every further one a little darker, and its letterbox."""
    image = read_image(ASSETS / name)
    letterbox = Letterbox.fit(image.shape[:2], size)
    x = torch.from_numpy(letterbox.apply(image)).permute(2, 0, 1).float() / 255
    return torch.stack([x * (1 - 0.1 * i) for i in range(count)]), letterbox


def assert_gives_the_models_output(run, model, name, size, count):
    """run(images [N, 3, H, W]) -> output0 is what the model that the page uses gives."""
    x, letterbox = picture(name, size, count)
    predictor = load_predictor(model, "cpu")[0]
    with torch.no_grad():
        expected = predictor.model(x)[0]
    got = torch.as_tensor(run(x))
    assert got.shape == expected.shape
    torch.testing.assert_close(got[:, :4], expected[:, :4], atol=5e-3, rtol=0)
    torch.testing.assert_close(got[:, 4:], expected[:, 4:], atol=1e-4, rtol=0)
    seen = predictor.predict(read_image(ASSETS / name), size=size).detections
    rows, _ = suppress(got[:1].clone(), 0.25, 0.7)
    assert len(seen) > 0
    np.testing.assert_array_equal(rows[:, 5], seen.classes)
    inside = letterbox.boxes_back(rows[:, :4].double().numpy()).clip(0, [*letterbox.original[::-1]] * 2)
    np.testing.assert_allclose(inside, seen.boxes, atol=0.01)


def assert_gives_what_a_probe_sees(run, model, names, internals):
    """run(images) -> all outputs; those after the first are the captures of a probe on the same picture."""
    x, _ = picture("zidane.jpg", 128)
    net = load_predictor(model, "cpu")[0].model
    with torch.no_grad(), probe(net) as captures:
        net(x)
    named = {row["output"]: row for row in internals}
    assert names == ["output0", *STAGES, *GATES] == ["output0", *named]
    got = dict(zip(names, run(x), strict=True))
    seen = {(c.stage.name, "offset"): c.offset for c in captures.offsets}
    seen |= {(g.block, "gate"): g.values for g in captures.gates}
    assert len(seen) == 9
    for name, row in named.items():
        value = seen[row["module"], name.split("_")[0]]
        assert value.std() > 0
        np.testing.assert_allclose(np.asarray(got[name])[0], value, atol=1e-4 * max(1, np.abs(value).max()), rtol=0)


@pytest.mark.parametrize(("name", "size", "count"), [("bus.jpg", 160, 1), ("zidane.jpg", 320, 1), ("bus.jpg", 96, 3)])
def test_onnx_gives_the_models_output(residual_session, name, size, count):
    def run(x):
        return residual_session.run(["output0"], {"images": x.numpy()})[0]

    assert_gives_the_models_output(run, "residual", name, size, count)


def test_onnx_gives_what_a_probe_sees(residual_session):
    names = [output.name for output in residual_session.get_outputs()]
    internals = json.loads(residual_session.get_modelmeta().custom_metadata_map["internals"])
    assert_gives_what_a_probe_sees(
        lambda x: residual_session.run(None, {"images": x.numpy()}), "residual", names, internals
    )


def test_onnx_is_standard_with_names_for_people(residual, residual_session):
    import onnx

    model = onnx.load(residual.file)
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 19)]
    nodes = [node for node in model.graph.node if node.op_type == "DeformConv"]
    shapes = {tensor.name: list(tensor.dims) for tensor in model.graph.initializer}
    assert len(nodes) == 6
    for node in nodes:
        values = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        assert values["group"] == shapes[node.input[1]][0]
        assert values["offset_group"] == 1
    axes = {v.name: v.shape for v in (*residual_session.get_inputs(), *residual_session.get_outputs())}
    assert axes["images"] == ["batch", 3, "height", "width"]
    assert axes["output0"] == ["batch", 84, "cells"]
    assert axes["offset_P4_7x7_d3"] == ["batch", 98, "height/16", "width/16"]
    assert axes["gate_P5"] == ["batch", 256, "height/32", "width/32"]
    assert str(ROOT).encode() not in residual.file.read_bytes()
    assert list(residual.tensors) == list(axes)


def test_metadata(residual_session, neck, traced):
    card = load_card(find("neck"))
    extra = {PT2_METADATA: ""}
    torch.export.load(neck.file, extra_files=extra)
    config = {TORCHSCRIPT_METADATA: ""}
    torch.jit.load(traced.file, _extra_files=config)
    onnx = residual_session.get_modelmeta().custom_metadata_map
    pt2, torchscript = json.loads(extra[PT2_METADATA]), json.loads(config[TORCHSCRIPT_METADATA])
    for about, name in ((onnx, "residual"), (pt2, "neck"), (torchscript, "neck")):
        assert about["model_id"] == name
        assert json.loads(about["names"])["0"] == card.names[0] == "person"
        assert len(json.loads(about["names"])) == 80
        assert json.loads(about["strides"]) == [8, 16, 32]
        assert about["version"] == dlka.__version__
        assert about["license"] == card.licence
        assert json.loads(about["card"])["placement"] == name
        assert json.loads(about["card"])["metrics"] == load_card(find(name)).metrics
    assert json.loads(torchscript["internals"]) == []


def test_ultralytics_runs_the_onnx_file(residual):
    image = read_image(ASSETS / "bus.jpg")
    seen = load_predictor("residual", "cpu")[0].predict(image, size=320).detections
    bgr = np.ascontiguousarray(image[..., ::-1])
    model = YOLO(residual.file, task="detect")
    found = model.predict(bgr, conf=0.25, iou=0.7, imgsz=320, device="cpu", verbose=False)[0]
    assert len(seen) > 0
    np.testing.assert_allclose(found.boxes.xyxy.numpy(), seen.boxes, atol=0.01)
    assert [found.names[int(c)] for c in found.boxes.cls] == [
        load_card(find("residual")).names[c] for c in seen.classes
    ]


@pytest.mark.parametrize(("name", "size", "count"), [("bus.jpg", 192, 2), ("zidane.jpg", 320, 1)])
def test_torch_formats_give_the_models_output(neck, traced, name, size, count):
    exported = torch.export.load(neck.file).module()
    assert_gives_the_models_output(lambda x: exported(x)[0], "neck", name, size, count)
    assert_gives_the_models_output(torch.jit.load(traced.file), "neck", name, size, count)


def test_pt2_gives_what_a_probe_sees(neck):
    extra = {PT2_METADATA: ""}
    run = torch.export.load(neck.file, extra_files=extra).module()
    internals = json.loads(json.loads(extra[PT2_METADATA])["internals"])
    assert_gives_what_a_probe_sees(run, "neck", [n for n in neck.tensors if n != "images"], internals)


def test_the_operator_stays_one_node(neck):
    targets = [str(node.target) for node in torch.export.load(neck.file).graph.nodes]
    assert targets.count("dlka.deform_dwconv2d.default") == 6


def test_files_need_what_they_say(neck, folder):
    """Without the operator a deformable file does not load; a stock one needs torch alone."""
    stock = export_model("control", "pt2", folder / "control.pt2", sizes=SIZES[:1])
    assert "dlka.ops.library" in neck.load
    assert "torch alone" in stock.load
    code = (
        "import sys, torch; torch.export.load(sys.argv[1]).module()(torch.zeros(1, 3, 64, 96)); "
        "sys.exit('dlka' in sys.modules)"
    )
    plain, deformable = (
        subprocess.run([sys.executable, "-c", code, str(made.file)], capture_output=True) for made in (stock, neck)
    )
    assert plain.returncode == 0
    assert deformable.returncode != 0


def test_what_was_measured_is_told(residual, neck, traced):
    for made in (residual, neck, traced):
        assert [(c.picture, c.shape) for c in made.checks] == [
            ("bus.jpg", (1, 3, 160, 128)),
            ("zidane.jpg", (1, 3, 96, 160)),
            ("bus.jpg", (2, 3, 96, 96)),
            ("zidane.jpg", (2, 3, 64, 96)),
        ]
        assert sum(c.boxes for c in made.checks) > 3
        assert all(0 <= c.pixels <= 0.01 and c.score <= 1e-4 for c in made.checks)
    assert all(c.internal is not None for c in (*residual.checks, *neck.checks))
    assert all(c.internal is None for c in traced.checks)


def swapped(x, offset, weight, *rest, **options):
    """A translation that takes dy for dx."""
    from onnxscript import opset19

    pairs = np.arange(2 * weight.shape[2] * weight.shape[3]).reshape(-1, 2)[:, ::-1].ravel()
    offset = opset19.Gather(offset, opset19.Constant(value_ints=pairs.tolist()), axis=1)
    return onnx_deform_conv(x, offset, weight, *rest, **options)


def test_a_wrong_translation_is_not_kept(monkeypatch, tmp_path):
    pytest.importorskip("onnxruntime", minversion="1.25")
    monkeypatch.setattr(network, "onnx_deform_conv", swapped)
    with pytest.raises(DlkaError, match=r"bus.jpg at 1x3x160x128.*; not kept"):
        export_model("neck", "onnx", tmp_path / "neck.onnx", sizes=SIZES[:1])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".onnx", ".torchscript"])
def test_a_file_that_does_not_run_is_not_kept(monkeypatch, tmp_path, suffix):
    monkeypatch.setattr(exporter, "write", lambda net, file, *_: file.write_bytes(b"nothing"))
    with pytest.raises(DlkaError, match=f"^a{suffix}: a fresh process could not run it .*; not kept"):
        export_model("control", suffix[1:], tmp_path / f"a{suffix}", sizes=SIZES[1:])
    assert not list(tmp_path.iterdir())


class Awkward(nn.Module):
    """The operator with everything that the models do not use: bias, other strides, paddings and dilations."""

    def __init__(self):
        super().__init__()
        self.internals = False
        self.weight = nn.Parameter(torch.randn(3, 1, 3, 2))
        self.bias = nn.Parameter(torch.randn(3))
        self.offset_net = nn.Conv2d(3, 12, (3, 2), (2, 1), (1, 2), (2, 1))

    def forward(self, x):
        offset = 2 * self.offset_net(x)
        out = torch.ops.dlka.deform_dwconv2d(x, offset, self.weight, self.bias, [2, 1], [1, 2], [2, 1])
        return out.flatten(2)


def test_the_translation_of_every_argument(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime", minversion="1.25")
    torch.manual_seed(0)
    net = Awkward().requires_grad_(False)
    file = tmp_path / "a.onnx"
    write(net, file, [], {"version": "1"})
    x = torch.randn(3, 3, 64, 128)
    got = onnxruntime.InferenceSession(file).run(None, {"images": x.numpy()})[0]
    np.testing.assert_allclose(got, net(x), atol=1e-4)


def test_outputs_of_models_with_several_blocks_a_level():
    names = [row["output"] for row in internal_outputs(build_model("neck-head").eval())]
    assert names == [*STAGES, *(f"{s}_2" for s in STAGES), *GATES, *(f"{g}_2" for g in GATES)]
    net = build_model("neck", "m").eval()  # two bottlenecks in every C2f
    rows = internal_outputs(net)
    assert len({row["output"] for row in rows}) == len(rows) == 18
    assert all(row["module"] in dict(net.named_modules()) for row in rows)


def test_separable_offsets_have_the_same_names():
    rows = internal_outputs(build_model("residual", offsets="separable").eval())
    assert [row["output"] for row in rows] == [*STAGES, *GATES]
    assert [row["kernel"] for row in rows[:2]] == [(5, 5), (7, 7)]


def test_rigid_models_have_gates_alone():
    assert [row["output"] for row in internal_outputs(build_model("neck", offsets="none").eval())] == GATES


def test_the_net_has_no_state_of_earlier_sizes():
    net = ExportNet(build_model("residual").eval(), internals=True)
    small, large = torch.rand(1, 3, 64, 64), torch.rand(2, 3, 96, 128)
    first = net(small)
    assert net(large)[0].shape == (2, 84, 12 * 16 + 6 * 8 + 3 * 4)
    for a, b in zip(first, net(small), strict=True):
        torch.testing.assert_close(a, b, atol=0, rtol=0)
    assert hooks(net) == 0


@pytest.fixture
def case():
    letterbox = Letterbox((64, 128), (32, 64), (32, 64), 0, 0)
    return Case("a.jpg", np.zeros((1, 3, 32, 64), np.float32), letterbox)


def output(**changes):
    """output0 [1, 4 + 2, 3] with one box over the confidence, one far below and one that NMS removes."""
    boxes = np.array([[16, 16, 8, 8], [40, 16, 4, 4], [16, 16, 8, 8.5]], np.float32).T
    scores = np.array([[0.9, 0.01, 0.3], [0.1, 0.02, 0.1]], np.float32)
    for key, value in changes.items():
        {"boxes": boxes, "scores": scores}[key][value[0]] += value[1]
    return [np.concatenate([boxes, scores])[None]]


def test_the_same_agrees(case):
    assert compare(case, output(), output()) == Agreement("a.jpg", (1, 3, 32, 64), 1, 0.0, 0.0, None)


def test_distances_are_in_pixels_of_the_picture(case):
    moved = compare(case, output(), output(boxes=((0, 0), 0.004)))
    assert moved.pixels == pytest.approx(0.008, abs=1e-5)
    assert compare(case, output(), output(scores=((0, 0), 5e-4))).score == pytest.approx(5e-4, abs=1e-6)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"boxes": ((0, 0), 0.006)}, r"boxes differ by up to 0.012 pixels, scores by 0; not kept"),
        ({"boxes": ((2, 1), 0.02)}, "boxes differ by up to 0.02 pixels"),  # a cell that NMS does not keep
        ({"boxes": ((0, 1), float("nan"))}, "differ by up to nan pixels"),
        ({"scores": ((0, 1), float("nan"))}, "scores by nan"),
        ({"scores": ((1, 1), 0.002)}, "scores by 0.002"),
        ({"scores": ((0, 0), -0.8)}, "other boxes than PyTorch on a.jpg at 1x3x32x64"),
        ({"scores": ((1, 0), 0.85)}, "other boxes"),  # the other class
    ],
)
def test_other_outputs_are_refused(case, changes, message):
    with pytest.raises(DlkaError, match=message):
        compare(case, output(), output(**changes))


def test_internals_are_compared(case):
    offsets = np.full((1, 2, 1, 1), 8, np.float32)
    assert compare(case, [*output(), offsets], [*output(), offsets + 0.004]).internal == pytest.approx(5e-4, rel=1e-3)
    with pytest.raises(DlkaError, match=r"internals by 0.013"):
        compare(case, [*output(), offsets], [*output(), offsets + 0.1])
    with pytest.raises(DlkaError, match=r"shapes \[\[1, 6, 3\]\] .* PyTorch \[\[1, 6, 3\], \[1, 2, 1, 1\]\]"):
        compare(case, [*output(), offsets], output())


def test_every_picture_of_a_batch_is_compared(case):
    two = replace(case, images=np.zeros((2, 3, 32, 64), np.float32))
    good, bad = output()[0], output(boxes=((0, 0), 0.1))[0]
    assert compare(two, [np.concatenate([good, good])], [np.concatenate([good, good])]).boxes == 2
    with pytest.raises(DlkaError, match="2x3x32x64"):
        compare(two, [np.concatenate([good, good])], [np.concatenate([good, bad])])


def test_inputs_of_the_check():
    shapes = [case.images.shape for case in cases((640, 320))]
    assert shapes == [(1, 3, 640, 480), (1, 3, 384, 640), (2, 3, 320, 256), (2, 3, 192, 320)]
    bus = cases((64, 64))[2]
    np.testing.assert_allclose(bus.images[0], bus.images[1][..., ::-1], atol=0.02)  # its mirror image
    assert 0 <= bus.images.min() < bus.images.max() <= 1


@pytest.mark.parametrize("name", sorted({*ultralytics_formats()["Argument"], *ELSEWHERE, *ALIASES} - {"-", *FORMATS}))
def test_formats_that_cannot_carry_it(name):
    """Every format of Ultralytics has its sentence, with what to do instead."""
    with pytest.raises(DlkaError, match=f"^format {name}: .*(convolution|DeformConv|groups).*; use --format onnx"):
        check_format(name, "neck", deformable=True)
    with pytest.raises(DlkaError, match=f"yolo export format={ALIASES.get(name, name)}"):
        check_format(name, "control", deformable=False)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("residual", "zebra"), "format: expected one of onnx, torchscript, pt2, got 'zebra'"),
        (("residual", "ncnn"), "has no groups"),
        (("control", "ncnn"), "control has no deformable convolution"),
        (("residual", "onnx", "a.pt2"), r"a.pt2: expected a name that ends in .onnx"),
        (("residual", "pt2", "none/a.pt2"), "none: there is no such folder"),
        (("residual", "pt2", "there.pt2"), "there.pt2 exists already"),
        (("control", "pt2", None, True), "control has no offsets and no gates to give out; leave --internals away"),
    ],
    ids=str,
)
def test_refusals(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.pt2").write_text("mine")
    with pytest.raises(DlkaError, match=message):
        export_model(*arguments)
    assert [p.name for p in tmp_path.iterdir()] == ["there.pt2"]
    assert (tmp_path / "there.pt2").read_text() == "mine"


def test_a_folder_that_takes_no_files(monkeypatch, tmp_path):
    def full(**_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(exporter, "TemporaryDirectory", full)
    monkeypatch.setattr(exporter, "cases", lambda sizes: [])
    with pytest.raises(DlkaError, match=r"no file can be written to this folder \(No space left on device\)"):
        export_model("control", "pt2", tmp_path / "a.pt2")


@pytest.mark.parametrize(
    ("model", "kind", "missing", "message"),
    [
        ("neck", "onnx", "onnxruntime", "format onnx needs what is not installed here; .*: pip install onnxruntime"),
        ("neck", "pt2", "numba", "pip install numba"),
    ],
)
def test_packages_that_are_missing(model, kind, missing, message, monkeypatch, tmp_path):
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == missing else there(name))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DlkaError, match=message):
        export_model(model, kind)


def test_an_old_runtime_is_told_before_the_work(monkeypatch):
    onnxruntime = pytest.importorskip("onnxruntime")
    monkeypatch.setattr(onnxruntime, "__version__", "1.24.4")
    with pytest.raises(DlkaError, match=r"ONNX Runtime 1.24.4 cannot run DeformConv.* expected 1.25 or newer"):
        check_runtime()


def test_the_file_is_named_after_the_model(monkeypatch, tmp_path):
    """Without --out, in the working folder; the check's default sizes are real ones."""
    monkeypatch.chdir(tmp_path)
    written = []
    monkeypatch.setattr(exporter, "cases", lambda sizes: written.append(sizes) or [])
    monkeypatch.setattr(exporter, "write", lambda net, file, further, about: file.write_text(about["model_id"]))
    monkeypatch.setattr(exporter, "run", lambda *_, **__: [])
    assert export_model("control", "pt2").file == Path("control.pt2")
    assert (tmp_path / "control.pt2").read_text() == "control"
    assert written == [(640, 320)]
