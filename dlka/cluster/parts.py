"""A run's folder: parts in Parquet, one for a block of pictures, each of which is whole or not there.

And what two models see in a picture, as rows: the one place that knows the columns, and the way back.

Everything is read and written through fsspec: a folder may lie on this machine, or at any address that it knows.
"""

from __future__ import annotations

import hashlib
import io
import json
import posixpath
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import fsspec
import numpy as np
import polars as pl
from fsspec.implementations.local import LocalFileSystem

from dlka.analysis.analysis import Analysis, Settings
from dlka.analysis.batch import origin
from dlka.analysis.many.analyses import above
from dlka.analysis.pairing import rows as pair_rows
from dlka.errors import DlkaError, make_folder, of_the_machine
from dlka.images import ENDINGS, MAX_BYTES, read_image
from dlka.inference.kernel_shape import kernel_shape
from dlka.ops.sampling import split_offset, tap_grid
from dlka.types import (
    BOTH,
    KIND_NAMES,
    ONLY_FIRST,
    ONLY_SECOND,
    SIZES,
    Capture,
    Detections,
    Pair,
    Pairing,
    size_of,
    stage_labels,
)

PART, RUN = "part-{}.parquet", "run.json"
BELOW = "below confidence"  # a kind beside KIND_NAMES: a box that only AP is taken from
SIDES = ("dlka", "baseline")
CELL, BOX = pl.List(pl.Int32), pl.List(pl.Float32)
# Offsets of the winning cell in one stage of its level, in cells: mean and greatest length, how far the middle of the
# taps moves, and the kernel's zoom (1: as it is) and rotation (degrees), see dlka.inference.kernel_shape.
STAGE = pl.Struct(
    {"stage": pl.String} | dict.fromkeys(("mean", "maximum", "shift_y", "shift_x", "zoom", "rotation"), pl.Float32)
)
# picture: its address; problem: why it was not compared; height, width: pixels. What follows is one object, as
# dlka.analysis.pairing.rows has it, None for a picture without any; index: of a model's box among its own, best first.
SCHEMA: dict[str, Any] = {
    **{"picture": pl.String, "problem": pl.String, "height": pl.Int32, "width": pl.Int32},
    **{"kind": pl.String, "size": pl.String, "area": pl.Float64, "class": pl.String, "iou": pl.Float64},
    "score_change": pl.Float64,
    **{
        f"{side}_{name}": kind
        for side in SIDES
        for name, kind in {
            **{"index": pl.Int32, "class": pl.String, "score": pl.Float32, "box": BOX, "level": pl.String, "cell": CELL}
        }.items()
    },
    "stages": pl.List(STAGE),
}


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


def picture_rows(picture: str, every: Analysis, confidence: float) -> list[dict[str, Any]]:
    """One row an object of a comparison, smallest first; one without an object where there is none.

    picture: its address; every: the comparison, down to a confidence that may be lower: what is below `confidence`
    comes behind, one row a box.
    """
    seen = above(every, confidence)
    height, width = every.image.shape[:2]
    shared = {"picture": picture, "height": height, "width": width}
    found = every.dlka.detections, every.baseline.detections
    first, second = len(seen.dlka.detections), len(seen.baseline.detections)
    rest = [_alone(ONLY_FIRST, found[0], i) for i in range(first, len(found[0]))]
    rest += [_alone(ONLY_SECOND, found[1], i) for i in range(second, len(found[1]))]
    below = _rows(Pairing(*found, tuple(rest)), every.names)
    return [
        shared | row
        for row in (
            *(row | {"stages": own} for row, own in zip(_rows(seen.pairing, seen.names), _cells(seen))),
            *(row | {"kind": BELOW} for row in below),
        )
    ] or [shared]


def detections(rows: pl.DataFrame, names: Mapping[int, str]) -> tuple[Detections, Detections]:
    """What both models found in the picture of these rows, bit by bit as it was. names: class id -> name."""
    return _side(rows, "dlka", names), _side(rows, "baseline", names)


def _side(rows: pl.DataFrame, side: str, names: Mapping[int, str]) -> Detections:
    own = rows.filter(pl.col(f"{side}_index").is_not_null()).sort(f"{side}_index")
    numbers = {name: number for number, name in names.items()}
    return Detections(
        np.array(own[f"{side}_box"].to_list(), np.float32).reshape(-1, 4),
        own[f"{side}_score"].to_numpy().astype(np.float32),
        np.array([numbers[name] for name in own[f"{side}_class"]], np.int64),
        np.array([int(level.removeprefix("P")) for level in own[f"{side}_level"]], np.int64),
        np.array(own[f"{side}_cell"].to_list(), np.int64).reshape(-1, 2),
    )


def _rows(pairing: Pairing, names: Mapping[int, str]) -> list[dict[str, Any]]:
    indices = ({"dlka_index": pair.first, "baseline_index": pair.second} for pair in pairing.pairs)
    return [row | index for row, index in zip(pair_rows(pairing, names), indices)]


def _alone(kind: str, found: Detections, index: int) -> Pair:
    first, second, sign = (index, None, 1) if kind == ONLY_FIRST else (None, index, -1)
    area = float(found.areas[index])
    return Pair(kind, first, second, 0.0, area, size_of(area), sign * float(found.scores[index]))


def _cells(seen: Analysis) -> list[list[dict[str, Any]]]:
    """For every pair the offsets of its winning cell, a STAGE for each deform stage of the cell's level."""
    told: list[list[dict[str, Any]]] = [[] for _ in seen.pairing.pairs]
    shown = [seen.pairing.shown(pair) for pair in seen.pairing.pairs]
    captures = seen.dlka.captures
    for label, capture in zip(stage_labels([capture.stage for capture in captures]), captures):
        own = [i for i, (found, index) in enumerate(shown) if f"P{found.levels[index]}" == capture.stage.level]
        cells = np.array([shown[i][0].cells[shown[i][1]] for i in own], np.int64).reshape(-1, 2)
        for i, numbers in zip(own, _numbers(capture, cells)):
            told[i].append({"stage": label} | numbers)
    return told


def _numbers(capture: Capture, cells: np.ndarray) -> list[dict[str, Any]]:
    """A STAGE for each of the cells [n, 2] (row, column), without its label."""
    stage = capture.stage
    offsets = np.stack(split_offset(capture.offset[:, cells[:, 0], cells[:, 1]]), axis=1).astype(
        np.float64
    )  # [K, 2, n]
    grid = tap_grid((1, 1), stage.kernel, stage.step, stage.padding, stage.dilation)[:, :, 0, 0]
    shape, length = kernel_shape(grid, grid[..., None] + offsets), np.hypot(offsets[:, 0], offsets[:, 1])
    columns = {"mean": length.mean(axis=0), "maximum": length.max(axis=0), "zoom": shape.zoom}
    columns |= {"rotation": shape.rotation, "shift_y": shape.shift[..., 0], "shift_x": shape.shift[..., 1]}
    return [{name: float(values[i]) for name, values in columns.items()} for i in range(len(cells))]
