"""Imports run one way, and heavy libraries stay in their own folders: read from the source, not while running."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
# Each part may import itself and the parts named here.
BESIDE = {"types", "palette", "images", "safe_yaml", "csv_text"}
OPS = BESIDE | {"ops"}
MODELS = OPS | {"depthwise", "drawn.shapes", "offset_nets", "layers", "models", "temporary", "tensor_file"}
INFERENCE = MODELS | {"inference"}
ANALYSIS = INFERENCE | {"analysis", "drawn", "provenance", "render", "versions", "printing"}
NETS = OPS | {"offset_nets", "layers", "layers3d", "nets"}
SEGMENT = NETS | {
    "segment",
    "analysis.recipes",
    "analysis.labels",
    "models.checkpoint",
    "models.weights",
    "tensor_file",
    "printing",
    "versions",
    "train.recipe",
}
MAY_IMPORT = {
    "errors": set(),
    "types": set(),
    "palette": set(),
    "images": set(),
    "safe_yaml": set(),
    "csv_text": set(),
    "temporary": set(),
    "video": set(),
    "shipped": set(),
    "versions": set(),
    "provenance": {"models", "versions"},
    "ops": OPS,
    "depthwise": set(),
    "offset_nets": {"depthwise"},
    "layers": OPS | {"depthwise", "offset_nets", "layers"},
    "layers3d": OPS | {"offset_nets"},
    "nets": NETS,
    "models": MODELS,
    "inference": INFERENCE,
    "drawn": OPS | {"drawn", "layers", "offset_nets", "tensor_file"},
    "render": {"types", "palette", "render", "ops.sampling", "inference.kernel_shape", "inference.letterbox"},
    "analysis": ANALYSIS,
    "ui": ANALYSIS | {"ui", "segment"},
    "tensor_file": set(),
    "segment": SEGMENT,
    "train": ANALYSIS | {"train"},
    "export": INFERENCE | {"export"},
    "experiments": ANALYSIS | {"train", "experiments", "yolo"},
    "cluster": ANALYSIS | {"cluster", "printing", "results", "yolo"},
    "cli": {"commands", "training_commands", "bench", "printing", "inference", "train.recipe"},
    "commands": ANALYSIS | {"images", "results", "temporary", "video", "export", "ui", "printing", "cluster"},
    "training_commands": ANALYSIS | {"train", "experiments", "printing", "cluster", "segment", "yolo"},
    "bench": ANALYSIS | {"bench", "train", "printing", "results", "ui"},
    "printing": set(),
    "__main__": {"cli"},
    "watching": {"types", "images", "inference", "render", "analysis.stages"},
    "results": ANALYSIS | {"images"},
    "comparison": ANALYSIS | {"images", "results"},
    "yolo": {"models", "train", "export"},
    "": {"comparison", "yolo", "ops", "results", "watching"},
}
# Library -> the only places that may import it.
ONLY_IN = {
    "gradio": ("ui",),
    "ray": ("cluster",),
    "polars": ("cluster",),
    "ultralytics": ("models", "train", "export", "yolo.py", "results.py"),
    "nibabel": ("segment/scans.py",),
    "csv": ("csv_text.py",),  # which keeps formulas out
    "numba": ("ops/numba_jit.py", "ops/simd.py"),
    "llvmlite": ("ops/simd.py",),
    "timm": ("nets/picture.py",),
    "supervision": ("inference/slicing.py", "results.py", "comparison.py"),
    "onnx": ("export/network.py",),
    "onnxscript": ("export/network.py",),
    "onnxruntime": ("export/child.py", "export/exporter.py"),
    "triton": (
        "bench/cuda.py",
        *(f"ops/triton_{part}.py" for part in ("cuda", "forward", "backward", "sampling", "probe")),
    ),
    "torch": (
        *(
            "ops",
            "depthwise.py",
            "offset_nets.py",
            "layers.py",
            "layers3d.py",
            "nets",
            "segment",
            "tensor_file.py",
            "drawn",
            "models",
            "inference",
            "train",
            "export",
            "bench",
            "provenance.py",
            "results.py",
            "yolo.py",
        ),
        "experiments/defaults.py",  # which trains by Ultralytics' own trainer
    ),
}


def imports():
    """Every file of the package, and the full name of each thing it imports, inside functions too: `from a import b`
    gives a.b."""
    for path in sorted((ROOT / "dlka").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((path, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0, f"{path}: relative import"
                yield from ((path, f"{node.module}.{alias.name}") for alias in node.names)


def part(path):
    relative = path.relative_to(ROOT / "dlka")
    name = relative.parts[0] if len(relative.parts) > 1 else relative.stem
    return "" if name == "__init__" else name


def test_imports_run_one_way():
    for path, name in imports():
        allowed = MAY_IMPORT[part(path)] | {"__version__", "errors", "shipped"}
        package, _, inner = name.partition(".")
        if package == "dlka" and inner:
            assert any(f"{inner}.".startswith(f"{a}.") for a in allowed), f"{path} imports {name}"


def test_heavy_libraries_stay_in_their_place():
    for path, name in imports():
        relative = path.relative_to(ROOT / "dlka").as_posix()
        places = ONLY_IN.get(name.split(".")[0], (relative,))
        assert any(relative == place or relative.startswith(f"{place}/") for place in places), f"{relative}: {name}"


def test_top_level_is_what_it_says():
    import subprocess

    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("not a git checkout")
    top = {line.split("/")[0] for line in listed.stdout.split()}
    wanted = {
        "app.py",
        "dlka",
        "assets",
        "weights",
        "tests",
        "requirements.txt",
        "README.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "LICENSE",
        "pyproject.toml",
    }
    assert {name for name in top if not name.startswith(".")} - {"packages.txt"} <= wanted
