"""Weights files of detectors: numbers as safetensors (see dlka/tensor_file.py) with a card, a JSON text, from which the
whole model is built. Nothing is run."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar

import torch
from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, TypeAdapter, ValidationError

from dlka.errors import DlkaError, first_problem
from dlka.models.build import DLKAModel, build_model
from dlka.models.placements import OFFSETS, PLACEMENTS, SCALES
from dlka.tensor_file import fill, opened, stored, tensors_in, write

FORMAT = "dlka-1"
# Other files that the project ships beside models, told apart by their format; what they hold, for a sentence.
NO_MODELS = {
    "dlka-letter-1": "nets that name drawn letters, which dlka.drawn.letter_file.load_letter reads and "
    "python -m dlka train-letter makes",
    "dlka-net-1": "a network that segments, which python -m dlka segment uses and train-seg makes",
}
MAX_CLASSES = 10_000
MAX_NAME = 100  # characters of a class name
MAX_TEXT = 10_000  # characters of a sentence
MAX_JSON = 2 * 2**20  # characters of the whole card
MAX_USES = 2**18  # characters of what stands in it about offsets; ten stages take about 6,000
VERDICTS = UNUSED, SMALL, IN_USE = ("unused", "small", "in use")  # on a model's offsets, see dlka.experiments.uses
NEEDS = {  # verdict -> the same of a model, in a sentence
    IN_USE: "needs its offsets",
    SMALL: "needs its offsets a little",
    UNUSED: "does not need its offsets",
}


class OtherFile(DlkaError):
    """A file that the project ships beside models, and that is none."""


def one_of(words: Collection[str]) -> AfterValidator:
    """Of a field of a card: no other word."""

    def check(word: str) -> str:
        if word not in words:
            raise ValueError(f"expected one of {', '.join(words)}")
        return word

    return AfterValidator(check)


def _numbered(names: object) -> object:
    """Class names by number; the keys of JSON are texts."""
    if not isinstance(names, dict) or set(names) != {str(i) for i in range(len(names))}:
        raise ValueError("expected names of classes numbered from 0")
    return {int(key): name for key, name in names.items()}


def _is_plain(value: object, depth: int) -> bool:
    """Numbers and texts in lists and dicts, nested at most `depth` deep."""
    if isinstance(value, dict | list):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(item, depth - 1) for item in inner)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, int) or (isinstance(value, str) and len(value) <= MAX_TEXT)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    if not _is_plain(values, depth=4):
        raise ValueError("expected finite numbers and short texts by name")
    return values


def _measured(uses: dict[str, Any] | None) -> dict[str, Any] | None:
    """Figures of offsets with at least what every one of them has."""
    if uses is None:
        return None
    if uses.get("verdict") not in VERDICTS:
        raise ValueError(f"expected a verdict, one of {', '.join(VERDICTS)}")
    if not all(isinstance(uses.get(key), str) for key in ("why", "data")):
        raise ValueError("expected why and data, texts")
    if not all(type(uses.get(key)) is int for key in ("pictures", "size")):
        raise ValueError("expected pictures and size, whole numbers")
    if len(json.dumps(uses)) > MAX_USES:
        raise ValueError(f"expected {MAX_USES} characters at most")
    return uses


_Name = Annotated[str, Field(max_length=MAX_NAME)]
_Text = Annotated[str, Field(max_length=MAX_TEXT)]
_Plain = Annotated[dict[str, Any], AfterValidator(_plain)]


@dataclass(frozen=True)
class Card:
    """Everything a weights file says about itself; what builds the model, and where it comes from.

    placement, scale, offsets: as in dlka.models.build; names: class id -> name; input_size: training input in pixels.
    data, recipe, licence: sentences; seed; versions of packages; metrics: name -> value, AP in 0..1.
    uses: whether the model uses its offsets, as `dlka uses --write` measured it on this very file: at least "verdict",
    one of VERDICTS, "why", a sentence, "data", "pictures" and "size". None where it was not measured.
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, extra="forbid")

    placement: Annotated[str, one_of(PLACEMENTS)]
    scale: Annotated[str, one_of(SCALES)]
    offsets: Annotated[str, one_of(OFFSETS)]
    names: Annotated[dict[int, _Name], Field(min_length=1, max_length=MAX_CLASSES), BeforeValidator(_numbered)]
    input_size: Annotated[int, Field(ge=32, le=8192)]
    data: _Text
    recipe: _Text
    licence: _Text
    seed: int
    versions: dict[_Name, _Name]
    metrics: _Plain = field(default_factory=dict)
    uses: Annotated[_Plain | None, AfterValidator(_measured)] = None


_CARD = TypeAdapter(Card)


def save_weights(path: str | Path, state: Mapping[str, torch.Tensor], card: Card, *, exact: bool = False) -> None:
    """Write a state dict with its card. The file appears whole or not at all.

    exact: keep float32 values bit by bit, in about twice the space.

    Raises ValueError for a card that could not be read back, and for values that are not finite or too large to store.
    """
    metadata = metadata_of(card)
    write(Path(path), stored(state, exact), metadata)


def with_card(source: str | Path, target: str | Path, card: Card) -> None:
    """Write the tensors of a weights file, bit by bit, under another card; source and target may be the same file.

    The target appears whole or not at all. Raises DlkaError, and ValueError for a card that could not be read
    back.
    """
    metadata = metadata_of(card)
    with _opened(source) as (file, _):
        write(Path(target), tensors_in(file), metadata)


def same_tensors(first: str | Path, second: str | Path) -> bool:
    """Whether two weights files hold the same tensors, whatever their cards say. Raises DlkaError."""
    with _opened(first) as (a, _), _opened(second) as (b, _):
        one, other = tensors_in(a), tensors_in(b)
    return one.keys() == other.keys() and all(
        value.dtype == other[name].dtype and torch.equal(value, other[name]) for name, value in one.items()
    )


def load_card(path: str | Path) -> Card:
    """What a weights file says about itself, without reading its tensors. Raises DlkaError."""
    with _opened(path) as (_, card):
        return card


def load_model(path: str | Path) -> tuple[DLKAModel, Card]:
    """The model of a weights file, in evaluation mode on the CPU as float32, and its card.

    Strict: names, shapes, dtypes, finite values and size are all checked. Raises DlkaError with one sentence.
    """
    name = Path(path).name
    with _opened(path) as (file, card):
        model = build_model(card.placement, card.scale, len(card.names), card.offsets)
        fill(file, model.state_dict(), name, f"{card.placement} {card.scale}")
    model.names = card.names
    return model.eval().requires_grad_(False), card


def recipe_of(text: str) -> dict[str, Any]:
    """The settings that a card's recipe holds, by name; empty where it is a sentence, or anything else."""
    try:
        recipe = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return recipe if isinstance(recipe, dict) else {}


def metadata_of(card: Card) -> dict[str, str]:
    """The card as safetensors metadata. Raises DlkaError for one that would not be read back the same."""
    values = asdict(card)
    if card.uses is None:
        del values["uses"]  # then the file is one that versions without this field can read
    try:
        metadata = {"format": FORMAT, "card": json.dumps(values, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise DlkaError(f"its card cannot be written as JSON ({error!s:.100})") from None
    if card_of(metadata) != card:
        raise DlkaError("its card holds values that JSON does not give back the same")
    return metadata


def card_of(metadata: Mapping[str, str] | None) -> Card:
    """The card in a file's metadata. Raises DlkaError."""
    if not metadata or metadata.get("format") != FORMAT:
        raise DlkaError(f"expected a weights file of this project (format {FORMAT}), got one without its card")
    text = metadata.get("card", "")
    if len(text) > MAX_JSON:
        raise DlkaError(f"expected a card of at most {MAX_JSON} characters, got {len(text)}")
    try:
        return _CARD.validate_json(text)
    except ValidationError as error:
        raise DlkaError(first_problem(error, "card")) from None


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, Card]]:
    """The open file and its card; whatever is wrong with the file, there or inside the context, is DlkaError."""
    path = Path(path)
    if path.suffix.lower() in (".pt", ".pth"):
        raise DlkaError(
            f"{path.name} is a pickled checkpoint, which could run code when opened; "
            f"convert it first: python -m dlka convert {path.name} {path.stem}.safetensors"
        )
    with opened(path) as file:
        metadata = file.metadata()
        if metadata and (kind := metadata.get("format")) in NO_MODELS:
            raise OtherFile(f"{path.name}: expected the weights of a detector, got {NO_MODELS[kind]}.")
        try:
            card = card_of(metadata)
        except DlkaError as error:
            raise DlkaError(f"{path.name}: {error}.") from None
        yield file, card
