"""Every figure of the page, by its kind: a finished analysis, a kind and arguments make it again anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from dlka.analysis.analysis import pick
from dlka.analysis.checked import checked
from dlka.analysis.figures import changes, one_box, views
from dlka.analysis.figures.base import Figure
from dlka.errors import DlkaError

KINDS: dict[str, type[Figure]] = {f.name: f for f in (*views.FIGURES, *one_box.FIGURES, *changes.FIGURES)}


def figure(kind: str, arguments: Mapping[str, Any]) -> Figure:
    """The figure of a kind with these arguments, by name, as a recipe has them. Raises DlkaError for a kind that does
    not exist, and for arguments whose names or types are not those of its fields."""
    made = pick("Figure", KINDS, kind)
    names = [field.name for field in fields(made)]
    if sorted(arguments) != sorted(names):
        expected = ", ".join(names) or "no arguments"
        raise DlkaError(f"Figure {kind}: expected {expected}; got {', '.join(arguments)!s:.100}.")
    return made(**checked(made, arguments, f"Figure {kind}, "))
