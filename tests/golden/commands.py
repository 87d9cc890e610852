"""What the command line gives: help, results, files, exit statuses and sentences, through `python -m dlka` itself."""

from __future__ import annotations

import contextlib
import io
import os
import re
import runpy
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dlka  # noqa: F401 - first: it sets the switches that Ultralytics reads when it is imported
from tests.golden import digest
from tests.golden.digest import ROOT

SCENE, DOTS = ROOT / "assets" / "scene-3.png", ROOT / "assets" / "dots-and-curves.png"
CASES = ROOT / "tests" / "cases"
LONGEST = 3000  # characters of what a command prints
# What is measured against PyTorch is rounding noise, and the path of a fresh process is a machine's.
NOISE = re.compile(r"\b\d(\.\d+)?e-\d\d\b|\b0\.00\d+\b|(?<=x\d{3})(?P<boxes> +\d+) +0?[\d.e-]+ +[\d.e-]+(?= )")
MODELS = ("scenes", "scenes-rigid", "neck", "residual", "head", "control", "hit-uav-head")
# name: the command's words. Commands run in this order in one folder, DIR, so that one finds what another has written.
WORKING = {
    "draw-scenes": "draw-scenes --out drawn --count 4 --seed 0 --val 3",
    "draw-scenes, one picture": "draw-scenes --out drawn-one --count 1 --seed 7",
    **{f"stages, {model}": f"stages --model {model} --size 320" for model in MODELS},
    "compare, scenes": f"compare {SCENE} --model scenes --out compared",
    "compare, photograph": "compare BUS --size 320 --model residual --baseline control --out street --confidence 0.4",
    "compare, strength": f"compare {DOTS} --model neck --size 320 --strength 0.5 --iou 0.5 --out dots",
    "compare, several": f"compare {SCENE} none.png {DOTS} --size 160 --model scenes --out several",
    "predict": f"predict {SCENE} --model scenes --json found.json",
    "completion": "completion bash",
    "sizes": "sizes scenes",
    "sizes, svg": "sizes scenes --shape ring --stage 'P3 7x7 d3' --out ring.svg",
    "sizes, pdf": "sizes scenes --shape T --out t.pdf",
    "val": "val --model scenes --model scenes-rigid --data drawn --size 320 --json val.json",
    "uses": "uses scenes --data drawn --size 320 --limit 2 --json uses.json",
    "train": "train --data drawn --placement one-level --offsets separable --start none --epochs 1 --size 64 --batch 2 "
    "--frozen 0 --out trained.safetensors --run trained --device cpu",
    "convert": "convert stock.pt stock.safetensors",
    "val, converted": "val --model stock.safetensors --data drawn --size 64",
    "export, onnx": "export --model scenes --format onnx --out scenes.onnx --internals",
    "export, torchscript": "export --model scenes-rigid --format torchscript --out rigid.torchscript",
    "export, pt2": "export --model scenes --format pt2 --out scenes.pt2",
    "evidence": "evidence --out evidence",
}
REFUSED = (
    "",
    "swim",
    "bench",
    "compare --out o",
    "val --model control",
    "many nothing --out o",
    "segment nothing.nii.gz --model nobody --out o",
    "train-seg",
    "train-seg --data nothing",
    "val-seg --model nobody --data nothing",
    "many nothing --out o --workers 2",
    "stages --model nothing",
    "stages --model yolov8n",
    "stages --model none.safetensors",
    "stages --model some.pt",
    "stages --size 33",
    "stages --size many",
    "compare a.jpg --out o --model nothing",
    "compare a.jpg --out o --model head --baseline scenes",
    "compare a.jpg --out o --size 33",
    "compare a.jpg --out o --confidence 7",
    "compare a.jpg --out o --strength nan",
    "compare a.jpg --out o --size 0",
    "compare a.jpg --out o --device abacus",
    "predict a.jpg --classes 99",
    "compare a.jpg --out o",
    "doctor .",
    "doctor none.yaml",
    "convert none.pt b.safetensors",
    "convert none.pt b.pt",
    "convert drawn b.safetensors",
    "fetch yolov8t",
    "pull 'no repository'",
    "push nothing me/nothing",
    "draw-scenes --out drawn --count 4",
    "draw-scenes --out new --count 0",
    "sizes scenes --shape Q",
    "sizes scenes --stage P5",
    "sizes control",
    "sizes scenes --out sizes.gif",
    "train",
    "train --data d",
    "train --resume r --copied-lr 1 --out o",
    "train --resume r",
    "train --placement side --data drawn",
    "train --placement neck --data .",
    "train --placement neck --data drawn --size 33",
    "train --placement neck --data drawn --epochs 0",
    "train --placement neck --data drawn --device abacus",
    "train-letter --seeds 0",
    "val --model neck --data .",
    "val --model neck --data drawn",
    "val --model scenes --data drawn --json none/a.json",
    "uses scenes --data drawn --limit 2 --write",
    "uses control --data drawn",
    "uses scenes-rigid --data drawn",
    "evidence --data d",
    "evidence --rerun",
    "evidence --ship w --out o",
    "evidence --runs none",
    "bench ops --rounds 0",
    "bench ops --device cuda --threads 2",
    "bench model --sizes 320 33",
    "bench model --device abacus",
    "bench model --models side",
    "bench page --compares 0",
    "bench folder --count 0",
    "bench gpu --device moon",
    "bench ops --volume --device cuda",
    "bench load --clients 0",
    "bench memory --uploads 0",
    "bench ops --json none/a.json",
    "export --format zebra",
    "export --format openvino",
    "export --format onnx --model nothing",
    "export --format pt2 --out none/a.pt2",
    "replay none.json",
    "replay drawn/data.yaml",
    "serve --port 0",
    "serve --port 70000",
    "serve --host nowhere.invalid",
)


def helps() -> dict[str, Any]:
    """The help text of the command line and of every command, found by following the lists of commands in them."""
    found: dict[str, Any] = {}
    waiting: list[str] = [""]
    with _folder() as folder:
        while waiting:
            words = waiting.pop(0)
            told = _run(f"{words} --help", folder)
            found[f"python -m dlka {words}".strip()] = told["out"]
            waiting += [f"{words} {name}".strip() for name in commands_in(told["out"])]
    return found


def commands_in(lines: list[str]) -> list[str]:
    """The commands that a help text lists: of argparse's subparsers, four spaces before their names."""
    if not any(re.fullmatch(r"  [A-Z]+", line) for line in lines):
        return []
    return [m[1] for line in lines if (m := re.match(r"    ([a-z][a-z-]*)(  |$)", line))]


def results() -> dict[str, Any]:
    """What commands print, write and return on the weights and pictures that ship."""
    found = {}
    with _folder() as folder:
        _write_checkpoint(folder / "stock.pt")
        for name, words in WORKING.items():
            found[name] = run(words, folder)
        for path in (*sorted((CASES / "yaml").glob("*.yaml")), *sorted((ROOT / "tests/models").glob("article*.yaml"))):
            shutil.copyfile(path, folder / path.name)
            found[f"doctor, {path.name}"] = run(f"doctor {path.name}", folder)
            found[f"doctor --fix, {path.name}"] = run(f"doctor {path.name} --fix mended-{path.name}", folder)
        for name in ("yolov8n-dlka-neck.yaml", "yolov8n-one-level.yaml", "yolov8n.yaml"):
            found[f"doctor, a shipped {name}"] = run(f"doctor {name}", folder)
    return found


def refusals() -> dict[str, Any]:
    """The sentence and exit status of every mistake."""
    found = {}
    with _folder() as folder:
        _run("draw-scenes --out drawn --count 1 --val 1", folder)
        for words in REFUSED:
            found[f"python -m dlka {words}".strip()] = run(words, folder)
        for path in sorted((CASES / "checkpoints").glob("*.pt")):
            found[f"convert, {path.name}"] = run(f"convert {path} never.safetensors", folder)
        for path in sorted(p for p in (CASES / "data").iterdir() if p.is_dir()):
            shutil.copytree(path, folder / path.name)
            found[f"val, {path.name}"] = run(f"val --model control --data {path.name} --size 64", folder)
    return found


def run(words: str, folder: Path, longest: int = LONGEST) -> dict[str, Any]:
    """One command in a folder: its exit status, what it prints, and the files that it writes."""
    before = set(_files(folder))
    told = _run(words, folder)
    if "export" in words:
        told["out"] = [NOISE.sub("~", line) for line in told["out"]]
    files = {str(p.relative_to(folder)): p for p in sorted(set(_files(folder)) - before)}
    result: dict[str, Any] = {"exit": told["exit"]}
    for stream in ("out", "err"):
        if told[stream]:
            result[stream] = digest.text("\n".join(told[stream]), longest)
    if files:
        result["files"] = {name: _file(path, folder) for name, path in files.items()}
    return result


def _file(path: Path, folder: Path) -> Any:
    """The digest of a file; of what Ultralytics writes for itself only that it is there."""
    if path.suffix in (".log", ".cache") or path.parent.name == "ultralytics":
        return "is there"
    return digest.file(path, folder)


def _files(folder: Path) -> Iterator[Path]:
    return (p for p in folder.rglob("*") if p.is_file() and not p.name.startswith("."))


def _run(words: str, folder: Path) -> dict[str, Any]:
    """Exit status and lines of `python -m dlka WORDS` in this process, which has imported what is large only once."""
    import ultralytics  # noqa: F401 - not first inside a command: its log would go where that command prints

    words = words.replace("BUS", str(photograph("bus.jpg"))).replace("ZIDANE", str(photograph("zidane.jpg")))
    out, err, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["dlka", *shlex.split(words)]
    try:
        with _chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            runpy.run_module("dlka", run_name="__main__", alter_sys=True)
        status: Any = None
    except SystemExit as stopped:
        status = stopped.code
    finally:
        sys.argv = before
    return {"exit": status, "out": _lines(out, folder), "err": _lines(err, folder)}


def _lines(stream: io.StringIO, folder: Path) -> list[str]:
    """The lines that were printed, without Ultralytics' progress, which is coloured, and torch's log (W0101 12:00)."""
    lines = digest.normalised(stream.getvalue(), folder).split("\n")[:-1]
    return [line for line in lines if "\x1b" not in line and not re.match(r"[IWE]\d{4} ", line)]


def photograph(name: str) -> Path:
    """A picture that comes with Ultralytics."""
    spec = find_spec("ultralytics")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / "assets" / name


def _write_checkpoint(path: Path) -> None:
    """A checkpoint as Ultralytics writes them: a stock net of nine classes with fixed random weights."""
    import torch
    from ultralytics.nn.tasks import DetectionModel

    torch.manual_seed(0)
    model = DetectionModel("yolov8n.yaml", nc=9, verbose=False)
    model.names = dict(enumerate(("E", "H", "T", "X", "L", "U", "ring", "open ring", "wave")))
    torch.save({"model": model}, path)


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="golden-") as folder:
        os.environ["COLUMNS"] = "100"  # by which argparse breaks its lines
        yield Path(folder).resolve()


@contextlib.contextmanager
def _chdir(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
