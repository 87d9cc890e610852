"""Pictures to start from: those that come with the installed packages, and one that the project draws itself."""

from __future__ import annotations

import tempfile
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from dlka.images import read_image

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets"
# Label -> package, file in it. What a package no longer has is left out.
FROM_PACKAGES = {
    "Bus stop": ("ultralytics", "assets/bus.jpg"),
    "Two people": ("ultralytics", "assets/zidane.jpg"),
    "Cheetah": ("gradio", "media_assets/images/cheetah1.jpg"),
    "Portrait": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}


@lru_cache(maxsize=1)
def examples() -> dict[str, Path]:
    """Label -> picture file; the first is what the page opens with."""
    found = {label: _package_file(*where) for label, where in FROM_PACKAGES.items()}
    present = {label: path for label, path in found.items() if path is not None}
    if "Bus stop" in present:
        present["Far crowd: bus stop, 4 x 3 small copies"] = _tiled(present["Bus stop"], 4, 3)
    present["Dots and curves, 4 to 64 px"] = ASSETS / "dots-and-curves.png"
    return present


def _package_file(package: str, file: str) -> Path | None:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / file
    return path if path.is_file() else None


def _tiled(path: Path, columns: int, rows: int) -> Path:
    """A picture shrunk and repeated: the same objects, small ones now."""
    small = cv2.resize(read_image(path), (270, 360), interpolation=cv2.INTER_AREA)
    out = Path(_folder().name) / "far-crowd.png"
    cv2.imwrite(str(out), np.tile(small[..., ::-1], (rows, columns, 1)))
    return out


@lru_cache(maxsize=1)
def _folder() -> tempfile.TemporaryDirectory[str]:
    """Lives as long as the process."""
    return tempfile.TemporaryDirectory(prefix="dlka-examples-")
