"""A run's folder: parts in Parquet, one for a block of pictures, each of which is whole or not there.

Everything is read and written through fsspec: a folder may lie on this machine, or at any address that it knows.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import secrets
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Any

import fsspec
import numpy as np
import polars as pl
from fsspec.implementations.local import LocalFileSystem

from dlka.analysis.analysis import Settings
from dlka.analysis.batch import origin
from dlka.cluster.rows import BELOW, SCHEMA
from dlka.errors import DlkaError, make_folder, of_the_machine
from dlka.images import ENDINGS, MAX_BYTES, read_image
from dlka.types import (
    BOTH,
    KIND_NAMES,
    SIZES,
)

PART, RUN = "part-{}.parquet", "run.json"


def pictures_in(source: str) -> list[str]:
    """Addresses of the pictures in a folder and those below it, by name; or those that a manifest lists, one a line,
    from its own folder on where they are no whole addresses. What is hidden in a folder, by a name that begins with a
    dot, is left out. Raises DlkaError where there are none.
    """
    system, path = place_of(source)
    local = isinstance(system, LocalFileSystem)
    if system.isdir(path):
        shown = (name for name in sorted(system.find(path)) if "/." not in f"/{name.removeprefix(path)}")
        found = [name for name in shown if name.lower().endswith(ENDINGS)]
        found = [name if local else system.unstrip_protocol(name) for name in found]
    elif system.isfile(path) and not path.lower().endswith(ENDINGS):
        beside = posixpath.dirname(path if local else system.unstrip_protocol(path))
        try:
            lines = [line.strip() for line in system.cat_file(path).decode("utf-8-sig").splitlines()]
        except UnicodeDecodeError:
            raise DlkaError(f"{source!r:.200}: expected a text file in UTF-8, one picture a line.") from None
        found = [name if "://" in name else posixpath.join(beside, name) for name in lines if name]
    else:
        raise DlkaError(f"{source!r:.200}: expected a folder of pictures, or a text file that lists some, one a line.")
    if not found:
        raise DlkaError(f"{source!r:.200}: expected pictures ({', '.join(ENDINGS)}); there are none.")
    return list(dict.fromkeys(found))


def place_of(address: str) -> tuple[Any, str]:
    """The file system of an address, and the path in it. Raises DlkaError where nothing here reads such addresses."""
    if not address:
        raise DlkaError("Expected the name of a file or folder, got an empty one.")
    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError) as error:  # an unknown protocol; one whose package is not installed
        raise DlkaError(f"{address!r:.200}: nothing here reads such an address ({error!s:.100}).") from None
    return system, path


def pixels_of(address: str) -> np.ndarray:
    """A picture, RGB [H, W, 3] uint8. Raises DlkaError where it cannot be opened or read."""
    system, path = place_of(address)
    try:
        with system.open(path, "rb") as file:
            data: bytes = file.read(MAX_BYTES + 1)
    except OSError as error:
        if isinstance(error, FileNotFoundError) or of_the_machine(error):
            raise DlkaError(
                f"The picture {address!r:.200} cannot be opened: {error.strerror or 'no such file'}."
            ) from error
        raise
    return read_image(data)


class Parts:
    """The parts of a run in a folder, which is made where it is not there.

    settings: of the run; least: confidence down to which boxes are kept; pictures: addresses that are read of all parts
    that are there, None for all. Raises DlkaError where the folder holds a run with others.
    """

    def __init__(self, folder: str, settings: Settings, least: float, pictures: Iterable[str] | None = None) -> None:
        self.folder = folder
        self._asked = None if pictures is None else frozenset(pictures)
        self._system, self._path = place_of(folder)
        asked = json.loads(json.dumps({"settings": asdict(settings), "least": least, **origin(settings)}))
        file = posixpath.join(self._path, RUN)
        if isinstance(self._system, LocalFileSystem):
            make_folder(self._path)
        self._system.makedirs(self._path, exist_ok=True)
        if self._system.exists(file):
            data = self._system.cat_file(file)
            try:
                there = json.loads(data)
            except ValueError:
                there = None
            if not isinstance(there, dict):
                raise DlkaError(f"{folder}: its {RUN} is not one of a run: give another --out.")
            changed = [name for name in ("settings", "models") if there.get(name) != asked[name]]
            if not changed and there.get("least") != asked["least"]:  # which follows from the settings, but for labels
                changed = ["use of --labels"]
            if changed:
                raise DlkaError(f"{folder} holds a run with other {' and '.join(changed)}: give another --out.")
        else:
            write(folder, RUN, json.dumps(asked, indent=1).encode())
        for left in self._system.glob(posixpath.join(self._path, ".*.tmp")):  # of workers that were killed
            self._system.rm_file(left)

    def tables(self, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
        """Of every part the pictures that are asked for, by the first in it; columns: with "picture" among them."""
        first = {name: self._read(name, ["picture"])["picture"].first() for name in self._names()}
        for name in sorted(first, key=lambda name: (first[name], name)):
            table = self._of_asked(self._read(name, columns))
            if not table.is_empty():
                yield table

    def _names(self) -> list[str]:
        found: list[str] = self._system.glob(posixpath.join(self._path, PART.format("*")))
        return found

    def _of_asked(self, table: pl.DataFrame) -> pl.DataFrame:
        if self._asked is None:
            return table
        return table.filter(pl.col("picture").is_in([p for p in table["picture"].unique() if p in self._asked]))

    def _read(self, name: str, columns: Sequence[str] | None) -> pl.DataFrame:
        try:
            with self._system.open(name, "rb") as file:
                return pl.read_parquet(file, columns=None if columns is None else list(columns))
        except pl.exceptions.PolarsError as error:
            said = f"{name} is no part of a run, or damaged ({error!s:.100})"
            raise DlkaError(f"{said}: remove it, and ask again for its pictures.") from None

    def done(self) -> set[str]:
        """The pictures that are in a part."""
        return {picture for table in self.tables(["picture"]) for picture in table["picture"].unique()}

    def problems(self) -> Iterator[tuple[str, str]]:
        """The pictures that could not be compared, and why."""
        for table in self.tables(["picture", "problem"]):
            yield from table.drop_nulls("problem").iter_rows()

    def forget_problems(self) -> int:
        """Take these out of their parts, so that they are tried again. Returns how many they were."""
        number = 0
        for name in self._names():
            failed = self._of_asked(self._read(name, ["picture", "problem"]).drop_nulls("problem"))["picture"].to_list()
            if not failed:
                continue
            number += len(failed)
            kept = self._read(name, None).filter(~pl.col("picture").is_in(failed))
            if kept.is_empty():
                self._system.rm_file(name)
            else:
                write(self.folder, posixpath.basename(name), _parquet(kept))
        return number

    def counts(self) -> dict[str, Any]:
        """pictures, problems, and what `dlka.analysis.pairing.summary` counts, of all parts, one at a time."""
        columns = ["picture", "problem", "kind", "size", "score_change"]
        pictures, problems, change = 0, 0, 0.0
        kinds = {size: dict.fromkeys(KIND_NAMES.values(), 0) for size in SIZES}
        for table in self.tables(columns):
            pictures += table["picture"].n_unique()
            problems += table["problem"].count()
            pairs = table.filter(pl.col("kind") != BELOW)
            for kind, size, number in pairs.group_by("kind", "size").len().iter_rows():
                kinds[size][kind] += number
            change += float(pairs.filter(pl.col("kind") == KIND_NAMES[BOTH])["score_change"].sum())
        total = {kind: sum(own[kind] for own in kinds.values()) for kind in KIND_NAMES.values()}
        both = total[KIND_NAMES[BOTH]]
        counted = {"pictures": pictures, "problems": problems, "objects": sum(total.values())}
        return {**counted, "kinds": total, "sizes": kinds, "mean_score_change": change / both if both else None}


def write(folder: str, name: str, data: bytes) -> None:
    """Write a file of a run whole or not at all, over what is there."""
    system, path = place_of(folder)
    hidden = posixpath.join(path, f".{name}-{secrets.token_hex(4)}.tmp")
    system.pipe_file(hidden, data)
    system.mv(hidden, posixpath.join(path, name))


def write_part(folder: str, pictures: Sequence[str], rows: Sequence[dict[str, Any]]) -> None:
    """Write the rows of a block of pictures."""
    write(folder, part_of(pictures), _parquet(pl.DataFrame(rows, SCHEMA)))


def _parquet(table: pl.DataFrame) -> bytes:
    file = io.BytesIO()
    table.write_parquet(file)
    return file.getvalue()


def part_of(pictures: Sequence[str]) -> str:
    """The name of the part of a block: the same for the same pictures, whoever compares them, however often."""
    return PART.format(hashlib.sha256("\n".join(pictures).encode()).hexdigest()[:16])
