"""What a data set's yaml says, in Ultralytics' format: where pictures lie, and what the classes are called."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from dlka.models.card import MAX_CLASSES, MAX_NAME

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")


class DataRefused(ValueError):
    """A data set that cannot be used; one sentence with what to do."""


@dataclass(frozen=True)
class DataSet:
    """A data set by its yaml `file`. names: class number -> name, numbered from 0.

    train, val: folders with pictures, or .txt files that list them, as absolute paths; val is empty where there is no
    validation part.
    """

    file: Path
    names: dict[int, str]
    train: tuple[Path, ...]
    val: tuple[Path, ...]

    @property
    def title(self) -> str:
        """What people call it: the name of the yaml, or of its folder where that is called data.yaml."""
        return self.file.parent.name if self.file.stem == "data" else self.file.stem


def read_dataset(path: Path) -> DataSet:
    """The data set of a yaml file, or of a folder with data.yaml in it. Raises DataRefused.

    train and val: a folder or .txt file, or a list of them, relative to `path`, which is the yaml's own folder or
    relative to it; where they are left out they are images/train and images/val, the latter only if it is there.
    """
    file = path if path.suffix.lower() in (".yaml", ".yml") else path / "data.yaml"
    content = _content(file)
    names = _names(content, file)
    root = file.parent.resolve() / str(content.get("path") or "")
    if not root.is_dir():
        raise DataRefused(f"{file}: 'path' is {root}, and there is no such folder.")
    val = content.get("val") or ("images/val" if (root / "images" / "val").is_dir() else None)
    return DataSet(
        file.resolve(),
        names,
        _sources(content.get("train") or "images/train", root, file),
        _sources(val, root, file) if val else (),
    )


def class_names(file: Path) -> dict[int, str]:
    """Class number -> name of a data.yaml; raises DataRefused."""
    return _names(_content(file), file)


def pictures_of(sources: Iterable[Path]) -> list[Path]:
    """The picture files of folders (with all below them) and of .txt lists, each source sorted, each picture once.

    Lines of a list are absolute or relative to the list's folder. Raises DataRefused for sources that are not there or
    have no pictures.
    """
    found: dict[Path, None] = {}
    for source in sources:
        pictures = _in_list(source) if source.suffix.lower() == ".txt" else _in_folder(source)
        if not pictures:
            raise DataRefused(
                f"{source}: expected a folder with pictures, got none ({', '.join(PICTURES)}); check the paths."
            )
        found |= dict.fromkeys(pictures)
    return list(found)


def label_file(picture: Path) -> Path:
    """Where the labels of a picture lie: the last folder `images` of its path is `labels`, the suffix .txt."""
    parts = list(picture.parts)
    last = max((i for i, part in enumerate(parts[:-1]) if part == "images"), default=None)
    if last is not None:
        parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


def _content(file: Path) -> dict[str, Any]:
    if not file.is_file():
        raise DataRefused(
            f"{file}: expected a data set folder with data.yaml, images/train, images/val and labels, or a yaml file."
        )
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8-sig"))
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DataRefused(f"{file} is not valid yaml.") from None
    return content if isinstance(content, dict) else {}


def _names(content: dict[str, Any], file: Path) -> dict[int, str]:
    names = content.get("names")
    names = dict(enumerate(names)) if isinstance(names, list) else names
    if not isinstance(names, dict) or not names or sorted(names, key=str) != sorted(range(len(names)), key=str):
        raise DataRefused(f"{file}: expected class names numbered from 0 under 'names'.")
    texts = [str(names[number]) for number in range(len(names))]
    twice = next((name for name in texts if texts.count(name) > 1), None) if len(set(texts)) < len(texts) else None
    if twice is not None:
        raise DataRefused(f"{file}: two classes are called {twice!r:.60}; give each its own name.")
    if len(texts) > MAX_CLASSES or not all(0 < len(name) <= MAX_NAME for name in texts):
        raise DataRefused(f"{file}: expected up to {MAX_CLASSES} class names of 1 to {MAX_NAME} characters.")
    if content.get("nc") not in (None, len(texts)):
        raise DataRefused(f"{file}: 'nc' is {content['nc']!r:.20}, and there are {len(texts)} names.")
    return dict(enumerate(texts))


def _sources(given: Any, root: Path, file: Path) -> tuple[Path, ...]:
    """Absolute paths, symbolic links followed as Ultralytics does; they need not be there."""
    paths = given if isinstance(given, list) else [given]
    if not all(isinstance(path, str) for path in paths):
        raise DataRefused(f"{file}: expected a path or a list of paths under 'train' and 'val', got {given!r:.60}.")
    return tuple((root / path).resolve() for path in paths)


def _in_folder(folder: Path) -> list[Path]:
    found = []
    for at, _, names in os.walk(folder, followlinks=True):
        found += [Path(at, name) for name in names if os.path.splitext(name)[1].lower() in PICTURES]
    return sorted(found)


def _in_list(file: Path) -> list[Path]:
    if not file.is_file():
        raise DataRefused(f"{file}: there is no such list of pictures; check the paths.")
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise DataRefused(f"{file}: expected a list of pictures, one path a line, got no text.") from None
    found = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        picture = Path(os.path.abspath(file.parent / line.strip()))
        if picture.suffix.lower() not in PICTURES or not picture.is_file():
            raise DataRefused(f"{file}, line {number}: expected a picture file, got {line!r:.120}.")
        found.append(picture)
    return sorted(found)
