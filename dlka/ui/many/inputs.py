"""Which of the files that came in are pictures, which are labels, and whether they fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlka.truth import CocoLabels, YoloLabels, parse_coco, parse_names, parse_yolo
from dlka.truth.labels import MAX_BYTES
from dlka.ui.session import Refused

MAX_PICTURES = 200
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"}
NAMES = "classes.txt"

Labels = YoloLabels | CocoLabels


@dataclass(frozen=True)
class Given:
    """Pictures to compare, their labels if there are any, and sentences on what was left aside."""

    pictures: tuple[Path, ...]
    labels: Labels | None = None
    told: tuple[str, ...] = ()


def sort_files(paths: Sequence[str], known: Mapping[int, str]) -> Given:
    """Sort files by their names' endings; labels belong to pictures of the same name. known: the models' classes.

    A .txt belongs to the picture of its stem, classes.txt or a .yaml has the names of the labels' classes, and a .json
    is a COCO file. Raises Refused or TruthRefused, one sentence.
    """
    files = [path for path in map(Path, paths) if not path.name.startswith(".")]
    pictures = tuple(path for path in files if path.suffix.lower() in PICTURES)
    if not pictures:
        raise Refused("There are no pictures yet: drop some, choose a folder, or try the examples.")
    if len(pictures) > MAX_PICTURES:
        raise Refused(f"Expected at most {MAX_PICTURES} pictures at once, got {len(pictures)}: leave some out.")
    stems = Counter(path.stem for path in pictures)
    names = [path for path in files if path.name.lower() == NAMES or path.suffix.lower() in (".yaml", ".yml")]
    rows = [path for path in files if path.suffix.lower() == ".txt" and path.stem in stems and path not in names]
    coco = [path for path in files if path.suffix.lower() == ".json"]
    for what, found in (("file of class names", names), ("COCO file", coco)):
        if len(found) > 1:
            raise Refused(f"Expected one {what}, got {found[0].name} and {found[1].name}: leave one out.")
    if rows and coco:
        raise Refused(f"Expected labels as text files or as one JSON, got {rows[0].name} and {coco[0].name}.")
    twice = next((path.name for path in rows if stems[path.stem] > 1), None)
    if twice:
        raise Refused(f"Two pictures could own the labels in {twice}: give each picture a name of its own.")
    labels: Labels | None = None
    if coco:
        labels = parse_coco(_bytes(coco[0]), known, coco[0].name)
    elif rows:
        own = parse_names(_bytes(names[0]), names[0].name) if names else None
        labels = parse_yolo([(p.name, _bytes(p)) for p in rows], known, own, names[0].name if names else "")
    used = {*pictures, *rows, *coco, *(names if rows else [])}
    return Given(pictures, labels, tuple(_left_aside(files, used, labels)))


def _left_aside(files: Sequence[Path], used: set[Path], labels: Labels | None) -> list[str]:
    told = []
    others = [path.name for path in files if path not in used]
    if others:
        told.append(f"Left aside, neither a picture nor its labels: {_some(others)}.")
    if labels is not None and labels.left_out:
        counts = [f"{name} ({count})" for name, count in labels.left_out.most_common()]
        told.append(f"Labelled objects of classes that the models do not know are left out: {_some(counts)}.")
    return told


def _some(texts: Sequence[str]) -> str:
    return ", ".join(texts[:3]) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(MAX_BYTES + 1)
