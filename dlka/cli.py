"""The command line: python -m dlka COMMAND ... Only argparse is imported here, so that --help answers at once."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import redirect_stdout
from dataclasses import fields
from pathlib import Path
from typing import Any

from dlka import __version__
from dlka import commands as run
from dlka import training_commands as training
from dlka.bench import bench as run_bench
from dlka.cluster.command import many as run_many
from dlka.errors import DlkaError, line, of_the_machine
from dlka.printing import STDOUT, check_json
from dlka.segment import commands as segmenting
from dlka.segment.recipe import SegmentRecipe
from dlka.train.recipe import Recipe

TYPES: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float, "bool": bool}
MODEL, PHOTOGRAPHS = "scenes", "head"  # DEFAULT and PHOTOGRAPHS of dlka.models.catalog, which takes long to import
REFUSED, BROKEN = 2, 70  # the latter is EX_SOFTWARE of sysexits.h
STATUS = """Exit status: 0 done; 1 done with something wrong (a picture that failed, a yaml with problems); 2 refused,
with one sentence on stderr; 70 a fault of the program, with a traceback on stderr; 130 interrupted."""
JSON_HELP = "also write everything as JSON; - for stdout, where nothing else is then"
SIZE_HELP = "input in pixels, a multiple of 32 (default: what suits the model)"
LONGEST = 800  # characters of a sentence: names of files may be longer than any


def build_parser() -> argparse.ArgumentParser:
    """All commands with their flags; `handler` in the result is the function that does it."""
    about = "YOLOv8 with Deformable Large Kernel Attention."
    parser = argparse.ArgumentParser(prog="dlka", description=about, epilog=STATUS)
    parser.add_argument("--version", action="version", version=f"dlka {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(
        name: str, handler: Callable[[argparse.Namespace], int], text: str, among: Any = commands
    ) -> argparse.ArgumentParser:
        sub = among.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(handler=handler)
        return sub

    sub = command("compare", run.compare, "compare two models on pictures: drawings and numbers")
    sub.add_argument("--baseline", help="the same of the other (default: its rigid twin, else its data's control)")
    sub.add_argument("--out", required=True, metavar="DIR", help="each picture gets a folder in it")
    sub.add_argument(
        "--labels",
        nargs="+",
        metavar="FILE",
        help="YOLO's .txt files or their folder, or COCO's .json: hits and misses",
    )
    sub.add_argument("--json", metavar="FILE", help=JSON_HELP)
    look = [sub]

    sub = command("predict", run.predict, "what one model finds in pictures")
    sub.add_argument("--out", metavar="DIR", help="gets a drawing of each picture")
    sub.add_argument("--classes", nargs="+", default=(), metavar="NAME", help="only these (default: all)")
    sub.add_argument("--json", metavar="FILE", help=JSON_HELP)
    look.append(sub)
    for sub in look:
        sub.add_argument("images", nargs="+", metavar="IMAGE", help="a picture or video, a folder, a pattern in quotes")
        sub.add_argument("--every", type=int, default=30, metavar="N", help="one of N frames (default: %(default)s)")
        sub.add_argument("--model", default=PHOTOGRAPHS, help="id, .safetensors or .pt file (default: %(default)s)")
        sub.add_argument("--size", type=int, help="input in pixels, a multiple of 32 (default: what fits the model)")
        sub.add_argument("--confidence", type=float, default=0.25, help="least score, 0 to 1 (default: %(default)s)")
        sub.add_argument(
            "--iou", type=float, default=0.7, help="overlap that suppresses, 0 to 1 (default: %(default)s)"
        )
        sub.add_argument(
            "--strength", type=float, default=1.0, help="factor on every offset, 0 to 2 (default: %(default)s)"
        )
        sub.add_argument("--device", help="such as cpu or cuda:0 (default: the best there is)")

    sub = command("many", run_many, "compare two models on very many pictures: Parquet, counts, AP, one report")
    sub.add_argument(
        "pictures", metavar="FOLDER|MANIFEST", help="with all below it, or a text file, one address a line"
    )
    sub.add_argument(
        "--out",
        required=True,
        metavar="DIR",
        help="gets the parts; a picture in them is not done again, unless it failed",
    )
    sub.add_argument("--model", default=PHOTOGRAPHS, help="id, .safetensors or .pt file (default: %(default)s)")
    sub.add_argument("--baseline", help="the same of the other (default: what stands beside the model)")
    sub.add_argument("--labels", nargs="+", metavar="FILE", help="YOLO's .txt and data.yaml, or COCO's .json; a folder")
    sub.add_argument("--size", type=int, help=SIZE_HELP)
    sub.add_argument("--confidence", type=float, default=0.25, help="least score, 0 to 1 (default: %(default)s)")
    sub.add_argument("--iou", type=float, default=0.7, help="overlap that suppresses, 0 to 1 (default: %(default)s)")
    sub.add_argument(
        "--strength", type=float, default=1.0, help="factor on every offset, 0 to 2 (default: %(default)s)"
    )
    sub.add_argument("--device", help="such as cpu or cuda:0 (default: the best there is)")
    sub.add_argument("--block", type=int, default=64, metavar="N", help="pictures a part (default: %(default)s)")
    sub.add_argument(
        "--report", type=int, default=5000, metavar="N", help="pictures of the report (default: %(default)s)"
    )
    sub.add_argument("--engine", choices=["local", "ray"], default="local", help="who looks (default: %(default)s)")
    sub.add_argument("--address", help="of a Ray cluster, such as auto (default: one that this machine is alone)")
    sub.add_argument("--workers", type=int, default=1, metavar="N", help="of Ray, each with its models (default: 1)")
    sub.add_argument("--cpus", type=float, default=1.0, help="of each worker (default: %(default)s)")
    sub.add_argument("--gpus", type=float, default=0.0, help="of each worker, such as 0.5 (default: %(default)s)")

    sub = command("stages", run.stages, "list the deform stages of a model")
    sub.add_argument("--model", default=MODEL, help="id or .safetensors file (default: %(default)s)")
    sub.add_argument("--size", type=int, help=SIZE_HELP)

    sub = command("doctor", run.doctor, "say what is wrong with a model yaml, and mend it")
    sub.add_argument("file", metavar="FILE")
    sub.add_argument(
        "--fix", nargs="?", const="", metavar="OUT", help="write the mended yaml (default: FILE's stem-mended.yaml)"
    )

    sub = command("convert", run.convert, "convert a .pt checkpoint without running anything of it")
    sub.add_argument("source", metavar="IN.pt")
    sub.add_argument("out", metavar="OUT.safetensors")

    sub = command("fetch", run.fetch, "download official weights through Ultralytics and convert them")
    sub.add_argument("name", metavar="NAME", help="yolov8n, yolov8s, yolov8m, yolov8l or yolov8x")

    sub = command("push", run.push, "put a model with its card into a repository of the Hugging Face hub")
    sub.add_argument("model", metavar="MODEL", help="id, .safetensors file or .pt checkpoint")
    sub.add_argument("repo", metavar="NAME/REPOSITORY", help="made where there is none; log in first: hf auth login")
    sub.add_argument("--private", action="store_true", help="a new repository is nobody else's to see")

    sub = command("pull", run.pull, "get a model from a repository of the Hugging Face hub")
    sub.add_argument("repo", metavar="NAME/REPOSITORY")
    sub.add_argument("--out", metavar="FILE", help="(default: the name it has there)")

    sub = command("draw-scenes", run.draw_scenes, "draw a data set of letters and curves, labels exact")
    sub.add_argument("--out", required=True, metavar="DIR", help="an empty folder, or one that is not there yet")
    sub.add_argument("--count", required=True, type=int, metavar="N", help="pictures of the training part")
    sub.add_argument("--seed", type=int, default=0, help="the same seed draws the same (default: %(default)s)")
    sub.add_argument("--val", type=int, metavar="M", help="others of the validation part (default: a fifth of N)")

    sub = command("sizes", run.sizes, "draw one object at five sizes, and where a model's kernel reads for each")
    sub.add_argument("model", metavar="MODEL", help="id or .safetensors file")
    sub.add_argument("--shape", default="E", help="a letter or curve that draw-scenes draws (default: %(default)s)")
    sub.add_argument("--stage", metavar="LABEL", help="such as 'P3 5x5' (default: the first one that runs)")
    sub.add_argument("--out", metavar="FILE", help=".png, .svg or .pdf (default: MODEL-SHAPE-sizes.png)")

    sub = command("train", training.train, "train a placement on your pictures, or go on with a run that was killed")
    _flags(sub, Recipe)
    sub.add_argument("--out", metavar="FILE", help="weights to write (default: runs/DATA-PLACEMENT.safetensors)")
    sub.add_argument("--run", metavar="DIR", help="folder for logs and curves (default: runs/ and the stem of --out)")
    sub.add_argument("--resume", metavar="DIR", help="go on with the run in this folder; takes --device alone")
    sub.add_argument("--device", help="cpu, mps, 0 for a GPU, 0,1 for two (default: the best there is)")
    sub.add_argument("--tune", type=int, metavar="N", help="try N settings of Ultralytics' trainer by Ray Tune instead")

    sub = command("train-letter", training.train_letter, "train a kernel that names drawn letters, and its rigid twins")
    sub.add_argument("--out", default="letter.safetensors", metavar="FILE", help="gets all nets (default: %(default)s)")
    sub.add_argument("--seeds", type=int, default=3, metavar="N", help="trainings of each (default: %(default)s)")
    sub.add_argument("--json", metavar="FILE", help=JSON_HELP)

    sub = command("val", training.val, "measure COCO average precision on a labelled folder")
    sub.add_argument(
        "--model", action="append", required=True, help="id or .safetensors file; may be given several times"
    )
    sub.add_argument("--data", required=True, metavar="DATA", help="yaml in Ultralytics' format, or its folder")
    sub.add_argument("--size", type=int, help=SIZE_HELP)
    sub.add_argument("--json", metavar="FILE", help=JSON_HELP)

    sub = command("uses", training.uses, "whether a model uses its offsets: AP without them, and what samples follow")
    sub.add_argument("model", metavar="MODEL", help="id or .safetensors file")
    sub.add_argument("--data", required=True, metavar="DATA", help="yaml in Ultralytics' format, or its folder")
    sub.add_argument("--size", type=int, help=SIZE_HELP)
    sub.add_argument("--limit", type=int, metavar="N", help="only the first N validation pictures")
    sub.add_argument("--write", action="store_true", help="put the figures into the card of the weights file")
    sub.add_argument("--json", metavar="FILE", help=JSON_HELP)

    sub = command("evidence", training.evidence, "report what the experiment found, or repeat it")
    sub.add_argument("--runs", metavar="DIR", help="stored runs (default: those that ship; of a rerun: WORK/runs)")
    sub.add_argument("--out", metavar="DIR", help="gets the report (default: beside the stored runs)")
    sub.add_argument("--rerun", action="store_true", help="first train and measure what is missing")
    sub.add_argument("--data", metavar="DIR", help="holds the data sets' folders; for --rerun")
    sub.add_argument("--only", metavar="PATTERN", help="only runs such as 'hit-uav/residual-s*'; for --rerun")
    sub.add_argument("--work", metavar="DIR", help="has weights and logs of a rerun (default: runs/evidence)")
    sub.add_argument("--stock", metavar="FILE", help="stock weights of a rerun (default: the fetched yolov8n)")
    sub.add_argument("--ship", metavar="DIR", help="only write the weights that ship into it; from --work, --runs")

    sub = command("segment", segmenting.segment, "divide volumes (.nii.gz) or pictures into parts")
    sub.add_argument("files", nargs="+", metavar="FILE", help=".nii, .nii.gz or a picture")
    sub.add_argument("--model", help="id or file (default: hippocampus for volumes, cells for pictures)")
    sub.add_argument("--out", required=True, metavar="DIR", help="gets labels, a drawing, offsets and numbers")
    sub.add_argument("--strength", type=float, default=1.0, help="factor on every offset, 0 to 1 (default: 1)")
    sub.add_argument("--json", metavar="FILE", help="also write the numbers of all files as JSON")

    sub = command("train-seg", segmenting.train_seg, "train a network that segments; asked again, it goes on")
    _flags(sub, SegmentRecipe)
    sub.add_argument("--out", metavar="FILE", help="weights to write (default: runs/DATA.safetensors)")
    sub.add_argument("--device", default="cpu", help="such as cuda:0 (default: %(default)s)")

    sub = command("val-seg", segmenting.val_seg, "measure Dice and HD95 of networks that segment")
    sub.add_argument("--model", action="append", required=True, help="id or file; may be given several times")
    sub.add_argument("--data", required=True, metavar="DIR", help="has images/val and labels/val or masks/val")
    sub.add_argument("--write", action="store_true", help="put the figures into the card of the file")
    sub.add_argument("--json", metavar="FILE", help="also write everything as JSON")

    bench = commands.add_parser("bench", help="measure how fast the operator, whole models or the page are")
    benches = bench.add_subparsers(title="what to measure", metavar="WHAT", required=True, dest="what")

    sub = command("ops", run_bench, "the deformable operator: every backend, side by side", benches)
    sub.add_argument("--threads", type=int, help="threads of torch and the fused kernels, on the CPU")
    sub.add_argument("--device", choices=["cpu", "cuda"], default="cpu", help="(default: %(default)s)")
    sub.add_argument("--volume", action="store_true", help="the operator of volumes instead, on the CPU")
    sub.add_argument("--rounds", type=int, default=5, help="the least time of so many counts (default: %(default)s)")

    sub = command("model", run_bench, "whole models beside stock YOLOv8, and where their time goes", benches)
    sub.add_argument("--models", nargs="+", metavar="ID", help="placements (default: control neck residual head)")
    sub.add_argument("--offsets", nargs="+", help="dense, separable, none, features (default: the first three)")
    sub.add_argument("--scales", nargs="+", help="n, s, m, l, x (default: n)")
    sub.add_argument("--sizes", nargs="+", type=int, help="inputs in pixels (default: 320 640 1280)")
    sub.add_argument("--batches", nargs="+", type=int, help="first at all sizes, more at the smallest (default: 1 8)")
    sub.add_argument("--backends", nargs="+", help="of the deformable step (default: the one that models take)")
    sub.add_argument("--bfloat16", action="store_true", help="every model in mixed precision too")
    sub.add_argument("--device", help="cpu, cuda or mps (default: cpu)")
    sub.add_argument("--threads", type=int, help="threads of torch and the fused kernels")
    sub.add_argument("--rounds", type=int, help="the least time of so many counts (default: 5)")

    sub = command("folder", run_bench, "a folder of pictures: one by one, in batches, and a core for each", benches)
    sub.add_argument("--models", nargs="+", metavar="ID", help="ids or files (default: control head)")
    sub.add_argument("--sizes", nargs="+", type=int, help="inputs in pixels (default: 320 640)")
    sub.add_argument("--count", type=int, help="pictures (default: 16)")
    sub.add_argument("--rounds", type=int, help="the least time of so many counts (default: 5)")

    sub = command("page", run_bench, "the page: its start, a comparison, an overlay, its memory", benches)
    sub.add_argument("--compares", type=int, default=20, help="so many different pictures (default: %(default)s)")

    sub = command("load", run_bench, "the page when 64 visitors ask at once, or leave 300 questions behind", benches)
    sub.add_argument("--clients", type=int, help="visitors at once (default: 64)")
    sub.add_argument("--abandoned", type=int, help="questions left behind (default: 300)")
    sub.add_argument("--replicas", nargs="+", type=int, metavar="N", help="also with so many replicas of the models")
    command("memory", run_bench, "the page's memory and disk under 14 pictures of 50 megapixels", benches)

    sub = command("gpu", run_bench, "all of it on a CUDA card, in under ten minutes, beside its goals", benches)
    sub.add_argument("--device", choices=["cuda", "cpu"], help="(default: cuda where it is; cpu: small, no goals)")
    for sub in benches.choices.values():
        sub.add_argument("--json", metavar="FILE", help=JSON_HELP)

    sub = command("export", run.export, "write a model for other programs, checked against PyTorch")
    sub.add_argument("--model", default=MODEL, help="id or .safetensors file (default: %(default)s)")
    sub.add_argument("--format", required=True, help="onnx, torchscript or pt2 (torch.export)")
    sub.add_argument("--out", metavar="FILE", help="(default: the model's name with the format's suffix)")
    sub.add_argument("--internals", action="store_true", help="offsets and gates as further outputs")

    sub = command("replay", run.replay, "make a figure again from its recipe, and say whether it is the same")
    sub.add_argument("recipe", metavar="RECIPE.json")
    sub.add_argument("--image", metavar="FILE", help="the picture, where the recipe does not bring it")
    sub.add_argument("--out", metavar="DIR", help="gets figure.npz, .svg, .pdf, .png, .txt and .recipe.json")

    sub = command("serve", run.serve, "start the page")
    sub.add_argument("--host", help="address to listen on (default: GRADIO_SERVER_NAME, else 127.0.0.1)")
    sub.add_argument("--port", type=int, help="(default: the first that is free from 7860 on)")
    sub.add_argument("--model", metavar="FILE", help="your own model, .safetensors or .pt, to open with")
    sub.add_argument("--baseline", metavar="FILE", help="what stands beside it: file or id (default: what fits)")
    sub.add_argument("--models", metavar="DIR", help="a folder of .safetensors files to choose from as well")
    sub.add_argument("--replicas", type=int, default=0, metavar="N", help="models look in N processes of Ray Serve")
    sub.add_argument("--address", help="of the Ray cluster that has them (default: one of this machine alone)")
    sub.add_argument("--cpus", type=float, default=1.0, help="of each replica (default: %(default)s)")
    sub.add_argument("--gpus", type=float, default=0.0, help="of each replica, such as 0.5 (default: %(default)s)")

    sub = command("completion", _complete, "print what makes a shell complete these commands")
    sub.add_argument("shell", choices=["bash", "zsh", "tcsh"], help='such as eval "$(dlka completion bash)"')
    return parser


def _flags(command: argparse.ArgumentParser, recipe: type[Recipe | SegmentRecipe]) -> None:
    """A flag for every field of a recipe."""
    for field in fields(recipe):
        name, kind = f"--{field.name.replace('_', '-')}", TYPES[str(field.type).split(" | ")[0]]
        how: dict[str, Any] = {"action": "store_true"} if kind is bool else {"type": kind}
        command.add_argument(name, **how, help=field.metadata["help"], default=argparse.SUPPRESS)


def _complete(args: argparse.Namespace) -> int:
    import shtab

    print(shtab.complete(build_parser(), args.shell))
    return 0


# What Ultralytics' command line calls things -> the flag here.
THEIRS = {"conf": "confidence", "imgsz": "size", "source": "", "weights": "model"}


def as_flags(argv: Sequence[str], parser: argparse.ArgumentParser) -> list[str]:
    """Arguments as Ultralytics' users type them, key=value, as flags: conf=0.5 is --confidence 0.5, and the value of
    source= stands alone. What is a file that is there stays as it is, and so does the value of a flag of the parser."""
    flags: list[str] = []
    alone = set(_without_value(parser))
    for before, argument in zip(["", *argv], argv):
        key, sign, value = argument.partition("=")
        is_value = before.startswith("--") and "=" not in before and before not in alone
        if not sign or not key.isidentifier() or is_value or Path(argument).exists():
            flags.append(argument)
            continue
        name = THEIRS.get(key, key).replace("_", "-")
        flags += [f"--{name}", value] if name else [value]
    return flags


def _without_value(parser: argparse.ArgumentParser) -> Iterator[str]:
    """The flags that take no value, of all commands."""
    for action in parser._actions:  # which argparse has no public name for
        if isinstance(action, argparse._SubParsersAction):
            for command in action.choices.values():
                yield from _without_value(command)
        elif action.nargs == 0:
            yield from action.option_strings


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return the exit status, see STATUS."""
    parser = build_parser()
    args = parser.parse_args(as_flags(sys.argv[1:] if argv is None else argv, parser))
    try:
        if getattr(args, "out", None) == "":
            raise DlkaError("--out: expected a name, got an empty one.")
        check_json(getattr(args, "json", None))
        if getattr(args, "json", None) != STDOUT:
            return args.handler(args)
        args.json = sys.stdout
        with redirect_stdout(sys.stderr):  # what is for people
            return args.handler(args)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if isinstance(error, DlkaError) or of_the_machine(error):
            text = line(error)
            print(f"dlka: {text if len(text) <= LONGEST else f'{text[:LONGEST]}...'}", file=sys.stderr)
            return REFUSED
        traceback.print_exc()
        print("dlka: something broke here, it was not your input; the lines above say where.", file=sys.stderr)
        return BROKEN
