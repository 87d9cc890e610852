"""Does an exported file find what PyTorch finds? On real pictures, at several shapes and more than one at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from ultralytics.utils import ASSETS

from dlka.errors import DlkaError, last_line
from dlka.images import read_image
from dlka.inference.box_origin import corners
from dlka.inference.letterbox import Letterbox
from dlka.models.blocks import suppress

PICTURES = ("bus.jpg", "zidane.jpg")  # upright and flat; they come with Ultralytics
CONFIDENCE, IOU = 0.25, 0.7
BEST = 100  # cells of the highest scores: compared without NMS too, for models that find nothing on these pictures
PIXELS = 0.01  # of the original picture
SCORE = 1e-3
INTERNAL = 1e-3  # of the largest value of that output, at least of 1: cells for offsets
SECONDS = 600.0  # for all inputs of the check


@dataclass(frozen=True)
class Case:
    """One input: images [N, 3, H, W] float32 in 0..1, and the letterbox that all N share."""

    picture: str
    images: np.ndarray
    letterbox: Letterbox


@dataclass(frozen=True)
class Agreement:
    """How far the file is from PyTorch on one input.

    boxes: after NMS; pixels: the largest distance of a box edge, in the original picture; score: of a score;
    internal: of the further outputs, relative (see INTERNAL), None where there are none.
    """

    picture: str
    shape: tuple[int, ...]
    boxes: int
    pixels: float
    score: float
    internal: float | None


def cases(sizes: Sequence[int]) -> list[Case]:
    """Every picture at every size; from the second size on together with its mirror image, as a batch of two."""
    found = []
    for number, size in enumerate(sizes):
        for picture in PICTURES:
            image = read_image(ASSETS / picture)
            letterbox = Letterbox.fit((image.shape[0], image.shape[1]), size)
            views = [image] if number == 0 else [image, np.ascontiguousarray(image[:, ::-1])]
            images = np.stack([letterbox.apply(view).transpose(2, 0, 1) for view in views])
            found.append(Case(picture, images.astype(np.float32) / 255, letterbox))
    return found


def run(file: Path, inputs: Sequence[np.ndarray], operator: bool) -> list[list[np.ndarray]]:
    """The outputs of a file for every input, by a fresh process that loads it as a user would, on the CPU.

    operator: import dlka.ops.library before. Raises DlkaError with the process' last line where it fails.
    """
    search = [str(Path(__file__).resolve().parents[2]), *(os.path.abspath(entry) for entry in sys.path if entry)]
    with TemporaryDirectory(prefix="dlka-export-") as folder:
        for number, images in enumerate(inputs):
            np.save(Path(folder) / f"{number}.npy", images)
        try:
            child = subprocess.run(
                [sys.executable, "-m", "dlka.export.child", file.resolve(), folder, *["dlka.ops.library"] * operator],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=SECONDS,
                check=False,
                cwd=folder,  # so that nothing in the working folder is taken for a module
                env=os.environ | {"PYTHONPATH": os.pathsep.join(search)},
            )
        except subprocess.TimeoutExpired:
            raise DlkaError(f"{file.name}: running it took more than {SECONDS:g} seconds; not kept.") from None
        if child.returncode:
            reason = last_line(child.stderr)
            raise DlkaError(f"{file.name}: a fresh process could not run it ({reason:.300}); not kept.")
        results = []
        for number in range(len(inputs)):
            with np.load(Path(folder) / f"{number}.npz") as arrays:
                results.append([arrays[f"arr_{i}"] for i in range(len(arrays.files))])
    return results


def compare(case: Case, expected: Sequence[np.ndarray], got: Sequence[np.ndarray]) -> Agreement:
    """How far `got` is from `expected`, the outputs of one input in order: output0, then the internals.

    Raises DlkaError where they differ in shape, in the boxes that remain after NMS, or by more than PIXELS, SCORE
    or INTERNAL.
    """
    where = f"on {case.picture} at {'x'.join(map(str, case.images.shape))}"
    shapes = [list(map(list, (a.shape for a in outputs))) for outputs in (expected, got)]
    if shapes[0] != shapes[1]:
        raise DlkaError(f"The file gives outputs of shapes {shapes[1]} {where}, PyTorch {shapes[0]}; not kept.")
    boxes, moves, changes = 0, [], []
    for one, other in zip(expected[0], got[0]):
        kept = _after_nms(one), _after_nms(other)
        if not np.array_equal(kept[0][:, 4:], kept[1][:, 4:]):
            raise DlkaError(f"The file finds other boxes than PyTorch {where}; not kept.")
        boxes += len(kept[0])
        best = np.argsort(one[4:].max(0))[-BEST:]
        raw = [corners(torch.from_numpy(output[:4, best].T).double()).numpy() for output in (one, other)]
        for a, b in (kept, raw):
            moves.append(case.letterbox.boxes_back(a[:, :4]) - case.letterbox.boxes_back(b[:, :4]))
        changes.append(one[4:] - other[4:])
    further = [(a - b) / max(1, np.abs(a).max()) for a, b in zip(expected[1:], got[1:])]
    pixels, score, internal = _largest(moves), _largest(changes), _largest(further) if further else None
    if not (pixels <= PIXELS and score <= SCORE and (internal or 0) <= INTERNAL):  # NaN is not kept either
        also = "" if internal is None else f" and internals by {internal:.2g}"
        raise DlkaError(
            f"The file does not give what PyTorch gives {where}: boxes differ by up to {pixels:.2g} pixels, scores by "
            f"{score:.2g}{also}; not kept."
        )
    return Agreement(case.picture, case.images.shape, boxes, pixels, score, internal)


def _after_nms(output: np.ndarray) -> np.ndarray:
    """output [4 + classes, cells] -> rows [n, 6]: x1, y1, x2, y2 in letterboxed pixels, class, cell; by cell."""
    rows, index = suppress(torch.from_numpy(output)[None], CONFIDENCE, IOU)
    found = np.column_stack([rows[:, :4].double().numpy(), rows[:, 5].numpy(), index.numpy()])
    return found[np.argsort(found[:, 5])]


def _largest(differences: Sequence[np.ndarray]) -> float:
    """The largest absolute value; NaN where there is one."""
    return float(np.max([np.abs(difference).max(initial=0) for difference in differences]))
