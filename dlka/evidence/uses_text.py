"""What `dlka uses` found, as rows for tables; AP and shares in per cent."""

from __future__ import annotations

from typing import Any

from dlka.evidence.uses import OWN, SHOWN, points
from dlka.evidence.words import NONE, figure


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


def rho(row: dict[str, Any], name: str) -> str:
    """A rank correlation with its interval: "+0.73 [+0.63, +0.79]"."""
    value, ends = row[name], row[f"{name}_95"]
    if value is None or ends is None:
        return NONE if value is None else f"{value:+.2f}"
    return f"{value:+.2f} [{', '.join(f'{end:+.2f}' for end in ends)}]"


def _percent(share: float | None) -> str:
    return figure(None if share is None else 100 * share)
