"""The models that can be chosen by name: the files in the project's weights folder, and which belong together."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from dlka.models.weights import Card, WeightsRefused, load_card

WEIGHTS = Path(__file__).resolve().parent.parent.parent / "weights"
OFFICIAL = "yolov8n"  # Ultralytics' own weights, there only once the user has fetched them
DEFAULT = "head"  # the D-LKA model that is looked at where none is named
CONTROL = "control"  # the placement of stock YOLOv8, and how the id of its fair comparison ends


def available() -> dict[str, Path]:
    """Model id -> weights file, for example "neck" -> weights/neck.safetensors, sorted by id."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def find(model: str) -> Path:
    """The weights file of a model id, or of a path that ends in .safetensors. Raises WeightsRefused."""
    known = available()
    if model in known:
        return known[model]
    if Path(model).suffix:
        return Path(model)
    hint = f"; get it with: python -m dlka fetch {OFFICIAL}" if model == OFFICIAL else ""
    raise WeightsRefused(f"model: expected one of {', '.join(known)} or a .safetensors file, got {model!r}{hint}.")


def cards() -> dict[str, Card]:
    """Model id -> what its file says about itself: models of COCO's classes first, then by id.

    A file that cannot be read as weights is left out; loading it by its id says what is wrong with it.
    """
    found = {model: card for model, path in available().items() if (card := _card(path)) is not None}
    return dict(sorted(found.items(), key=lambda item: (not is_coco(item[1].names), item[0])))


def is_coco(names: Mapping[int, str]) -> bool:
    """Whether these are COCO's 80 classes, told by their number, the first and the last."""
    return len(names) == 80 and names[0] == "person" and names[79] == "toothbrush"


def control_of(model: str) -> str | None:
    """The id of the fair comparison of a model id: stock YOLOv8 with the same classes, trained on the same data.

    That is the one whose id is "control" after the longest beginning that both ids share ("hit-uav-control" for
    "hit-uav-residual"); else the first stock model with the same classes; None where there is none.
    """
    known = cards()
    if model not in known:
        return None
    stock = [m for m, c in known.items() if c.placement == CONTROL and c.names == known[model].names]
    named = [m for m in stock if m.endswith(CONTROL) and model.startswith(m.removesuffix(CONTROL))]
    return max(named, key=len) if named else next(iter(stock), None)


def _card(path: Path) -> Card | None:
    try:
        return _read(path, path.stat().st_mtime_ns)
    except (WeightsRefused, FileNotFoundError):
        return None


@lru_cache(maxsize=64)
def _read(path: Path, changed: int) -> Card:
    """The card of a file as it was at a time (nanoseconds): read again only where the file is another one."""
    return load_card(path)
