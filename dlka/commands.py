"""What each command of the command line does: short handlers that import what they need when they are called.

A handler takes the parsed arguments, prints its result and returns the exit status: 0 done, 1 something was wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import replace
from itertools import chain, islice
from pathlib import Path
from typing import Any

from dlka.errors import DlkaError, make_folder, writing
from dlka.printing import count, progress, say, table, write_json

NAMED = 5  # pictures that failed, on the console


def compare(args: argparse.Namespace) -> int:
    from dlka import images, results, video
    from dlka.analysis import batch
    from dlka.analysis.judging import Counts
    from dlka.analysis.model_words import made_for
    from dlka.inference.prepared import check_strength
    from dlka.models.catalog import find
    from dlka.models.weights import load_card

    settings = _settings(args, results.opened)
    check_strength(args.strength)
    pictures = video.with_frames(images.picture_files(args.images), args.every, Path(args.out) / "frames")
    given = batch.read_labels(pictures, args.labels, settings.dlka) if args.labels else None
    for sentence in given.told if given else ():
        say(sentence, problem=True)
    outcomes: list[batch.Outcome] = []
    looks = batch.run_batch(pictures, settings, args.out, args.device, given.labels if given else None)
    for outcome in progress(looks, len(pictures)):
        outcomes.append(outcome)
        say(outcome, problem=outcome.problem is not None)
    failed = sum(outcome.problem is not None for outcome in outcomes)
    print(f"{count(len(pictures), 'picture')}: {len(pictures) - failed} compared, {failed} failed.")
    if failed < len(outcomes) and not any(outcome.counts["objects"] for outcome in outcomes if outcome.counts):
        print(f"Neither found anything: {settings.dlka} was made for {made_for(load_card(find(settings.dlka)))}.")
    totals = [sum(side, Counts()) for side in zip(*(o.truth for o in outcomes if o.truth))]
    sides = dict(zip(("dlka", "baseline"), totals))
    if sides:
        names = dict(zip(sides, (args.model, settings.baseline)))
        print(table([{"model": Path(names[side]).stem, **counts.row()} for side, counts in sides.items()]))
    elif args.labels:
        print("--labels: expected labels of these pictures; none is among them, so that nothing was judged.")
    asked = {name: getattr(settings, name) for name in ("confidence", "iou", "size", "strength")}
    labelled = {"labelled": {side: counts.by_size() for side, counts in sides.items()}} if args.labels else {}
    found = {"settings": asked, "pictures": [outcome.row() for outcome in outcomes], **labelled}
    write_json(args.json, {**batch.origin(settings), **found})
    return 1 if failed else 0


def _settings(args: argparse.Namespace, opened: Callable[[str], str]) -> Any:
    """What two models are compared with. opened: a model's name -> how it is known from then on."""
    from dlka.analysis.analysis import Settings
    from dlka.analysis.models import size_of
    from dlka.models.catalog import CONTROL, baseline_of

    model = opened(args.model)
    baseline = opened(args.baseline or baseline_of(model) or CONTROL)
    return Settings(model, baseline, args.confidence, args.iou, size_of(args.size), strength=args.strength)


def predict(args: argparse.Namespace) -> int:
    from dlka import provenance, temporary, video
    from dlka.analysis.batch import folders
    from dlka.images import picture_files
    from dlka.results import Result, load

    model, frames = load(args.model, args.device), Path(args.out or temporary.folder()) / "frames"
    images = video.with_frames(picture_files(args.images), args.every, frames)
    asked = {name: getattr(args, name) for name in ("confidence", "iou", "size", "classes", "strength")}
    names: dict[str, list[str]] = {}
    for file, name in zip(images, folders(images)):
        names.setdefault(file, []).append(name)

    def draw(result: Result) -> None:
        result.save(Path(args.out) / f"{names[result.path].pop()}.png")

    results = model.each(images, draw if args.out else None, **asked)  # refuses what no picture could be asked
    if args.out:
        make_folder(args.out)
        there = {Path(image).resolve() for image in images}
        if over := [name for name in chain(*names.values()) if (Path(args.out) / f"{name}.png").resolve() in there]:
            raise DlkaError(f"--out {args.out}: {over[0]}.png is a picture to look at: give another folder.")
    found: list[dict[str, Any]] = []
    failed: list[dict[str, str]] = []
    for image, result in progress(results, len(images)):
        if isinstance(result, Exception):
            if not isinstance(result, DlkaError):
                raise result
            failed.append({"picture": str(image), "problem": str(result)})
            say(f"{image}: {result}", problem=True)
            continue
        boxes = result.to_pandas()
        kinds = [f"{number} {kind}" for kind, number in boxes["class"].value_counts().items()]
        say(f"{image}: {', '.join(kinds) or 'nothing'}")
        found.append({"picture": image, "boxes": boxes.to_dict("records")})
    made_by: dict[str, Any] = {"model": provenance.weights(model.name), "versions": provenance.versions()}
    made_by |= {"device": str(model.predictor.device), "settings": asked}
    write_json(args.json, {**made_by, "pictures": found, "failed": failed})
    return 1 if failed else 0


def stages(args: argparse.Namespace) -> int:
    from dlka.inference.prepared import stage_rows
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
    with writing(out):
        out.write_bytes(fix(read_text(yaml_path(file)), model["scale"]).encode())
    print(f"The mended file is {out}.")
    return 0


def convert(args: argparse.Namespace) -> int:
    from dlka.models.checkpoint import convert

    card = convert(args.source, args.out)
    classes = count(len(card.names), "class", "classes")
    print(f"{args.out}: {card.placement}, scale {card.scale}, {classes}, {card.recipe}.")
    return 0


def fetch(args: argparse.Namespace) -> int:
    from dlka.models import catalog

    print(f"{args.name} is ready: {catalog.fetch(args.name)}.")
    return 0


def push(args: argparse.Namespace) -> int:
    from dlka.analysis.model_words import line
    from dlka.models import catalog, hub
    from dlka.results import model_id

    model = model_id(args.model)
    print(f"Written: {hub.push(catalog.find(model), args.repo, line(model), args.private)}.")
    return 0


def pull(args: argparse.Namespace) -> int:
    from dlka.models import hub

    print(f"Written: {hub.pull(args.repo, Path(args.out) if args.out else None)}.")
    return 0


def draw_scenes(args: argparse.Namespace) -> int:
    from dlka.drawn.scenes import write_data_set

    val = max(1, args.count // 5) if args.val is None else args.val
    write_data_set(Path(args.out), args.count, args.seed, val)
    parts = f"{count(args.count, 'picture')} to train on, {val} to validate"
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


def export(args: argparse.Namespace) -> int:
    from dlka.export.exporter import export_model

    made = export_model(args.model, args.format, args.out, args.internals)
    print(f"{made.file}: {made.file.stat().st_size / 2**20:.1f} MB; open it with {made.load}.")
    print("\n".join(f"  {name} {shape}" for name, shape in made.tensors.items()))
    print(f"\nAgainst PyTorch, run by {made.runtime}; the largest differences:")
    columns = {"boxes": "boxes", "pixels": "of a box (px)", "score": "of a score", "internal": "of an internal"}
    rows = [
        {"picture": check.picture, "input": "x".join(map(str, check.shape))}
        | {title: getattr(check, key) for key, title in columns.items()}
        for check in made.checks
    ]
    print(table(rows))
    return 0


def replay(args: argparse.Namespace) -> int:
    from dlka.analysis import recipes

    made = recipes.replay(args.recipe, args.image)
    print(made.figure.caption)
    print("\n".join(made.told))
    if args.out:
        print(f"Written: {', '.join(map(str, recipes.write(made, args.out)))}.")
    return 0 if made.same else 1


def serve(args: argparse.Namespace) -> int:
    from dlka.models.catalog import cards
    from dlka.models.own import add
    from dlka.ui.app import serve as run

    if args.models:
        add(args.models)
    first, second = (m if m is None or m in cards() else add(m) for m in (args.model, args.baseline))
    if not args.replicas:
        run(args.host, args.port, models=(first, second))
        return 0
    from dlka.cluster.replicas import replicas

    with replicas(args.replicas, args.cpus, args.gpus, args.address):
        run(args.host, args.port, models=(first, second), at_once=args.replicas)
    return 0


def many(args: argparse.Namespace) -> int:
    """Compare, or go on with, a run; print how far it is and what came of it."""
    from dlka.cluster.engines import Comparer, run_ray
    from dlka.cluster.many import COUNTS, REPORT, Run
    from dlka.cluster.parts import pictures_in
    from dlka.results import model_id

    low = next((name for name in ("block", "report", "workers") if getattr(args, name) < 1), None)
    if low or not (args.cpus >= 0 and args.gpus >= 0):
        raise DlkaError(f"--{low or 'cpus, --gpus'}: expected {1 if low else 0} or more.")
    if args.engine == "local" and (args.address or args.workers > 1):
        raise DlkaError("--address and --workers are Ray's: give --engine ray, too.")
    settings = _settings(args, model_id)
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
        local = args.engine == "local"
        for part in map(Comparer(question), run.blocks) if local else run_ray(question, run.blocks, *ray):
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
