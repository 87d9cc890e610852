"""``dlka.YOLO``: Ultralytics' interface with D-LKA blocks that survive training, and without any download."""

from __future__ import annotations

import copy
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image, ImageDraw
from ultralytics.nn.tasks import DetectionModel
from ultralytics.utils import ASSETS

import dlka
from dlka.errors import DlkaError
from dlka.layers import DeformableLKAAttention
from dlka.models.build import DLKAModel, build_model
from dlka.models.catalog import find
from dlka.models.transfer import transfer
from dlka.models.weights import load_card, load_model
from dlka.offset_nets import OffsetConv2d, SeparableOffsetNet
from dlka.train.trainer import DLKATrainer

ROOT = Path(__file__).parents[1]
YAMLS = Path(__file__).parent / "models"
CLASSES = {0: "box", 1: "disc"}


def python(code: str, *arguments: str, **environment: str) -> str:
    """What a fresh interpreter prints; it must end well."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Eight drawn pictures, a box and a disc in each, with labels in Ultralytics' layout."""
    folder = tmp_path_factory.mktemp("data")
    generator = np.random.default_rng(0)
    for number in range(8):
        part = "train" if number < 6 else "val"
        picture = Image.new("RGB", (96, 64), tuple(generator.integers(0, 90, 3).tolist()))
        draw, lines = ImageDraw.Draw(picture), []
        for kind, left in ((0, 4), (1, 52)):
            x, y, side = left + int(generator.integers(0, 8)), int(generator.integers(2, 30)), 28
            shape = draw.rectangle if kind == 0 else draw.ellipse
            shape((x, y, x + side, y + side), fill=tuple(generator.integers(150, 256, 3).tolist()))
            lines.append(f"{kind} {(x + side / 2) / 96} {(y + side / 2) / 64} {side / 96} {side / 64}")
        for kind, text in (("images", None), ("labels", "\n".join(lines))):
            place = folder / kind / part
            place.mkdir(parents=True, exist_ok=True)
            if text is None:
                picture.save(place / f"{number}.png")
            else:
                (place / f"{number}.txt").write_text(text)
    file = folder / "data.yaml"
    file.write_text(
        yaml.safe_dump({"path": str(folder), "train": "images/train", "val": "images/val", "names": CLASSES})
    )
    return file


@pytest.fixture
def offline(monkeypatch) -> list:
    """Connections that were tried: none may be, and none succeeds."""
    tried: list = []

    def refuse(*address, **options):
        tried.append(address)
        raise OSError("no network in this test")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    return tried


SETTINGS = {
    "imgsz": 64,
    "batch": 4,
    "device": "cpu",
    "workers": 0,
    "plots": False,
    "verbose": False,
    "optimizer": "AdamW",
    "lr0": 0.02,
    "warmup_epochs": 0.0,
    "nbs": 4,
    "seed": 0,
    "exist_ok": True,
}


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory) -> dlka.YOLO:
    """The neck placement after three epochs on the drawn pictures."""
    torch.manual_seed(0)
    model = dlka.YOLO("yolov8n-dlka-neck.yaml")
    folder = tmp_path_factory.mktemp("runs")
    model.train(data=str(data), epochs=3, project=str(folder), name="neck", **SETTINGS)
    return model


class TestImport:
    @pytest.mark.slow
    def test_importing_dlka_loads_nothing_heavy(self):
        code = "import sys, dlka; print([m for m in ('torch', 'ultralytics', 'numpy', 'numba') if m in sys.modules])"
        assert python(code).strip() == "[]"

    @pytest.mark.slow
    def test_names_are_found_when_they_are_used(self):
        code = (
            "import sys, dlka; f = dlka.deform_dwconv2d; first = 'ultralytics' in sys.modules; y = dlka.YOLO;"
            "from dlka import YOLO, deform_dwconv2d;"
            "print(first, f is deform_dwconv2d, y is YOLO, y.__module__, f.__module__, sorted(dlka.__all__))"
        )
        names = "['YOLO', '__version__', 'compare', 'deform_conv3d', 'deform_dwconv2d', 'load', 'watch']"
        expected = f"False True True dlka.yolo dlka.ops {names}"
        assert python(code).strip() == expected
        assert set(dlka.__all__) <= set(dir(dlka))

    def test_other_names_do_not_exist(self):
        with pytest.raises(AttributeError, match="module 'dlka' has no attribute 'Yolo'"):
            dlka.Yolo  # noqa: B018 - to read it is enough
        assert not hasattr(dlka, "__path_of_nothing__")

    @pytest.mark.slow
    def test_submodules_are_still_found(self):
        assert python("import dlka.ops.sampling as s; import dlka; print(dlka.ops.sampling is s)").strip() == "True"


class TestNames:
    @pytest.mark.parametrize(
        "name", ["yolov8n.pt", "yolov8n", "yolo11n.yaml", "https://example.com/a.pt", "x.onnx", ""]
    )
    def test_what_is_not_there_is_never_downloaded(self, name, offline, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
            dlka.YOLO(name)
        assert not offline
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("name", ["yolov8s", "yolov8n.txt", "neck-mine"])
    def test_a_file_that_is_no_model_by_its_name_is_refused(self, name, offline, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        (tmp_path / name).write_text((YAMLS / "article_two.yaml").read_text())
        with pytest.raises(DlkaError, match=rf"^{name}: expected a name that ends in \.yaml, "):
            dlka.YOLO(name)
        assert not offline, "Ultralytics would look for weights of that name on the network"

    def test_a_shipped_file_that_is_no_detector_says_what_it_is(self, offline):
        with pytest.raises(DlkaError) as refusal:
            dlka.YOLO("letter")
        assert str(refusal.value) == (
            "letter.safetensors: expected the weights of a detector, got nets that name drawn letters, which "
            "dlka.drawn.letter_file.load_letter reads and python -m dlka train-letter makes."
        )
        assert not offline

    def test_a_name_with_a_scale_stands_for_the_yaml_without(self, tmp_path):
        (tmp_path / "yolov8-mine.yaml").write_text((YAMLS / "article_two.yaml").read_text())
        assert dlka.YOLO(tmp_path / "yolov8s-mine.yaml").model.yaml["scale"] == "s"
        with pytest.raises(FileNotFoundError, match="nothing is downloaded"):
            dlka.YOLO(tmp_path / "yolov8s-other.yaml")

    def test_weights_to_start_from_neither(self, offline, tmp_path, monkeypatch, data):
        monkeypatch.chdir(tmp_path)
        model = dlka.YOLO("yolov8n-dlka-neck.yaml")
        with pytest.raises(FileNotFoundError, match=r"yolov8n\.pt: expected a stock YOLOv8 checkpoint"):
            model.load("yolov8n.pt")
        with pytest.raises(FileNotFoundError, match=r"yolov8n\.pt: expected pretrained weights"):
            model.train(data=str(data), pretrained="yolov8n.pt", **SETTINGS)
        assert not offline

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("name", "blocks"),
        [
            ("yolov8n.yaml", 0),
            ("yolov8n-dlka-neck.yaml", 3),
            ("yolov8s-dlka-residual.yaml", 3),
            ("yolov8-dlka-head.yaml", 3),
            ("yolov8n-dlka-neck-head.yaml", 6),
            ("yolov8n-one-level.yaml", 0),
        ],
    )
    def test_the_projects_names(self, name, blocks):
        model = dlka.YOLO(name)
        assert type(model) is dlka.YOLO
        assert type(model.model) is DLKAModel
        assert sum(isinstance(m, DeformableLKAAttention) for m in model.model.modules()) == blocks
        assert model.task == "detect"
        assert model.model_name == name

    @pytest.mark.slow
    def test_a_file_of_ones_own_whatever_its_name(self, tmp_path):
        for name in ("second.yaml", "street-world.yaml", "yoloe-like.YAML"):
            path = tmp_path / name
            path.write_text((YAMLS / "article_two.yaml").read_text())
            model = dlka.YOLO(path)
            assert type(model) is dlka.YOLO
            assert isinstance(model.model.model[16], DeformableLKAAttention)

    def test_the_articles_first_yaml_is_refused(self):
        with pytest.raises(DlkaError, match=r"^row 1: Conv \[128\]"):
            dlka.YOLO(YAMLS / "article_one.yaml")


@pytest.mark.slow
class TestTraining:
    def test_the_trainer_keeps_the_blocks_and_trains_them(self, trained):
        net = trained.model
        assert type(net) is DLKAModel
        assert type(trained.trainer) is DLKATrainer
        assert net.names == CLASSES
        assert net.nc == net.model[-1].nc == 2
        blocks = [m for m in net.modules() if isinstance(m, DeformableLKAAttention)]
        assert [b.proj_1.in_channels for b in blocks] == [32, 64, 128]
        for block in blocks:
            assert block.proj_2.weight.abs().max() > 0  # it started at zero
        for offset_net in (m for m in net.modules() if isinstance(m, OffsetConv2d)):
            assert offset_net.weight.abs().max() > 0  # gradients came through the deformable step
            assert offset_net.bias.abs().max() > 0

    def test_a_model_of_one_level_trains_is_validated_and_saved(self, data, tmp_path):
        model = dlka.YOLO("yolov8n-dlka-one-level.yaml")
        blocks = [m for m in model.model.modules() if isinstance(m, DeformableLKAAttention)]
        with pytest.raises(DlkaError, match="expected the weights of a model with a head of 1x1 convolutions"):
            model.load("control")
        model.train(data=str(data), epochs=1, project=str(tmp_path), name="one", **SETTINGS)
        assert model.model.stride.tolist() == [8]
        trained = [m for m in model.model.modules() if isinstance(m, DeformableLKAAttention)]
        assert len(trained) == len(blocks) > 0
        assert all(block.proj_2.weight.abs().max() > 0 for block in trained)
        settings = {key: SETTINGS[key] for key in ("imgsz", "batch", "device", "workers", "plots", "verbose")}
        measured = model.val(data=str(data), project=str(tmp_path), name="val", **settings)
        assert 0 <= measured.box.map <= 1
        model.save(tmp_path / "one.safetensors")
        again = dlka.YOLO(tmp_path / "one.safetensors")
        assert again.card.placement == "one-level"
        picture = str(data.parent / "images/val/7.png")
        first, second = (m.predict(picture, imgsz=64, conf=0.0001, verbose=False)[0].boxes for m in (model, again))
        assert len(first) > 0
        torch.testing.assert_close(second.data, first.data, rtol=1e-3, atol=1e-2)

    def test_the_checkpoint_loads_in_a_fresh_process_and_sees_the_same(self, trained, data):
        picture = data.parent / "images/val/7.png"
        best = trained.trainer.best
        code = (
            "import sys, json, dlka; model = dlka.YOLO(sys.argv[1]);"
            "r = model.predict(sys.argv[2], imgsz=64, conf=0.0001, verbose=False, device='cpu')[0];"
            "print(json.dumps([type(model.model).__name__, r.boxes.data.tolist()]))"
        )
        name, boxes = json.loads(python(code, str(best), str(picture)).splitlines()[-1])
        assert name == "DLKAModel"
        here = dlka.YOLO(best).predict(str(picture), imgsz=64, conf=0.0001, verbose=False, device="cpu")[0].boxes.data
        assert len(here) > 0
        np.testing.assert_allclose(boxes, here.tolist(), atol=1e-3)

    def test_val_and_predict(self, trained, data, tmp_path):
        model = dlka.YOLO(trained.trainer.best)
        metrics = model.val(
            data=str(data), imgsz=64, device="cpu", workers=0, plots=False, verbose=False, project=str(tmp_path)
        )
        assert 0 <= metrics.box.map <= 1
        assert metrics.names == CLASSES
        result = model.predict(np.zeros((48, 80, 3), np.uint8), imgsz=64, verbose=False, device="cpu")[0]
        assert result.orig_shape == (48, 80)

    def test_measuring_leaves_the_model_as_it_is(self, trained, data, tmp_path):
        model = dlka.YOLO(trained.trainer.best)
        model.val(data=str(data), imgsz=64, device="cpu", workers=0, plots=False, verbose=False, project=str(tmp_path))
        assert not model.model.is_fused()

    def test_training_goes_on_from_a_checkpoint(self, trained, data, tmp_path):
        model = dlka.YOLO(trained.trainer.best)
        before = {k: v.clone() for k, v in model.model.state_dict().items()}
        model.train(data=str(data), epochs=1, project=str(tmp_path), name="on", **SETTINGS | {"lr0": 0.0, "val": False})
        started = model.trainer.ema.ema.state_dict()
        for name, value in before.items():
            if name.endswith((".weight", ".bias")):  # with a learning rate of zero the start is what comes out
                torch.testing.assert_close(started[name].float(), value, rtol=1e-2, atol=1e-3, msg=name)

    def test_no_network_while_training(self, data, offline, tmp_path, monkeypatch):
        # Reading a data set, Ultralytics looks for a font on the network; it is the one thing, and does without.
        monkeypatch.setattr("ultralytics.data.utils.check_font", lambda font: None)
        model = dlka.YOLO("yolov8n-dlka-head.yaml")
        model.train(data=str(data), epochs=1, project=str(tmp_path), name="head", **SETTINGS | {"val": False})
        assert not offline
        assert model.trainer.args.amp is False


@pytest.mark.slow
class TestStartingFromStockWeights:
    @pytest.fixture(scope="class")
    def stock_file(self, shared) -> Path:
        return shared / "weights" / "yolov8n.pt"

    def test_load_goes_by_structure(self, stock_file, offline):
        model = dlka.YOLO("yolov8n-dlka-residual.yaml").load(stock_file)
        assert model.ledger.totals()["copied"] == 3_157_200
        assert model.model.names[5] == "bus"
        seen = model.predict(str(ASSETS / "bus.jpg"), verbose=False, device="cpu")[0].boxes.cls.tolist()
        assert 5 in seen
        assert seen.count(0) >= 3
        assert not offline

    def test_training_starts_from_what_was_loaded(self, stock_file, data, tmp_path):
        model = dlka.YOLO("yolov8n-dlka-residual.yaml").load(stock_file)
        loaded = copy.deepcopy(model.model).state_dict()
        model.train(data=str(data), epochs=1, project=str(tmp_path), name="r", **SETTINGS | {"lr0": 0.0, "val": False})
        trainer = model.trainer
        assert trainer.ledger.totals()["copied"] > 2_000_000
        started = trainer.ema.ema.state_dict()
        for name in ("model.0.conv.weight", "model.25.cv2.0.2.weight", "model.23.cv2.conv.weight"):
            torch.testing.assert_close(started[name].float(), loaded[name], rtol=1e-2, atol=1e-3)

    def test_weights_that_do_not_fit_are_refused(self, stock_file):
        with pytest.raises(ValueError, match="take stock weights of the model's own scale"):
            dlka.YOLO("yolov8s-dlka-neck.yaml").load(stock_file)


@pytest.mark.slow
class TestGetModel:
    @pytest.fixture
    def trainer(self) -> DLKATrainer:
        trainer = DLKATrainer.__new__(DLKATrainer)
        trainer.data = {"channels": 3, "nc": 2, "names": {0: "1", 1: "7"}}
        trainer.start = trainer.ledger = trainer.weights = None
        return trainer

    def test_a_stock_model_is_taken_by_structure(self, trainer):
        """By names, as Ultralytics does it, the head would lose its blocks and rows behind new ones go astray."""
        stock = build_model("control")
        for placement in ("residual", "head"):
            model = trainer.get_model(f"yolov8n-dlka-{placement}.yaml", weights=stock, verbose=False)
            assert sum(isinstance(m, DeformableLKAAttention) for m in model.modules()) == 3
            wanted = build_model(placement, classes=2)
            transfer(wanted, stock.state_dict(), trainer.data["names"], stock.names)
            assert trainer.ledger.totals()["copied"] > 2_000_000
            for name in ("model.0.conv.weight", f"model.{len(model.model) - 1}.cv2.1.2.weight"):
                assert torch.equal(model.state_dict()[name], wanted.state_dict()[name])
            ours, theirs = model.model[-1].cv3[0][-1].weight, stock.model[-1].cv3[0][-1].weight
            assert torch.equal(ours, theirs[[1, 7], : ours.shape[1]])  # classes by their names

    def test_a_dlka_model_is_taken_whole(self, trainer):
        source = build_model("neck", classes=2)
        source.names = trainer.data["names"]
        for parameter in source.parameters():
            parameter.data.normal_()
        model = trainer.get_model(source.yaml, weights=source, verbose=False)
        for name, value in source.state_dict().items():
            assert torch.equal(model.state_dict()[name], value), name

    @pytest.mark.parametrize(("offsets", "count"), [("dense", 0), ("separable", 6), ("none", 0)])
    def test_the_yamls_offsets_are_kept(self, trainer, offsets, count):
        model = trainer.get_model({**build_model("neck", offsets=offsets).yaml}, verbose=False)
        assert any(isinstance(m, OffsetConv2d) for m in model.modules()) == (offsets != "none")
        assert sum(isinstance(m, SeparableOffsetNet) for m in model.modules()) == count

    def test_a_yaml_file_may_say_separable(self, tmp_path):
        text = (ROOT / "dlka/models/configs/yolov8-dlka-neck.yaml").read_text()
        path = tmp_path / "yolov8n-mine.yaml"
        path.write_text(text.replace("offsets: dense", "offsets: separable"))
        model = dlka.YOLO(path)
        assert sum(isinstance(m, SeparableOffsetNet) for m in model.model.modules()) == 6
        assert len(model.predict(np.zeros((64, 64, 3), np.uint8), imgsz=64, verbose=False, device="cpu")) == 1


def boxes(model: dlka.YOLO) -> torch.Tensor:
    picture = str(ASSETS / "bus.jpg")
    return model.predict(picture, imgsz=160, conf=0.001, verbose=False, device="cpu")[0].boxes.data


def same_weights(one, other) -> bool:
    other = other.state_dict()
    return all(torch.equal(v, other[k]) for k, v in one.state_dict().items() if v.is_floating_point())


@pytest.mark.slow
class TestWeightsFiles:
    def test_shipped_ones_open_by_name_and_by_path(self):
        by_name, by_path = dlka.YOLO("neck"), dlka.YOLO(find("neck"))
        assert same_weights(by_name.model, load_model(find("neck"))[0])
        assert torch.equal(boxes(by_name), boxes(by_path))
        assert len(boxes(by_name)) > 0
        assert by_name.names[5] == "bus"

    def test_what_is_saved_opens_the_same_and_says_where_it_comes_from(self, tmp_path):
        model = dlka.YOLO("head")
        boxes(model)  # Ultralytics fuses what it looks with
        model.save(tmp_path / "mine.safetensors")
        again = dlka.YOLO(tmp_path / "mine.safetensors")
        assert same_weights(model.model, again.model)
        before, after = load_card(find("head")), load_card(tmp_path / "mine.safetensors")
        assert before.metrics
        assert not after.metrics  # they were measured on another file
        assert (after.placement, after.names, after.recipe) == (before.placement, before.names, before.recipe)

    def test_a_new_model_is_called_untrained(self, tmp_path):
        dlka.YOLO("yolov8s-dlka-residual.yaml").save(tmp_path / "new.safetensors")
        card = load_card(tmp_path / "new.safetensors")
        assert (card.placement, card.scale, card.recipe) == ("residual", "s", "a new model, not trained")

    def test_training_goes_on_from_one_with_other_classes(self, data, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        model = dlka.YOLO("neck")
        before = {k: v.clone() for k, v in model.model.state_dict().items()}
        settings = SETTINGS | {"lr0": 0.0, "val": False}
        model.train(data=str(data), epochs=1, project=str(tmp_path), name="on", **settings)
        started = model.trainer.ema.ema.state_dict()
        for name in ("model.0.conv.weight", "model.22.cv2.0.2.weight", "model.15.m.0.cv2.proj_2.weight"):
            torch.testing.assert_close(started[name].float(), before[name], rtol=1e-2, atol=1e-3)
        model.save("on.safetensors")
        net, card = load_model("on.safetensors")
        assert same_weights(net, model.model)
        assert (card.placement, card.names, card.input_size) == ("neck", CLASSES, 64)
        assert card.recipe.startswith("trained by dlka.YOLO from neck.safetensors")
        assert '"epochs": 1' in card.recipe
        assert card.data == "data.yaml, as the checkpoint says"
        assert torch.equal(boxes(dlka.YOLO("on.safetensors")), boxes(model))

    def test_training_starts_from_one_that_is_named(self, data, tmp_path):
        model = dlka.YOLO("yolov8n-dlka-neck.yaml")
        settings = SETTINGS | {"lr0": 0.0, "val": False}
        model.train(data=str(data), epochs=1, project=str(tmp_path), name="p", pretrained=str(find("neck")), **settings)
        wanted = load_model(find("neck"))[0].state_dict()["model.15.m.0.cv2.proj_2.weight"]
        started = model.trainer.ema.ema.state_dict()["model.15.m.0.cv2.proj_2.weight"].float()
        torch.testing.assert_close(started, wanted, rtol=1e-2, atol=1e-3)

    def test_load_takes_stock_ones_only(self):
        model = dlka.YOLO("yolov8n-dlka-residual.yaml").load(find("control"))
        assert model.ledger.totals()["copied"] == 3_157_200
        with pytest.raises(
            DlkaError, match=r"neck\.safetensors: expected the weights of a stock YOLOv8, got placement neck"
        ):
            model.load("neck")

    def test_rows_of_ones_own_are_kept_in_checkpoints_only(self, tmp_path):
        own = tmp_path / "yolov8n-one-block.yaml"
        text = (ROOT / "dlka/models/configs/yolov8-dlka-neck.yaml").read_text()
        own.write_text(text.replace("C2f_DLKA", "C2f", 1))
        model = dlka.YOLO(own)
        with pytest.raises(DlkaError, match=r"has other rows or widths; save it as a \.pt file"):
            model.save(tmp_path / "own.safetensors")
        model.save(tmp_path / "own.pt")
        again = dlka.YOLO(tmp_path / "own.pt")
        half = copy.deepcopy(model.model).half().float()
        assert same_weights(half, again.model)
        assert [type(m) for m in again.model.modules()] == [type(m) for m in half.modules()]

    def test_a_fused_model_is_called_fused(self, tmp_path):
        model = dlka.YOLO("neck").fuse(verbose=False)
        with pytest.raises(DlkaError, match="this model is fused"):
            model.save(tmp_path / "fused.safetensors")
        model.save(tmp_path / "fused.pt")
        with pytest.raises(DlkaError, match=r"fused\.pt is fused"):
            dlka.YOLO(tmp_path / "fused.pt")
        assert [p.name for p in tmp_path.iterdir()] == ["fused.pt"]


@pytest.mark.slow
class TestCheckpoints:
    def test_nothing_of_a_strangers_one_is_run(self, tmp_path):
        class Evil:
            def __reduce__(self):
                return os.mkdir, (str(tmp_path / "ran"),)

        torch.save({"model": Evil()}, tmp_path / "evil.pt")
        for use in (dlka.YOLO, dlka.YOLO("yolov8n.yaml").load, lambda p: dlka.YOLO("neck").train(pretrained=p)):
            with pytest.raises(DlkaError, match=r"evil\.pt is refused: it names posix\.mkdir"):
                use(tmp_path / "evil.pt")
        assert not (tmp_path / "ran").exists()

    def test_one_that_ultralytics_fine_tuned_keeps_the_wider_class_branch(self, tmp_path):
        """It begins with 80 classes, and goes on with two in branches of the old width."""
        torch.manual_seed(0)
        tuned = DetectionModel("yolov8n.yaml", nc=2, verbose=False)
        tuned.load(build_model("control"), verbose=False)
        tuned.names = CLASSES
        assert tuned.model[-1].cv3[0][-1].in_channels == 80
        torch.save({"model": tuned, "train_args": {"imgsz": 96}}, tmp_path / "tuned.pt")
        model = dlka.YOLO(tmp_path / "tuned.pt")
        assert model.names == CLASSES
        pictures = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            torch.testing.assert_close(model.model(pictures)[0], tuned.eval()(pictures)[0])

    def test_a_run_that_was_stopped_goes_on(self, data, tmp_path):
        class Stopped(Exception):
            pass

        def stop(trainer):
            raise Stopped

        model = dlka.YOLO("yolov8n-dlka-head.yaml")
        model.add_callback("on_model_save", stop)
        with pytest.raises(Stopped):
            model.train(data=str(data), epochs=2, project=str(tmp_path), name="r", **SETTINGS)
        last = tmp_path / "r" / "weights" / "last.pt"
        # In an own process, where nothing of this one helps, and without Ultralytics' full unpickler.
        code = "import sys, dlka; m = dlka.YOLO(sys.argv[1]); m.train(resume=True); print(m.trainer.start_epoch)"
        told = python(code, str(last), ULTRALYTICS_SAFE_LOAD="1").splitlines()[-1]
        assert told == "1"
        assert len((tmp_path / "r" / "results.csv").read_text().splitlines()) == 3
        with pytest.raises(DlkaError, match="is no checkpoint of an unfinished run: there is nothing to resume"):
            dlka.YOLO(last).train(resume=True)

    def test_a_whole_training_without_the_full_unpickler(self, data, tmp_path):
        code = (
            "import sys, json, dlka; m = dlka.YOLO('yolov8n-dlka-neck.yaml');"
            "m.train(data=sys.argv[1], epochs=1, project=sys.argv[2], name='s', **json.loads(sys.argv[3]));"
            "print(m.trainer.metrics['metrics/mAP50(B)'] >= 0, type(m.model).__name__)"
        )
        told = python(code, str(data), str(tmp_path), json.dumps(SETTINGS), ULTRALYTICS_SAFE_LOAD="1")
        assert told.splitlines()[-1] == "True DLKAModel"


class TestOtherVerbs:
    @pytest.mark.slow
    def test_export_is_the_projects_own(self, tmp_path):
        path = tmp_path / "mine.safetensors"
        dlka.YOLO("residual").save(path)
        model = dlka.YOLO(path)
        for _ in range(2):  # as Ultralytics does, a second one takes the place of the first
            assert model.export(format="torchscript", imgsz=640, dynamic=True) == str(tmp_path / "mine.torchscript")
        assert sorted(p.name for p in tmp_path.iterdir()) == ["mine.safetensors", "mine.torchscript"]
        assert not model.model.is_fused()

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"format": "openvino"}, "format openvino: OpenVINO"),
            ({"format": "nonsense"}, "expected one of onnx, torchscript, pt2"),
            ({"format": "onnx", "half": True}, "half=True is not done here"),
            ({"format": "onnx", "nms": True}, "nms=True is not done here"),
        ],
    )
    def test_other_formats_and_settings_are_refused(self, settings, says):
        with pytest.raises(DlkaError, match=says):
            dlka.YOLO("neck").export(**settings)

    def test_what_cannot_work_is_refused_in_a_sentence(self, monkeypatch):
        model = dlka.YOLO("neck")
        with pytest.raises(DlkaError, match="tune: Ultralytics' own search starts a program for every trial"):
            model.tune(data="data.yaml", iterations=2)
        with pytest.raises(DlkaError, match="benchmark: Ultralytics measures its own exporters"):
            model.benchmark(data="data.yaml")
        monkeypatch.setattr("dlka.yolo.find_spec", lambda name: None)
        with pytest.raises(DlkaError, match="pip install lap"):
            model.track(str(ASSETS / "bus.jpg"))

    def test_info_embed_and_callbacks(self):
        model, seen = dlka.YOLO("neck"), []
        model.add_callback("on_predict_start", seen.append)
        assert model.embed(str(ASSETS / "bus.jpg"), imgsz=64, verbose=False, device="cpu")[0].shape == (256,)
        assert len(seen) == 1
        assert model.info(verbose=True)[1] == sum(p.numel() for p in model.model.parameters())
