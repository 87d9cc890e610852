"""The command `many`, as those in dlka/commands.py; nothing heavy is imported before it is asked for."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from itertools import islice
from pathlib import Path

from dlka.errors import DlkaError
from dlka.printing import count

NAMED = 5  # pictures that failed, on the console


def many(args: argparse.Namespace) -> int:
    """Compare, or go on with, a run; print how far it is and what came of it."""
    from dlka.analysis.analysis import Settings
    from dlka.analysis.models import size_of
    from dlka.cluster.engines import run_local, run_ray
    from dlka.cluster.many import COUNTS, REPORT, Run
    from dlka.cluster.parts import pictures_in
    from dlka.models.catalog import CONTROL, baseline_of
    from dlka.results import model_id

    low = next((name for name in ("block", "report", "workers") if getattr(args, name) < 1), None)
    if low or not (args.cpus >= 0 and args.gpus >= 0):
        raise DlkaError(f"--{low or 'cpus, --gpus'}: expected {1 if low else 0} or more.")
    if args.engine == "local" and (args.address or args.workers > 1):
        raise DlkaError("--address and --workers are Ray's: give --engine ray, too.")
    model = model_id(args.model)
    baseline = model_id(args.baseline or baseline_of(model) or CONTROL)
    settings = Settings(model, baseline, args.confidence, args.iou, size_of(args.size), strength=args.strength)
    labels = [file for name in args.labels or () for file in _files(name)]
    if args.labels and not labels:
        raise DlkaError(f"--labels {args.labels[0]}: expected YOLO's .txt files or COCO's .json; there are none.")
    run = Run(pictures_in(args.pictures), settings, args.out, labels, args.block)
    question = run.question if args.device is None else replace(run.question, device=args.device)
    for sentence in run.told:
        print(sentence, flush=True)
    if run.done:
        print(f"{count(run.done, 'picture is', 'pictures are')} there already.", flush=True)
    if run.again:
        print(f"{count(run.again, 'picture that failed is', 'pictures that failed are')} tried again.", flush=True)
    ray = (args.workers, args.cpus, args.gpus, args.address)
    done, processor, clock = 0, 0.0, 0.0
    if run.blocks:
        for part in run_local(question, run.blocks) if args.engine == "local" else run_ray(question, run.blocks, *ray):
            done, processor, clock = done + part["pictures"], processor + part["processor"], clock + part["clock"]
            print(f"{done} of {run.left} pictures", flush=True)
        each = f"{1000 * processor / done:.0f} ms of processor time, {1000 * clock / done:.0f} ms on the clock"
        print(f"A picture took a worker {each}.")
    counts = run.summarise(args.report)
    kinds = ", ".join(f"{number} {kind}" for kind, number in counts["kinds"].items())
    print(f"{counts['objects']} objects: {kinds}.")
    for one in counts["measures"]:
        print(f"{one['measure']}: {100 * one['dlka']:.1f} and {100 * one['baseline']:.1f}, {one['pictures']} pictures.")
    number, failed = counts["pictures"], counts["problems"]
    for picture, problem in islice(run.parts.problems(), NAMED):
        print(f"{picture}: {problem}", file=sys.stderr)
    if failed > NAMED:
        print(f"... and {failed - NAMED:,} more: the column problem of the parts names them.", file=sys.stderr)
    print(f"{count(number, 'picture')}: {number - failed} compared, {failed} failed.")
    print(f"Written: {args.out}: parts in Parquet, {COUNTS}, {REPORT}.")
    return 1 if failed else 0


def _files(name: str) -> list[str]:
    """The files of labels that a name stands for: of a folder, those in it and below."""
    path = Path(name)
    if not path.exists():
        raise DlkaError(f"--labels {name}: there is no such file or folder.")
    kinds = (".txt", ".json", ".yaml", ".yml", ".names")
    return [str(file) for file in sorted(path.rglob("*")) if file.suffix in kinds] if path.is_dir() else [name]
