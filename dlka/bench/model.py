"""How fast whole models are: stock YOLOv8 beside every D-LKA placement, its separable variant and its rigid twin.

They are got ready, and fed, as the predictor does it; what is left out is the letterbox, the probe and the suppression
of boxes. Weights are random, with signals and offsets as in trained models: time does not depend on what was learned.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Collection, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.benchmark import set_torch_threads, timer

from dlka import provenance
from dlka.bench.timing import least_in_turns, turn
from dlka.errors import DlkaError
from dlka.inference.prepared import as_input, ready
from dlka.layers import DeformConv
from dlka.models.build import DLKAModel, build_model
from dlka.models.cost import DEFORMABLE_STEP, OFFSET_CONVOLUTIONS, TOTAL, multiply_adds, parameters
from dlka.models.placements import OFFSETS, PLACEMENTS, PLAIN, RIGID, SCALES
from dlka.offset_nets import OffsetConv2d
from dlka.ops.backends import BACKENDS, resolve
from dlka.printing import table

STOCK = "control"
BACKBONE, REST = "backbone", "rest"
PARTS = (BACKBONE, OFFSET_CONVOLUTIONS, DEFORMABLE_STEP, REST)
MODELS = (STOCK, "neck", "residual", "head")
KINDS = ("dense", "separable", "none")  # of OFFSETS; features costs what separable does, less the deformable step
SIZES, BATCHES = (320, 640, 1280), (1, 8)


@dataclass(frozen=True)
class Subject:
    """What is timed: words as in dlka.models.build; backend of the deformable step, "-" where there is none."""

    placement: str
    scale: str
    offsets: str
    backend: str
    bfloat16: bool = False


def subjects(
    placements: Sequence[str], scale: str, offsets: Sequence[str], backends: Sequence[str], bfloat16: bool = False
) -> list[Subject]:
    """Stock YOLOv8 first, then every combination that makes a difference, each in bfloat16 too where that is asked."""
    found = [Subject(STOCK, scale, "none", "-")]
    for placement in placements:
        for kind in offsets if placement not in PLAIN else ("none",):
            found += [Subject(placement, scale, kind, b) for b in (backends if kind not in RIGID else ("-",))]
    if bfloat16:
        found += [Subject(s.placement, s.scale, s.offsets, s.backend, True) for s in found]
    return list(dict.fromkeys(found))


def pictures(batch: int, size: int) -> np.ndarray:
    """RGB [batch, size, size, 3] uint8: seeded squares of 16 pixels in random colours; size is a multiple of 16."""
    colours = np.random.default_rng(0).integers(0, 256, (batch, size // 16, size // 16, 3), dtype=np.uint8)
    return colours.repeat(16, axis=1).repeat(16, axis=2)


def lively(placement: str, scale: str, offsets: str) -> DLKAModel:
    """A seeded random model in evaluation mode whose batch norms know one batch.

    In a new model signals fade from layer to layer, and numbers below 1e-38 take a processor many times as long.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = build_model(placement, scale, offsets=offsets)
        for module in model.modules():
            if isinstance(module, OffsetConv2d):
                nn.init.normal_(module.weight, std=1e-3)
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = 1.0
        with torch.no_grad():
            model.train()(as_input(pictures(2, 256), torch.device("cpu")))
    return model.eval()


class Entrant:
    """One subject with its model, as the predictor would run it."""

    def __init__(self, subject: Subject, device: torch.device) -> None:
        self.subject, self.device = subject, device
        model = lively(subject.placement, subject.scale, subject.offsets)
        self.parameters = parameters(model)
        self.model = ready(model, device)
        for module in self.model.modules():
            if isinstance(module, DeformConv):
                module.backend = subject.backend

    def run(self, x: torch.Tensor) -> None:
        """One forward pass as the predictor makes it."""
        with torch.inference_mode(), torch.autocast(self.device.type, torch.bfloat16, enabled=self.subject.bfloat16):
            self.model(x)

    def deform(self, x: torch.Tensor) -> None:
        """Scale the offset nets so that their offsets on this input spread by one cell, as those of trained models do.

        They change from cell to cell, so that no read is regular. Runs the model once.
        """

        def one_cell(module: nn.Conv2d, inputs: Any, offset: torch.Tensor) -> torch.Tensor:
            spread = offset.std()
            module.weight.div_(spread)
            return offset / spread

        with ExitStack() as hooks, torch.no_grad():
            for net in (m for m in self.model.modules() if isinstance(m, OffsetConv2d)):
                hooks.enter_context(net.register_forward_hook(one_cell))
            self.model(x)

    def parts(self, x: torch.Tensor) -> dict[str, float]:
        """Milliseconds of one call by PARTS, from hooks around backbone, offset nets and deformable convolutions.

        The deformable step is a deformable convolution without its offset net; the rest is what the other parts leave
        of the whole: neck, head, and the plain convolutions of rigid twins. Reading the clock makes a GPU wait, so that
        the whole takes longer than without: time it in a call of its own. No hook is left behind.
        """
        times = dict.fromkeys(PARTS, 0.0)

        def watch(first: nn.Module, last: nn.Module, **signs: int) -> None:
            begun = 0.0

            def begin(module: nn.Module, inputs: Any) -> None:
                nonlocal begun
                begun = timer()

            def end(module: nn.Module, inputs: Any, output: Any) -> None:
                spent = 1000 * (timer() - begun)
                for part, sign in signs.items():
                    times[part] += sign * spent

            hooks.enter_context(first.register_forward_pre_hook(begin))
            hooks.enter_context(last.register_forward_hook(end))

        layers = self.model.model
        with ExitStack() as hooks:
            watch(layers[0], layers[len(self.model.yaml["backbone"]) - 1], **{BACKBONE: 1})
            for module in self.model.modules():
                if isinstance(module, DeformConv):
                    watch(module, module, **{DEFORMABLE_STEP: 1})
                    watch(module.offset_net, module.offset_net, **{OFFSET_CONVOLUTIONS: 1, DEFORMABLE_STEP: -1})
            begun = timer()
            self.run(x)
            times[REST] = 1000 * (timer() - begun) - sum(times.values())
        return times


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
) -> dict[str, Any]:
    """Time whole models side by side; stock YOLOv8, which the ratios are to, is always among them.

    sizes: of square inputs in pixels, multiples of 32. batches: the first is run at every size, the others at the
    smallest. backends: of the deformable step. bfloat16: every model in mixed precision too. Every scale, size and
    batch is told on stderr before it is timed.

    Returns what a JSON needs: "rows" (what is timed, milliseconds a call, ratio to stock in float32, parameters,
    multiply-adds of one picture, and "parts": the milliseconds by PARTS), "laws" (see `laws`), rounds, device, machine.
    Raises DlkaError for words, sizes and counts that are none, for a device that is not there, and for what does not
    fit into its memory.
    """
    words: dict[str, tuple[Sequence[str], Collection[str]]] = {
        **{"models": (models, PLACEMENTS), "offsets": (offsets, OFFSETS), "scales": (scales, SCALES)},
        "backends": (backends, ("auto", *BACKENDS)),
    }
    for name, (given, known) in words.items():
        if unknown := [word for word in given if word not in known]:
            raise DlkaError(f"{name}: expected some of {', '.join(known)}, got {unknown[0]!r:.60}")
    if not sizes or any(size % 32 or not 32 <= size <= 4096 for size in sizes):
        raise DlkaError(f"sizes: expected multiples of 32 from 32 to 4096, got {', '.join(map(str, sizes)) or 'none'}")
    if min((rounds, 1 if threads is None else threads, *batches)) < 1 or not batches:
        raise DlkaError(f"batches, rounds and threads: expected at least 1, got {list(batches)}, {rounds}, {threads}")
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there.get(device):
        found = ", ".join(name for name, ok in there.items() if ok)
        raise DlkaError(f"device: expected cpu, cuda or mps, of which torch finds {found} here; got {device!r:.60}")
    where = torch.device(device)
    for name in backends:
        if name != "auto" and (reason := BACKENDS[name].supports(where)):
            raise DlkaError(f"backends: {name} cannot run here: {reason}")
    chosen = list(dict.fromkeys(resolve(name, where) for name in backends))
    cases = dict.fromkeys([(size, batches[0]) for size in sizes] + [(min(sizes), batch) for batch in batches[1:]])
    rows: list[dict[str, Any]] = []
    with set_torch_threads(threads or torch.get_num_threads()):
        for scale in dict.fromkeys(scales):
            entrants = [Entrant(s, where) for s in subjects(models, scale, offsets, chosen, bfloat16)]
            for size, batch in cases:
                case = f"scale {scale}, {size} px, batch {batch}"
                print(f"{case} ...", file=sys.stderr, flush=True)
                try:
                    rows += measure(entrants, size, batch, rounds)
                except torch.OutOfMemoryError:  # a GPU's
                    raise DlkaError(f"{case} does not fit into memory") from None
        machine = provenance.machine()
    on = torch.cuda.get_device_name(where) if where.type == "cuda" else device
    return {"rows": rows, "laws": laws(rows), "rounds": rounds, "device": on, "machine": machine}


def measure(entrants: Sequence[Entrant], size: int, batch: int, rounds: int) -> list[dict[str, Any]]:
    """The rows of one input size and batch; the first entrant is what ratios are to."""
    x = as_input(pictures(batch, size), entrants[0].device)
    for entrant in entrants:
        entrant.deform(x)
        entrant.run(x)  # compiles and allocates what there is to
    least = least_in_turns({entrant: partial(turn, partial(entrant.run, x)) for entrant in entrants}, rounds)
    parts = [[entrant.parts(x) for entrant in entrants] for _ in range(rounds)]
    rows = []
    for entrant, splits in zip(entrants, zip(*parts)):
        quickest = min(splits, key=lambda split: sum(split.values()))
        share = least[entrant] / sum(quickest.values())  # from the call with hooks to the one without
        row = {**asdict(entrant.subject), "size": size, "batch": batch, "milliseconds": least[entrant]}
        row |= {"ratio": least[entrant] / least[entrants[0]], "parameters": entrant.parameters}
        row["multiply_adds"] = multiply_adds(entrant.model, size)[TOTAL]
        rows.append(row | {"parts": {part: share * quickest[part] for part in PARTS}})
    return rows


def law(megapixels: Sequence[float], milliseconds: Sequence[float]) -> dict[str, float]:
    """How the time of a call grows: milliseconds = overhead + slope * megapixels, over all pictures of a batch.

    A line, because every layer works in proportion to the cells of its map, and a call has a cost of its own whatever
    the picture. Least squares of the relative deviations, so that small inputs count as much as large ones; "deviation"
    is the largest of them, as a share: what caches and threads do to the line.
    """
    x, y = np.asarray(megapixels, float), np.asarray(milliseconds, float)
    slope, overhead = np.polyfit(x, y, 1, w=1 / y)
    deviation = np.abs((overhead + slope * x) / y - 1).max()
    return {"overhead": float(overhead), "slope": float(slope), "deviation": float(deviation)}


def laws(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The law of every subject that was timed at three inputs or more: a line goes through any two."""
    groups: dict[Subject, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        subject = Subject(*(row[field] for field in Subject.__dataclass_fields__))
        groups[subject].append((row["size"] ** 2 * row["batch"] / 1e6, row["milliseconds"]))
    return [
        {**asdict(subject), **law(*zip(*points))}
        for subject, points in groups.items()
        if len({megapixels for megapixels, _ in points}) > 2
    ]


def model_text(result: dict[str, Any]) -> str:
    """The result for people: a line a row with its parts, and the laws."""

    def words(row: dict[str, Any]) -> dict[str, str]:
        kind = {key: row[key] for key in ("scale", "offsets", "backend")}
        return {"model": row["placement"], **kind, "in": "bfloat16" if row["bfloat16"] else "float32"}

    rows = [
        {**words(row), "px": row["size"], "batch": row["batch"], "ms": row["milliseconds"]}
        | {"/ stock": f"{row['ratio']:.2f}", "parameters": row["parameters"]}
        | {"G mult-adds": row["multiply_adds"] / 1e9, **row["parts"]}
        for row in result["rows"]
    ]
    found = [
        {**words(row), "overhead, ms": row["overhead"], "slope, ms / megapixel": row["slope"]}
        | {"off by at most, %": 100 * row["deviation"]}
        for row in result["laws"]
    ]
    said = "\nA call takes overhead + slope * megapixels of input, over all pictures of a batch; fitted.\n"
    return (
        f"{table(rows)}\n"
        + (f"\n{table(found)}\n{said}" if found else "")
        + f"Milliseconds a call, the least of {result['rounds']} rounds in turns; parts from other calls, scaled.\n"
        "Random weights; offsets of about a cell. Multiply-adds of one picture. Ratio: to stock YOLOv8 in float32."
    )
