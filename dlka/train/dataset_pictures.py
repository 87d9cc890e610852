"""The pictures of a data set: those of folders, with all below them, and those that .txt lists name."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dlka.analysis.labels import count, read_bytes, text_of
from dlka.errors import DlkaError

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
# Formats that other programs call pictures, and Ultralytics partly reads: those that are left out are told.
OTHERS = (
    *(".tif", ".tiff", ".avif", ".heic", ".heif", ".gif", ".mpo", ".jp2", ".j2k", ".jxl", ".dng", ".raw", ".pfm"),
    *(".jfif", ".jpe", ".ppm", ".pgm", ".pbm", ".tga", ".ico", ".svg", ".psd", ".exr", ".hdr", ".npy"),
)


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
        unusable = next((p for p in pictures if not _can_be_listed(p)), None)
        if unusable:
            raise DlkaError(f"{str(unusable)!r}: expected a file name in UTF-8 without line breaks; rename it.")
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
    pictures = []
    for path, hidden in _files(folder):
        suffix = path.suffix.lower()
        if hidden:
            found.hidden += suffix in PICTURES
        elif suffix in PICTURES:
            pictures.append(path)
        elif suffix in OTHERS:
            found.left_out[suffix] += 1
    return pictures


def _files(folder: Path) -> Iterator[tuple[Path, bool]]:
    """All files below a folder, links followed but not in circles, and whether a part of the name below the folder
    begins with a dot."""
    if not os.path.isdir(folder):
        return
    waiting: list[tuple[Path, bool, frozenset[str]]] = [(folder, False, frozenset())]
    while waiting:
        at, hidden, above = waiting.pop()
        above |= {os.path.realpath(at)}
        with os.scandir(at) as entries:
            for entry in entries:
                below = hidden or entry.name.startswith(".")
                if entry.is_dir():
                    if os.path.realpath(entry.path) not in above:
                        waiting.append((Path(entry.path), below, above))
                elif entry.is_file() or Path(entry.name).suffix.lower() in PICTURES:
                    yield Path(entry.path), below  # also what only has a picture's name, such as a link to nothing


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


def _can_be_listed(picture: Path) -> bool:
    """Whether Ultralytics can be given the name in a list, which has one a line."""
    try:
        name = str(picture).encode().decode()
    except UnicodeEncodeError:
        return False
    return name.splitlines() == [name]
