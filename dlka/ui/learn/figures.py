"""Figures that the lesson shows of the project's blocks and of its shipped models, from code and from models' cards."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dlka.models.blocks import attention
from dlka.models.catalog import cards

CHANNELS = 64  # of the block whose parameters are counted, as in the model scenes
INSIDE = ("scenes", "neck", "head")
TESTED = ("scenes", "neu-det-neck", "head")
WAYS = {"own": "own", "off": "off", "shuffled": "shuffled", "another": "another picture's"}  # word -> name in a card


def costs() -> dict[str, dict[str, int]]:
    """Parameters of one D-LKA block by its kind of offsets: all, and those of its offset nets."""
    found = {}
    for kind in ("none", "separable", "dense"):
        sizes = {name: parameter.numel() for name, parameter in attention(CHANNELS, kind).named_parameters()}
        nets = sum(size for name, size in sizes.items() if "offset_net" in name)
        found[kind] = {"all": sum(sizes.values()), "nets": nets}
    return found


def inside() -> list[dict[str, Any]]:
    """By model: what share of the first stage's samples lies in the object's box, of the grid's, and their difference.

    In per cent, as its card says; between: the 95 % interval of the difference over pictures.
    """
    rows = []
    for model, uses in _measured(INSIDE):
        first = uses["stages"][0]
        row = {"learned": 100 * first["in_box"], "grid": 100 * first["in_box_grid"]}
        rows.append({"model": model, "data": uses["data"], **row, **_change(first, "in_box_minus_grid")})
    return rows


def tested() -> list[dict[str, Any]]:
    """By model: its AP in per cent with its own offsets, without and with wrong ones, as its card says.

    ways: word -> AP, and of all but own its difference to own (change) with a 95 % interval over pictures (between).
    """
    rows = []
    for model, uses in _measured(TESTED):
        ways = {}
        for word, name in WAYS.items():
            row = uses["offsets"][name]
            ways[word] = {"ap": 100 * row["AP"], **({} if word == "own" else _change(row, "AP_minus_own"))}
        told = {"model": model, "data": uses["data"], "pictures": uses["pictures"]}
        rows.append({**told, "verdict": uses["verdict"].replace(" ", "_"), "ways": ways})
    return rows


def _measured(models: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Those of the models that are there, with the figures of their cards; the data without the word "val"."""
    for model in models:
        uses = cards()[model].uses if model in cards() else None
        if uses:
            yield model, uses | {"data": uses["data"].removesuffix(" val")}


def _change(row: dict[str, Any], name: str) -> dict[str, Any]:
    return {"change": 100 * row[name], "between": [100 * end for end in row[f"{name}_95"]]}
