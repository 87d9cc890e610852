"""The folder of a run: what its trainer is built from, and what it has logged, epoch by epoch, as CSV and curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
import yaml
from pydantic import TypeAdapter, ValidationError

from dlka.csv_text import csv_text
from dlka.errors import DlkaError, make_folder
from dlka.train.recipe import Recipe

Row = dict[str, Any]


@dataclass
class History:
    """curves: a row an epoch, "epoch", losses by name, and "AP" and "AP50" (0..1) where it was validated; offsets: rows
    of `offset_rows` with "epoch"."""

    curves: list[Row] = field(default_factory=list)
    offsets: list[Row] = field(default_factory=list)

    def add(self, epoch: int, figures: Row, offsets: Sequence[Row]) -> None:
        """One epoch, counted from 1."""
        self.curves.append({"epoch": epoch, **figures})
        self.offsets += [{"epoch": epoch, **row} for row in offsets]

    def write(self, folder: RunFolder) -> None:
        """curves.csv and, for models with deform stages, offsets.csv: whole, so that nothing stands in them twice."""
        for name, rows in (("curves.csv", self.curves), ("offsets.csv", self.offsets)):
            if rows:
                heads = list(rows[0])
                values = [[row.get(head, "") for head in heads] for row in rows]
                cells = [[f"{value:.6g}" if isinstance(value, float) else value for value in row] for row in values]
                folder.file(name).write_text(csv_text([heads, *cells]), encoding="utf-8", newline="")

    def draw(self, folder: RunFolder) -> None:
        """curves.png."""
        from dlka.render.chart import chart_png, curves_chart

        if self.curves:
            folder.file("curves.png").write_bytes(chart_png(curves_chart(self.curves, self.offsets)))


@dataclass(frozen=True)
class _Told:
    """What recipe.json says."""

    recipe: dict[str, Any]
    out: str
    measured: bool


_TOLD, _RECIPE = TypeAdapter(_Told), TypeAdapter(Recipe)


@dataclass(frozen=True)
class RunFolder:
    """Where the files of a run lie. Ultralytics' own go to the folder `ultralytics` in it, which it may empty."""

    path: Path

    def file(self, name: str) -> Path:
        """A file of the run: recipe.json, data.yaml, ledger.txt, state.pt, curves.csv, report.json, ..."""
        return self.path / name

    def begin(
        self, recipe: Recipe, out: Path, names: dict[int, str], train: Sequence[Path], val: Sequence[Path]
    ) -> None:
        """Write what a trainer reads; what an earlier run left here is removed.

        Without validation pictures the training pictures stand in their place, which Ultralytics wants to see listed.
        """
        make_folder(self.path)
        for name in ("state.pt", "ledger.txt", "curves.csv", "curves.png", "offsets.csv", "report.json"):
            self.file(name).unlink(missing_ok=True)
        parts = {"train": train, "val": val or train}
        for part, pictures in parts.items():
            self.file(f"{part}.txt").write_text("".join(f"{p}\n" for p in pictures), encoding="utf-8")
        lists = {part: str(self.file(f"{part}.txt").resolve()) for part in parts}
        content = {"path": str(self.path.resolve()), **lists, "names": names}
        self.file("data.yaml").write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")
        # With absolute paths, as a run may be resumed from another folder; model ids stay ids.
        files = [name for name in ("start", "teacher") if Path(getattr(recipe, name) or "").suffix]
        given = {name: getattr(recipe, name) for name in ("data", "unlabelled", *files)}
        anywhere = {name: str(Path(path).resolve()) for name, path in given.items() if path}
        told = {"recipe": asdict(recipe) | anywhere, "out": str(out.resolve()), "measured": bool(val)}
        self.file("recipe.json").write_text(json.dumps(told, indent=1), encoding="utf-8")

    def told(self) -> tuple[Recipe, Path, bool]:
        """The recipe with absolute paths, the weights file to write, and whether there is a validation part.

        Raises DlkaError.
        """
        file = self.file("recipe.json")
        if not file.is_file():
            raise DlkaError(f"{self.path}: expected the folder of a run, with recipe.json in it.")
        other = f"{file}: expected a recipe that this version wrote; start the run anew."
        try:
            told = _TOLD.validate_json(file.read_bytes(), strict=True)
        except ValidationError:
            raise DlkaError(other) from None
        if set(told.recipe) != {f.name for f in fields(Recipe)}:
            raise DlkaError(other)
        values = json.dumps(told.recipe)  # of JSON, strict means its types: an object may become a Recipe
        try:
            recipe = _RECIPE.validate_json(values, strict=True)
        except ValidationError as error:
            name = error.errors()[0]["loc"][0]
            raise DlkaError(f"{file}: its {name} is not what a recipe may have; start the run anew.") from None
        return recipe, Path(told.out), told.measured

    def names(self) -> dict[int, str]:
        """Class number -> name."""
        return yaml.safe_load(self.file("data.yaml").read_text(encoding="utf-8"))["names"]

    def save_state(self, state: dict[str, Any]) -> None:
        """The file appears whole or not at all: a kill may come at any time."""
        unfinished = self.file("state.pt.partial")
        torch.save(state, unfinished)
        unfinished.replace(self.file("state.pt"))

    def load_state(self) -> dict[str, Any] | None:
        """What a resumed run goes on from, as saved after its last whole epoch, on the CPU, or None. Tensors and plain
        values: nothing in the file is run."""
        file = self.file("state.pt")
        if not file.is_file():
            return None
        try:
            return torch.load(file, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many kinds for a file that is damaged or no state at all
            why = str(error).splitlines()[0]
            raise DlkaError(f"{file} is damaged ({why:.80}): remove it and start anew.") from None
