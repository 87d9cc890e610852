"""Pictures to start from: of the installed packages, of data sets, and some that the project draws itself."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from dlka.analysis.labels import Truth, read_bytes
from dlka.analysis.labels_coco import coco_labels, parse_json
from dlka.images import read_image
from dlka.models.catalog import subject_of
from dlka.shipped import ASSETS
from dlka.temporary import write

CROWD = "Far crowd: bus stop, 4 x 3 small copies"


class Picture(NamedTuple):
    """An example. subject: one of catalog.SUBJECTS; file: in ASSETS, or in the package; credit: whose it is."""

    subject: str
    file: str
    credit: str
    package: str = ""


DRAWN = "by this project"
KIT = "KIT AIS Data Set, CC BY 3.0"
HIT_UAV = "HIT-UAV, Suo et al. 2023, CC BY 4.0"
NEU_DET = "NEU-DET (Song, Yan 2013), for research"
PICTURES = {
    "Bus stop": Picture("everyday", "assets/bus.jpg", "comes with ultralytics", "ultralytics"),
    "Two people": Picture("everyday", "assets/zidane.jpg", "comes with ultralytics", "ultralytics"),
    "Cheetah": Picture("everyday", "media_assets/images/cheetah1.jpg", "comes with gradio", "gradio"),
    "Portrait": Picture("everyday", "mpl-data/sample_data/grace_hopper.jpg", "comes with matplotlib", "matplotlib"),
    CROWD: Picture("everyday", "assets/bus.jpg", "comes with ultralytics", "ultralytics"),
    "Dots and curves, 4 to 64 px": Picture("everyday", "dots-and-curves.png", DRAWN),
    "Aerial: crossroads": Picture("everyday", "aerial-crossroads.jpg", KIT),
    "Aerial: cars of 30 px": Picture("everyday", "aerial-street.jpg", KIT),
    "Thermal: people": Picture("thermal", "thermal-people.jpg", HIT_UAV),
    "Thermal: bicycles": Picture("thermal", "thermal-bicycles.jpg", HIT_UAV),
    "Steel: scratches": Picture("steel", "steel-scratches.jpg", NEU_DET),
    "Steel: inclusions": Picture("steel", "steel-inclusion.jpg", NEU_DET),
    "Steel: patches": Picture("steel", "steel-patches.jpg", NEU_DET),
    "Drawn scene: letters and curves": Picture("shapes", "scene-3.png", DRAWN),
    "Drawn scene: E of 12 to 90 px": Picture("shapes", "scene-1.png", DRAWN),
    "Drawn scene: rings, 11 to 88 px": Picture("shapes", "scene-2.png", DRAWN),
}
# Subject -> file in ASSETS.
LABELS = {"shapes": "scenes.json", "steel": "steel.json", "thermal": "thermal.json", "everyday": "labels.json"}


@lru_cache(maxsize=1)
def examples() -> dict[str, Path]:
    """Label -> picture file, in the order of PICTURES; what a package no longer has is left out."""
    present = {label: path for label, picture in PICTURES.items() if (path := _file(picture)) is not None}
    if CROWD in present:
        present[CROWD] = _tiled(present[CROWD], 4, 3)
    return present


def subject(example: str | None) -> str:
    """What an example shows, by its label: one of catalog.SUBJECTS; "everyday" for a picture of a visitor's own."""
    return PICTURES[example].subject if example in PICTURES else "everyday"


def first(shown: str) -> str:
    """The label of the first example of a subject."""
    return next(label for label in examples() if subject(label) == shown)


def labelled(known: Mapping[int, str]) -> list[Path]:
    """The examples that models of these classes can be judged by, and the file of their labels (COCO's format) last."""
    shown = subject_of(known)
    pictures = [path for label, path in examples().items() if subject(label) == shown]
    return [*pictures, ASSETS / LABELS[shown]]


def truth_of(example: str, known: Mapping[int, str], size: tuple[int, int]) -> Truth | None:
    """What is to be found in an example; None where it shows what models of these classes were not made for. known:
    class id -> name; size: (height, width) of the picture."""
    if subject(example) != (shown := subject_of(known)):
        return None
    file = ASSETS / LABELS[shown]
    labels = coco_labels(parse_json(read_bytes(file), file.name), known, file.name)
    return labels.truth(str(examples()[example]), size)


def _file(picture: Picture) -> Path | None:
    if not picture.package:
        return ASSETS / picture.file
    spec = find_spec(picture.package)
    paths = [Path(folder) / picture.file for folder in (spec and spec.submodule_search_locations) or ()]
    return paths[0] if paths and paths[0].is_file() else None


def _tiled(path: Path, columns: int, rows: int) -> Path:
    """A picture shrunk and repeated: the same objects, small ones now."""
    small = cv2.resize(read_image(path), (270, 360), interpolation=cv2.INTER_AREA)
    data = cv2.imencode(".png", np.tile(small[..., ::-1], (rows, columns, 1)))[1].tobytes()
    return Path(write(data, "far-crowd.png", kept=True))
