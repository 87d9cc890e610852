"""Reads a ``.pt`` checkpoint from anybody: plain tensors and plain settings come out, nothing of it is ever run.

Ultralytics pickles whole model objects, and ``torch.load`` as it comes would import and run what a file names. Here a
child process with limits on memory and time reads it with torch's restricted unpickler and harmless stubs (see
`convert_child`), and hands the tensors back as safetensors and the rest as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

import torch
from safetensors.torch import load_file

from dlka.models.convert_child import RESULT, TENSORS
from dlka.models.saved_model import MAX_BYTES, CheckpointRefused

__all__ = ["Checkpoint", "CheckpointRefused", "read_checkpoint"]

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
    epoch       the last one, from 0, of a run that can be gone on with; -1 otherwise
    """

    tensors: dict[str, torch.Tensor]
    names: dict[int, str] | None
    yaml: dict[str, Any] | None
    train_args: dict[str, Any]
    epoch: int = -1


def read_checkpoint(path: str | Path) -> Checkpoint:
    """Read a ``.pt`` file of at most 1 GB: an Ultralytics checkpoint (its averaged weights first) or a state dict.

    Raises CheckpointRefused, one sentence, for everything else: other files, damaged or hostile ones. Values are not
    judged: tensors may hold NaN.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointRefused(f"{path.name} is no file." if path.exists() else f"{path.name}: there is no such file.")
    if path.stat().st_size > MAX_BYTES:
        raise CheckpointRefused(f"{path.name} is larger than {MAX_BYTES >> 30} GB, too large for a checkpoint.")
    with TemporaryDirectory(prefix="dlka-convert-") as folder:
        result = _run_child(path, Path(folder))
        if "refused" in result:
            raise CheckpointRefused(f"{path.name} is refused: {result['refused']}.")
        tensors = {name: tensor.clone() for name, tensor in load_file(Path(folder) / TENSORS).items()}
    names = result["names"]
    return Checkpoint(
        tensors,
        None if names is None else {int(key): name for key, name in names.items()},
        result["yaml"],
        result["train_args"],
        result["epoch"],
    )


def _run_child(path: Path, folder: Path) -> dict[str, Any]:
    """What the child says. A child that a limit ended is a refusal; one that failed is a fault of this program."""
    root = str(Path(__file__).resolve().parents[2])
    search = json.dumps([root, *(os.path.abspath(entry) for entry in sys.path if entry)])
    boot = _BOOT.format(f"{__package__}.convert_child")
    with TemporaryFile() as errors:
        try:
            code = subprocess.run(
                [sys.executable, "-I", "-B", "-c", boot, search, str(path.resolve()), str(folder)],
                cwd=folder,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                timeout=SECONDS,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            return {"refused": f"reading it takes more than {SECONDS:g} seconds"}
        if code < 0:  # ended by a signal: of a limit, or of memory that could not be had
            return {"refused": "reading it takes more memory or time than a checkpoint needs"}
        if code:
            errors.seek(0)
            raise RuntimeError(f"the process that reads checkpoints failed on {path}:\n{errors.read(20_000).decode()}")
    return json.loads((folder / RESULT).read_text(encoding="ascii"))
