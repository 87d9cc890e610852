"""Which versions made a result. Imports nothing heavy: what is asked is what is installed."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

import dlka

PACKAGES = ("torch", "torchvision", "ultralytics", "numba", "numpy", "faster-coco-eval")


def versions(packages: Sequence[str] = PACKAGES) -> dict[str, str]:
    """Version of the project, of Python and of packages, by default those that decide on results."""
    found = {"dlka": dlka.__version__, "python": platform.python_version()}
    for package in packages:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found
