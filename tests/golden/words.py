"""What the README promises, and the names of `import dlka`."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from typing import Any

from tests.golden import digest
from tests.golden.digest import ROOT


def readme() -> dict[str, Any]:
    """Its headings, lists, tables, commands and snippets, and what the snippets print."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```(\w+)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    prose = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    commands = [re.sub(r"\s+#.*", "", line) for _, block in blocks for line in block.splitlines() if "-m dlka" in line]
    items = re.findall(r"^(?:- |\d+\. )(.*(?:\n  .*)*)", prose, re.MULTILINE)
    rows = [line for line in prose.splitlines() if line.startswith("|") and not set(line) <= set("|-: ")]
    python = [block for language, block in blocks if language == "python"]
    return {
        "headings": re.findall(r"^#{1,4} .*", prose, re.MULTILINE),
        "lists": [" ".join(item.split()) for item in items],
        "tables": [" ".join(row.split()) for row in rows],
        "commands": commands,
        "commands in the text": sorted(set(re.findall(r"`(python -m dlka[^`]*)`", prose))),
        "python": [block.splitlines() for block in python],
        "python prints": [_printed(block) for block in python],
    }


def _printed(snippet: str) -> Any:
    done = subprocess.run([sys.executable, "-c", snippet], cwd=ROOT, capture_output=True, text=True, timeout=300)
    (ROOT / "samples.svg").unlink(missing_ok=True)
    # The second snippet has a random net: of its numbers, only how they are printed is the same.
    said = re.sub(r"-?\d+\.\d{3,}(e-\d+)?", "~", digest.normalised(done.stdout))
    return {"exit": done.returncode, "out": said.splitlines()}


def names() -> dict[str, Any]:
    """dlka.__all__, with the signature of everything in it, and its own methods."""
    import torch
    import torchvision

    import dlka

    found: dict[str, Any] = {"__all__": sorted(dlka.__all__)}
    for name in dlka.__all__:
        value = getattr(dlka, name)
        if not callable(value):
            found[name] = type(value).__name__
            continue
        about: dict[str, Any] = {
            "signature": _signature(value),
            "docstring": digest.text(inspect.getdoc(value) or "", 0),
        }
        if inspect.isclass(value):
            about["methods"] = _methods(value)
        found[name] = about
    layer = torchvision.ops.DeformConv2d(1, 1, 1)
    with dlka.watch(layer) as seen:
        layer(torch.zeros(1, 1, 4, 4), torch.zeros(1, 2, 4, 4))
        found["what dlka.watch gives"] = _methods(type(seen))
    return found


def _methods(of: type) -> dict[str, str]:
    """The public methods and properties of a class that are its own, not those of a library's class that it extends."""
    own = {name: v for c in reversed(of.__mro__) if c.__module__.startswith("dlka") for name, v in vars(c).items()}
    return {
        name: _signature(v)
        for name, v in sorted(own.items())
        if not name.startswith("_") and (callable(v) or isinstance(v, property))
    }


def _signature(value: Any) -> str:
    """A signature without the modules that annotations are from."""
    if isinstance(value, property):
        return "property"
    said = str(inspect.signature(value))
    return re.sub(r"\b(?:\w+\.)+(\w+)", r"\1", said)
