"""torch's own formats: torch.export (pt2) and TorchScript. Both keep the project's fused operator as one node.

So a file runs at full speed where dlka is installed and `import dlka.ops.library` has registered the operator, and
nowhere else; models without deformable convolutions need torch alone. Both are traced on the CPU, for the CPU.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from torch.export import Dim

from dlka.jobs.export_formats import ExportRefused
from dlka.jobs.export_net import ExportNet

METADATA = "metadata.json"  # name in a pt2 file; Ultralytics looks for "config.txt" in TorchScript
CONFIG = "config.txt"
STRIDE = 32
LEAST, MOST = 64, 4096  # sides of the input in pixels; torch.export takes a map of one cell for a special case
SECONDS = 600.0
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from dlka.jobs.export_child import main; main()"


def example() -> torch.Tensor:
    """An input to trace with: more than one picture, not square, so that no size is taken for a constant."""
    return torch.zeros(2, 3, 3 * STRIDE, 2 * STRIDE)


def dynamic_shapes() -> tuple[dict[int, Any], ...]:
    """Batch, and sides that are multiples of the largest stride, for torch.export."""
    sides = (STRIDE * Dim(side, min=LEAST // STRIDE, max=MOST // STRIDE) for side in ("height", "width"))
    return ({0: Dim("batch", min=1), **dict(zip((2, 3), sides))},)


def write_pt2(net: ExportNet, file: Path, about: dict[str, str]) -> None:
    """Write what torch.export.load reads, with METADATA as an extra file; batch and sides stay free."""
    images = _channels_last(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # on attributes that Ultralytics' head sets while it runs
        program = torch.export.export(net, (images,), dynamic_shapes=dynamic_shapes(), strict=False)
        torch.export.save(program, file, extra_files={METADATA: json.dumps(about)})


def write_torchscript(net: ExportNet, file: Path, about: dict[str, str]) -> None:
    """Write what torch.jit.load reads, with CONFIG as an extra file; batch and sides stay free."""
    images = _channels_last(net)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # on checks of shapes, which the trace leaves out
        traced = torch.jit.trace(net, (images,), check_trace=False)
        torch.jit.save(traced, str(file), _extra_files={CONFIG: json.dumps(about)})


def run(file: Path, inputs: Sequence[np.ndarray], operator: bool) -> list[list[np.ndarray]]:
    """The outputs of a file for every input, by a fresh process that loads it as a user would.

    operator: import dlka.ops.library before. Raises ExportRefused with the process' last line where it fails.
    """
    root = str(Path(__file__).resolve().parents[2])
    search = json.dumps([root, *(os.path.abspath(entry) for entry in sys.path if entry)])
    with TemporaryDirectory(prefix="dlka-export-") as folder:
        for number, images in enumerate(inputs):
            np.save(Path(folder) / f"{number}.npy", images)
        words = [search, str(file.resolve()), folder, "dlka.ops.library" if operator else ""]
        try:
            child = subprocess.run(
                [sys.executable, "-c", _BOOT, *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise ExportRefused(f"{file.name}: running it took more than {SECONDS:g} seconds; not kept.") from None
        if child.returncode:
            reason = next((line for line in reversed(child.stderr.split("\n")) if line.strip()), "no reason given")
            raise ExportRefused(f"{file.name}: a fresh process could not run it ({reason.strip():.300}); not kept.")
        results = []
        for number in range(len(inputs)):
            with np.load(Path(folder) / f"{number}.npz") as arrays:
                results.append([arrays[f"arr_{i}"] for i in range(len(arrays.files))])
    return results


def runtime() -> str:
    """What `run` runs it with, for people."""
    return f"a fresh process with torch {torch.__version__}"


def _channels_last(net: ExportNet) -> torch.Tensor:
    """Turn the network, and the example to trace with, to the layout that the fused operator works in."""
    net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return example().contiguous(memory_format=torch.channels_last)
