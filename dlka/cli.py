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
from dlka.errors import DlkaError, line, of_the_machine
from dlka.printing import STDOUT, check_json
from dlka.train.recipe import Recipe, SegmentRecipe

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
    ) -> Callable[..., Any]:
        """A new command; returns what adds a flag to it."""
        sub = among.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        sub.set_defaults(handler=handler)
        return sub.add_argument

    add = command("compare", run.compare, "compare two models on pictures: drawings and numbers")
    add("--baseline", help="the same of the other (default: its rigid twin, else its data's control)")
    add("--out", required=True, metavar="DIR", help="each picture gets a folder in it")
    add(
        "--labels",
        nargs="+",
        metavar="FILE",
        help="YOLO's .txt files or their folder, or COCO's .json: hits and misses",
    )
    add("--json", metavar="FILE", help=JSON_HELP)
    look = [add]

    add = command("predict", run.predict, "what one model finds in pictures")
    add("--out", metavar="DIR", help="gets a drawing of each picture")
    add("--classes", nargs="+", default=(), metavar="NAME", help="only these (default: all)")
    add("--json", metavar="FILE", help=JSON_HELP)
    look.append(add)
    for add in look:
        add("images", nargs="+", metavar="IMAGE", help="a picture or video, a folder, a pattern in quotes")
        add("--every", type=int, default=30, metavar="N", help="one of N frames (default: %(default)s)")
        add("--model", default=PHOTOGRAPHS, help="id, .safetensors or .pt file (default: %(default)s)")
        add("--size", type=int, help="input in pixels, a multiple of 32 (default: what fits the model)")
        add("--confidence", type=float, default=0.25, help="least score, 0 to 1 (default: %(default)s)")
        add("--iou", type=float, default=0.7, help="overlap that suppresses, 0 to 1 (default: %(default)s)")
        add("--strength", type=float, default=1.0, help="factor on every offset, 0 to 2 (default: %(default)s)")
        add("--device", help="such as cpu or cuda:0 (default: the best there is)")

    add = command("many", run.many, "compare two models on very many pictures: Parquet, counts, AP, one report")
    add("pictures", metavar="FOLDER|MANIFEST", help="with all below it, or a text file, one address a line")
    add(
        "--out",
        required=True,
        metavar="DIR",
        help="gets the parts; a picture in them is not done again, unless it failed",
    )
    add("--model", default=PHOTOGRAPHS, help="id, .safetensors or .pt file (default: %(default)s)")
    add("--baseline", help="the same of the other (default: what stands beside the model)")
    add("--labels", nargs="+", metavar="FILE", help="YOLO's .txt and data.yaml, or COCO's .json; a folder")
    add("--size", type=int, help=SIZE_HELP)
    add("--confidence", type=float, default=0.25, help="least score, 0 to 1 (default: %(default)s)")
    add("--iou", type=float, default=0.7, help="overlap that suppresses, 0 to 1 (default: %(default)s)")
    add("--strength", type=float, default=1.0, help="factor on every offset, 0 to 2 (default: %(default)s)")
    add("--device", help="such as cpu or cuda:0 (default: the best there is)")
    add("--block", type=int, default=64, metavar="N", help="pictures a part (default: %(default)s)")
    add("--report", type=int, default=5000, metavar="N", help="pictures of the report (default: %(default)s)")
    add("--engine", choices=["local", "ray"], default="local", help="who looks (default: %(default)s)")
    add("--address", help="of a Ray cluster, such as auto (default: one that this machine is alone)")
    add("--workers", type=int, default=1, metavar="N", help="of Ray, each with its models (default: 1)")
    add("--cpus", type=float, default=1.0, help="of each worker (default: %(default)s)")
    add("--gpus", type=float, default=0.0, help="of each worker, such as 0.5 (default: %(default)s)")

    add = command("stages", run.stages, "list the deform stages of a model")
    add("--model", default=MODEL, help="id or .safetensors file (default: %(default)s)")
    add("--size", type=int, help=SIZE_HELP)

    add = command("doctor", run.doctor, "say what is wrong with a model yaml, and mend it")
    add("file", metavar="FILE")
    add("--fix", nargs="?", const="", metavar="OUT", help="write the mended yaml (default: FILE's stem-mended.yaml)")

    add = command("convert", run.convert, "convert a .pt checkpoint without running anything of it")
    add("source", metavar="IN.pt")
    add("out", metavar="OUT.safetensors")

    add = command("fetch", run.fetch, "download official weights through Ultralytics and convert them")
    add("name", metavar="NAME", help="yolov8n, yolov8s, yolov8m, yolov8l or yolov8x")

    add = command("push", run.push, "put a model with its card into a repository of the Hugging Face hub")
    add("model", metavar="MODEL", help="id, .safetensors file or .pt checkpoint")
    add("repo", metavar="NAME/REPOSITORY", help="made where there is none; log in first: hf auth login")
    add("--private", action="store_true", help="a new repository is nobody else's to see")

    add = command("pull", run.pull, "get a model from a repository of the Hugging Face hub")
    add("repo", metavar="NAME/REPOSITORY")
    add("--out", metavar="FILE", help="(default: the name it has there)")

    add = command("draw-scenes", run.draw_scenes, "draw a data set of letters and curves, labels exact")
    add("--out", required=True, metavar="DIR", help="an empty folder, or one that is not there yet")
    add("--count", required=True, type=int, metavar="N", help="pictures of the training part")
    add("--seed", type=int, default=0, help="the same seed draws the same (default: %(default)s)")
    add("--val", type=int, metavar="M", help="others of the validation part (default: a fifth of N)")

    add = command("sizes", run.sizes, "draw one object at five sizes, and where a model's kernel reads for each")
    add("model", metavar="MODEL", help="id or .safetensors file")
    add("--shape", default="E", help="a letter or curve that draw-scenes draws (default: %(default)s)")
    add("--stage", metavar="LABEL", help="such as 'P3 5x5' (default: the first one that runs)")
    add("--out", metavar="FILE", help=".png, .svg or .pdf (default: MODEL-SHAPE-sizes.png)")

    add = command("train", training.train, "train a placement on your pictures, or go on with a run that was killed")
    _flags(add, Recipe)
    add("--out", metavar="FILE", help="weights to write (default: runs/DATA-PLACEMENT.safetensors)")
    add("--run", metavar="DIR", help="folder for logs and curves (default: runs/ and the stem of --out)")
    add("--resume", metavar="DIR", help="go on with the run in this folder; takes --device alone")
    add("--device", help="cpu, mps, 0 for a GPU, 0,1 for two (default: the best there is)")
    add("--tune", type=int, metavar="N", help="try N settings of Ultralytics' trainer by Ray Tune instead")

    add = command("train-letter", training.train_letter, "train a kernel that names drawn letters, and its rigid twins")
    add("--out", default="letter.safetensors", metavar="FILE", help="gets all nets (default: %(default)s)")
    add("--seeds", type=int, default=3, metavar="N", help="trainings of each (default: %(default)s)")
    add("--json", metavar="FILE", help=JSON_HELP)

    add = command("val", training.val, "measure COCO average precision on a labelled folder")
    add("--model", action="append", required=True, help="id or .safetensors file; may be given several times")
    add("--data", required=True, metavar="DATA", help="yaml in Ultralytics' format, or its folder")
    add("--size", type=int, help=SIZE_HELP)
    add("--json", metavar="FILE", help=JSON_HELP)

    add = command("uses", training.uses, "whether a model uses its offsets: AP without them, and what samples follow")
    add("model", metavar="MODEL", help="id or .safetensors file")
    add("--data", required=True, metavar="DATA", help="yaml in Ultralytics' format, or its folder")
    add("--size", type=int, help=SIZE_HELP)
    add("--limit", type=int, metavar="N", help="only the first N validation pictures")
    add("--write", action="store_true", help="put the figures into the card of the weights file")
    add("--json", metavar="FILE", help=JSON_HELP)

    add = command("evidence", training.evidence, "report what the experiment found, or repeat it")
    add("--runs", metavar="DIR", help="stored runs (default: those that ship; of a rerun: WORK/runs)")
    add("--out", metavar="DIR", help="gets the report (default: beside the stored runs)")
    add("--rerun", action="store_true", help="first train and measure what is missing")
    add("--data", metavar="DIR", help="holds the data sets' folders; for --rerun")
    add("--only", metavar="PATTERN", help="only runs such as 'hit-uav/residual-s*'; for --rerun")
    add("--work", metavar="DIR", help="has weights and logs of a rerun (default: runs/evidence)")
    add("--stock", metavar="FILE", help="stock weights of a rerun (default: the fetched yolov8n)")
    add("--ship", metavar="DIR", help="only write the weights that ship into it; from --work, --runs")

    add = command("segment", training.segment, "divide volumes (.nii.gz) or pictures into parts")
    add("files", nargs="+", metavar="FILE", help=".nii, .nii.gz or a picture")
    add("--model", help="id or file (default: hippocampus for volumes, cells for pictures)")
    add(
        "--out",
        required=True,
        metavar="DIR",
        help="gets labels, a drawing, offsets (-moved: their mean length) and numbers",
    )
    add("--strength", type=float, default=1.0, help="factor on every offset, 0 to 1 (default: 1)")
    add("--json", metavar="FILE", help="also write the numbers of all files as JSON")

    add = command("train-seg", training.train_seg, "train a network that segments; asked again, it goes on")
    _flags(add, SegmentRecipe)
    add("--out", metavar="FILE", help="weights to write (default: runs/DATA.safetensors)")
    add("--device", default="cpu", help="such as cuda:0 (default: %(default)s)")

    add = command("val-seg", training.val_seg, "measure Dice and HD95 of networks that segment")
    add("--model", action="append", required=True, help="id or file; may be given several times")
    add("--data", required=True, metavar="DIR", help="has images/val and labels/val or masks/val")
    add("--write", action="store_true", help="put the figures into the card of the file")
    add("--json", metavar="FILE", help="also write everything as JSON")

    bench = commands.add_parser("bench", help="measure how fast the operator, whole models or the page are")
    benches = bench.add_subparsers(title="what to measure", metavar="WHAT", required=True, dest="what")

    add = command("ops", run_bench, "the deformable operator: every backend, side by side", benches)
    add("--threads", type=int, help="threads of torch and the fused kernels, on the CPU")
    add("--device", choices=["cpu", "cuda"], default="cpu", help="(default: %(default)s)")
    add("--volume", action="store_true", help="the operator of volumes instead, on the CPU")
    add("--rounds", type=int, default=5, help="the least time of so many counts (default: %(default)s)")

    add = command("model", run_bench, "whole models beside stock YOLOv8, and where their time goes", benches)
    add("--models", nargs="+", metavar="ID", help="placements (default: control neck residual head)")
    add("--offsets", nargs="+", help="dense, separable, none, features (default: the first three)")
    add("--scales", nargs="+", help="n, s, m, l, x (default: n)")
    add("--sizes", nargs="+", type=int, help="inputs in pixels (default: 320 640 1280)")
    add("--batches", nargs="+", type=int, help="first at all sizes, more at the smallest (default: 1 8)")
    add("--backends", nargs="+", help="of the deformable step (default: the one that models take)")
    add("--bfloat16", action="store_true", help="every model in mixed precision too")
    add("--device", help="cpu, cuda or mps (default: cpu)")
    add("--threads", type=int, help="threads of torch and the fused kernels")
    add("--rounds", type=int, help="the least time of so many counts (default: 5)")

    add = command("folder", run_bench, "a folder of pictures: one by one, in batches, and a core for each", benches)
    add("--models", nargs="+", metavar="ID", help="ids or files (default: control head)")
    add("--sizes", nargs="+", type=int, help="inputs in pixels (default: 320 640)")
    add("--count", type=int, help="pictures (default: 16)")
    add("--rounds", type=int, help="the least time of so many counts (default: 5)")

    add = command("page", run_bench, "the page: its start, a comparison, an overlay, its memory", benches)
    add("--compares", type=int, default=20, help="so many different pictures (default: %(default)s)")

    add = command("load", run_bench, "the page when 64 visitors ask at once, or leave 300 questions behind", benches)
    add("--clients", type=int, help="visitors at once (default: 64)")
    add("--abandoned", type=int, help="questions left behind (default: 300)")
    add("--replicas", nargs="+", type=int, metavar="N", help="also with so many replicas of the models")
    command("memory", run_bench, "the page's memory and disk under 14 pictures of 50 megapixels", benches)

    add = command("gpu", run_bench, "all of it on a CUDA card, in under ten minutes, beside its goals", benches)
    add("--device", choices=["cuda", "cpu"], help="(default: cuda where it is; cpu: small, no goals)")
    for sub in benches.choices.values():
        sub.add_argument("--json", metavar="FILE", help=JSON_HELP)

    add = command("export", run.export, "write a model for other programs, checked against PyTorch")
    add("--model", default=MODEL, help="id or .safetensors file (default: %(default)s)")
    add("--format", required=True, help="onnx, torchscript or pt2 (torch.export)")
    add("--out", metavar="FILE", help="(default: the model's name with the format's suffix)")
    add("--internals", action="store_true", help="offsets and gates as further outputs")

    add = command("replay", run.replay, "make a figure again from its recipe, and say whether it is the same")
    add("recipe", metavar="RECIPE.json")
    add("--image", metavar="FILE", help="the picture, where the recipe does not bring it")
    add("--out", metavar="DIR", help="gets figure.npz, .svg, .pdf, .png, .txt and .recipe.json")

    add = command("serve", run.serve, "start the page")
    add("--host", help="address to listen on (default: GRADIO_SERVER_NAME, else 127.0.0.1)")
    add("--port", type=int, help="(default: the first that is free from 7860 on)")
    add("--model", metavar="FILE", help="your own model, .safetensors or .pt, to open with")
    add("--baseline", metavar="FILE", help="what stands beside it: file or id (default: what fits)")
    add("--models", metavar="DIR", help="a folder of .safetensors files to choose from as well")
    add("--replicas", type=int, default=0, metavar="N", help="models look in N processes of Ray Serve")
    add("--address", help="of the Ray cluster that has them (default: one of this machine alone)")
    add("--cpus", type=float, default=1.0, help="of each replica (default: %(default)s)")
    add("--gpus", type=float, default=0.0, help="of each replica, such as 0.5 (default: %(default)s)")

    add = command("completion", _complete, "print what makes a shell complete these commands")
    add("shell", choices=["bash", "zsh", "tcsh"], help='such as eval "$(dlka completion bash)"')
    return parser


def _flags(add: Callable[..., Any], recipe: type[Recipe | SegmentRecipe]) -> None:
    """A flag for every field of a recipe."""
    for field in fields(recipe):
        name, kind = f"--{field.name.replace('_', '-')}", TYPES[str(field.type).split(" | ")[0]]
        how: dict[str, Any] = {"action": "store_true"} if kind is bool else {"type": kind}
        add(name, **how, help=field.metadata["help"], default=argparse.SUPPRESS)


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
