"""What the commands do that train and measure: train, train-letter, val, uses, evidence; as in dlka/commands.py."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlka.errors import DlkaError
from dlka.printing import count, progress, table, write_json

AP = "metrics/mAP50-95(B)"  # as Ultralytics calls it


def train(args: argparse.Namespace) -> int:
    os.environ["YOLO_VERBOSE"] = "1"  # read by ultralytics when it is imported: its progress is shown
    from dlka.train import training as job

    extra = ("handler", "out", "run", "resume", "device", "tune")
    given = {name: value for name, value in vars(args).items() if name not in extra}
    flags = [f"--{name.replace('_', '-')}" for name in given] + [f"--{n}" for n in ("out", "run") if vars(args)[n]]
    if args.resume and flags:
        raise DlkaError(f"--resume goes on as the run began; leave out {', '.join(flags)}.")
    if not args.resume and not {"placement", "data"} <= set(given):
        raise DlkaError("train needs --placement and --data, or --resume with the folder of a run.")
    if args.tune:
        return _tune(args, given)
    if args.resume:
        run = Path(args.resume)
    else:
        out = Path(args.out or "")
        if not args.out:
            title = job.read_dataset(Path(given["data"])).title
            out = _unused(Path("runs") / f"{title}-{given['placement']}.safetensors")
        run = Path(args.run or f"runs/{out.stem}")
        if job.unfinished(run):
            raise DlkaError(f"{run} holds a run that was killed: go on with --resume {run}, or give another --run.")
    try:
        out = job.resume(run, args.device) if args.resume else job.train(job.Recipe(**given), out, run, args.device)
    except KeyboardInterrupt:
        if job.unfinished(run):
            print(f"\nStopped; to go on: python -m dlka train --resume {run}", file=sys.stderr)
        raise
    print(f"Written: {out}; logs and curves: {run}.")
    if (run / "report.json").is_file():
        report = json.loads((run / "report.json").read_text(encoding="utf-8"))
        print()
        _print_measured([report])
    return 0


# Flags of a recipe that Ultralytics' own trainer has, too -> what it calls them.
TUNED = {"data": "data", "epochs": "epochs", "size": "imgsz", "batch": "batch", "seed": "seed"}


def _tune(args: argparse.Namespace, given: dict[str, Any]) -> int:
    from dlka.cluster.engines import cluster
    from dlka.models.placements import PLACEMENTS
    from dlka.yolo import YOLO

    if other := [name for name in given if name not in (*TUNED, "placement", "scale")]:
        raise DlkaError(f"--tune: Ultralytics' own trainer has no --{other[0].replace('_', '-')}: leave it out.")
    if args.resume or args.out or args.tune < 1:
        raise DlkaError("--tune: expected 1 or more trials, and neither --resume nor --out: it writes no weights.")
    if given["placement"] not in PLACEMENTS:
        raise DlkaError(f"placement: expected one of {', '.join(PLACEMENTS)}, got {given['placement']!r:.60}.")
    model = YOLO(PLACEMENTS[given["placement"]].file.format(given.get("scale", "n")))
    settings = {theirs: given[name] for name, theirs in TUNED.items() if name in given}
    settings |= {"device": args.device, "project": str(Path(args.run or "runs/tune").resolve()), "name": "trials"}
    with cluster(cpus=os.cpu_count() or 1):
        trials = model.tune(use_ray=True, iterations=args.tune, **settings)
    measured = [one for one in trials if AP in (one.metrics or {})]
    if not measured:
        raise DlkaError("--tune: no trial came to its end; what happened to each stands above.")
    best = max(measured, key=lambda one: one.metrics[AP])
    print(f"AP of {len(measured)} trials: " + ", ".join(f"{100 * one.metrics[AP]:.1f}" for one in measured))
    print(
        table([{"setting of the best": name, "value": value} for name, value in best.config.items() if name != "data"])
    )
    return 0 if len(measured) == args.tune else 1


def train_letter(args: argparse.Namespace) -> int:
    from dataclasses import asdict

    from dlka.experiments.letters import accuracy_rows, offset_rows, train_letters

    card = train_letters(args.out, args.seeds, report=_progress)
    print(f"{card.pictures} other pictures\n{table(accuracy_rows(card))}\n\nThe deformable one")
    print(table(offset_rows(card)))
    print("\n".join(["", *card.caveats]))
    print(f"Written: {args.out}, the nets of seed {card.seed}.")
    write_json(args.json, asdict(card))
    return 0


def val(args: argparse.Namespace) -> int:
    from dlka.train.val import run_val

    results = []
    for model in args.model:
        print(f"Measuring {model} ...", file=sys.stderr, flush=True)
        results.append(run_val(model, args.data, args.size, watch=progress))
        for sentence in results[-1]["left_out"]:
            print(sentence, file=sys.stderr, flush=True)
    _print_measured(results)
    write_json(args.json, results)
    return 0


def uses(args: argparse.Namespace) -> int:
    if args.write and args.limit:
        raise DlkaError("--write: expected without --limit, as a card has the figures of all validation pictures.")
    from dlka.experiments.uses import following_rows, offset_rows, write_uses
    from dlka.experiments.uses import uses as measure

    print(f"Measuring {args.model} ...", file=sys.stderr, flush=True)
    figures = measure(args.model, args.data, args.size, args.limit)
    for sentence in figures["left_out"]:
        print(sentence, file=sys.stderr, flush=True)
    pictures, objects = (count(figures[f"{name}s"], name) for name in ("picture", "object"))
    print(f"{figures['data']}, {pictures}, {objects}, {figures['size']} px\n{table(offset_rows(figures))}")
    print(f"\n{table(following_rows(figures))}")
    print(f"\n{figures['model']}: {figures['verdict']}. {figures['why']}\n({figures['rule']})")
    write_json(args.json, figures)
    if args.write:
        print(f"Written into the card of {write_uses(args.model, figures)}.")
    return 0


def evidence(args: argparse.Namespace) -> int:
    if args.ship:
        return _ship(args)
    if not args.rerun and (given := [f"--{n}" for n in ("data", "only", "work", "stock") if getattr(args, n)]):
        raise DlkaError(f"{given[0]}: expected with --rerun only.")
    if args.rerun and not args.data:
        raise DlkaError("--rerun: expected --data DIR with it, the folder that holds the data sets' folders.")
    os.environ["YOLO_VERBOSE"] = "1"  # as for `train`
    from dlka.experiments.cards import write_cards
    from dlka.experiments.plan import PLAN, SHIPPED
    from dlka.experiments.report import RUNS, write_report

    work = Path(args.work or "runs/evidence")
    runs = Path(args.runs) if args.runs else work / "runs" if args.rerun else RUNS
    failed = []
    if args.rerun:
        from dlka.experiments.rerun import Places, rerun
        from dlka.models.catalog import OFFICIAL

        places = Places(Path(args.data), args.stock or OFFICIAL[0], work, runs)
        failed = rerun(places, PLAN, args.only, report=_progress)
    out = Path(args.out) if args.out else runs.parent
    written = [*write_report(runs, out, PLAN), write_cards(runs, out, PLAN, SHIPPED)]
    print(f"Written: {', '.join(map(str, written))}.")
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def _ship(args: argparse.Namespace) -> int:
    others = ("rerun", "data", "only", "stock", "out")
    if given := [f"--{name}" for name in others if getattr(args, name)]:
        raise DlkaError(f"{given[0]}: expected without --ship, which takes --work and --runs alone.")
    from dlka.experiments.deltas import collect
    from dlka.experiments.plan import PLAN, SHIPPED
    from dlka.experiments.report import RUNS
    from dlka.experiments.rerun import ship
    from dlka.experiments.stored import load_all

    runs = load_all(Path(args.runs) if args.runs else RUNS)
    written = ship(Path(args.work or "runs/evidence"), collect(runs, PLAN), Path(args.ship), SHIPPED)
    return 0 if written else 1


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _print_measured(results: Sequence[dict[str, Any]]) -> None:
    """Average precision of models measured on the same pictures, and how far their stages move their taps."""
    from dlka.train.val import METRICS

    first = results[0]
    print(f"{first['data']} val, {first['pictures']} pictures, {first['objects']} objects")
    rows = [{"model": r["model"], "px": r["settings"]["size"]} for r in results]
    print(table([row | {k: _percent(r["metrics"][k]) for k in METRICS} for row, r in zip(rows, results)]))
    moved = []
    for result in results:
        for row in result["stage_offsets"]:
            columns = {"over 0.1 cell (%)": _percent(row["moved"]), "mean (cells)": row["mean_cells"]}
            moved.append({"model": result["model"], "stage": row["label"], **columns})
    if moved:
        print(f"\n{table(moved)}")


def _unused(path: Path) -> Path:
    """The path, or the first with -2, -3, ... after its stem that is not taken."""
    taken, number = path, 1
    while taken.exists():
        number += 1
        taken = path.with_stem(f"{path.stem}-{number}")
    return taken


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share
