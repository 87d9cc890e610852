"""How fast the operator, whole models and the page are: python -m dlka bench WHAT.

Stands beside the command line: it may use every other part. Nothing heavy is imported before it is asked for.
"""

from __future__ import annotations

import argparse
import logging
from importlib import import_module
from typing import Any

from dlka.printing import write_json

MODULES = {
    **{name: name for name in ("ops", "model", "folder", "page", "load", "gpu")},
    "memory": "load",
}


def bench(args: argparse.Namespace) -> int:
    """The handler of the command: measure what args.what says, with the flags that were given; print it, write JSON.

    The result also says what it was measured on: device (where the bench names one), machine, versions.
    """
    # On machines with a CUDA compiler and no GPU it says so while torch.utils.benchmark is imported.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    module = import_module(f"dlka.bench.{MODULES[args.what]}")
    flags = {k: v for k, v in vars(args).items() if k not in ("handler", "what", "json") and v is not None}
    result: dict[str, Any] = getattr(module, f"bench_{args.what}")(**flags)
    from dlka.provenance import machine, versions

    result = {"machine": machine(), **result, "versions": versions() | result.get("versions", {})}
    where = result["machine"]
    device = "" if result.get("device", "cpu") == "cpu" else f"{result['device']}; "
    print(getattr(module, f"{args.what}_text")(result))
    print(f"{device}{where['cpu']}, {where['vectors']}, threads: {where['threads']}, cores: {where['cores']}.")
    print(", ".join(f"{name} {number}" for name, number in result["versions"].items()))
    write_json(args.json, result)
    return 1 if result.get("failed") else 0
