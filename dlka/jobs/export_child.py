"""The fresh process of the export's check: loads a file as a user would and runs it on the inputs it finds."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import numpy as np
import torch


def main() -> None:
    """sys.argv[2:] are the file, a folder with 0.npy, 1.npy, ... and a module to import before, or an empty text.

    Leaves the outputs of N.npy in N.npz, in order.
    """
    file, folder, module = Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    if module:
        importlib.import_module(module)
    net = torch.export.load(file).module() if file.suffix == ".pt2" else torch.jit.load(file)
    with torch.no_grad():
        for source in sorted(folder.glob("*.npy")):
            output = net(torch.from_numpy(np.load(source)))
            outputs = [output] if isinstance(output, torch.Tensor) else output
            np.savez(source.with_suffix(".npz"), *(tensor.numpy() for tensor in outputs))
