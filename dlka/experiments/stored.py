"""One measured run as two small files: what people read as JSON, what is only counted as NPZ beside it."""

from __future__ import annotations

import json
import zipfile
import zlib
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError

from dlka.analysis.bootstrap import MEASURES
from dlka.errors import DlkaError, first_problem
from dlka.models.weights import recipe_of

METRICS = ("AP", "AP50", "AP75", "AP_S", "AP_M", "AP_L")
ARRAYS = ("replicates", "object_side", "found", "intervention_replicates")
KEPT_BITS = 16  # of the 23 of a float32's fraction: replicates then round to 1e-5, and compress
_PREFIX = "intervention_replicates/"  # of their names in the NPZ


def _whole(metrics: dict[str, float | None]) -> dict[str, float | None]:
    if set(metrics) != set(METRICS):
        raise ValueError(f"expected {', '.join(METRICS)}")
    return metrics


_Metrics = Annotated[dict[str, Annotated[float, Field(ge=0, le=1)] | None], AfterValidator(_whole)]


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

    __pydantic_config__: ClassVar = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

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
    metrics: _Metrics
    classes: dict[str, dict[str, Any]]
    stage_offsets: list[dict[str, Any]]
    replicates: np.ndarray
    object_side: np.ndarray
    found: np.ndarray
    interventions: dict[str, _Metrics] = field(default_factory=dict)
    intervention_replicates: dict[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.run != f"{self.data}/{self.model}-s{self.seed}":
            raise DlkaError(f"run: expected {self.data}/{self.model}-s{self.seed}, got {self.run!r}")
        if set(self.interventions) != set(self.intervention_replicates):
            raise DlkaError("interventions: expected metrics and replicates of the same ones")
        drawn, objects = (*self.replicates.shape[:1], len(MEASURES)), (self.objects,)
        for name, values, shape, dtype in (
            ("replicates", self.replicates, drawn, np.float32),
            *((name, values, drawn, np.float32) for name, values in self.intervention_replicates.items()),
            ("object_side", self.object_side, objects, np.float32),
            ("found", self.found, objects, np.bool_),
        ):
            if values.shape != shape or values.dtype != dtype:
                got = f"{list(values.shape)} {values.dtype}"
                raise DlkaError(f"{name}: expected {list(shape)} {dtype.__name__}, got {got}")

    @property
    def recipe(self) -> dict[str, Any]:
        """The recipe in the card; empty for weights that this project did not train."""
        return recipe_of(self.card.get("recipe", ""))

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
            arrays[f"{_PREFIX}{name}"] = _rounded(values)
        with path.with_suffix(".npz").open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # one may be called allow_pickle, mypy thinks
        text = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ARRAYS}
        path.write_text(f"{json.dumps(text, indent=1, allow_nan=False)}\n", encoding="utf-8")
        return path


_TEXT, _RUN = TypeAdapter(dict[str, Any]), TypeAdapter(StoredRun)


def load(path: Path) -> StoredRun:
    """The run of a JSON file and the NPZ beside it. Raises DlkaError where one is missing, damaged or incomplete."""
    beside, again = path.with_suffix(".npz"), "measure it again, or remove both files"
    for file in (path, beside):
        if not file.is_file():
            raise DlkaError(f"{file}: there is no such file of a stored run; {again}.")
    try:
        with np.load(beside, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
        raise DlkaError(f"{beside} is not a whole NPZ archive of plain arrays; {again}.") from None
    others = {name.removeprefix(_PREFIX): arrays.pop(name) for name in list(arrays) if name.startswith(_PREFIX)}
    try:
        text = _TEXT.validate_json(path.read_bytes())
        return _RUN.validate_python({**text, **arrays, "intervention_replicates": others})
    except ValidationError as error:
        why = first_problem(error, "run")
    raise DlkaError(f"{path} and {beside.name} do not make a stored run ({why}); {again}.")


def load_all(folder: Path) -> list[StoredRun]:
    """All runs of a folder, by file name. Raises DlkaError, also where there is none."""
    paths = sorted(folder.glob("*.json"))
    if not paths:
        raise DlkaError(f"{folder}: expected stored runs (JSON with NPZ), got none.")
    return [load(path) for path in paths]


def _rounded(values: np.ndarray) -> np.ndarray:
    """float32 with KEPT_BITS of the fraction, to the nearest; the rest is zeros, which compress."""
    half, exponent = np.frexp(values.astype(np.float32))  # in 0.5..1: the first bit of it stands for itself
    return np.ldexp(np.round(np.ldexp(half, KEPT_BITS + 1)), exponent - KEPT_BITS - 1)
