"""The tab "What if"."""

from __future__ import annotations

from typing import Any

from dlka.ui.session import Look
from dlka.ui.shared import Shared
from dlka.ui.toolkit import gr

NAME = "What if"
GIVEN: tuple[str, ...] = ()
SHOWN: tuple[str, ...] = ()


def build(first: Look) -> dict[str, Any]:
    """The tab's components, showing a first look."""
    with gr.Tab(NAME):
        gr.Markdown(
            "What happens when offsets are changed: scaled, off, shuffled, taken from another picture, gates off."
        )
    return {}


def values(look: Look, point: tuple[float, float]) -> list[Any]:
    """Updates of what SHOWN names, after a new look."""
    return []


def wire(shared: Shared, tab: dict[str, Any]) -> None:
    """What the tab's own controls do."""
