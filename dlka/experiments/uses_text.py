"""What `dlka uses` found, as rows for tables and as a part of a model card; AP and shares in per cent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from dlka.experiments.uses import ANOTHER, OFF, OWN, RULE, SHOWN, SHUFFLED, points
from dlka.experiments.words import NONE, figure, markdown
from dlka.models.weights import NEEDS

IN_CARDS = ("AP", "AP_S")  # the measures that a model card has


def offset_rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for the model's own offsets, then one for each change with the differences to them and their intervals."""
    rows = []
    for name, values in figures["offsets"].items():
        row: dict[str, Any] = {"offsets": name, **{m: _percent(values[m]) for m in SHOWN}}
        for measure in SHOWN:
            key = f"{measure}_minus_own"
            row[f"{measure} - own"] = "" if name == OWN else points(values[key], values[f"{key}_95"])
        rows.append(row)
    return rows


def following_rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """How samples follow objects: a row a stage."""
    return [
        {
            "stage": row["label"],
            "objects": row["objects"],
            "rho, spread and size": rho(row, "size_rho"),
            "rho, aspects": rho(row, "aspect_rho"),
            "spread/grid, small": figure(row["spread_small"], 3),
            "large": figure(row["spread_large"], 3),
            "for box": row["in_box_objects"],
            "in box %": _percent(row["in_box"]),
            "- grid": points(row["in_box_minus_grid"], row["in_box_minus_grid_95"]),
            "- chance": points(row["in_box_minus_chance"], row["in_box_minus_chance_95"]),
            "module": row["stage"],
        }
        for row in figures["stages"]
    ]


def in_card(uses: Mapping[str, Any]) -> Iterator[str]:
    """What a model card says of it, in Markdown. uses: as a weights file's card has it."""
    yield (
        f"It {NEEDS[uses['verdict']]} ({uses['verdict']}): {uses['why']} On {uses['pictures']:,} pictures of "
        f"{uses['data']}, at {uses['size']} px."
    )
    rows = []
    for name in (OWN, OFF, SHUFFLED, ANOTHER):
        values = uses["offsets"][name]
        deltas = ["" if name == OWN else _bold(values[f"{m}_minus_own"], values[f"{m}_minus_own_95"]) for m in IN_CARDS]
        rows.append([name, *(text for m, delta in zip(IN_CARDS, deltas) for text in (_percent(values[m]), delta))])
    yield markdown(["offsets", *(title for m in IN_CARDS for title in (m, f"{m} - own"))], rows)
    following = [
        [row["label"], rho(row, "size_rho"), figure(row["spread_small"], 2), figure(row["spread_large"], 2)]
        for row in uses["stages"]
    ]
    yield markdown(["stage", "rho, spread and size", "spread/grid, smaller half", "larger half"], following)


def uses_reading() -> str:
    """What the tables of a model card show."""
    return (
        "Whether a model uses its offsets, by `python -m dlka uses`: AP with its own, with all of them off, shuffled "
        f"between cells, and with those of another picture. {RULE[0].upper()}{RULE[1:]} Rho: Spearman's rank "
        "correlation of how far a stage's samples spread at the middle of an object with that object's size. "
        "Spread/grid: that spread over the regular grid's, mean over the smaller and the larger half of the objects."
    )


def rho(row: dict[str, Any], name: str) -> str:
    """A rank correlation with its interval: "+0.73 [+0.63, +0.79]"."""
    value, ends = row[name], row[f"{name}_95"]
    if value is None or ends is None:
        return NONE if value is None else f"{value:+.2f}"
    return f"{value:+.2f} [{', '.join(f'{end:+.2f}' for end in ends)}]"


def _bold(value: float | None, ends: list[float] | None) -> str:
    """A difference for a table: bold where the interval does not include zero."""
    return f"**{points(value, ends)}**" if ends and ends[0] * ends[1] > 0 else points(value, ends)


def _percent(share: float | None) -> str:
    return figure(None if share is None else 100 * share)
