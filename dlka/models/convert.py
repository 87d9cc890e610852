"""Reads a ``.pt`` checkpoint from anybody: plain tensors and plain settings come out, nothing of it is ever run.

Ultralytics pickles whole model objects, so ``torch.load`` would have to import and run what a file names. Here the
pickle is taken apart by `inert` in a child process with limits on memory and time, which hands the tensors back as
safetensors and the rest as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from safetensors.torch import load_file

from dlka.models.convert_child import RESULT, TENSORS
from dlka.models.torch_zip import MAX_BYTES, CheckpointRefused

SECONDS = 120.0  # wall clock; the processor time is limited in the child
# -I keeps the environment and the working folder out of the child's imports; the parent's search path replaces them.
_BOOT = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from {} import main; main(*sys.argv[2:])"


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint holds.

    tensors     state-dict name -> tensor on the CPU, in the dtype that was stored (Ultralytics stores float16)
    names       class number -> class name; None for a bare state dict
    yaml        the model yaml as plain data, as its author wrote it: unchecked; None for a bare state dict
    train_args  the settings of the training run as far as they are plain data; may be empty
    """

    tensors: dict[str, torch.Tensor]
    names: dict[int, str] | None
    yaml: dict[str, Any] | None
    train_args: dict[str, Any]


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a ``.pt`` file of at most 1 GB: an Ultralytics checkpoint (its averaged weights first) or a state dict.

    Raises CheckpointRefused, one sentence, for everything else: other files, damaged or hostile ones. Values are not
    judged: tensors may hold NaN.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointRefused(f"{path.name}: there is no such file.")
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointRefused(f"{path.name} is larger than {MAX_BYTES >> 30} GB, too large for a checkpoint.")
    with TemporaryDirectory(prefix="dlka-convert-") as folder:
        _run_child(path, folder)
        result = _result(Path(folder) / RESULT)
        if "refused" in result:
            raise CheckpointRefused(f"{path.name} is refused: {result['refused']}.")
        tensors = {name: tensor.clone() for name, tensor in load_file(Path(folder) / TENSORS).items()}
    names = result["names"]
    return Checkpoint(
        tensors,
        None if names is None else {int(key): name for key, name in names.items()},
        result["yaml"],
        result["train_args"],
    )


def _run_child(path: Path, folder: str) -> None:
    root = str(Path(__file__).resolve().parents[2])
    search = json.dumps([root, *(os.path.abspath(entry) for entry in sys.path if entry)])
    boot = _BOOT.format(f"{__package__}.convert_child")
    quiet = subprocess.DEVNULL
    try:
        subprocess.run(
            [sys.executable, "-I", "-B", "-c", boot, search, str(path.resolve()), folder],
            cwd=folder,
            env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            stdin=quiet,
            stdout=quiet,
            stderr=quiet,
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise CheckpointRefused(f"{path.name} is refused: reading it takes more than {SECONDS:g} seconds.") from None


def _result(file: Path) -> dict[str, Any]:
    """What the child left; a child that was ended by a limit leaves nothing or half of it."""
    try:
        return json.loads(file.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {"refused": "reading it takes more memory or time than a checkpoint needs"}
