"""What a weights file says about itself: the card, its place in a file's metadata, and the checks on reading it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from dlka.models.build import OFFSETS, PLACEMENTS, SCALES

FORMAT = "dlka-1"
MAX_CLASSES = 10_000
MAX_NAME = 100  # characters of a class name
MAX_TEXT = 10_000  # characters of a sentence
MAX_JSON = 2 * 2**20  # characters of the whole card


class CardError(ValueError):
    """A card that does not describe a model; one sentence without a full stop and without the file's name."""


@dataclass(frozen=True)
class Card:
    """Everything a weights file says about itself; what builds the model, and where it comes from.

    placement, scale, offsets: as in dlka.models.build; names: class id -> name; input_size: training input in pixels.
    data, recipe, licence: sentences; seed; versions of packages; metrics: name -> value, AP in 0..1.
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


def metadata_of(card: Card) -> dict[str, str]:
    """The card as safetensors metadata. Raises CardError for one that would not be read back the same."""
    try:
        metadata = {"format": FORMAT, "card": json.dumps(asdict(card), allow_nan=False)}
    except (TypeError, ValueError) as error:
        raise CardError(f"its card cannot be written as JSON ({error!s:.100})") from None
    if card_of(metadata) != card:
        raise CardError("its card holds values that JSON does not give back the same")
    return metadata


def card_of(metadata: Mapping[str, str] | None) -> Card:
    """The card in a file's metadata. Raises CardError."""
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
    if not isinstance(values, dict) or not known - {"metrics"} <= set(values) <= known:
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
