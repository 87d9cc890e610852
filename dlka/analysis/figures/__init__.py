"""Every figure of the page, by its kind: a finished analysis, a kind and arguments make it again anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from dlka.analysis.analysis import Refused
from dlka.analysis.checked import checked
from dlka.analysis.figures import changes, one_box, views
from dlka.analysis.figures.figure import Figure

KINDS: Mapping[str, type[Figure]] = {**views.FIGURES, **one_box.FIGURES, **changes.FIGURES}


def figure(kind: str, arguments: Mapping[str, Any]) -> Figure:
    """The figure of a kind with these arguments, by name, as a recipe has them. Raises Refused for a kind that does
    not exist, and for arguments whose names or types are not those of its fields."""
    if kind not in KINDS:
        raise Refused(f"Figure: expected one of {', '.join(KINDS)}; got {kind!r:.60}.")
    names = [field.name for field in fields(KINDS[kind])]
    if sorted(arguments) != sorted(names):
        raise Refused(
            f"Figure {kind}: expected {', '.join(names) or 'no arguments'}; got {', '.join(arguments)!s:.100}."
        )
    return KINDS[kind](**checked(KINDS[kind], arguments, f"Figure {kind}, "))
