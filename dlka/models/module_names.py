"""Which names a model yaml may use. Modules: those the doctor follows, those of Ultralytics, and the closest to a typo.

The names of Ultralytics and torch are read from their source files, so that asking costs no import of either.
"""

from __future__ import annotations

import ast
import difflib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

OFFSETS = ("dense", "separable", "none")  # how offsets are predicted, see dlka.layers
ATTENTION = "deformable_LKA_Attention"
BLOCKS = ("C2f", "C2f_DLKA")  # repeats are an argument of the block itself
WIDENED = ("Conv", "SPPF", *BLOCKS)  # first argument: output channels before the width gain
DETECTORS = ("Detect", "DetectDLKA")
TRACKED = (*WIDENED, "Concat", "nn.Upsample", ATTENTION, *DETECTORS)


def closest_name(name: str) -> str | None:
    """The tracked name that looks most like this one, case, underscores and dots apart; None if none is close."""
    plain = {_plain(known): known for known in TRACKED}
    found = difflib.get_close_matches(_plain(name), plain, n=1, cutoff=0.6)
    return plain[found[0]] if found else None


def is_foreign(name: str) -> bool:
    """True for a module that Ultralytics or torch.nn (written ``nn.Name``) has and the doctor does not follow."""
    if name in TRACKED:
        return False
    if name.startswith("nn."):
        return name[3:] in _exported("torch", "nn/modules/__init__.py")
    return name in _exported("ultralytics", "nn/modules/__init__.py")


def _plain(name: str) -> str:
    return name.lower().replace("_", "").replace(".", "")


@cache
def _exported(package: str, file: str) -> frozenset[str]:
    """The names in ``__all__`` of one file of an installed package; empty where the package is missing."""
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    tree = ast.parse((Path(spec.submodule_search_locations[0]) / file).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == "__all__" for t in node.targets):
            return frozenset(ast.literal_eval(node.value))
    return frozenset()
