"""What the commands do that train, measure and segment: train, train-letter, val, uses, evidence, segment, train-seg,
val-seg; as in dlka/commands.py."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from dlka.errors import DlkaError, check_new_file, make_folder
from dlka.printing import count, progress, say, table, write_json

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
            title = f"{job.read_dataset(Path(given['data'])).title}-{given['placement']}"
            names = itertools.chain([title], (f"{title}-{number}" for number in itertools.count(2)))
            out = next(o for name in names if not (o := Path("runs", f"{name}.safetensors")).exists())
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
    from dlka.experiments import letters

    card = letters.train_letters(args.out, args.seeds, report=_progress)
    print(f"{card.pictures} other pictures\n{table(letters.accuracy_rows(card))}\n\nThe deformable one")
    print(table(letters.offset_rows(card)))
    print("\n".join(["", *card.caveats]))
    print(f"Written: {args.out}, the nets of seed {card.seed}.")
    write_json(args.json, asdict(card))
    return 0


def val(args: argparse.Namespace) -> int:
    from dlka.train.val import run_val

    results = []
    for model in args.model:
        _progress(f"Measuring {model} ...")
        results.append(run_val(model, args.data, args.size, watch=progress))
        for sentence in results[-1]["left_out"]:
            _progress(sentence)
    _print_measured(results)
    write_json(args.json, results)
    return 0


def uses(args: argparse.Namespace) -> int:
    if args.write and args.limit:
        raise DlkaError("--write: expected without --limit, as a card has the figures of all validation pictures.")
    from dlka.experiments import uses as job

    _progress(f"Measuring {args.model} ...")
    figures = job.uses(args.model, args.data, args.size, args.limit)
    for sentence in figures["left_out"]:
        _progress(sentence)
    pictures, objects = (count(figures[f"{name}s"], name) for name in ("picture", "object"))
    print(f"{figures['data']}, {pictures}, {objects}, {figures['size']} px\n{table(job.offset_rows(figures))}")
    print(f"\n{table(job.following_rows(figures))}")
    print(f"\n{figures['model']}: {figures['verdict']}. {figures['why']}\n({figures['rule']})")
    write_json(args.json, figures)
    if args.write:
        print(f"Written into the card of {job.write_uses(args.model, figures)}.")
    return 0


def evidence(args: argparse.Namespace) -> int:
    if args.ship:
        return _ship(args)
    if not args.rerun and (given := [f"--{n}" for n in ("data", "only", "work", "stock") if getattr(args, n)]):
        raise DlkaError(f"{given[0]}: expected with --rerun only.")
    if args.rerun and not args.data:
        raise DlkaError("--rerun: expected --data DIR with it, the folder that holds the data sets' folders.")
    os.environ["YOLO_VERBOSE"] = "1"  # as for `train`
    from dlka.experiments import cards, report
    from dlka.experiments.plan import PLAN, SHIPPED

    work = Path(args.work or "runs/evidence")
    runs = Path(args.runs) if args.runs else work / "runs" if args.rerun else report.RUNS
    failed = []
    if args.rerun:
        from dlka.experiments.rerun import Places, rerun
        from dlka.models.catalog import OFFICIAL

        places = Places(Path(args.data), args.stock or OFFICIAL[0], work, runs)
        failed = rerun(places, PLAN, args.only, report=_progress)
    out = Path(args.out) if args.out else runs.parent
    written = [*report.write_report(runs, out, PLAN), cards.write_cards(runs, out, PLAN, SHIPPED)]
    print(f"Written: {', '.join(map(str, written))}.")
    if failed:
        print(f"Failed: {', '.join(failed)}.", file=sys.stderr)
    return 1 if failed else 0


def _ship(args: argparse.Namespace) -> int:
    others = ("rerun", "data", "only", "stock", "out")
    if given := [f"--{name}" for name in others if getattr(args, name)]:
        raise DlkaError(f"{given[0]}: expected without --ship, which takes --work and --runs alone.")
    from dlka.experiments import deltas, report, ship, stored
    from dlka.experiments.plan import PLAN, SHIPPED

    runs = stored.load_all(Path(args.runs) if args.runs else report.RUNS)
    written = ship.ship(Path(args.work or "runs/evidence"), deltas.collect(runs, PLAN), Path(args.ship), SHIPPED)
    return 0 if written else 1


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


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def segment(args: argparse.Namespace) -> int:
    from dlka.segment.outputs import numbers, write_outputs
    from dlka.segment.scans import is_volume, name_of, read_scan
    from dlka.segment.segmenter import Segmenter

    if not 0 <= args.strength <= 1:
        raise DlkaError(f"strength: expected 0 to 1, got {args.strength:g}.")
    if args.model:
        Segmenter.of(args.model)  # one that is not there is told once
    folder = Path(args.out)
    taken: dict[str, Path] = {}
    for file in map(Path, args.files):
        if file.parent.resolve() == folder.resolve():
            raise DlkaError(f"--out {folder}: {file} lies there, and could be overwritten: give another folder.")
        other = taken.setdefault(name_of(file).casefold(), file)
        if other != file:
            raise DlkaError(f"{other} and {file}: expected files of different names: give each an --out of its own.")
    for name, file in taken.items():  # the drawing of one would lie on the labels of the other
        if alike := taken.get(f"{name}-labels"):
            raise DlkaError(
                f"{file} and {alike}: their results would have the same name: give each an --out of its own."
            )
    if folder.exists():  # else it is made when there is something to write
        make_folder(folder)
    results, failed = [], 0
    for name in progress(args.files, len(args.files)):  # seen while kernels are compiled, once on a machine
        try:
            segmenter = Segmenter.of(args.model or ("hippocampus" if is_volume(Path(name)) else "cells"))
            scan = read_scan(name)
            seen = segmenter.look(scan, args.strength)
        except DlkaError as error:  # one bad file costs its own line
            say(f"{name}: {str(error).removeprefix(f'{Path(name).name}: ')}", problem=True)
            failed += 1
            continue
        make_folder(folder)
        written = write_outputs(scan, seen, segmenter.card, folder)
        results.append(numbers(scan, seen, segmenter.card))
        parts = results[-1]["parts"]
        cell = "voxel" if scan.nifti is not None else "pixel"
        said = ", ".join(f"{part} {count(of['cells'], cell)}" for part, of in parts.items())
        say(f"{name}: {said}; written: {', '.join(Path(file).name for file in written)}")
        if not scan.oriented:
            say(f"{name}: the file does not say where left and right are.")
    write_json(args.json, results)
    return 1 if failed else 0


def train_seg(args: argparse.Namespace) -> int:
    from dlka.segment.training import train
    from dlka.train.recipe import SegmentRecipe

    given = {field.name: getattr(args, field.name) for field in fields(SegmentRecipe) if hasattr(args, field.name)}
    if "data" not in given:
        raise DlkaError("train-seg needs --data, a folder with images/ and labels/ or masks/.")
    out = Path(args.out or f"runs/{Path(given['data']).resolve().name}.safetensors")
    make_folder(out.parent)
    check_new_file(out, ".safetensors")
    run = out.with_suffix("")
    try:
        train(SegmentRecipe(**given), out, run, report=_progress, device=args.device)
    except KeyboardInterrupt:
        print("\nStopped; the same command goes on.", file=sys.stderr)
        raise
    print(f"Written: {out}. Measure it: python -m dlka val-seg --model {out} --data {given['data']}")
    return 0


def val_seg(args: argparse.Namespace) -> int:
    from dlka.segment import judge

    if args.write and len(args.model) > 1:
        raise DlkaError("--write: expected one --model, whose card gets the figures.")
    measured = judge.val_seg(args.model, args.data, report=_progress)
    print(f"{measured['data']} val, {count(measured['cases'], 'case')}; means with 95 % intervals over cases")
    print(table(judge.rows_of(measured)))
    if measured["against"]:
        print(f"\n{table(judge.lead_rows(measured))}")
    if args.write:
        from dlka.segment.net_file import with_scores
        from dlka.segment.segmenter import shipped

        kept = {name: value for name, value in measured.items() if name not in ("values", "networks")}
        with_scores(shipped().get(args.model[0], Path(args.model[0])), kept)
        print("Written into its card.")
    write_json(args.json, measured)
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
