"""A data set in Ultralytics' format: what its yaml says, its pictures, and the labels beside them, a row an object."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from dlka.analysis.labels import class_names, read_bytes, text_of, yaml_mapping
from dlka.analysis.labels_yolo import MOST_OF_ROWS, Rows, parse_rows
from dlka.errors import DlkaError
from dlka.printing import count

SUFFIXES = (".yaml", ".yml")
PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# Formats that other programs call pictures, and Ultralytics partly reads: those that are left out are told.
OTHERS = (
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".gif", ".mpo", ".jp2", ".j2k", ".jxl", ".dng", ".raw", ".pfm"),
    *(".jfif", ".jpe", ".ppm", ".pgm", ".pbm", ".tga", ".ico", ".svg", ".psd", ".exr", ".hdr", ".npy"),
)


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
    """The data set of a yaml file, or of a folder with data.yaml in it. Raises DlkaError.

    train and val: a folder or a list's file, or a list of them, relative to `path`, which is the yaml's own folder or
    relative to it; where they are left out they are images/train and images/val, the latter only if it is there.
    """
    file = path if path.suffix.lower() in SUFFIXES else path / "data.yaml"
    if file != path and not file.is_file() and os.path.isdir(path):  # then the only yaml there that is not hidden
        others = [at for at in path.iterdir() if at.suffix.lower() in SUFFIXES and not at.name.startswith(".")]
        file = others[0] if len(others) == 1 else file
    if not os.path.isfile(file):
        raise DlkaError(
            f"{file}: expected a data set folder with data.yaml, images/train, images/val and labels, or a yaml file."
        )
    content = yaml_mapping(text_of(read_bytes(file), str(file)), str(file))
    if content.get("kpt_shape") is not None:
        raise DlkaError(f"{file}: expected labels of boxes or polygons, got those of keypoints (kpt_shape).")
    names = class_names(content, str(file))
    given = str(content.get("path") or "")
    root = first_there(file.parent.resolve(), given, Path.cwd())
    if not os.path.isdir(root):
        raise DlkaError(
            f"{file}: 'path' is {given!r:.200}, and there is no such folder; leave it out where the data lie beside "
            "the yaml."
        )
    val = content.get("val") or content.get("validation")
    val = val or ("images/val" if os.path.isdir(root / "images" / "val") else None)
    return DataSet(
        file.resolve(),
        names,
        _sources(content.get("train") or "images/train", root, file),
        _sources(val, root, file) if val else (),
    )


def _sources(given: Any, root: Path, file: Path) -> tuple[Path, ...]:
    """Absolute paths, symbolic links followed as Ultralytics does; they need not be there."""
    paths = given if isinstance(given, list) else [given]
    if not all(isinstance(path, str) and "\0" not in path for path in paths):
        raise DlkaError(f"{file}: expected a path or a list of paths under 'train' and 'val', got {given!r:.60}.")
    return tuple(first_there(root, path).resolve() for path in paths)


class ValidationPart(NamedTuple):
    """names: class number -> name; pictures: by name; rows: their labels; told: sentences on what was left out."""

    names: dict[int, str]
    pictures: list[Path]
    rows: list[Rows]
    told: list[str]


def read_val(path: Path, limit: int | None = None) -> ValidationPart:
    """The pictures of the validation part (the first `limit` of them) with their labels.

    path: a yaml file, or a folder with data.yaml in it. Raises DlkaError. A picture without a label
    file has no objects.
    """
    data = read_dataset(path)
    if not data.val:
        raise DlkaError(
            f"{data.file.parent / 'images' / 'val'}: expected a folder with pictures, got none; "
            "or name another under 'val' in the yaml."
        )
    found = find_pictures(data.val)
    pictures = list(found.pictures)[:limit]
    rows = [read_labels(picture, len(data.names)) for picture in pictures]
    return ValidationPart(data.names, pictures, rows, found.told())


def read_labels(picture: Path, classes: int) -> Rows:
    """The labels of one picture, each row once. Raises DlkaError for a row that is no box and no polygon."""
    file = label_file(picture)
    text = text_of(read_bytes(file), str(file), MOST_OF_ROWS) if os.path.isfile(file) else ""
    return parse_rows(text, str(file), classes)


# The pictures: those of folders, with all below them, and those that .txt lists name.


@dataclass
class Found:
    """Picture files, each once; left_out: files by their suffix that are of another format; hidden: pictures whose own
    name, or that of a folder below the source, begins with a dot, which Ultralytics leaves out as well; whole: no list
    chose some pictures of a folder."""

    pictures: dict[Path, None] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    whole: bool = True

    def told(self) -> list[str]:
        """Sentences on what was left out."""
        told = []
        if self.left_out:
            kinds = ", ".join(f"{suffix} ({number})" for suffix, number in sorted(self.left_out.items()))
            files = count(self.left_out.total(), "file")
            told.append(f"{files} left out, expected {', '.join(PICTURES)}, got {kinds}.")
        if self.hidden:
            told.append(f"{count(self.hidden, 'picture')} left out, in names that begin with a dot.")
        return told


def find_pictures(sources: Iterable[Path]) -> Found:
    """The picture files of folders (with all below them) and of .txt lists, each source sorted, each picture once.

    Lines of a list are absolute or relative to the list's folder. Raises DlkaError for sources that are not there or
    have no pictures, and for a list that is no text.
    """
    found = Found()
    for source in sources:
        pictures = _in_list(source, found) if os.path.isfile(source) else _in_folder(source, found)
        if not pictures:
            raise DlkaError(
                f"{source}: expected a folder with pictures, got none ({', '.join(PICTURES)}); check the paths."
                + "".join(f" {sentence}" for sentence in found.told())
            )
        # Ultralytics gets them in a list, one a line; what is no UTF-8 in a name is ignored here, and so another name.
        texts = [(name, name.encode(errors="ignore").decode().splitlines()) for name in map(str, pictures)]
        unusable = next((name for name, lines in texts if lines != [name]), None)
        if unusable:
            raise DlkaError(f"{unusable!r}: expected a file name in UTF-8 without line breaks; rename it.")
        found.pictures |= dict.fromkeys(sorted(pictures))
    return found


def label_file(picture: Path) -> Path:
    """Where the labels of a picture lie: the last folder `images` of its path is `labels`, the suffix .txt."""
    parts = list(picture.parts)
    last = max((i for i, part in enumerate(parts[:-1]) if part == "images"), default=None)
    if last is not None:
        parts[last] = "labels"
    return Path(*parts).with_suffix(".txt")


def first_there(root: Path, given: str, *others: Path) -> Path:
    """What a path means, written on any system, and relative to `root` or else to one of `others`, symbolic links
    followed: the first that is there, or how `root` has it.

    As in Ultralytics, a path that begins with ../ is one without it where there is none: Roboflow's yaml lies beside
    the folders that it calls ../train.
    """
    ways = [given, given.replace("\\", "/")]
    tried = [Path(at, way.removeprefix(up)) for at in (root, *others) for up in ("", "../") for way in ways]
    return next((path for path in tried if os.path.exists(path)), tried[0])


def _in_folder(folder: Path, found: Found) -> list[Path]:
    """All pictures below a folder, links followed but not in circles."""

    def refuse(error: OSError) -> None:
        raise error

    pictures = []
    for name, folders, files in os.walk(folder, onerror=refuse, followlinks=True) if os.path.isdir(folder) else ():
        at = Path(name)
        above = {os.path.realpath(at), *(os.path.realpath(p) for p in at.parents if p.is_relative_to(folder))}
        folders[:] = [inner for inner in folders if os.path.realpath(at / inner) not in above]
        for path in (at / file for file in files):
            suffix = path.suffix.lower()
            hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
            if suffix in PICTURES:  # also what only has a picture's name, such as a link to nothing
                found.hidden += hidden
                pictures += [] if hidden else [path]
            elif suffix in OTHERS and not hidden and path.is_file():
                found.left_out[suffix] += 1
    return pictures


def _in_list(file: Path, found: Found) -> list[Path]:
    pictures, found.whole = [], False
    for number, line in enumerate(text_of(read_bytes(file), str(file)).splitlines(), 1):
        if not line.strip():
            continue
        picture = Path(os.path.abspath(first_there(file.parent, line.strip(), Path.cwd())))
        if picture.suffix.lower() in OTHERS:
            found.left_out[picture.suffix.lower()] += 1
        elif picture.suffix.lower() not in PICTURES or not os.path.isfile(picture):
            raise DlkaError(f"{file}, line {number}: expected a picture file, got {line!r:.120}.")
        else:
            pictures.append(picture)
    return pictures
