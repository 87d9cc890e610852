"""What a tab of the page is, what all of them share, and how one that takes long to draw waits until it is seen."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from dlka.analysis.analysis import Analysis
from dlka.ui.page_queue import WORDS
from dlka.ui.toolkit import gr

DRAWING: dict[str, Any] = {"interactive": False, "elem_classes": "drawing"}  # of a component that shows one
# How gradio treats a listener. None of the page's own is an endpoint.
PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = PRIVATE | {"show_progress": "hidden"}
LAST: dict[str, Any] = {"trigger_mode": "always_last"}  # of several quick choices the last one counts


@dataclass(frozen=True)
class Shared:
    """gr.States. key: of the analysis that is shown; point: (x, y) of the chosen point, pixels of the picture; opened:
    the name of the tab that is seen. address: takes parts of a query string into the browser's address (ui/address.py).
    """

    key: gr.State
    point: gr.State
    opened: gr.State
    address: gr.HTML


class Tab(Protocol):
    """A tab: one module with these names.

    NAME: on the tab. INPUTS, OUTPUTS: of its components by name, those whose values decide on what is drawn, and those
    that show it after every new analysis. "point" is an input of a tab that has to know where to look first: (x, y),
    pixels of the picture.
    """

    NAME: str
    INPUTS: tuple[str, ...]
    OUTPUTS: tuple[str, ...]

    def build(self, first: Analysis) -> dict[str, Any]:
        """Make the components, showing a first analysis or nothing yet; returns them by name."""

    # With both, mypy takes any parameters behind the first: a tab gives those of its inputs their names.
    def values(self, analysis: Analysis, *_: Any, **inputs: Any) -> dict[str, Any]:
        """Values of OUTPUTS by name; inputs: values of INPUTS."""

    def wire(self, shared: Shared, tab: dict[str, Any]) -> None:
        """What the components of this tab do when somebody uses them; tab: as `build` returned them."""


def how_to_read(text: str, **more: Any) -> None:
    """What explains a tab's pictures and numbers, behind a line that opens."""
    with gr.Accordion("How to read this", open=False):
        gr.Markdown(text, elem_classes="quiet", **more)


def by_component(tab: Mapping[str, Any], values: Mapping[str, Any]) -> dict[Any, Any]:
    """What a listener of gradio returns: values of a tab's components by name -> the same by component."""
    return {tab[name]: value for name, value in values.items()}


def when_seen(
    shared: Shared, name: str, draw: Callable[..., dict[Any, Any]], inputs: Sequence[Any], outputs: Sequence[Any]
) -> None:
    """Draw a tab when it is opened, and after every new analysis while it is seen; never twice for the same analysis.

    draw(key, *values of inputs) -> values of outputs, by component.
    """
    drawn = gr.State("")
    due = gr.State(0)  # how often it was time to draw: only that asks for work

    def ask(key: str, opened: str, last: str, times: int) -> Any:
        return times + 1 if opened == name and key != last else gr.skip()

    def run(key: str, last: str, *given: Any) -> dict[Any, Any]:
        return gr.skip() if key == last else {drawn: key, **draw(key, *given)}

    moved = [shared.key.change, shared.opened.change]
    gr.on(moved, ask, [shared.key, shared.opened, drawn, due], due, **QUIET, **LAST, **WORDS)
    due.change(run, [shared.key, drawn, *inputs], [drawn, *outputs], **PRIVATE, **LAST)
