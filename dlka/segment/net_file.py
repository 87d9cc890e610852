"""The file of a network that segments: its numbers, and a card from which the network is built. Nothing is run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError
from torch import nn

from dlka.errors import DlkaError, first_problem, short
from dlka.layers3d import OFFSETS
from dlka.models.weights import one_of
from dlka.nets import NETS, build_net
from dlka.tensor_file import fill, opened, stored, tensors_in, write

FORMAT = "dlka-net-1"  # known to dlka.models.weights, too, which imports nothing from here

_Text = Annotated[str, Field(max_length=10_000)]
_Name = Annotated[str, Field(max_length=100)]


@dataclass(frozen=True)
class NetCard:
    """What a file says about itself.

    net, preset, offsets   as in dlka.nets.build_net
    names                  of the classes by number, 0 is the background
    window                 side of the crops that it was trained on, in cells
    data, licence          sentences
    recipe                 the settings of its training
    seed, versions         package -> version
    scores                 what `dlka val-seg --write` measured on this very file
    """

    __pydantic_config__: ClassVar = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

    net: Annotated[str, one_of(NETS)]
    preset: Annotated[str, one_of(("small", "paper"))]
    offsets: Annotated[str, one_of(OFFSETS)]
    names: Annotated[list[_Name], Field(min_length=2, max_length=100)]
    window: Annotated[int, Field(ge=16, le=1024)]
    data: _Text
    recipe: dict[str, Any]
    licence: _Text
    seed: int
    versions: dict[_Name, _Name]
    scores: dict[str, Any] = field(default_factory=dict)


_CARD = TypeAdapter(NetCard)


def save_net(path: str | Path, net: nn.Module, card: NetCard) -> None:
    """Write a network with its card, rounded as in dlka/tensor_file.py. Raises DlkaError for values that cannot be
    stored."""
    write(Path(path), stored(net.state_dict(), small=True), _metadata(card))


def load_net(path: str | Path) -> tuple[nn.Module, NetCard]:
    """The network of a file, in evaluation mode on the CPU as float32, and its card. Strict: format, card, names,
    shapes, dtypes and finite values are checked. Raises DlkaError with one sentence."""
    with _opened(path) as (file, card):
        net = build_net(card.net, preset=card.preset, classes=len(card.names), offsets=card.offsets)
        fill(file, net.state_dict(), Path(path).name, f"{card.net} {card.preset}")
    return net.eval().requires_grad_(False), card


def read_card(path: str | Path) -> NetCard:
    """The card of a file alone: no network is built. Raises DlkaError with one sentence."""
    with _opened(path) as (_, card):
        return card


def with_scores(path: str | Path, scores: dict[str, Any]) -> None:
    """Put what was measured into the card of a file; its tensors stay as they are."""
    with _opened(path) as (file, card):
        tensors = tensors_in(file)
    write(Path(path), tensors, _metadata(replace(card, scores=scores)))


def _metadata(card: NetCard) -> dict[str, str]:
    text = json.dumps(asdict(card), allow_nan=False)
    _CARD.validate_json(text)  # what could not be read back is not written
    return {"format": FORMAT, "card": text}


@contextmanager
def _opened(path: str | Path) -> Iterator[tuple[Any, NetCard]]:
    """The open file and its card."""
    path = Path(path)
    with opened(path) as file:
        metadata = file.metadata() or {}
        if metadata.get("format") != FORMAT:
            raise DlkaError(
                f"{path.name}: expected a network that segments (format {FORMAT}), got format "
                f"{short(metadata.get('format'))}."
            )
        try:
            card = _CARD.validate_json(metadata.get("card", ""))
        except ValidationError as error:
            raise DlkaError(f"{path.name}: its card cannot be used ({first_problem(error, 'card'):.200}).") from None
        yield file, card
