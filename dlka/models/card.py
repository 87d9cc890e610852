"""What a weights file says about itself: the card, its place in a file's metadata, and the checks on reading it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from dlka.errors import DlkaError
from dlka.models.build import OFFSETS, PLACEMENTS, SCALES

FORMAT = "dlka-1"
# Other files that the project ships beside models, told apart by their format; what they hold, for a sentence.
NO_MODELS = {
    "dlka-letter-1": "nets that name drawn letters, which dlka.drawn.letter_file.load_letter reads and "
    "python -m dlka train-letter makes",
}
MAX_CLASSES = 10_000
MAX_NAME = 100  # characters of a class name
MAX_TEXT = 10_000  # characters of a sentence
MAX_JSON = 2 * 2**20  # characters of the whole card
MAX_USES = 2**18  # characters of what stands in it about offsets; ten stages take about 6,000
SCRATCH = "none"  # in a recipe: the start of a model whose weights are all new
VERDICTS = UNUSED, SMALL, IN_USE = ("unused", "small", "in use")  # on a model's offsets, see dlka.evidence.uses
NEEDS = {  # verdict -> the same of a model, in a sentence
    IN_USE: "needs its offsets",
    SMALL: "needs its offsets a little",
    UNUSED: "does not need its offsets",
}
OPTIONAL = {"metrics", "uses"}


class CardError(DlkaError):
    """A card that does not describe a model; one sentence without a full stop and without the file's name."""


class NoModel(CardError):
    """A file of the project that is whole and is no model of a detector, see NO_MODELS."""


@dataclass(frozen=True)
class Card:
    """Everything a weights file says about itself; what builds the model, and where it comes from.

    placement, scale, offsets: as in dlka.models.build; names: class id -> name; input_size: training input in pixels.
    data, recipe, licence: sentences; seed; versions of packages; metrics: name -> value, AP in 0..1.
    uses: whether the model uses its offsets, as `dlka uses --write` measured it on this very file: at least "verdict",
    one of VERDICTS, "why", a sentence, "data", "pictures" and "size". None where it was not measured.
    """

    placement: str
    scale: str
    offsets: str
    names: dict[int, str]
    input_size: int
    data: str
    recipe: str
    licence: str
    seed: int
    versions: dict[str, str]
    metrics: dict[str, Any] = field(default_factory=dict)
    uses: dict[str, Any] | None = None


def recipe_of(card: Card) -> dict[str, Any]:
    """The settings that a model was trained with, by name; empty where its recipe is a sentence, or anything else."""
    try:
        recipe = json.loads(card.recipe)
    except (ValueError, RecursionError):
        return {}
    return recipe if isinstance(recipe, dict) else {}


def metadata_of(card: Card) -> dict[str, str]:
    """The card as safetensors metadata. Raises CardError for one that would not be read back the same."""
    values = asdict(card)
    if card.uses is None:
        del values["uses"]  # then the file is one that versions without this field can read
    try:
        metadata = {"format": FORMAT, "card": json.dumps(values, allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise CardError(f"its card cannot be written as JSON ({error!s:.100})") from None
    if card_of(metadata) != card:
        raise CardError("its card holds values that JSON does not give back the same")
    return metadata


def card_of(metadata: Mapping[str, str] | None) -> Card:
    """The card in a file's metadata. Raises CardError, of a file of another of the project's formats NoModel."""
    if metadata and (kind := metadata.get("format")) in NO_MODELS:
        raise NoModel(f"expected the weights of a detector, got {NO_MODELS[kind]}")
    if not metadata or metadata.get("format") != FORMAT:
        raise CardError(f"expected a weights file of this project (format {FORMAT}), got one without its card")
    text = metadata.get("card", "")
    if len(text) > MAX_JSON:
        raise CardError(f"expected a card of at most {MAX_JSON} characters, got {len(text)}")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise CardError(f"its card is not JSON ({error!s:.100})") from None
    known = {f.name for f in fields(Card)}
    if not isinstance(values, dict) or not known - OPTIONAL <= set(values) <= known:
        raise CardError(f"its card should have exactly {', '.join(sorted(known))}")
    _check(values)
    return Card(**{**values, "names": {int(key): name for key, name in values["names"].items()}})


def _check(values: dict[str, Any]) -> None:
    for key, words in (("placement", tuple(PLACEMENTS)), ("scale", SCALES), ("offsets", OFFSETS)):
        if values[key] not in words:
            raise CardError(f"its {key} should be one of {', '.join(words)}, is {values[key]!r:.40}")
    names = values["names"]
    if not isinstance(names, dict) or not 1 <= len(names) <= MAX_CLASSES:
        raise CardError(f"its card should name 1 to {MAX_CLASSES} classes")
    if set(names) != {str(i) for i in range(len(names))} or not all(_is_text(n, MAX_NAME) for n in names.values()):
        raise CardError(f"its classes should be numbered from 0 and have names of up to {MAX_NAME} characters")
    if type(values["input_size"]) is not int or not 32 <= values["input_size"] <= 8192:
        raise CardError(f"its input_size should be 32 to 8192 pixels, is {values['input_size']!r:.40}")
    if type(values["seed"]) is not int:
        raise CardError(f"its seed should be a whole number, is {values['seed']!r:.40}")
    for key in ("data", "recipe", "licence"):
        if not _is_text(values[key], MAX_TEXT):
            raise CardError(f"its {key} should be a text of up to {MAX_TEXT} characters")
    versions = values["versions"]
    if not isinstance(versions, dict) or not all(_is_text(v, MAX_NAME) for v in (*versions, *versions.values())):
        raise CardError(f"its versions should be texts of up to {MAX_NAME} characters by package")
    if not isinstance(values.get("metrics", {}), dict) or not _is_plain(values.get("metrics", {}), depth=4):
        raise CardError("its metrics should be finite numbers and short texts by name")
    _check_uses(values.get("uses"))


def _check_uses(uses: object) -> None:
    """Nothing, or figures of which those that are shown are what they should be."""
    if uses is None:
        return
    if not isinstance(uses, dict) or uses.get("verdict") not in VERDICTS:
        raise CardError(f"its uses should have a verdict, one of {', '.join(VERDICTS)}")
    if not all(_is_text(uses.get(key), MAX_TEXT) for key in ("why", "data")):
        raise CardError(f"its uses should have why and data, texts of up to {MAX_TEXT} characters")
    if not all(type(uses.get(key)) is int for key in ("pictures", "size")):
        raise CardError("its uses should have pictures and size, whole numbers")
    if not _is_plain(uses, depth=4) or len(json.dumps(uses)) > MAX_USES:
        raise CardError(f"its uses should be finite numbers and short texts by name, {MAX_USES} characters at most")


def _is_text(value: object, most: int) -> bool:
    return isinstance(value, str) and len(value) <= most


def _is_plain(value: object, depth: int) -> bool:
    """Numbers and texts in lists and dicts, nested at most `depth` deep."""
    if isinstance(value, dict | list):
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return depth > 0 and all(_is_plain(item, depth - 1) for item in inner)
    if isinstance(value, float):
        return math.isfinite(value)
    return value is None or isinstance(value, int) or _is_text(value, MAX_TEXT)
