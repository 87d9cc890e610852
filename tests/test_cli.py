"""The command line: what each command says, its exit status, and one sentence for every mistake of the user."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest
import torch
import yaml
from ultralytics.utils import ASSETS

from dlka.analysis.examples import examples
from dlka.cli import MODEL, PHOTOGRAPHS, as_flags, build_parser, main
from dlka.errors import DlkaError
from dlka.models import catalog
from dlka.printing import table

ROOT = Path(__file__).resolve().parent.parent
ARTICLE = Path(__file__).parent / "models" / "article_one.yaml"
COMMANDS = [
    "compare",
    "many",
    "predict",
    "stages",
    "doctor",
    "convert",
    "fetch",
    "draw-scenes",
    "sizes",
    "train",
    "val",
    "evidence",
]
COMMANDS += ["predict", "push", "pull", "uses", "train-letter", "bench", "export", "serve"]


def refused(capsys, *argv) -> str:
    """The sentence of a command that is refused with status 2."""
    assert main([str(a) for a in argv]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("dlka: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err.removeprefix("dlka: ").strip()


def test_one_model_is_the_default():
    assert (MODEL, PHOTOGRAPHS) == (catalog.DEFAULT, catalog.PHOTOGRAPHS)


@pytest.mark.slow
def test_help_needs_nothing_heavy():
    code = (
        "import sys; from dlka.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'ultralytics', 'gradio', 'matplotlib', 'cv2', 'numba'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    for argv in (["--help"], *([c, "--help"] for c in COMMANDS)):
        done = subprocess.run([sys.executable, "-c", code, *argv], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stdout.startswith("usage: dlka")


@pytest.mark.slow
def test_the_module_runs():
    done = subprocess.run([sys.executable, "-m", "dlka"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "the following arguments are required: COMMAND" in done.stderr


@pytest.mark.slow
def test_a_refusal_reaches_the_shell_without_a_traceback(tmp_path):
    argv = [sys.executable, "-m", "dlka", "doctor", str(tmp_path / "none.yaml")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "dlka: none.yaml cannot be read: No such file or directory.\n"


@pytest.mark.parametrize(
    ("argv", "part"),
    [
        (["stages", "--model", "nothing"], "expected one of"),
        (["stages", "--model", "yolov8n"], "get it with: python -m dlka fetch yolov8n"),
        (["stages", "--model", "none.safetensors"], "there is no such file"),
        (["stages", "--model", "some.pt"], "convert it first: python -m dlka convert"),
        (["stages", "--size", "33"], "size: expected a multiple of 32 from 32 to 4096, got 33"),
        (["compare", "a.jpg", "--out", "o", "--model", "nothing"], "got 'nothing'"),
        (["compare", "a.jpg", "--out", "o", "--size", "33"], "size: expected a multiple of 32"),
        (["compare", "a.jpg", "--out", "o", "--confidence", "7"], "confidence and iou: expected 0 to 1"),
        (["compare", "a.jpg", "--out", "o", "--strength", "nan"], "Deformation strength: expected 0 to 2; got nan"),
        (["doctor", "."], "cannot be read"),
        (["convert", "none.pt", "b.safetensors"], "none.pt: there is no such file"),
        (["convert", "none.pt", "b.pt"], "ends in .safetensors"),
        (["fetch", "yolov8t"], "expected one of yolov8n, yolov8s"),
        (["bench", "ops", "--rounds", "0"], "expected at least 1"),
        (["bench", "ops", "--device", "cuda", "--threads", "2"], "--threads: with --device cuda there are none"),
        (["bench", "model", "--sizes", "320", "33"], "sizes: expected multiples of 32"),
        (["bench", "model", "--device", "abacus"], "device: expected cpu, cuda or mps, of which torch finds cpu"),
        (["bench", "page", "--compares", "0"], "expected at least 1 comparison"),
        (["bench", "ops", "--json", "none/a.json"], "--json none/a.json: there is no folder none to write to"),
        (["bench", "model", "--json", "."], "--json .: expected the name of a file, got a folder"),
        (["val", "--model", "neck", "--data", ".", "--json", "none/a.json"], "there is no folder none"),
        (["export", "--format", "zebra"], "expected one of onnx, torchscript, pt2, got 'zebra'"),
        (["export", "--format", "openvino"], "has no conversion rule for ONNX's DeformConv; use --format onnx"),
        (["export", "--format", "onnx", "--model", "nothing"], "got 'nothing'"),
        (["export", "--format", "pt2", "--out", "none/a.pt2"], "none: there is no such folder to write to"),
        (["train", "--placement", "side", "--data", ".", "--start", "a.pt", "--out", "o.safetensors"], "placement"),
        (["train", "--placement", "neck", "--data", ".", "--start", "a.pt", "--out", "o.safetensors"], "data.yaml"),
    ],
    ids=" ".join,
)
def test_mistakes_are_one_sentence(argv, part, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert part in refused(capsys, *argv)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["folder", "pipe", "loop", "device", "long", "inside"])
@pytest.mark.parametrize(
    "command", [["doctor"], ["convert"], ["replay"], ["train", "--resume"], ["val", "--model", "neck", "--data"]]
)
def test_a_path_that_is_no_such_file_is_one_sentence(tmp_path, capsys, command, kind):
    path = tmp_path / "given"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "inside":
        path.write_text("a file")
        path /= "inside"
    else:
        path = tmp_path / ("x" * 5000)
    assert main([*command, str(path), *(["out.safetensors"] if command == ["convert"] else [])]) == 2
    *progress, said = capsys.readouterr().err.splitlines()
    assert progress in ([], ["Measuring neck ..."])
    assert said.startswith("dlka: ")
    assert len(said) < 900


@pytest.mark.parametrize("argv", [["val", "--model", "control"], ["bench"], ["compare", "--out", "o"], ["swim"]])
def test_flags_that_are_missing(argv, capsys):
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2


def _fail(error):
    raise error


@pytest.mark.parametrize(
    "error",
    [KeyError("a bug"), ValueError("shapes (3,2) and (4,) not aligned"), RuntimeError("a bug"), OSError("a bug")],
    ids=lambda e: type(e).__name__,
)
def test_faults_of_the_program_keep_their_traceback_and_are_not_the_users(monkeypatch, capsys, error):
    from dlka.inference import prepared

    monkeypatch.setattr(prepared, "stage_rows", lambda *_: _fail(error))
    assert main(["stages"]) == 70
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "in _fail" in said
    assert said.endswith("dlka: something broke here, it was not your input; the lines above say where.\n")


def test_a_refusal_is_one_sentence(monkeypatch, capsys):
    from dlka.inference import prepared

    monkeypatch.setattr(prepared, "stage_rows", lambda *_: _fail(DlkaError("size: expected\n32, got 31")))
    assert main(["stages"]) == 2
    assert capsys.readouterr().err == "dlka: size: expected 32, got 31\n"


def test_compare_writes_and_counts(tmp_path, capsys):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff nothing")
    argv = ["compare", ASSETS / "zidane.jpg", broken, "none.jpg", "--model", "control", "--out", tmp_path / "out"]
    assert main([str(a) for a in [*argv, "--size", "160"]]) == 1
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith(f"{ASSETS / 'zidane.jpg'}: ")
    assert lines[0].endswith(f"-> {tmp_path / 'out/zidane'}")
    assert lines[-1] == "3 pictures: 1 compared, 2 failed."
    assert err.count("\n") == 2
    assert "The picture file 'none.jpg' cannot be opened" in err
    report = json.loads((tmp_path / "out/zidane/comparison.json").read_text())
    assert report["settings"]["size"] == 160


def test_compare_of_good_pictures_is_zero(tmp_path, capsys):
    argv = ["compare", ASSETS / "zidane.jpg", "--model", "control", "--out", tmp_path, "--size", "160"]
    assert main([str(a) for a in argv]) == 0
    assert capsys.readouterr().out.endswith("1 picture: 1 compared, 0 failed.\n")


def test_stages(capsys):
    from dlka.models.catalog import find
    from dlka.models.weights import load_model

    assert main(["stages", "--model", "residual", "--size", "320"]) == 0
    first, header, *lines = capsys.readouterr().out.splitlines()
    assert first == "residual, input 320x320 px"
    assert header.split() == ["name", "level", "kernel", "dilation", "stride", "map", "channels", "parameters"]
    assert len(lines) == 6
    model, _ = load_model(find("residual"))
    for line, (level, kernel, dilation, stride, side) in zip(
        lines,
        [(f"P{p}", k, d, 2**p, 320 >> p) for p in (3, 4, 5) for k, d in (("5x5", 1), ("7x7", 3))],
    ):
        name, *cells = line.split()
        count = sum(p.numel() for p in model.get_submodule(name).parameters())
        assert cells[:5] == [level, kernel, str(dilation), str(stride), f"{side}x{side}"]
        assert cells[6] == f"{count:,}"
    assert main(["stages", "--model", "scenes"]) == 0
    assert capsys.readouterr().out.startswith("scenes, input 160x160 px\n"), "what suits the model"
    assert main(["stages", "--model", "control"]) == 0
    assert capsys.readouterr().out == "control has no deform stages.\n"


@pytest.mark.slow
def test_doctor_mends_the_article(tmp_path, capsys):
    file = tmp_path / "one.yaml"
    file.write_bytes(ARTICLE.read_bytes())
    assert main(["doctor", str(file)]) == 1
    assert "did you mean [-1, 1, Conv, [128, 3, 2]]?" in capsys.readouterr().out
    assert [p.name for p in tmp_path.iterdir()] == ["one.yaml"]

    assert main(["doctor", str(file), "--fix"]) == 0
    mended = tmp_path / "one-mended.yaml"
    assert f"The mended file is {mended}." in capsys.readouterr().out
    assert file.read_bytes() == ARTICLE.read_bytes()
    assert main(["doctor", str(mended)]) == 0

    from dlka.models.build import DLKAModel

    assert DLKAModel(mended, verbose=False).stride.tolist() == [8, 16, 32]

    before = mended.read_bytes()
    mended.write_bytes(before + b"# mine\n")
    assert main(["doctor", str(file), "--fix"]) == 2
    assert "exists already; give another name" in capsys.readouterr().err
    assert mended.read_bytes().endswith(b"# mine\n")


@pytest.mark.slow
def test_doctor_writes_where_it_is_told(tmp_path, capsys):
    file, out = tmp_path / "one.yaml", tmp_path / "two.yaml"
    file.write_bytes(ARTICLE.read_bytes())
    assert main(["doctor", str(file), "--fix", str(out)]) == 0
    assert main(["doctor", str(file), "--fix", str(out)]) == 2
    assert main(["doctor", str(file), "--fix", str(file)]) == 0  # over the input, because it says so
    assert file.read_bytes() == out.read_bytes()
    assert main(["doctor", str(file), "--fix"]) == 0  # nothing is wrong any more, so nothing is written
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.yaml", "two.yaml"]


def test_doctor_leaves_no_file_for_what_it_cannot_mend(tmp_path, capsys):
    content = yaml.safe_load(ARTICLE.read_text())
    content["head"][-1][0] = [2, 3]
    content["head"][-1][2] = "Zebra"
    file = tmp_path / "one.yaml"
    file.write_text(yaml.safe_dump(content))
    assert main(["doctor", str(file), "--fix"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["one.yaml"]


@pytest.mark.slow
def test_convert(tmp_path, capsys):
    from dlka.models.build import build_model

    model = build_model("head", "n", 2)
    model.names = {0: "a", 1: "b"}
    torch.save({"model": model}, tmp_path / "a.pt")
    out = tmp_path / "b.safetensors"
    assert main(["convert", str(tmp_path / "a.pt"), str(out)]) == 0
    assert capsys.readouterr().out.startswith(f"{out}: head, scale n, 2 classes, converted from a.pt, sha256 ")
    assert "exists already" in refused(capsys, "convert", tmp_path / "a.pt", out)


def test_arguments_as_ultralytics_users_type_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("a=b.jpg").touch()
    typed = ["compare", "source=bus.jpg", "a=b.jpg", "conf=0.5", "model=neck", "imgsz=320", "--out=o"]
    flags = as_flags(typed, build_parser())
    assert flags == [
        "compare",
        "bus.jpg",
        "a=b.jpg",
        "--confidence",
        "0.5",
        "--model",
        "neck",
        "--size",
        "320",
        "--out=o",
    ]
    args = build_parser().parse_args(flags)
    assert (args.images, args.confidence, args.model, args.size) == (["bus.jpg", "a=b.jpg"], 0.5, "neck", 320)


def test_predict_says_what_a_model_finds(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    scene = next(path for path in examples().values() if path.name == "scene-3.png")
    Path("many").mkdir()
    for name in ("many/a.png", "many/b.png"):
        Path(name).write_bytes(scene.read_bytes())
    argv = ["predict", "many", "none.png", "--model", "scenes", "--out", "out", "--json", "found.json"]
    assert main(argv) == 1, "one picture is not there"
    said = capsys.readouterr()
    assert [line.partition(": ")[0] for line in said.out.splitlines()] == ["many/a.png", "many/b.png"]
    assert "4 H" in said.out
    assert "none.png: The picture file 'none.png' cannot be opened" in said.err
    assert {path.name for path in Path("out").iterdir()} == {"a.png", "b.png"}
    found = json.loads(Path("found.json").read_text())
    assert [len(each["boxes"]) for each in found["pictures"]] == [12, 12]
    assert main(["predict", "many/*.png", "--model", "scenes", "--classes", "ring", "--strength", "0"]) == 0
    assert "H" not in capsys.readouterr().out


def test_weights_are_named_by_their_file_whatever_they_are_called(tmp_path, capsys):
    """Also where a model that ships is called alike, or is the same file."""
    mine, picture = tmp_path / "scenes.safetensors", next(p for p in examples().values() if p.name == "scene-3.png")
    mine.write_bytes(catalog.find("scenes").read_bytes())
    for model in (mine, catalog.find("scenes")):
        argv = [str(picture), "--model", str(model), "--size", "160"]
        assert main(["compare", *argv, "--baseline", "scenes-rigid", "--out", str(tmp_path / "out")]) == 0
        assert main(["predict", *argv, "--json", str(tmp_path / "found.json")]) == 0
    made = json.loads((tmp_path / "found.json").read_text())
    assert made["model"]["id"] == "scenes"
    assert len(made["model"]["sha256"]) == 64
    assert "torch" in made["versions"]
    capsys.readouterr()


@pytest.mark.slow
def test_checkpoints_are_compared(shared, tmp_path):
    picture = str(examples()["Two people"])
    checkpoint = str(shared / "weights" / "yolov8n.pt")
    argv = ["compare", picture, "--model", "head", "--baseline", checkpoint, "--out", str(tmp_path), "--size", "160"]
    # In a process of its own, as the checkpoint stands among its models from then on.
    done = subprocess.run([sys.executable, "-m", "dlka", *argv], cwd=ROOT, capture_output=True, text=True)
    assert "1 compared, 0 failed" in done.stdout


def test_what_nobody_knows_is_refused(capsys):
    with pytest.raises(SystemExit) as status:
        main(["stages", "colour=red"])
    assert status.value.code == 2
    assert "unrecognized arguments: --colour red" in capsys.readouterr().err


@pytest.mark.slow
def test_the_app_takes_the_flags_of_serve():
    done = subprocess.run([sys.executable, ROOT / "app.py", "--colour", "red"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "unrecognized arguments: --colour red" in done.stderr


def test_fetch(monkeypatch, capsys):
    from dlka.models import catalog

    monkeypatch.setattr(catalog, "fetch", lambda name: Path("weights") / f"{name}.safetensors")
    assert main(["fetch", "yolov8n"]) == 0
    assert capsys.readouterr().out == "yolov8n is ready: weights/yolov8n.safetensors.\n"


def test_train_flags_are_the_recipe():
    parsed = vars(build_parser().parse_args(["train", "--crop", "64", "--lr", "0.5", "--bfloat16", "--teacher", "t"]))
    assert {name: parsed[name] for name in ("crop", "lr", "bfloat16", "teacher")} == {
        **{"crop": 64, "lr": 0.5, "bfloat16": True, "teacher": "t"},
    }
    assert "epochs" not in parsed, "what is not given is the recipe's default"


def test_train_passes_what_it_was_given(monkeypatch, tmp_path, capsys):
    from dlka.train import training

    calls = []
    monkeypatch.setattr(training, "train", lambda *call: calls.append(call) or call[1])
    monkeypatch.setattr(training, "resume", lambda *call: calls.append(call) or Path("w.safetensors"))
    monkeypatch.setenv("YOLO_VERBOSE", "0")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cells.yaml").write_text("names: [a]")
    given = ["--placement", "neck", "--data", "cells.yaml"]
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs/cells-neck.safetensors").touch()
    assert main(["train", *given, "--out", "weights/neck.safetensors"]) == 0
    more = ["--run", "r", "--copied-lr", "1e-5", "--device", "0,1"]
    assert main(["train", *given, "--out", "w.safetensors", *more]) == 0
    assert main(["train", *given]) == 0
    assert main(["train", "--resume", "r", "--device", "cpu"]) == 0
    recipe = training.Recipe("neck", "cells.yaml")
    assert calls == [
        (recipe, Path("weights/neck.safetensors"), Path("runs/neck"), None),
        (training.Recipe("neck", "cells.yaml", copied_lr=1e-5), Path("w.safetensors"), Path("r"), "0,1"),
        (recipe, Path("runs/cells-neck-2.safetensors"), Path("runs/cells-neck-2"), None),
        (Path("r"), "cpu"),
    ]
    assert "Written: w.safetensors; logs and curves: r." in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        ([], "train needs --placement and --data, or --resume with the folder of a run"),
        (["--data", "d"], "train needs --placement and --data"),
        (["--resume", "r", "--copied-lr", "1", "--out", "o"], "leave out --copied-lr, --out"),
        (["--resume", "r"], "r: expected the folder of a run, with recipe.json in it"),
    ],
)
def test_train_says_what_is_missing(capsys, argv, says):
    assert says in refused(capsys, "train", *argv)


@pytest.mark.slow
def test_training_shows_its_progress():
    code = (
        "import os, sys; from dlka.cli import main\n"
        "main(['train', '--placement', 'neck', '--data', 'none', '--start', 'none.pt', '--out', 'none.safetensors'])\n"
        "from ultralytics.utils import VERBOSE, ONLINE\n"
        "sys.exit(0 if VERBOSE and not ONLINE else 3)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_val_prints_one_table_for_all_models(monkeypatch, tmp_path, capsys):
    from dlka.train import val

    def run(model, data, size, watch=None):
        metrics = dict.fromkeys(val.METRICS, 0.4126) | {"AP_L": None}
        moved = [{"stage": "m.conv0", "label": "P3 5x5", "moved": 0.5, "mean_cells": 0.25}] if model == "neck" else []
        return {
            "model": model,
            "metrics": metrics,
            "stage_offsets": moved,
            "data": data,
            "pictures": 3,
            "objects": 7,
            "settings": {"size": size or (160 if model == "neck" else 640)},
            "left_out": ["2 boxes of dragon are left out."],
        }

    monkeypatch.setattr(val, "run_val", run)
    file = tmp_path / "val.json"
    argv = ["val", "--model", "control", "--model", "neck", "--data", "set", "--json", str(file)]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    assert err.count("2 boxes of dragon are left out.") == 2  # once a model, beside the table
    lines = [line.split() for line in out.splitlines()]
    assert lines == [
        ["set", "val,", "3", "pictures,", "7", "objects"],
        ["model", "px", "AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L"],
        ["control", "640", *["41.3"] * 5, "-"],
        ["neck", "160", *["41.3"] * 5, "-"],
        [],
        ["model", "stage", "over", "0.1", "cell", "(%)", "mean", "(cells)"],
        ["neck", "P3", "5x5", "50.0", "0.25"],
    ]
    assert [r["model"] for r in json.loads(file.read_text())] == ["control", "neck"]


@pytest.mark.slow
def test_bench(monkeypatch, tmp_path, capsys):
    from dlka.bench import ops

    monkeypatch.setattr(ops, "MAPS", {"P3": (2, 5)})
    file = tmp_path / "bench.json"
    assert main(["bench", "ops", "--rounds", "1", "--threads", "1", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["operator", "pass"]
    assert set(lines[0].split()[2:]) >= {"numba", "torch", "torchvision"}
    assert sum(line.startswith("P3 5x5") for line in lines) == 4  # times and memory of two passes
    assert any(line.startswith("peak memory, MB") and "column buffer" in line for line in lines)
    assert max(len(line) for line in lines if not line.startswith("dlka ")) <= 120
    assert sum(line.startswith("torchvision / it") for line in lines) == 2
    assert "threads: 1, cores: " in out
    assert "torchvision 0" in out
    assert json.loads(file.read_text())["rounds"] == 1


def test_export_says_what_it_wrote_and_measured(monkeypatch, tmp_path, capsys):
    from dlka.export import exporter
    from dlka.export.check import Agreement

    file, calls = tmp_path / "neck.onnx", []
    checks = tuple(
        Agreement("bus.jpg", (n, 3, 64, 32), 7, 0.0012, 1e-6, further) for n, further in ((1, None), (2, 0.5))
    )

    def run(*call):
        calls.append(call)
        file.write_bytes(bytes(3 << 20))
        return exporter.Exported(file, {"images": "[batch]", "output0": "[cells]"}, "a runtime", "a reader", checks)

    monkeypatch.setattr(exporter, "export_model", run)
    assert main(["export", "--model", "neck", "--format", "onnx", "--out", str(file), "--internals"]) == 0
    assert main(["export", "--format", "pt2"]) == 0
    assert calls == [("neck", "onnx", str(file), True), (MODEL, "pt2", None, False)]
    lines = capsys.readouterr().out.splitlines()[:8]
    assert lines[:3] == [f"{file}: 3.0 MB; open it with a reader.", "  images [batch]", "  output0 [cells]"]
    assert "run by a runtime" in lines[4]
    assert [line.split() for line in lines[6:]] == [
        ["bus.jpg", "1x3x64x32", "7", "0.0012", "1e-06", "-"],
        ["bus.jpg", "2x3x64x32", "7", "0.0012", "1e-06", "0.5"],
    ]


@pytest.mark.slow
def test_bench_model(tmp_path, capsys):
    file = tmp_path / "bench.json"
    argv = ["--models", "neck", "--offsets", "separable", "--sizes", "32", "64", "--batches", "1", "2", "--rounds", "1"]
    assert main(["bench", "model", *argv, "--threads", "1", "--json", str(file)]) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].startswith("model    scale  offsets    backend  in       px  batch")
    assert [line.split()[0] for line in lines[1:7]] == ["control", "neck"] * 3
    assert "/ stock" in lines[0]
    assert "overhead, ms" in out
    assert "threads: 1, cores: " in out
    assert "scale n, 64 px, batch 1 ..." in err
    assert len(json.loads(file.read_text())["rows"]) == 6


def test_bench_page(monkeypatch, tmp_path, capsys):
    from dlka.bench import page

    spread = {"least": 250.4, "median": 300.0, "most": 1400.0}
    result = {
        "start": 4012.0,
        "phases": [{"phase": "import torch", "milliseconds": 812.3, "megabytes": 531.0}],
        "parts": {"both models": 95.5},
        "compare": spread,
        "what if": spread,
        "memory": {"started": 910.4, "after the comparisons": 1100.0},
        "payload": {"at once": 1.66, "gates": 0.4},
        "frames": {"a second": 49.7, "slowest of 20, ms": 33.2},
    }
    monkeypatch.setattr(page, "bench_page", lambda compares: result | {"compares": compares})
    file = tmp_path / "bench.json"
    assert main(["bench", "page", "--compares", "3", "--json", str(file)]) == 0
    out = capsys.readouterr().out
    assert ["import", "torch", "812.3", "531.0"] in [line.split() for line in out.splitlines()]
    assert ["start", "to", "first", "answer", "4012.0", "-", "-"] in [line.split() for line in out.splitlines()]
    assert ["compare", "250.4", "300.0", "1400.0"] in [line.split() for line in out.splitlines()]
    assert ["what", "if", "250.4", "300.0", "1400.0"] in [line.split() for line in out.splitlines()]
    assert "under a moving pointer: a second 50, slowest of 20, ms 33." in out
    assert "A photograph to the browser, MB compressed: at once 1.66, gates 0.40." in out
    assert "Resident: 910 MB started, 1100 MB after the comparisons. 3 comparisons" in out
    assert json.loads(file.read_text())["machine"]["threads"] >= 1


def test_bench_model_flags_are_its_arguments(monkeypatch):
    from dlka.bench import model

    given = {}
    monkeypatch.setattr(model, "bench_model", lambda **k: given.update(k) or _fail(DlkaError("stop")))
    flags = {"--models": "neck head", "--offsets": "none", "--scales": "n s", "--backends": "torch", "--device": "cuda"}
    numbers = {"--sizes": "64 96", "--batches": "1 4", "--threads": "3", "--rounds": "7"}
    argv = [word for flag, words in (flags | numbers).items() for word in (flag, *words.split())]
    assert main(["bench", "model", *argv, "--bfloat16"]) == 2
    assert given == {
        **{"models": ["neck", "head"], "offsets": ["none"], "scales": ["n", "s"], "backends": ["torch"]},
        **{"device": "cuda", "sizes": [64, 96], "batches": [1, 4], "threads": 3, "rounds": 7, "bfloat16": True},
    }


def test_serve_starts_the_page(monkeypatch):
    calls = []
    app = types.ModuleType("dlka.ui.app")
    app.serve = lambda host, port, models: calls.append((host, port, models))
    monkeypatch.setitem(sys.modules, "dlka.ui.app", app)
    assert main(["serve"]) == 0
    assert main(["serve", "--host", "0.0.0.0", "--port", "80"]) == 0
    assert calls == [(None, None, (None, None)), ("0.0.0.0", 80, (None, None))]


def test_a_model_that_gives_no_numbers_is_one_sentence(monkeypatch, capsys):
    from dlka.inference.predictor import PredictionFailed
    from dlka.train import val

    def run(*_, **__):
        raise PredictionFailed("The model's output is not finite.")

    monkeypatch.setattr(val, "run_val", run)
    assert main(["val", "--model", "neck", "--data", "d"]) == 2
    assert capsys.readouterr().err.endswith("dlka: The model's output is not finite.\n")


def test_table():
    rows = [{"name": "a", "n": 1234, "x": 0.12345, "y": None}, {"name": "long", "n": 5, "x": 12.345, "y": 0.0}]
    assert table(rows).splitlines() == [
        "name      n      x  y",
        "a     1,234  0.123  -",
        "long      5   12.3  0",
    ]


def test_every_command_is_documented():
    text = build_parser().format_help()
    assert all(f"    {command}" in text for command in COMMANDS)
