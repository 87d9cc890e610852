"""What the commands do that segment: segment, train-seg, val-seg; as in dlka/commands.py."""

from __future__ import annotations

import argparse
import sys
from dataclasses import fields
from pathlib import Path

from dlka.errors import DlkaError, check_new_file, make_folder
from dlka.printing import count, table, write_json


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
    for name in args.files:
        try:
            segmenter = Segmenter.of(args.model or ("hippocampus" if is_volume(Path(name)) else "cells"))
            scan = read_scan(name)
            seen = segmenter.look(scan, args.strength)
        except DlkaError as error:  # one bad file costs its own line
            print(f"{name}: {str(error).removeprefix(f'{Path(name).name}: ')}", file=sys.stderr)
            failed += 1
            continue
        make_folder(folder)
        written = write_outputs(scan, seen, segmenter.card, folder)
        results.append(numbers(scan, seen, segmenter.card))
        parts = results[-1]["parts"]
        cell = "voxel" if scan.nifti is not None else "pixel"
        said = ", ".join(f"{part} {count(of['cells'], cell)}" for part, of in parts.items())
        print(f"{name}: {said}; written: {', '.join(Path(file).name for file in written)}")
        if not scan.oriented:
            print(f"{name}: the file does not say where left and right are.")
    write_json(args.json, results)
    return 1 if failed else 0


def train_seg(args: argparse.Namespace) -> int:
    from dlka.segment.recipe import SegmentRecipe
    from dlka.segment.training import train

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
    from dlka.segment.judge import lead_rows, rows_of
    from dlka.segment.judge import val_seg as measure

    if args.write and len(args.model) > 1:
        raise DlkaError("--write: expected one --model, whose card gets the figures.")
    measured = measure(args.model, args.data, report=_progress)
    print(f"{measured['data']} val, {count(measured['cases'], 'case')}; means with 95 % intervals over cases")
    print(table(rows_of(measured)))
    if measured["against"]:
        print(f"\n{table(lead_rows(measured))}")
    if args.write:
        from dlka.segment.net_file import with_scores
        from dlka.segment.segmenter import shipped

        kept = {name: value for name, value in measured.items() if name != "values"}
        with_scores(shipped().get(args.model[0], Path(args.model[0])), kept)
        print("Written into its card.")
    write_json(args.json, measured)
    return 0


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
