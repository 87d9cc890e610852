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


def compare(args: argparse.Namespace) -> int:
    from dlka.jobs.batch import Settings, run_batch

    settings = Settings(args.size, args.confidence, args.iou, args.strength)
    failed = 0
    for outcome in run_batch(args.images, args.model, args.baseline, args.out, settings):
        failed += outcome.problem is not None
        print(outcome, file=sys.stderr if outcome.problem else sys.stdout, flush=True)
    total = len(args.images)
    print(f"{total} {'picture' if total == 1 else 'pictures'}: {total - failed} compared, {failed} failed.")
    return 1 if failed else 0


def stages(args: argparse.Namespace) -> int:
    from dlka.jobs.stage_table import stage_rows

    rows = stage_rows(args.model, args.size)
    print(table(rows) if rows else f"{args.model} has no deform stages.")
    return 0


def doctor(args: argparse.Namespace) -> int:
    from dlka.models.doctor import diagnose, report_text
    from dlka.models.mend import mend
    from dlka.models.yaml_file import load_model_yaml, read_text

    report = diagnose(load_model_yaml(args.file))
    print(report_text(report))
    if report.ok or args.fix is None:
        return 0 if report.ok else 1
    file = Path(args.file)
    out = Path(args.fix) if args.fix else file.with_name(f"{file.stem}-mended.yaml")
    over_input = bool(args.fix) and out.exists() and out.samefile(file)
    if out.exists() and not over_input:
        raise FileExistsError(f"{out} exists already; give another name: --fix OUT.")
    out.write_bytes(mend(read_text(file)).encode())
    print(f"The mended file is {out}.")
    return 0


def convert(args: argparse.Namespace) -> int:
    from dlka.models.adopt import adopt

    card = adopt(args.source, args.out)
    print(f"{args.out}: {card.placement}, scale {card.scale}, {len(card.names)} classes, {card.recipe}.")
    return 0


def fetch(args: argparse.Namespace) -> int:
    from dlka.models.fetch import fetch as get

    print(f"{args.name} is ready: {get(args.name)}.")
    return 0


def train(args: argparse.Namespace) -> int:
    os.environ["YOLO_VERBOSE"] = "1"  # read by ultralytics when it is imported: its progress is shown
    from dlka.jobs.train import Recipe
    from dlka.jobs.train import train as run

    given = {name: value for name, value in vars(args).items() if name not in ("handler", "out", "run")}
    out = Path(args.out)
    print(f"Written: {run(Recipe(**given), out, Path(args.run or f'runs/{out.stem}'))}.")
    return 0


def val(args: argparse.Namespace) -> int:
    from dlka.jobs.val import METRICS, run_val

    results = []
    for model in args.model:
        print(f"Measuring {model} ...", file=sys.stderr, flush=True)
        results.append(run_val(model, args.data, args.size))
    first = results[0]
    print(f"{first['data']} val, {first['pictures']} pictures, {first['objects']} objects, {args.size} px")
    print(table([{"model": r["model"], **{k: _percent(r["metrics"][k]) for k in METRICS}} for r in results]))
    moved = []
    for result in results:
        for row in result["stage_offsets"]:
            columns = {"over 0.1 cell (%)": _percent(row["moved"]), "mean (cells)": row["mean_cells"]}
            moved.append({"model": result["model"], "stage": row["label"], **columns})
    if moved:
        print(f"\n{table(moved)}")
    _write_json(args.json, results)
    return 0


def bench(args: argparse.Namespace) -> int:
    if args.device == "cuda":
        return _bench_cuda(args)
    from dlka.jobs.bench_ops import BASE, PASSES, bench_ops

    result = bench_ops(args.rounds, args.threads)
    operators = result["operators"]
    timed = [(o["name"], o["milliseconds"]) for o in operators]
    rows = [
        {"operator": name, "pass": which.replace("_", " + "), **{b: t[which] for b, t in by_backend.items()}}
        for group in (timed, [("all six, ms", result["total"]), (f"{BASE} / it", result["ratio"])])
        for which in PASSES
        for name, by_backend in group
    ]
    memory = [
        {"peak memory, MB": o["name"], "pass": which.replace("_", " + "), "column buffer": o["column_bytes"] / 1e6}
        | {backend: peak[which] / 1e6 for backend, peak in o["peak_bytes"].items()}
        for which in PASSES
        for o in operators
    ]
    machine = result["machine"]
    print(f"{table(rows)}\n\n{table(memory)}")
    where = f"{machine['cpu']}, {machine['vectors']}, threads: {machine['threads']}, cores: {machine['cores']}"
    print(f"\nMilliseconds, the least of {result['rounds']} rounds in which the backends take turns. {where}.")
    print(f"Memory beyond the inputs, results counted; the column buffer is what {BASE} unrolls the map into.")
    print(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    _write_json(args.json, result)
    return 0


def bench_model(args: argparse.Namespace) -> int:
    from dlka.jobs.bench_law import law_row
    from dlka.jobs.bench_model import bench_model as run
    from dlka.jobs.bench_model import table_row

    given = {k: v for k, v in vars(args).items() if k not in ("handler", "json") and v is not None}
    result = run(**given, report=lambda case: print(f"{case} ...", file=sys.stderr, flush=True))
    print(table([table_row(row) for row in result["rows"]]))
    if result["laws"]:
        print(f"\n{table([law_row(found) for found in result['laws']])}")
        print("\nA call takes overhead + slope * megapixels of input, over all pictures of a batch; fitted.")
    machine = result["machine"]
    print(f"Milliseconds a call, the least of {result['rounds']} rounds in turns; parts from other calls, scaled.")
    print("Random weights; offsets of about a cell. Multiply-adds of one picture. Ratio: to stock YOLOv8 in float32.")
    print(f"{result['device']}; {machine['cpu']}, {machine['vectors']}, threads: {machine['threads']}.")
    print(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    _write_json(args.json, result)
    return 0


def bench_page(args: argparse.Namespace) -> int:
    from dlka.ui.bench import bench_page as run

    result = run(args.compares)
    from dlka.jobs.provenance import machine, versions  # not before: the bench's pages have the machine alone

    result |= {"machine": machine(), "versions": versions()}
    print(
        table([{"a start": p["phase"], "ms": p["milliseconds"], "MB then": p["megabytes"]} for p in result["phases"]])
    )
    print(f"\n{table([{'a comparison, one after the other': k, 'ms': v} for k, v in result['parts'].items()])}")
    asked = {"start to first answer": {"least": result["start"]}} | {k: result[k] for k in ("compare", "overlay")}
    rows = [{"over HTTP, ms": k} | {c: v.get(c) for c in ("least", "median", "most")} for k, v in asked.items()]
    print(f"\n{table(rows)}")
    memory = ", ".join(f"{megabytes:.0f} MB {when}" for when, megabytes in result["memory"].items())
    where = result["machine"]
    print(f"\nResident: {memory}. {result['compares']} comparisons of different pictures at 640 px.")
    print(f"{where['cpu']}, {where['vectors']}, threads: {where['threads']}, cores: {where['cores']}.")
    print(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    _write_json(args.json, result)
    return 0


def _bench_cuda(args: argparse.Namespace) -> int:
    from dlka.jobs.bench_cuda import bench_cuda, summary, table_row

    def report(row: dict[str, Any]) -> None:
        line = table_row(row)
        print(f"{line['case']}, {line['pass']}, {line['dtype']} ...", file=sys.stderr, flush=True)

    result = bench_cuda(args.rounds, report=report)
    rows, rates, machine = result["rows"], result["rates"], result["machine"]
    print(table([table_row(row) for row in rows]))
    if ratios := summary(rows):
        print(f"\n{table(ratios)}")
    for row in rows:
        if row["lacks_memory"]:
            line = table_row(row)
            print(f"Does not fit: {line['case']}, {line['pass']}, {line['dtype']}: {', '.join(row['lacks_memory'])}.")
    print(f"\nMilliseconds, the least of {result['rounds']} rounds in turns; bf16 stands beside torchvision's fp32.")
    print(
        f"Floor: {rates['bytes'] / 1e9:.0f} GB/s and {rates['multiply_adds'] / 1e12:.1f} T multiply-adds/s, measured."
    )
    print(f"{machine['gpu']}, {machine['gpu_memory_gib']} GiB; {machine['cpu']}.")
    print(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    _write_json(args.json, result)
    return 0


def export(args: argparse.Namespace) -> int:
    from dlka.jobs.export import export_model

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


def serve(args: argparse.Namespace) -> int:
    from dlka.ui.app import serve as run

    run(args.host, args.port)
    return 0


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with the same keys as aligned text under a header; numbers to the right, None as "-"."""
    columns = list(rows[0])
    lines = [columns, *([_cell(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    right = [not isinstance(rows[0][column], str) for column in columns]
    return "\n".join(
        "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right)).rstrip()
        for line in lines
    )


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 1 else f"{value:.3g}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)


def _write_json(path: str | None, content: Any) -> None:
    if path:
        Path(path).write_text(json.dumps(content, indent=1), encoding="utf-8")
