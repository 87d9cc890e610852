"""Who compares the blocks of a run: this process, or actors of a Ray cluster. What is done for a block is the same."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from dlka import provenance, temporary
from dlka.analysis.analysis import Analysis, Settings
from dlka.analysis.batch import look_at_many
from dlka.cluster.parts import pixels_of, write_part
from dlka.cluster.rows import SIDES, picture_rows
from dlka.errors import DlkaError, line
from dlka.inference.predictor import load_predictor
from dlka.models.catalog import find

STORE = 200 * 2**20  # bytes of Ray's object store, in which addresses travel, and no picture


@dataclass(frozen=True)
class Question:
    """What is done with every picture, and where its rows go.

    least: confidence down to which boxes are kept; device: None for the best there is; threads: of torch, None as it
    is; weights: side -> the bytes of its model's file, where it is another machine that looks.
    """

    settings: Settings
    out: str
    least: float
    device: str | None = None
    threads: int | None = None
    weights: Mapping[str, bytes] | None = None


class Comparer:
    """Compares blocks of pictures; made once in a worker, which loads both models then."""

    def __init__(self, question: Question) -> None:
        if question.threads:
            provenance.use_threads(question.threads)
        settings = replace(question.settings, confidence=question.least)
        for side, data in (question.weights or {}).items():
            file = temporary.write(data, f"{getattr(settings, side)}.safetensors", kept=True)
            changed: dict[str, Any] = {side: file}
            settings = replace(settings, **changed)
        for model in (settings.dlka, settings.baseline):
            load_predictor(model, question.device)
        self._question, self._settings = question, settings

    def __call__(self, block: Sequence[str]) -> dict[str, Any]:
        """Compare the pictures at these addresses and write their part. Returns their number, that of problems, and the
        seconds of processor time and of the clock that it took."""
        begin = time.process_time(), time.perf_counter()
        # In lanes, so that a worker of several cores uses them.
        seen = look_at_many(block, pixels_of, self._settings, lambda _, analysis: analysis, self._question.device)
        made = [self._rows(picture, analysis) for picture, analysis in seen]
        write_part(self._question.out, block, [row for rows in made for row in rows])
        seconds = {"processor": time.process_time() - begin[0], "clock": time.perf_counter() - begin[1]}
        return {"pictures": len(made), "problems": sum("problem" in rows[0] for rows in made)} | seconds

    def _rows(self, picture: str, seen: Analysis | Exception) -> list[dict[str, Any]]:
        if isinstance(seen, Exception):  # a fault of the program goes to the log, and the next picture has its turn too
            return [{"picture": picture, "problem": line(seen)}]
        return picture_rows(picture, seen, self._question.settings.confidence)


class RowComparer(Comparer):
    """The same for Ray Data, whose rows are blocks.

    weights: as of Question, as references to Ray's store: an actor that is started again finds them there, which it
    would not find large arguments of its own.
    """

    def __init__(self, question: Question, weights: Mapping[str, Any]) -> None:
        import ray

        super().__init__(replace(question, weights={side: ray.get(data) for side, data in weights.items()}))

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:  # type: ignore[override]  # what Ray Data hands on
        """row: as `run_ray` has it."""
        return super().__call__([str(picture) for picture in row["block"]])


def run_ray(
    question: Question,
    blocks: Sequence[Sequence[str]],
    workers: int = 1,
    cpus: float = 1.0,
    gpus: float = 0.0,
    address: str | None = None,
) -> Iterator[dict[str, Any]]:
    """What Comparer gives for each block, by so many actors of a Ray cluster, in whatever order they are done.

    cpus, gpus: what each of them holds of a machine, also parts of one; address: of a cluster that runs, by default one
    of this machine alone that ends with the run. An actor that dies is started again, and does its block once more.
    """
    files = {side: find(getattr(question.settings, side)) for side in SIDES}
    question = replace(question, threads=max(1, int(cpus)))
    with cluster(address, cpus=max(1, math.ceil(workers * cpus)), gpus=math.ceil(workers * gpus)):
        import ray.data

        weights = {side: ray.put(file.read_bytes()) for side, file in files.items()}
        ray.data.DataContext.get_current().enable_progress_bars = False
        logging.getLogger("ray.data").setLevel(logging.WARNING)
        comparer: Any = RowComparer  # Ray Data calls what it makes of it
        told = ray.data.from_items([{"block": list(block)} for block in blocks], override_num_blocks=len(blocks)).map(
            comparer,
            fn_constructor_args=(question, weights),
            num_cpus=cpus,
            num_gpus=gpus,
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(blocks)), max_tasks_in_flight_per_actor=2),
        )
        yield from told.iter_rows()


@contextmanager
def cluster(address: str | None = None, cpus: int = 1, gpus: int = 0) -> Iterator[None]:
    """A Ray cluster inside the context: the one at an address, else one of this machine that nobody else can reach.

    cpus, gpus: what the latter has, whatever the machine has. One that this process is part of already is taken, and
    goes on. Raises DlkaError where Ray is not installed, or nobody answers at the address.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:  # what Ray does on a laptop, where it listens to this machine alone; read while it is imported
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    try:
        import ray
    except ModuleNotFoundError:
        raise DlkaError('This needs Ray, which is not installed here: pip install "dlka[ray]".') from None
    if ray.is_initialized():
        yield
        return
    own: dict[str, Any] = {"num_cpus": cpus, "num_gpus": gpus, "object_store_memory": STORE, "include_dashboard": False}
    try:
        ray.init(address=address or "local", logging_level=logging.WARNING, **({} if address else own))
    except ConnectionError as error:
        raise DlkaError(
            f"--address {address}: no Ray cluster answers there: start one with: ray start --head."
        ) from error
    try:
        yield
    finally:
        ray.shutdown()
