"""One measured run as two small files: what people read as JSON, what is only counted as NPZ beside it."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from dlka.errors import DlkaError
from dlka.experiments.bootstrap import MEASURES

METRICS = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")
ARRAYS = ("replicates", "object_side", "found", "intervention_replicates")
KEPT_BITS = 16  # of the 23 of a float32's fraction: replicates then round to 1e-5, and compress
_TYPES: dict[str, type] = {
    **dict.fromkeys(("run", "data", "model", "placement", "offsets"), str),
    **dict.fromkeys(("seed", "pictures", "objects", "parameters", "multiply_adds"), int),
    **dict.fromkeys(("card", "versions", "machine", "settings", "metrics", "classes", "interventions"), dict),
    "stage_offsets": list,
}


@dataclass(frozen=True)
class StoredRun:
    """A trained model, measured on the validation part of one data set.

    run          "{data}/{model}-s{seed}", for example "hit-uav/neck-s1"; data, model and seed again alone;
                 data is the name of the experiment: that of the data set, or a longer one where a set has several
    placement, offsets   as in dlka.models.build
    card         what the weights file says about itself, with its SHA-256; versions, machine: of the measuring
    settings     how it was measured: input size, least confidence, resamples
    pictures, objects, parameters, multiply_adds   counts; multiply-adds of one picture of 640 x 640
    metrics      AP, AP50, AP75, AP_S, AP_M, AP_L in 0..1, None where there is no such object
    classes      name of each class that has objects -> {"AP": in 0..1, "objects": how many}
    stage_offsets   a dict for each deform stage: stage, label, moved and mean_cells as `dlka val` gives them, here over
                 all pictures, and what OffsetVariation says
    interventions   name, such as "offsets x0.5" -> metrics of the same weights with that done to them; may be empty
    replicates   [R, 5] float32, MEASURES of R resamples of the pictures, nan where not defined
    object_side  [objects] float32, root of the box's area, in px of the original picture
    found        [objects] bool, matched at IoU >= 0.5 by a detection of its class with score >= 0.25
    intervention_replicates   name -> [R, 5], of the same resamples
    """

    run: str
    data: str
    model: str
    placement: str
    offsets: str
    seed: int
    card: dict[str, Any]
    versions: dict[str, str]
    machine: dict[str, Any]
    settings: dict[str, Any]
    pictures: int
    objects: int
    parameters: int
    multiply_adds: int
    metrics: dict[str, float | None]
    classes: dict[str, dict[str, Any]]
    stage_offsets: list[dict[str, Any]]
    replicates: np.ndarray
    object_side: np.ndarray
    found: np.ndarray
    interventions: dict[str, dict[str, float | None]] = field(default_factory=dict)
    intervention_replicates: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, kind in _TYPES.items():
            if not isinstance(value := getattr(self, name), kind) or isinstance(value, bool):
                raise DlkaError(f"{name}: expected {kind.__name__}, got {type(value).__name__}")
        if self.run != f"{self.data}/{self.model}-s{self.seed}":
            raise DlkaError(f"run: expected {self.data}/{self.model}-s{self.seed}, got {self.run!r}")
        for name, metrics in {"metrics": self.metrics, **self.interventions}.items():
            if (
                not isinstance(metrics, dict)
                or set(metrics) != set(METRICS)
                or not all(map(_is_share, metrics.values()))
            ):
                raise DlkaError(f"{name}: expected {', '.join(METRICS)} in 0..1 or None, got {metrics!r:.200}")
        if set(self.interventions) != set(self.intervention_replicates):
            raise DlkaError("interventions: expected metrics and replicates of the same ones")
        count = self.replicates.shape[0] if self.replicates.ndim else 0
        for name, values in {"replicates": self.replicates, **self.intervention_replicates}.items():
            if values.shape != (count, len(MEASURES)) or values.dtype != np.float32:
                raise DlkaError(f"{name}: expected [{count}, {len(MEASURES)}] float32, got {_described(values)}")
        for name, values, dtype in (("object_side", self.object_side, np.float32), ("found", self.found, np.bool_)):
            if values.shape != (self.objects,) or values.dtype != dtype:
                raise DlkaError(f"{name}: expected [{self.objects}] {dtype.__name__}, got {_described(values)}")

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe in the card; empty for weights that this project did not train."""
        try:
            recipe = json.loads(self.card.get("recipe", ""))
        except ValueError:
            return {}
        return recipe if isinstance(recipe, dict) else {}

    @property
    def data_set(self) -> str:
        """The name of the data set that it was trained and measured on; `data`, of its experiment, may say more."""
        return self.recipe.get("data") or self.data

    def save(self, folder: Path) -> Path:
        """Write `{data}-{model}-s{seed}.json` and `.npz` into a folder; returns the path of the JSON.

        Of the replicates' digits those go that no report shows.
        """
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.run.replace('/', '-')}.json"
        arrays = {"replicates": _rounded(self.replicates), "object_side": self.object_side, "found": self.found}
        for name, values in self.intervention_replicates.items():
            arrays[f"intervention_replicates/{name}"] = _rounded(values)
        with path.with_suffix(".npz").open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # one may be called allow_pickle, mypy thinks
        text = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ARRAYS}
        path.write_text(f"{json.dumps(text, indent=1, allow_nan=False)}\n", encoding="utf-8")
        return path


def _is_share(value: object) -> bool:
    """Whether a metric is a number in 0..1, or None for one that is not defined."""
    return value is None or (isinstance(value, int | float) and 0 <= value <= 1)


def load(path: Path) -> StoredRun:
    """The run of a JSON file and the NPZ beside it. Raises DlkaError where one is missing, damaged or incomplete."""
    again = "measure it again, or remove both files"
    if not path.is_file():
        raise DlkaError(f"{path}: there is no such stored run.")
    data = path.read_bytes()
    try:
        text = json.loads(data)
    except (ValueError, RecursionError):
        raise DlkaError(f"{path} is not JSON in UTF-8; {again}.") from None
    known = {f.name for f in fields(StoredRun)} - set(ARRAYS)
    if not isinstance(text, dict) or set(text) != known:
        wrong = sorted(known ^ set(text)) if isinstance(text, dict) else sorted(known)
        raise DlkaError(f"{path}: expected exactly the keys of a stored run, differs in {', '.join(wrong)}; {again}.")
    beside = path.with_suffix(".npz")
    arrays: dict[str, np.ndarray] = {}
    try:
        with np.load(beside, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise DlkaError(f"{beside}: expected the arrays of {path.name} beside it, got no file; {again}.") from None
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise DlkaError(f"{beside} is not a whole NPZ archive of plain arrays; {again}.") from None
    prefix = "intervention_replicates/"
    others = {name.removeprefix(prefix): arrays.pop(name) for name in list(arrays) if name.startswith(prefix)}
    if set(arrays) != set(ARRAYS[:3]):
        raise DlkaError(f"{beside}: expected {', '.join(ARRAYS[:3])}, got {', '.join(arrays) or 'nothing'}; {again}.")
    try:
        return StoredRun(**{**text, **arrays, "intervention_replicates": others})
    except DlkaError as error:
        raise DlkaError(f"{path} and {beside.name} do not make a stored run ({error}); {again}.") from None


def load_all(folder: Path) -> list[StoredRun]:
    """All runs of a folder, by file name. Raises DlkaError, also where there is none."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise DlkaError(f"{folder}: expected stored runs (JSON with NPZ), got none.")
    return [load(path) for path in paths]


def _rounded(values: np.ndarray) -> np.ndarray:
    """float32 with KEPT_BITS of the fraction, to the nearest; the rest is zeros, which compress."""
    lost = 23 - KEPT_BITS
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    nearest = ((bits + np.uint32(1 << (lost - 1))) >> np.uint32(lost)) << np.uint32(lost)
    return np.where(np.isfinite(values), nearest.view(np.float32), np.float32(np.nan))


def _described(values: np.ndarray) -> str:
    return f"{list(values.shape)} {values.dtype}"
