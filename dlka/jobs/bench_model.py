"""How fast whole models are: stock YOLOv8 beside every D-LKA placement, its separable variant and its rigid twin.

Models take turns within each round, so that whatever else the machine does meets all of them; the least time over the
rounds counts. They are got ready, and fed, as the predictor does it; what is left out is the letterbox, the probe and
the suppression of boxes. Their weights are random (see `bench_subjects`): time does not depend on what was learned.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import torch

from dlka import provenance
from dlka.errors import DlkaError
from dlka.inference.predictor import as_input, precision
from dlka.jobs.bench_law import laws
from dlka.jobs.bench_subjects import STOCK, Subject, deform, pictures, prepared, subjects, words
from dlka.jobs.part_times import PARTS, clock, part_times
from dlka.models.build import PLACEMENTS, SCALES, DLKAModel
from dlka.models.cost import TOTAL, multiply_adds
from dlka.models.model_yaml import OFFSETS
from dlka.ops.backends import BACKENDS, resolve

MODELS = (STOCK, "neck", "residual", "head")
KINDS = ("dense", "separable", "none")  # of OFFSETS; features costs what separable does, less the deformable step
SIZES, BATCHES = (320, 640, 1280), (1, 8)
CALLS = 2  # a turn; the first call still meets the caches of the model before it


def bench_model(
    models: Sequence[str] = MODELS,
    *,
    offsets: Sequence[str] = KINDS,
    scales: Sequence[str] = ("n",),
    sizes: Sequence[int] = SIZES,
    batches: Sequence[int] = BATCHES,
    backends: Sequence[str] = ("auto",),
    bfloat16: bool = False,
    rounds: int = 5,
    threads: int | None = None,
    device: str = "cpu",
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Time whole models side by side; stock YOLOv8, which the ratios are to, is always among them.

    sizes: of square inputs in pixels, multiples of 32. batches: the first is run at every size, the others at the
    smallest. backends: of the deformable step. bfloat16: every model in mixed precision too. report: gets a word for
    every scale, size and batch before it is timed.

    Returns what a JSON needs: "rows" (what is timed, milliseconds a call, ratio to stock in float32, parameters,
    multiply-adds of one picture, and "parts": the milliseconds by PARTS), "laws" (see `bench_law`), rounds, device,
    machine, versions. Raises ValueError for words, sizes and counts that are none, for a device that is not there, and
    for what does not fit into its memory.
    """
    _check(models, offsets, scales, sizes, batches, rounds, threads)
    where = _device(device)
    chosen = list(dict.fromkeys(_backend(name, where) for name in backends))
    cases = dict.fromkeys([(size, batches[0]) for size in sizes] + [(min(sizes), batch) for batch in batches[1:]])
    rows: list[dict[str, Any]] = []
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        for scale in dict.fromkeys(scales):
            entrants = [Entrant(s, where) for s in subjects(models, scale, offsets, chosen, bfloat16)]
            for size, batch in cases:
                report(f"scale {scale}, {size} px, batch {batch}")
                try:
                    rows += _case(entrants, size, batch, rounds, where)
                except torch.OutOfMemoryError:  # a GPU's
                    raise DlkaError(f"scale {scale}, {size} px, batch {batch} does not fit into memory") from None
        machine = provenance.machine()
    finally:
        torch.set_num_threads(before)
    return {
        "rows": rows,
        "laws": laws(rows),
        "rounds": rounds,
        "device": torch.cuda.get_device_name(where) if where.type == "cuda" else device,
        "machine": machine,
        "versions": provenance.versions(),
    }


class Entrant:
    """One subject with its model."""

    def __init__(self, subject: Subject, device: torch.device) -> None:
        self.subject, self.device = subject, device
        self.model: DLKAModel
        self.model, self.parameters = prepared(subject, device)

    def run(self, x: torch.Tensor) -> None:
        """One forward pass as the predictor makes it."""
        with torch.inference_mode(), precision(self.device, self.subject.bfloat16):
            self.model(x)

    def milliseconds(self, x: torch.Tensor) -> float:
        """One turn: the least time of a few calls in a row."""
        times = []
        for _ in range(CALLS):
            begin = clock(self.device)
            self.run(x)
            times.append(clock(self.device) - begin)
        return min(times)

    def parts(self, x: torch.Tensor) -> dict[str, float]:
        """Milliseconds of one call by PARTS."""
        return part_times(self.model, lambda: self.run(x), self.device)


def _case(entrants: list[Entrant], size: int, batch: int, rounds: int, device: torch.device) -> list[dict[str, Any]]:
    """The rows of one input size and batch."""
    x = as_input(pictures(batch, size), device)
    for entrant in entrants:
        deform(entrant.model, x)
        entrant.run(x)  # compiles and allocates what there is to
    times = [[entrant.milliseconds(x) for entrant in entrants] for _ in range(rounds)]
    parts = [[entrant.parts(x) for entrant in entrants] for _ in range(rounds)]
    least = np.min(times, axis=0)
    rows = []
    for index, entrant in enumerate(entrants):
        quickest = min((turn[index] for turn in parts), key=lambda split: sum(split.values()))
        share = float(least[index]) / sum(quickest.values())  # from the call with hooks to the one without
        rows.append(
            {
                **asdict(entrant.subject),
                "size": size,
                "batch": batch,
                "milliseconds": float(least[index]),
                "ratio": float(least[index] / least[0]),
                "parameters": entrant.parameters,
                "multiply_adds": multiply_adds(entrant.model, size)[TOTAL],
                "parts": {part: share * quickest[part] for part in PARTS},
            }
        )
    return rows


def table_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row for people: one line of a table, times in milliseconds."""
    return {
        **words(row),
        "px": row["size"],
        "batch": row["batch"],
        "ms": row["milliseconds"],
        "/ stock": f"{row['ratio']:.2f}",
        "parameters": row["parameters"],
        "G mult-adds": row["multiply_adds"] / 1e9,
        **row["parts"],
    }


def _check(
    models: Sequence[str],
    offsets: Sequence[str],
    scales: Sequence[str],
    sizes: Sequence[int],
    batches: Sequence[int],
    rounds: int,
    threads: int | None,
) -> None:
    known_words = {"models": (models, PLACEMENTS), "offsets": (offsets, OFFSETS), "scales": (scales, SCALES)}
    for name, (given, known) in known_words.items():
        if unknown := [word for word in given if word not in known]:
            raise DlkaError(f"{name}: expected some of {', '.join(known)}, got {unknown[0]!r:.60}")
    if not sizes or any(size % 32 or not 32 <= size <= 4096 for size in sizes):
        raise DlkaError(f"sizes: expected multiples of 32 from 32 to 4096, got {', '.join(map(str, sizes)) or 'none'}")
    if min((rounds, 1 if threads is None else threads, *batches), default=0) < 1 or not batches:
        raise DlkaError(f"batches, rounds and threads: expected at least 1, got {list(batches)}, {rounds}, {threads}")


def _backend(name: str, device: torch.device) -> str:
    """The backend that a name stands for. Raises DlkaError where there is no such one, or it cannot run here."""
    if name not in ("auto", *BACKENDS):
        raise DlkaError(f"backends: expected some of {', '.join(('auto', *BACKENDS))}, got {name!r:.60}")
    if name != "auto" and (reason := BACKENDS[name].supports(device)):
        raise DlkaError(f"backends: {name} cannot run here: {reason}")
    return resolve(name, device)


def _device(name: str) -> torch.device:
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(name):
        found = ", ".join(n for n, ok in there.items() if ok)
        raise DlkaError(f"device: expected cpu, cuda or mps, of which torch finds {found} here; got {name!r:.60}")
    return torch.device(name)
