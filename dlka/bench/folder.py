"""How fast a folder goes, as `dlka predict --out` does it, from decoding to the drawing in a file: picture by picture,
in batches, and in lanes (dlka.inference.lanes), side by side."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from threading import get_ident
from typing import Any

import torch
from PIL import Image
from torch.utils.benchmark import timer

from dlka.bench.model import pictures
from dlka.bench.timing import least_in_turns
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.printing import table
from dlka.results import Model, Result, load
from dlka.temporary import folder

BATCH = 8
ALONE, BATCHES, LANES = "one by one", f"batches of {BATCH}", "lanes"


def alone(model: Model, files: Sequence[Path], size: int) -> None:
    """Each picture by itself, on all threads."""
    for file in files:
        draw_into_file(model(file, size=size))


def batches(model: Model, files: Sequence[Path], size: int) -> None:
    """Those of one input shape among BATCH together, on all threads."""
    for first in range(0, len(files), BATCH):
        images = [read_image(file) for file in files[first : first + BATCH]]
        for image, seen in zip(images, model.predictor.predict_all(images, size=size)):
            draw_into_file(Result(model.name, "", image, model.names, seen))


def lanes(model: Model, files: Sequence[Path], size: int) -> None:
    """As `dlka predict` does it."""
    asked: dict[str, Any] = {"size": size, "confidence": 0.25, "iou": 0.7, "classes": (), "strength": 1.0}
    for _, result in model.each(files, draw_into_file, **asked):
        if isinstance(result, Exception):
            raise result


def draw_into_file(result: Result) -> None:
    """Each thread has a file of its own."""
    result.save(Path(folder()) / f"bench-folder-{get_ident()}.png")


WAYS = {ALONE: alone, BATCHES: batches, LANES: lanes}


def milliseconds(run: Callable[[], None]) -> float:
    """Of one call."""
    begun = timer()
    run()
    return 1000 * (timer() - begun)


def bench_folder(
    models: Sequence[str] = ("control", "head"), *, sizes: Sequence[int] = (320, 640), count: int = 16, rounds: int = 5
) -> dict[str, Any]:
    """Time models on a folder of `count` JPEG pictures of 640 x 480 and 480 x 640 pixels, decoded and drawn each time.

    Returns "rows": model, size, milliseconds a picture of each way (the least of the rounds, in turns), and how many
    times as fast as one by one; count, rounds, threads. Raises DlkaError.
    """
    if min(count, rounds) < 1:
        raise DlkaError(f"count and rounds: expected at least 1, got {count} and {rounds}")
    files = []
    for number, pixels in enumerate(pictures(count, 640)):
        files.append(Path(folder()) / f"bench-{number}.jpg")
        Image.fromarray(pixels[:480] if number % 2 else pixels[:, :480]).save(files[-1])
    rows = []
    for name in models:
        model = load(name, "cpu")
        for size in sizes:
            print(f"{name}, {size} px ...", file=sys.stderr, flush=True)
            turns = {way: partial(milliseconds, partial(run, model, files, size)) for way, run in WAYS.items()}
            for turn in turns.values():
                turn()  # compiles, and lets lanes have their twins
            least = {way: spent / count for way, spent in least_in_turns(turns, rounds).items()}
            faster = {f"{way}, times as fast": least[ALONE] / least[way] for way in (BATCHES, LANES)}
            rows.append({"model": name, "size": size, **least, **faster})
    return {"rows": rows, "count": count, "rounds": rounds, "threads": torch.get_num_threads()}


def folder_text(result: dict[str, Any]) -> str:
    """The result for people."""
    return (
        f"{table(result['rows'])}\nMilliseconds a picture, with decoding, drawing and writing, of {result['count']} "
        f"pictures in two shapes; the least of {result['rounds']} rounds in turns."
    )
