"""What `dlka uses` found, as rows for tables, and as the tables of a model card; AP and shares in per cent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlka.experiments.bootstrap import COMPARED
from dlka.experiments.uses import ANOTHER, OFF, OWN, SHOWN, SHUFFLED, points
from dlka.experiments.words import NONE, figure, markdown, per_cent


def offset_rows(figures: dict[str, Any]) -> list[dict[str, Any]]:
    """A row for the model's own offsets, then one for each change with the differences to them and their intervals."""
    rows = []
    for name, values in figures["offsets"].items():
        row: dict[str, Any] = {"offsets": name, **{m: per_cent(values[m]) for m in SHOWN}}
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
            "in box %": per_cent(row["in_box"]),
            "- grid": points(row["in_box_minus_grid"], row["in_box_minus_grid_95"]),
            "- chance": points(row["in_box_minus_chance"], row["in_box_minus_chance_95"]),
            "module": row["stage"],
        }
        for row in figures["stages"]
    ]


def changes_table(uses: Mapping[str, Any]) -> str:
    """AP with a model's own offsets and with others in their place, for its card; uses: as a weights file has it."""
    rows = []
    for name in (OWN, OFF, SHUFFLED, ANOTHER):
        values = uses["offsets"][name]
        deltas = ["" if name == OWN else _bold(values[f"{m}_minus_own"], values[f"{m}_minus_own_95"]) for m in COMPARED]
        rows.append([name, *(text for m, delta in zip(COMPARED, deltas) for text in (per_cent(values[m]), delta))])
    return markdown(["offsets", *(title for m in COMPARED for title in (m, f"{m} - own"))], rows)


def following_table(uses: Mapping[str, Any]) -> str:
    """How samples follow objects, for a card."""
    rows = [
        [row["label"], rho(row, "size_rho"), figure(row["spread_small"], 2), figure(row["spread_large"], 2)]
        for row in uses["stages"]
    ]
    return markdown(["stage", "rho, spread and size", "spread/grid, smaller half", "larger half"], rows)


def rho(row: dict[str, Any], name: str) -> str:
    """A rank correlation with its interval: "+0.73 [+0.63, +0.79]"."""
    value, ends = row[name], row[f"{name}_95"]
    if value is None or ends is None:
        return NONE if value is None else f"{value:+.2f}"
    return f"{value:+.2f} [{', '.join(f'{end:+.2f}' for end in ends)}]"


def _bold(value: float | None, ends: list[float] | None) -> str:
    """A difference for a table: bold where the interval does not include zero."""
    return f"**{points(value, ends)}**" if ends and ends[0] * ends[1] > 0 else points(value, ends)
