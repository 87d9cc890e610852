"""The command line: python -m dlka COMMAND ... Handlers import what they need, so that --help answers at once.

Exit status: 0 done; 1 done with something wrong (a picture that failed, a yaml with problems); 2 refused, with one
sentence on stderr.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

# Flags of `train`: the fields of dlka.jobs.train.Recipe, whose defaults apply where a flag is left out.
TRAIN_FLAGS: dict[str, tuple[Callable[[str], Any], str]] = {
    "placement": (str, "control, neck, residual, head or neck-head"),
    "data": (str, "folder with data.yaml, images/train, images/val and labels"),
    "start": (str, "stock weights to begin from, .pt or .safetensors"),
    "unlabelled": (str, "folder of pictures that the stock model labels as teacher"),
    "scale": (str, "n, s, m, l or x"),
    "offsets": (str, "dense, or none for the rigid twin"),
    "epochs": (int, "passes over the pictures"),
    "size": (int, "training input in pixels, a multiple of 32"),
    "batch": (int, "pictures a step"),
    "lr": (float, "learning rate of what is new"),
    "copied_lr": (float, "learning rate of what came from the stock weights"),
    "offset_lr": (float, "learning rate of the offset convolutions"),
    "frozen": (int, "layers from the input that stay as they are"),
    "pseudo_size": (int, "input of the teacher in pixels"),
    "pseudo_confidence": (float, "least confidence of the teacher's labels"),
    "seed": (int, "seed of everything random"),
}
TRAIN_REQUIRED = ("placement", "data", "start")


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

    given = {name: value for name, value in vars(args).items() if name in TRAIN_FLAGS}
    out = Path(args.out)
    print(f"Written: {run(Recipe(**given), out, Path(args.run or f'runs/{out.stem}'))}.")
    return 0


def val(args: argparse.Namespace) -> int:
    from dlka.jobs.val import METRICS, run_val

    results = []
    for model in args.model:
        print(f"Measuring {model} ...", file=sys.stderr, flush=True)
        results.append(run_val(model, args.data, args.size))
    print(
        f"{results[0]['data']} val, {results[0]['pictures']} pictures, {results[0]['objects']} objects, {args.size} px"
    )
    shares = [{k: None if r["metrics"][k] is None else 100 * r["metrics"][k] for k in METRICS} for r in results]
    print(table([{"model": r["model"], **share} for r, share in zip(results, shares)]))
    moved = [
        {
            "model": r["model"],
            "stage": s["label"],
            "over 0.1 cell (%)": 100 * s["moved"],
            "mean (cells)": s["mean_cells"],
        }
        for r in results
        for s in r["stage_offsets"]
    ]
    if moved:
        print(f"\n{table(moved)}")
    _write_json(args.json, results)
    return 0


def bench_ops(args: argparse.Namespace) -> int:
    from dlka.jobs.bench import BASE, PASSES, bench_ops

    result = bench_ops(args.rounds, args.threads)
    rows = [
        {"operator": o["name"], "pass": which.replace("_", " + ")} | {b: t[which] for b, t in o["milliseconds"].items()}
        for which in PASSES
        for o in result["operators"]
    ]
    for name, source in (("all six, ms", "total"), (f"{BASE} / it", "ratio")):
        for which in PASSES:
            rows.append(
                {"operator": name, "pass": which.replace("_", " + ")} | {b: t[which] for b, t in result[source].items()}
            )
    machine = result["machine"]
    print(table(rows))
    where = f"{machine['cpu']}, {machine['threads']} threads on {machine['cores']} cores"
    print(f"\nMilliseconds, the least of {result['rounds']} rounds in which the backends take turns. {where}.")
    print(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    _write_json(args.json, result)
    return 0


def serve(args: argparse.Namespace) -> int:
    from dlka.ui.app import serve as run

    run(args.host, args.port)
    return 0


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows with the same keys as aligned text under a header; numbers to the right, None as "-"."""

    def text(value: Any) -> str:
        return (
            "-"
            if value is None
            else f"{value:.3g}"
            if isinstance(value, float) and value < 1
            else (
                f"{value:.1f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
            )
        )

    columns = list(rows[0])
    lines = [columns, *([text(row[column]) for column in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    right = [not isinstance(rows[0][column], str) for column in columns]
    return "\n".join(
        "  ".join(cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right)).rstrip()
        for line in lines
    )


def _write_json(path: str | None, content: Any) -> None:
    if path:
        Path(path).write_text(json.dumps(content, indent=1), encoding="utf-8")


def build_parser() -> argparse.ArgumentParser:
    """All commands with their flags; `handler` in the result is the function that does it."""
    parser = argparse.ArgumentParser(prog="dlka", description="YOLOv8 with Deformable Large Kernel Attention.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, handler: Callable[[argparse.Namespace], int], text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(handler=handler)
        return sub

    sub = command("compare", compare, "compare two models on pictures: drawings and numbers")
    sub.add_argument("images", nargs="+", metavar="IMAGE")
    sub.add_argument("--model", default="neck", help="id or .safetensors file (default: %(default)s)")
    sub.add_argument("--baseline", default="control", help="id or .safetensors file (default: %(default)s)")
    sub.add_argument("--out", required=True, metavar="DIR", help="each picture gets a folder in it")
    sub.add_argument("--size", type=int, default=640, help="input in pixels, a multiple of 32 (default: %(default)s)")
    sub.add_argument("--confidence", type=float, default=0.25, help="least score, 0 to 1 (default: %(default)s)")
    sub.add_argument("--iou", type=float, default=0.7, help="overlap that suppresses, 0 to 1 (default: %(default)s)")
    sub.add_argument("--strength", type=float, default=1.0, help="factor on every offset (default: %(default)s)")

    sub = command("stages", stages, "list the deform stages of a model")
    sub.add_argument("--model", default="neck", help="id or .safetensors file (default: %(default)s)")
    sub.add_argument("--size", type=int, default=640, help="input in pixels, a multiple of 32 (default: %(default)s)")

    sub = command("doctor", doctor, "say what is wrong with a model yaml, and mend it")
    sub.add_argument("file", metavar="FILE")
    sub.add_argument(
        "--fix", nargs="?", const="", metavar="OUT", help="write the mended yaml (default: FILE's stem-mended.yaml)"
    )

    sub = command("convert", convert, "convert a .pt checkpoint without running anything of it")
    sub.add_argument("source", metavar="IN.pt")
    sub.add_argument("out", metavar="OUT.safetensors")

    sub = command("fetch", fetch, "download official weights through Ultralytics and convert them")
    sub.add_argument("name", metavar="yolov8n")

    sub = command("train", train, "train a placement from stock weights")
    for name, (kind, text) in TRAIN_FLAGS.items():
        flag = f"--{name.replace('_', '-')}"
        sub.add_argument(flag, type=kind, help=text, required=name in TRAIN_REQUIRED, default=argparse.SUPPRESS)
    sub.add_argument("--out", required=True, help="weights file to write, for example weights/neck.safetensors")
    sub.add_argument("--run", help="folder for logs and curves (default: runs/ and the stem of --out)")

    sub = command("val", val, "measure COCO average precision on a labelled folder")
    sub.add_argument(
        "--model", action="append", required=True, help="id or .safetensors file; may be given several times"
    )
    sub.add_argument("--data", required=True, metavar="FOLDER", help="with data.yaml, images/val and labels/val")
    sub.add_argument("--size", type=int, default=640, help="input in pixels, a multiple of 32 (default: %(default)s)")
    sub.add_argument("--json", metavar="FILE", help="also write everything as JSON")

    sub = command("bench", bench_ops, "measure how fast the operator's backends are")
    sub.add_argument("what", choices=["ops"])
    sub.add_argument("--threads", type=int, help="threads of torch and the fused kernels")
    sub.add_argument("--rounds", type=int, default=5, help="the least time of so many counts (default: %(default)s)")
    sub.add_argument("--json", metavar="FILE", help="also write everything as JSON")

    sub = command("serve", serve, "start the page")
    sub.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    sub.add_argument("--port", type=int, default=7860, help="(default: %(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status; mistakes of the user become one sentence on stderr."""
    args = build_parser().parse_args(argv)
    try:
        return args.handler(args)
    except (ValueError, OSError) as error:  # every refusal of the project is a ValueError
        print(f"dlka: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
