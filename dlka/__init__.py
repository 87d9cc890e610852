"""YOLOv8 with Deformable Large Kernel Attention (D-LKA), and pictures of where it looks.

``dlka.load``, ``dlka.compare``, ``dlka.YOLO``, ``dlka.deform_dwconv2d`` and ``dlka.watch`` are imported when they are
first used: ``import dlka`` alone needs neither torch nor ultralytics.

Ultralytics reads its switches once, when it is imported, so they are set here, before any module can import it: no
network use, no installing of packages by itself, and no pickle that names more than layers.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlka.comparison import compare
    from dlka.ops import deform_conv3d, deform_dwconv2d
    from dlka.results import load
    from dlka.watching import watch
    from dlka.yolo import YOLO

os.environ.setdefault("YOLO_OFFLINE", "1")
os.environ.setdefault("YOLO_AUTOINSTALL", "0")
os.environ.setdefault("YOLO_VERBOSE", "0")
os.environ.setdefault("ULTRALYTICS_SAFE_LOAD", "1")

__version__ = "0.1.0"
__all__ = ["YOLO", "__version__", "compare", "deform_conv3d", "deform_dwconv2d", "load", "watch"]

_HOMES = {
    "YOLO": "dlka.yolo",
    "compare": "dlka.comparison",
    "deform_conv3d": "dlka.ops",
    "deform_dwconv2d": "dlka.ops",
    "load": "dlka.results",
    "watch": "dlka.watching",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_HOMES[name]), name)  # found here the next time
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
