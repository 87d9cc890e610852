"""The file of the readers of letters: one safetensors file with a net of each, and what was measured in its metadata.

It is no detector: `dlka.models.catalog` leaves files of this format aside. Nothing in it is ever executed.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from safetensors import SafetensorError, safe_open

from dlka.drawn.letter_net import READERS, LetterNet
from dlka.errors import DlkaError, first_problem, short
from dlka.shipped import WEIGHTS
from dlka.tensor_file import write

FORMAT = "dlka-letter-1"  # known to dlka.models.weights, too, which imports nothing from here
SHIPPED = WEIGHTS / "letter.safetensors"
COMMAND = "python -m dlka train-letter"
MAX_BYTES = 2**20
MAX_TEXT = 2000  # characters

TWINS = tuple(reader for reader in READERS if reader != "deformable")
# What is measured of every reader, and beside it of the deformable one: name -> how many numbers, 0 for one by itself.
OF_ALL = {"parameters": 0, "accuracy": 0, "by_size": 4}
OF_DEFORMABLE = {
    **{"off": 0, "another": 0, "mean_field": 0, "size_rho": 0, "size_rho_95": 2, "turn_rho": 0, "turn_rho_95": 2},
    **{"spread_by_size": 4, "outside_by_size": 4, "spread_of_e": 3},
}


def _whole(figures: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    if set(figures) != set(READERS):
        raise ValueError(f"figures should be of {', '.join(READERS)}")
    for reader, rows in figures.items():
        columns = {**OF_ALL, **(OF_DEFORMABLE if reader == "deformable" else {})}
        if not rows or not all(_is_row(row, columns) for row in rows):
            raise ValueError(f"figures of {reader} should be rows of {', '.join(columns)}")
    return figures


def _is_row(row: dict[str, Any], columns: dict[str, int]) -> bool:
    return set(row) == set(columns) and all(_fits(row[name], count) for name, count in columns.items())


def _fits(value: Any, count: int) -> bool:
    """Whether it is so many finite numbers, or one by itself for a count of 0."""
    values = value if count and isinstance(value, list) else [value]
    return len(values) == (count or 1) and all(type(v) in (int, float) and math.isfinite(v) for v in values)


def _of_twins(leads: dict[str, list[float]]) -> dict[str, list[float]]:
    if set(leads) != set(TWINS) or not all(_fits(lead, 3) for lead in leads.values()):
        raise ValueError(f"leads should have three numbers for each of {', '.join(TWINS)}")
    return leads


_Text = Annotated[str, Field(max_length=MAX_TEXT)]


@dataclass(frozen=True)
class LetterCard:
    """What the file says about itself.

    what, data, recipe, licence   sentences
    caveats   sentences: what its figures do not say
    versions  package -> version
    seed      of the nets in the file
    pictures  how many others were measured
    quarters  [5] px, the edges of the four ranges of size
    figures   reader -> a row a seed, from seed 0 on, of shares in 0..1 and their like:
              parameters of the net; accuracy, by_size [4]: letters that were named, of all sizes and in each quarter.
              Of "deformable" also
              off, another, mean_field: accuracy with its offsets at zero, with another picture's, and with the mean of
              all pictures'; size_rho, turn_rho: Spearman's rank correlation of the samples' spread with the letter's
              size, and of the kernel's rotation with the letter's turn, each with a 95 % interval over pictures
              (size_rho_95 [2]); spread_by_size [4]: mean spread of the samples over the grid's; outside_by_size [4]:
              share of the samples that lie outside the picture; spread_of_e [3]: spread for an E of 8, 17, 40 px
    leads     twin -> [value, low, high]: accuracy of "deformable" minus the twin's, mean over seeds, with a 95 %
              interval over pictures
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    what: _Text
    data: _Text
    recipe: _Text
    licence: _Text
    caveats: list[_Text]
    versions: dict[_Text, _Text]
    seed: int
    pictures: int
    quarters: Annotated[list[float], Field(min_length=5, max_length=5)]
    figures: Annotated[dict[str, list[dict[str, Any]]], AfterValidator(_whole)]
    leads: Annotated[dict[str, list[float]], AfterValidator(_of_twins)]


_CARD = TypeAdapter(LetterCard)


def save_letter(path: str | Path, nets: Mapping[str, LetterNet], card: LetterCard) -> None:
    """Write a net of every reader, exactly, with the card. The file appears whole or not at all."""
    text = json.dumps(asdict(card), allow_nan=False)
    _CARD.validate_json(text)  # what could not be read back is not written
    tensors = {f"{reader}.{key}": value for reader in READERS for key, value in nets[reader].state_dict().items()}
    write(Path(path), tensors, {"format": FORMAT, "card": text})


def load_letter(path: str | Path | None = None) -> tuple[dict[str, LetterNet], LetterCard]:
    """Reader (a key of READERS) -> its net, ready to `read`, and the card; from the file that ships, or another one.

    Strict: format, card, names, shapes, dtypes and finite values are checked. Raises DlkaError with one sentence.
    """
    path = Path(SHIPPED if path is None else path)
    name = path.name
    if not path.is_file():
        there = f"{name} is no file" if path.exists() else f"{name}: there is no such file"
        raise DlkaError(f"{there}; make one with: {COMMAND} --out {name:.100}")
    if path.stat().st_size > MAX_BYTES:
        raise DlkaError(f"{name}: expected at most {MAX_BYTES >> 20} MB, got {path.stat().st_size >> 20} MB.")
    try:
        with safe_open(path, framework="pt") as file:
            return _nets(file, name), _card(file.metadata(), name)
    except (SafetensorError, OSError) as error:
        raise DlkaError(f"{name} is not a whole safetensors file ({error!s:.200}).") from None


def _nets(file: Any, name: str) -> dict[str, LetterNet]:
    kind = (file.metadata() or {}).get("format")
    if kind != FORMAT:
        raise DlkaError(f"{name}: expected a file of {COMMAND} (format {FORMAT}), got format {short(kind)}.")
    nets = {reader: LetterNet(reader).eval().requires_grad_(False) for reader in READERS}
    wanted = {f"{reader}.{key}": value for reader, net in nets.items() for key, value in net.state_dict().items()}
    keys = set(file.keys())
    missing, extra = sorted(set(wanted) - keys), sorted(keys - set(wanted))
    if missing or extra:
        few = ", ".join(f"{key:.60}" for key in [*missing, *extra][:2])
        raise DlkaError(
            f"{name}: {len(missing)} tensors are missing and {len(extra)} do not belong ({few}); make it again with: "
            f"{COMMAND}"
        )
    for key, target in wanted.items():
        view = file.get_slice(key)
        if list(view.get_shape()) != list(target.shape) or view.get_dtype() != "F32":
            got = f"{view.get_shape()!s:.60} {view.get_dtype()}"
            raise DlkaError(f"{name}: {key} should be {list(target.shape)} F32, is {got}.")
        value = file.get_tensor(key)
        if not bool(value.isfinite().all()):
            raise DlkaError(f"{name}: {key} has values that are not finite; the file is damaged.")
        with torch.no_grad():
            target.copy_(value)
    return nets


def _card(metadata: Mapping[str, str], name: str) -> LetterCard:
    try:
        return _CARD.validate_json(metadata.get("card", ""))
    except ValidationError as error:
        why = first_problem(error, "card")
        raise DlkaError(f"{name}: its card cannot be used ({why:.200}); make it again with: {COMMAND}") from None
