"""The models that can be chosen by name: the files in the project's weights folder and those that were added to them;
and which belong together.

More can be fetched: the official weights, through Ultralytics itself, the one download of the project and done only
when the user asks.
"""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Collection, Mapping
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from dlka.drawn.shapes import SHAPES
from dlka.errors import DlkaError, last_line
from dlka.models.checkpoint import convert
from dlka.models.placements import PLAIN, SCRATCH
from dlka.models.weights import Card, OtherFile, load_card, recipe_of
from dlka.shipped import WEIGHTS

PATTERN = "[!.]*.safetensors"
# Ultralytics' own weights, there only once the user has fetched them; the first is what trainings start from.
OFFICIAL = tuple(f"yolov8{scale}" for scale in "nsmlx")
# The D-LKA models that look where none is named. The first one needs its offsets, and knows drawn letters and curves:
# it looks at drawn scenes, with which the page opens, and where there is no picture at all.
DEFAULT, PHOTOGRAPHS = "scenes", "head"
DEFECTS = {"crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches"}  # of NEU-DET
# What a picture shows -> its model; and the classes of models for it: those of any others are for everyday pictures.
SUBJECTS = {"shapes": DEFAULT, "everyday": PHOTOGRAPHS, "steel": "neu-det-neck", "thermal": "hit-uav-head"}
CLASSES = {"shapes": set(SHAPES), "steel": DEFECTS, "thermal": {"person", "car", "bicycle", "other vehicle"}}
CONTROL = "control"  # the placement of stock YOLOv8, and how the id of its fair comparison ends
RIGID = "-rigid"  # how the id of a model's twin without offsets ends
SIZE = 640  # px: the longer side of the input, where nothing speaks for another

FETCH_SECONDS = 900.0
# The child does not import dlka, which switches Ultralytics offline for this process.
FETCH = "import sys; from ultralytics.utils.downloads import attempt_download_asset as get; get(sys.argv[1])"
_LOG = logging.getLogger(__name__)
# Beside those of WEIGHTS (dlka/models/own.py): files and folders that an operator named, and files that visitors
# brought, by id, which nobody else is offered.
ADDED: list[Path] = []
GUESTS: dict[str, Path] = {}


def available() -> dict[str, Path]:
    """Model id -> weights file, for example "neck" -> weights/neck.safetensors, sorted by id.

    Hidden files are none, nor is what the project ships beside models.
    """
    return {name: path for name, path in _files().items() if _card(path) is not None}


def find(model: str) -> Path:
    """The weights file of a model id, or of a path that ends in .safetensors. Raises DlkaError."""
    files = {path.stem: path for path in (WEIGHTS / "segment").glob(PATTERN)} | _files()
    if model in files:
        return files[model]  # one that is no model, too: whoever opens it is told what it is
    if Path(model).suffix:
        return Path(model)
    hint = f"; get it with: python -m dlka fetch {model}" if model in OFFICIAL else ""
    lost = "".join(f"; {sentence.rstrip('.')}" for sentence in left_out().values())
    offered = [name for name in cards() if name not in GUESTS]
    raise DlkaError(
        f"model: expected {choices(offered)} or the path of a .safetensors file, got {model!r}{hint}{lost}."
    )


def choices(models: Collection[str]) -> str:
    """The models that could have been named, in words; where there are none, it says that."""
    return f"one of {', '.join(models)}" if models else f"a model in {WEIGHTS}, which holds none of this kind,"


def cards() -> dict[str, Card]:
    """Model id -> what its file says about itself: models of COCO's classes first, then by id.

    Also those of GUESTS. A file that cannot be read as weights is left out, see `left_out`.
    """
    found = {model: card for model, path in available().items() if isinstance(card := _card(path), Card)}
    return dict(sorted(found.items(), key=lambda item: (not is_coco(item[1].names), item[0])))


def left_out() -> dict[str, str]:
    """Model id -> why its file is not among `cards`, a sentence that begins with the file's name."""
    return {model: why for model, path in available().items() if isinstance(why := _card(path), str)}


def is_coco(names: Mapping[int, str]) -> bool:
    """Whether these are COCO's 80 classes, told by their number, the first and the last."""
    return len(names) == 80 and names[0] == "person" and names[79] == "toothbrush"


def subject_of(names: Mapping[int, str]) -> str:
    """What pictures a model of these classes is for: one of SUBJECTS."""
    return next((shown for shown, known in CLASSES.items() if set(names.values()) == known), "everyday")


def default_for(subject: str) -> str:
    """The D-LKA model that looks at a picture where none is named. subject: of the picture, one of SUBJECTS.

    Where the files of that model and its baseline are not there, the one for everyday pictures looks.
    """
    model = SUBJECTS[subject]
    return model if baseline_of(model) else PHOTOGRAPHS


def measured_size(trained: int, scratch: bool) -> int:
    """The longer side of the input in pixels at which a finished model is measured: what it was trained at where it
    knows no other, else SIZE or more. trained: pixels; scratch: whether all of its weights were new."""
    trained = _whole(trained)
    return trained if scratch else max(SIZE, trained)


def suited_size(card: Card) -> int:
    """The longer side of the input in pixels, a multiple of 32, that suits a model: what its card's figures were
    measured at; where it has none, what they would be measured at, see `measured_size`."""
    size = card.metrics.get("size")
    if type(size) is int and 32 <= size <= 8192:  # a card is a stranger's file
        return _whole(size)
    return measured_size(card.input_size, recipe_of(card.recipe).get("start") == SCRATCH)


def input_size(card: Card, height: int, width: int) -> int:
    """The longer side in pixels that a picture (height, width) should have when a model looks at it.

    A photograph may be scaled, as an object may be near or far. A drawn scene is not: its shapes have the sizes in
    pixels that models learned, so that it goes in as it is, filled up to a multiple of 32.
    """
    return _whole(max(height, width)) if subject_of(card.names) == "shapes" else suited_size(card)


def baseline_of(model: str) -> str | None:
    """The id of the model that a D-LKA model is compared with where none is named: its rigid twin, the same network
    without offsets, where one of the same classes is there; else its control, see `control_of`; else None."""
    known, twin = cards(), f"{model}{RIGID}"
    if model in known and twin in known and known[twin].names == known[model].names:
        return twin
    return control_of(model)


def control_of(model: str) -> str | None:
    """The id of the fair comparison of a model id: stock YOLOv8 with the same classes, trained on the same data.

    That is the one whose id is "control" after the longest beginning that both ids share ("hit-uav-control" for
    "hit-uav-residual"); else the first stock model with the same classes, one with a pyramid before one without; None
    where there is none.
    """
    known = cards()
    if model not in known:
        return None
    alike = {m: c.placement for m, c in known.items() if c.names == known[model].names and m not in GUESTS}
    stock = [m for placement in PLAIN for m, p in alike.items() if p == placement]
    named = [m for m in stock if m.endswith(CONTROL) and model.startswith(m.removesuffix(CONTROL))]
    return max(named, key=len) if named else next(iter(stock), None)


def _whole(side: int) -> int:
    """A side in pixels, filled up to a multiple of 32."""
    return -(-side // 32) * 32


def fetch(name: str, folder: Path | None = None) -> Path:
    """Get official weights, convert them, and return the file: NAME.safetensors in the project's weights folder.

    Raises DlkaError for a name that is not in OFFICIAL, for a file that is there already, where the download fails,
    and where what came is not the model.
    """
    if name not in OFFICIAL:
        raise DlkaError(f"fetch: expected one of {', '.join(OFFICIAL)}; got {name!r:.60}.")
    out = (folder or WEIGHTS) / f"{name}.safetensors"
    if out.exists():
        raise DlkaError(f"{out} is there already; remove it to fetch it again.")
    with TemporaryDirectory(prefix="dlka-fetch-") as temporary:
        checkpoint = download(f"{name}.pt", Path(temporary))
        convert(checkpoint, out, data="COCO 2017 train, by Ultralytics", licence="AGPL-3.0")
    return out


def download(asset: str, folder: Path) -> Path:
    """A file of Ultralytics' releases, fetched into a folder by Ultralytics' own downloader in a child process."""
    target = folder / asset
    environment = {key: value for key, value in os.environ.items() if key != "YOLO_OFFLINE"}
    environment |= {"YOLO_AUTOINSTALL": "0", "YOLO_CONFIG_DIR": str(folder)}  # the user's settings stay untouched
    try:
        child = subprocess.run(
            [sys.executable, "-c", FETCH, str(target)],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=FETCH_SECONDS,
            check=False,
        )
        reason = last_line(child.stderr)
    except subprocess.TimeoutExpired:
        reason = f"it took more than {FETCH_SECONDS:g} seconds"
    if not target.is_file():
        raise DlkaError(
            f"{asset} could not be downloaded from Ultralytics ({reason:.160}); check the network and try again, or "
            f"get the file elsewhere and run: python -m dlka convert {asset} weights/{Path(asset).stem}.safetensors"
        )
    return target


def _files() -> dict[str, Path]:
    """Stem -> file of all that could be weights; of two that are called alike the one that was there first."""
    found: dict[str, Path] = {}
    for place in (WEIGHTS, *ADDED):
        for path in [place] if place.suffix == ".safetensors" else sorted(place.glob(PATTERN)):
            found.setdefault(path.stem, path)
    return dict(sorted(found.items())) | GUESTS


def _card(path: Path) -> Card | str | None:
    """The card, or why there is none; None for a file that is not meant to be a model."""
    try:
        changed = path.stat().st_mtime_ns
    except OSError:  # a link to nowhere
        changed = -1
    return _read(path, changed)


@lru_cache(maxsize=256)
def _read(path: Path, changed: int) -> Card | str | None:
    """`_card` of a file as it was at a time (nanoseconds): read, and told in the log, once for every change."""
    try:
        return load_card(path)
    except OtherFile:
        return None
    except DlkaError as refusal:
        _LOG.warning("left out of the models: %s", refusal)
        return str(refusal)
