"""Which of the files that came in are pictures, which are labels, and whether they fit together."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlka.analysis import labels
from dlka.analysis.labels_coco import CocoLabels, coco_labels, holds_labels, is_coco, parse_json
from dlka.analysis.labels_yolo import YoloLabels, parse_yolo
from dlka.errors import DlkaError

MAX_PICTURES = 200
PICTURES = {".jpg", ".jpeg", ".png", ".webp", ".avif", ".gif", ".tif", ".tiff", ".bmp"}
# A name a line, as Label Studio, LabelImg, CVAT (obj.names), Darknet and Roboflow for Darknet write them.
NAMES = ("classes.txt", ".names", "_darknet.labels")

Labels = YoloLabels | CocoLabels


@dataclass(frozen=True)
class Given:
    """Pictures to compare, their labels if there are any, and sentences on what was left aside."""

    pictures: tuple[Path, ...]
    labels: Labels | None = None
    told: tuple[str, ...] = ()


def sort_files(paths: Sequence[str], known: Mapping[int, str], most: int | None = MAX_PICTURES) -> Given:
    """Sort files by their names' endings; labels belong to pictures of the same name.

    known: the models' classes; most: how many pictures may come.

    A .txt belongs to the picture of its stem, unless it lists pictures; classes.txt, obj.names and the like, or a .yaml
    with `names`, has the names of the labels' classes, and a .json is a COCO file if it holds labels. Raises DlkaError
    (TruthRefused too), one sentence.
    """
    named = _shown([Path(os.path.abspath(path)) for path in paths])
    files = list({path.resolve(): path for path in named}.values())  # each once, however often it is named
    pictures = tuple(path for path in files if path.suffix.lower() in PICTURES)
    if not pictures:
        raise DlkaError("There are no pictures yet: drop some, choose a folder, or try the examples.")
    if most is not None and len(pictures) > most:
        raise DlkaError(f"Expected at most {most} pictures at once, got {len(pictures)}: leave some out.")
    if sum(os.path.getsize(path) for path in {*files}.difference(pictures)) > labels.MAX_BYTES:
        raise DlkaError(f"Expected at most {labels.MAX_BYTES >> 20} MB of labels: leave out what is none.")
    rows = _rows(files, pictures)
    coco = _coco(files, beside=bool(rows))
    if len(coco) > 1:
        raise DlkaError(f"Expected one COCO file, got {coco[0][0].name} and {coco[1][0].name}: leave one out.")
    if rows and coco and is_coco(coco[0][1]):
        raise DlkaError(f"Expected labels as text files or as one JSON, got {rows[0][0].name} and {coco[0][0].name}.")
    found: Labels | None = None
    used = {*pictures}
    if rows:
        of_names, names = _names(files)
        source = of_names[0].name if of_names else ""
        found = parse_yolo([(path.name, data) for path, data in rows], known, names, source)
        used |= {*(path for path, _ in rows), *of_names}
    elif coco:
        found = coco_labels(coco[0][1], known, coco[0][0].name)
        called = Counter(labels.plain_name(path.name) for path in pictures)
        if twice := next((name for name, number in called.items() if number > 1 and name in found.images), None):
            owned = f"the labels of {twice} in {found.file}"
            raise DlkaError(f"Two pictures could own {owned}: give each picture a name of its own.")
        used.add(coco[0][0])
    told = [] if found is None else found.told()
    if others := [path.name for path in files if path not in used]:
        told.insert(0, f"Left aside, neither a picture that is read here nor labels: {labels.some(others)}.")
    if len(named) > len(files):
        told.append(f"Files named more than once count once: {len(named) - len(files)} left aside.")
    return Given(pictures, found, tuple(told))


def _shown(paths: Sequence[Path]) -> list[Path]:
    """The files that are not hidden: neither their own name nor that of the folder they lie in begins with a dot.

    Folders further up say nothing: the examples themselves may lie below a .venv. A browser gives names without
    folders, so copies of Jupyter's hidden folder are known by their names.
    """
    shown = [path for path in paths if not path.name.startswith(".") and not path.parent.name.startswith(".")]
    copies = {f"{path.stem}-checkpoint{path.suffix}" for path in shown}
    return [path for path in shown if path.name not in copies]


def _rows(files: Sequence[Path], pictures: Sequence[Path]) -> list[tuple[Path, bytes]]:
    """The label files in YOLO's format, with their content."""
    stems, rows = Counter(labels.plain_name(path.stem) for path in pictures), []
    for path in files:
        if path.suffix.lower() != ".txt" or _is_names(path) or labels.plain_name(path.stem) not in stems:
            continue
        data = labels.read_bytes(path)
        first = data.strip().split(b"\n")[0].decode("utf-8", "replace").strip()
        # CVAT's and Darknet's train.txt lists pictures' paths instead.
        if os.path.splitext(first)[1].lower() not in PICTURES:
            rows.append((path, data))
    if twice := next((path.name for path, _ in rows if stems[labels.plain_name(path.stem)] > 1), None):
        raise DlkaError(f"Two pictures could own the labels in {twice}: give each picture a name of its own.")
    return rows


def _coco(files: Sequence[Path], beside: bool) -> list[tuple[Path, Any]]:
    """The JSON files that hold labels, in COCO's format or not, with their content; one that cannot be read is about
    something else where there are YOLO's label files `beside` it."""
    found: list[tuple[Path, Any]] = []
    for path in files:
        if path.suffix.lower() != ".json":
            continue
        try:
            content = parse_json(labels.read_bytes(path), path.name)
        except labels.TruthRefused:
            if beside:
                continue
            raise
        if holds_labels(content):
            found.append((path, content))
    return [(path, content) for path, content in found if is_coco(content)] or found[:1]


def _names(files: Sequence[Path]) -> tuple[list[Path], dict[int, str] | None]:
    """The files of class names, and what they say; other yamls are about something else. Raises DlkaError where two
    say different things, and for a yaml that cannot be read and is called data.yaml, or where no other file has names.
    """
    given: dict[Path, dict[int, str]] = {}
    unread: list[labels.TruthRefused] = []
    for path in files:
        data = labels.read_bytes(path) if _is_names(path) or labels.is_yaml(path.name) else b""
        try:
            if not _is_names(path) and not (
                data and "names" in labels.yaml_mapping(labels.text_of(data, path.name), path.name)
            ):
                continue
        except labels.TruthRefused as refusal:
            if path.stem.lower() == "data":
                raise
            unread.append(refusal)
            continue
        given[path] = labels.parse_names(data, path.name)
    if unread and not given:
        raise unread[0]
    first = next(iter(given), Path())
    if other := next((path for path in given if given[path] != given[first]), None):
        both = f"{first.name} and {other.name}"
        raise DlkaError(f"Expected one list of class names, got different ones in {both}: leave one out.")
    return list(given), given.get(first)


def _is_names(path: Path) -> bool:
    return path.name.lower() == NAMES[0] or path.name.lower().endswith(NAMES[1:])
