"""The fresh process of the export's check: loads a file as a user would and runs it on the inputs it finds.

    python -m dlka.export.child FILE FOLDER [MODULE]

FOLDER has 0.npy, 1.npy, ...; the outputs of N.npy go into N.npz, in order. MODULE is imported before.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def _load(file: Path) -> Callable[[np.ndarray], list[Any]]:
    """images [N, 3, H, W] -> the outputs of the file."""
    if file.suffix == ".onnx":
        import onnxruntime

        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        return lambda images: session.run(None, {session.get_inputs()[0].name: images})
    import torch

    net = torch.export.load(file).module() if file.suffix == ".pt2" else torch.jit.load(file)

    def run(images: np.ndarray) -> list[Any]:
        with torch.no_grad():
            output = net(torch.from_numpy(images))
        return [output] if isinstance(output, torch.Tensor) else list(output)

    return run


def main(file: str, folder: str, *modules: str) -> None:
    """See the top of this file."""
    for module in modules:
        importlib.import_module(module)
    run = _load(Path(file))
    for source in Path(folder).glob("*.npy"):
        np.savez(source.with_suffix(".npz"), *map(np.asarray, run(np.load(source))))


if __name__ == "__main__":
    main(*sys.argv[1:])
