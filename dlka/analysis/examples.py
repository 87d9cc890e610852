"""Pictures to start from: those that come with the installed packages, and some that the project draws itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np

from dlka.images import read_image
from dlka.models.catalog import subject_of
from dlka.temporary import write

ASSETS = Path(__file__).resolve().parent.parent.parent / "assets"
# Label -> package, file in it. What a package no longer has is left out.
FROM_PACKAGES = {
    "Bus stop": ("ultralytics", "assets/bus.jpg"),
    "Two people": ("ultralytics", "assets/zidane.jpg"),
    "Cheetah": ("gradio", "media_assets/images/cheetah1.jpg"),
    "Portrait": ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
}

# Label -> file in ASSETS: photographs of rolled steel (NEU-DET: Song and Yan 2013; He et al. 2020), 200x200.
STEEL = {
    "Steel: scratches": "steel-scratches.jpg",
    "Steel: inclusions": "steel-inclusion.jpg",
    "Steel: patches": "steel-patches.jpg",
}
# Label -> file in ASSETS, of scenes with known shapes (assets/draw.py).
SCENES = {
    "Drawn scene: letters and curves": "scene-3.png",
    "Drawn scene: E of 12 to 90 px": "scene-1.png",
    "Drawn scene: rings, 11 to 88 px": "scene-2.png",
}
LABELS = {"shapes": "scenes.json", "steel": "steel.json", "everyday": "labels.json"}  # subject -> file in ASSETS


@lru_cache(maxsize=1)
def examples() -> dict[str, Path]:
    """Label -> picture file: photographs, those of steel last, then drawn scenes."""
    found = {label: _package_file(*where) for label, where in FROM_PACKAGES.items()}
    present = {label: path for label, path in found.items() if path is not None}
    if "Bus stop" in present:
        present["Far crowd: bus stop, 4 x 3 small copies"] = _tiled(present["Bus stop"], 4, 3)
    present["Dots and curves, 4 to 64 px"] = ASSETS / "dots-and-curves.png"
    return present | {label: ASSETS / file for label, file in (STEEL | SCENES).items()}


def subject(example: str | None) -> str:
    """What an example shows, by its label: one of catalog.SUBJECTS; "everyday" for a picture of a visitor's own."""
    return "shapes" if example in SCENES else "steel" if example in STEEL else "everyday"


def first(shown: str) -> str:
    """The label of the first example of a subject."""
    return next(label for label in examples() if subject(label) == shown)


def labelled(known: Mapping[int, str]) -> list[Path]:
    """The examples that models of these classes can be judged by, and the file of their labels (COCO's format) last.

    Models of drawn shapes get the drawn scenes, those of steel its defects, all others the photographs.
    """
    shown = subject_of(known)
    pictures = [path for label, path in examples().items() if subject(label) == shown]
    return [*pictures, ASSETS / LABELS[shown]]


def _package_file(package: str, file: str) -> Path | None:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(spec.submodule_search_locations[0]) / file
    return path if path.is_file() else None


def _tiled(path: Path, columns: int, rows: int) -> Path:
    """A picture shrunk and repeated: the same objects, small ones now."""
    small = cv2.resize(read_image(path), (270, 360), interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".png", np.tile(small[..., ::-1], (rows, columns, 1)))[1].tobytes()
    return Path(write(data, "far-crowd.png", kept=True))
