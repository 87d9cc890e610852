"""What each command of the command line does: short handlers that import what they need when they are called.

A handler takes the parsed arguments, prints its result and returns the exit status: 0 done, 1 something was wrong.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlka.errors import DlkaError
from dlka.printing import table, write_json


def compare(args: argparse.Namespace) -> int:
    from dlka.analysis.analysis import Settings
    from dlka.analysis.batch import run_batch
    from dlka.analysis.models import FITS
    from dlka.images import picture_files
    from dlka.models.catalog import CONTROL, baseline_of
    from dlka.results import model_id
    from dlka.video import with_frames

    model = model_id(args.model)
    baseline = model_id(args.baseline or baseline_of(model) or CONTROL)
    size = FITS if args.size is None else args.size
    settings = Settings(model, baseline, args.confidence, args.iou, size, strength=args.strength)
    images = with_frames(picture_files(args.images), args.every, Path(args.out) / "frames")
    failed = 0
    for outcome in run_batch(images, settings, args.out, args.device):
        failed += outcome.problem is not None
        print(outcome, file=sys.stderr if outcome.problem else sys.stdout, flush=True)
    print(f"{_count(len(images), 'picture', 'pictures')}: {len(images) - failed} compared, {failed} failed.")
    return 1 if failed else 0


def predict(args: argparse.Namespace) -> int:
    from dlka.analysis.batch import folders
    from dlka.images import picture_files
    from dlka.results import load
    from dlka.temporary import folder
    from dlka.video import with_frames

    model, frames = load(args.model, args.device), Path(args.out or folder()) / "frames"
    images = with_frames(picture_files(args.images), args.every, frames)
    asked = {name: getattr(args, name) for name in ("confidence", "iou", "size", "classes", "strength")}
    if args.out:
        Path(args.out).mkdir(parents=True, exist_ok=True)
    found: list[dict[str, Any]] = []
    failed = 0
    for image, name in zip(images, folders(images)):
        try:
            result = model(image, **asked)
        except DlkaError as error:
            failed += 1
            print(f"{image}: {error}", file=sys.stderr, flush=True)
            continue
        boxes = result.to_pandas()
        kinds = [f"{number} {kind}" for kind, number in boxes["class"].value_counts().items()]
        print(f"{image}: {', '.join(kinds) or 'nothing'}", flush=True)
        found.append({"picture": image, "boxes": boxes.to_dict("records")})
        if args.out:
            result.save(Path(args.out) / f"{name}.png")
    write_json(args.json, {"model": args.model, "settings": asked, "pictures": found})
    return 1 if failed else 0


def stages(args: argparse.Namespace) -> int:
    from dlka.inference.predictor import stage_rows
    from dlka.models.catalog import find, suited_size
    from dlka.models.weights import load_card

    size = args.size if args.size is not None else suited_size(load_card(find(args.model)))
    rows = stage_rows(args.model, size)
    if rows:
        print(f"{args.model}, input {size}x{size} px\n{table(rows)}")
    else:
        print(f"{args.model} has no deform stages.")
    return 0


def doctor(args: argparse.Namespace) -> int:
    from dlka.models.build import read_config
    from dlka.models.model_yaml import read_text, yaml_path
    from dlka.models.yaml_lint import diagnose, fix, report_text

    model = read_config(args.file)
    report = diagnose(model)
    print(report_text(report))
    if report.ok or args.fix is None:
        return 0 if report.ok else 1
    file = Path(args.file)
    out = Path(args.fix) if args.fix else file.with_name(f"{file.stem}-mended.yaml")
    over_input = bool(args.fix) and out.exists() and out.samefile(file)
    if out.exists() and not over_input:
        raise DlkaError(f"{out} exists already; give another name: --fix OUT.")
    out.write_bytes(fix(read_text(yaml_path(file)), model["scale"]).encode())
    print(f"The mended file is {out}.")
    return 0


def convert(args: argparse.Namespace) -> int:
    from dlka.models.checkpoint import convert

    card = convert(args.source, args.out)
    classes = _count(len(card.names), "class", "classes")
    print(f"{args.out}: {card.placement}, scale {card.scale}, {classes}, {card.recipe}.")
    return 0


def fetch(args: argparse.Namespace) -> int:
    from dlka.models.catalog import fetch as get

    print(f"{args.name} is ready: {get(args.name)}.")
    return 0


def push(args: argparse.Namespace) -> int:
    from dlka.analysis.model_words import line
    from dlka.models import hub
    from dlka.models.catalog import find
    from dlka.results import model_id

    model = model_id(args.model)
    print(f"Written: {hub.push(find(model), args.repo, line(model), args.private)}.")
    return 0


def pull(args: argparse.Namespace) -> int:
    from dlka.models import hub

    print(f"Written: {hub.pull(args.repo, Path(args.out) if args.out else None)}.")
    return 0


def draw_scenes(args: argparse.Namespace) -> int:
    from dlka.drawn.scenes import write_data_set

    val = max(1, args.count // 5) if args.val is None else args.val
    write_data_set(Path(args.out), args.count, args.seed, val)
    parts = f"{_count(args.count, 'picture', 'pictures')} to train on, {val} to validate"
    print(f"Written: {Path(args.out) / 'data.yaml'}; {parts}.")
    return 0


def sizes(args: argparse.Namespace) -> int:
    from dlka.analysis.five_sizes import five_sizes, rows

    row = five_sizes(args.model, args.shape, args.stage)
    out = Path(args.out or f"{Path(args.model).stem}-{args.shape}-sizes.png".replace(" ", "-"))
    row.drawing.save(out, row.drawing.legend_text)
    print(f"{args.model}, {args.shape}, {row.stage}")
    print(table(rows(row)))
    print(f"Written: {out}.")
    return 0


def train(args: argparse.Namespace) -> int:
    os.environ["YOLO_VERBOSE"] = "1"  # read by ultralytics when it is imported: its progress is shown
    from dlka.train import training as job

    extra = ("handler", "out", "run", "resume", "device")
    given = {name: value for name, value in vars(args).items() if name not in extra}
    flags = [f"--{name.replace('_', '-')}" for name in given] + [f"--{n}" for n in ("out", "run") if vars(args)[n]]
    if args.resume and flags:
        raise DlkaError(f"--resume goes on as the run began; leave out {', '.join(flags)}.")
    if not args.resume and not {"placement", "data"} <= set(given):
        raise DlkaError("train needs --placement and --data, or --resume with the folder of a run.")
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
        results.append(run_val(model, args.data, args.size))
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
    pictures, objects = (_count(figures[f"{name}s"], name, f"{name}s") for name in ("picture", "object"))
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
    from dlka.experiments.ship import ship
    from dlka.experiments.stored import load_all

    runs = load_all(Path(args.runs) if args.runs else RUNS)
    written = ship(Path(args.work or "runs/evidence"), collect(runs, PLAN), Path(args.ship), SHIPPED)
    return 0 if written else 1


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def export(args: argparse.Namespace) -> int:
    from dlka.export.exporter import export_model

    made = export_model(args.model, args.format, args.out, args.internals)
    print(f"{made.file}: {made.file.stat().st_size / 2**20:.1f} MB; open it with {made.load}.")
    print("\n".join(f"  {name} {shape}" for name, shape in made.tensors.items()))
    print(f"\nAgainst PyTorch, run by {made.runtime}; the largest differences:")
    columns = {"boxes": "boxes", "pixels": "of a box (px)", "score": "of a score", "internal": "of an internal"}
    print(
        table(
            [
                {"picture": check.picture, "input": "x".join(map(str, check.shape))}
                | {title: getattr(check, key) for key, title in columns.items()}
                for check in made.checks
            ]
        )
    )
    return 0


def replay(args: argparse.Namespace) -> int:
    from dlka.analysis.recipes import replay as run
    from dlka.analysis.recipes import write

    made = run(args.recipe, args.image)
    print(made.figure.caption)
    print("\n".join(made.told))
    if args.out:
        print(f"Written: {', '.join(map(str, write(made, args.out)))}.")
    return 0 if made.same else 1


def serve(args: argparse.Namespace) -> int:
    from dlka.models.catalog import cards
    from dlka.models.own import add
    from dlka.ui.app import serve as run

    if args.models:
        add(args.models)
    pair = [given if given is None or given in cards() else add(given) for given in (args.model, args.baseline)]
    run(args.host, args.port, models=(pair[0], pair[1]))
    return 0


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


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"
