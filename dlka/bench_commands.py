"""What python -m dlka bench ops, model, page, load and memory do: handlers as in commands.py, with their tables."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from dlka.errors import DlkaError
from dlka.printing import table, write_json


def ops(args: argparse.Namespace) -> int:
    if args.device == "cuda":
        return _ops_on_cuda(args)
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
    print(f"\nMilliseconds, the least of {result['rounds']} rounds in which the backends take turns.\n{where}.")
    print(f"Memory beyond the inputs, results counted; the column buffer is what {BASE} unrolls the map into.")
    print(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    write_json(args.json, result)
    return 0


def _ops_on_cuda(args: argparse.Namespace) -> int:
    from dlka.jobs.bench_cuda import bench_cuda, summary, table_row

    if args.threads is not None:
        raise DlkaError("--threads: with --device cuda there are none to choose; leave it away.")

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
    write_json(args.json, result)
    return 0


def model(args: argparse.Namespace) -> int:
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
    write_json(args.json, result)
    return 0


def page(args: argparse.Namespace) -> int:
    from dlka.ui.bench import bench_page as run

    result = run(args.compares)
    from dlka.provenance import machine, versions

    result |= {"machine": machine(), "versions": versions()}
    print(
        table([{"a start": p["phase"], "ms": p["milliseconds"], "MB then": p["megabytes"]} for p in result["phases"]])
    )
    print(f"\n{table([{'a comparison, one after the other': k, 'ms': v} for k, v in result['parts'].items()])}")
    asked = {"start to first answer": {"least": result["start"]}} | {
        k: v for k, v in result.items() if isinstance(v, dict) and "median" in v
    }
    rows = [{"over HTTP, ms": k} | {c: v.get(c) for c in ("least", "median", "most")} for k, v in asked.items()]
    print(f"\n{table(rows)}")
    memory = ", ".join(f"{megabytes:.0f} MB {when}" for when, megabytes in result["memory"].items())
    where, frames = result["machine"], result["frames"]
    said = frames if isinstance(frames, str) else ", ".join(f"{k} {v:.0f}" for k, v in frames.items())
    print(f"\nFrames of the probe under a moving pointer: {said}.")
    print(f"Resident: {memory}. {result['compares']} comparisons of different pictures at 640 px.")
    print(f"{where['cpu']}, {where['vectors']}, threads: {where['threads']}, cores: {where['cores']}.")
    print(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    write_json(args.json, result)
    return 0


def load(args: argparse.Namespace) -> int:
    from dlka.ui.bench_load import bench_load as run

    result = run(args.clients, args.abandoned)
    from dlka.provenance import machine, versions

    result |= {"machine": machine(), "versions": versions()}
    crowd, where = result["crowd"], result["machine"]
    columns = ("count", "median", "p95", "most")
    print(table([{"seconds": k} | {c: crowd[k].get(c) for c in columns} for k in ("answers", "refusals")]))
    print(f"\n{result['clients']} clients at once; {crowd['left']} without an answer after {crowd['took']:.0f} s.")
    print(f"A refusal said: {crowd['told'] or '(none)'}")
    print(f"Failures: {'; '.join(f'{count} x {text}' for text, count in crowd['failures'].items()) or 'none'}.")
    for who, seconds in result["behind"].items():
        when = "not at all" if seconds is None else f"after {seconds:.1f} s"
        print(f"Answered at {who}, behind {result['abandoned']} abandoned questions: {when}.")
    print(f"{where['cpu']}, {where['vectors']}, threads: {where['threads']}, cores: {where['cores']}.")
    print(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    write_json(args.json, result)
    return 0


def memory(args: argparse.Namespace) -> int:
    from dlka.ui.bench_memory import bench_memory as run

    result = run(args.uploads)
    print(table([{"compared": r["when"], "MB": r["resident"], "MB on disk": r["disk"]} for r in result["rows"]]))
    first = result["first"] if isinstance(result["first"], str) else f"answered in {result['first']:.0f} ms"
    print(f"\nMB: resident. The picture that the page opens with, asked for a What if by a new visitor: {first}.")
    write_json(args.json, result)
    return 0
