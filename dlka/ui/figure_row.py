"""The row below a tab's pictures: their captions, and buttons that hand them out."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any, NamedTuple

from dlka.analysis.analysis import Analysis, get_analysis
from dlka.analysis.figures import Figure, figure
from dlka.analysis.figures.base import one_of
from dlka.analysis.recipes import WRITERS, recipe_of
from dlka.ui import files
from dlka.ui.guard import answering
from dlka.ui.page_queue import script_in_turn
from dlka.ui.toolkit import gr

HTML, SHARED, _ROW = map(files.read, ("take/row.html", "take/take.js", "take/row.js"))


class FigureRef(NamedTuple):
    """A figure that a tab shows, and its label among those of the tab."""

    label: str
    figure: Figure


def build() -> gr.HTML:
    """The component, which is not seen until it has figures."""
    return gr.HTML(
        "[]", html_template=HTML, js_on_load=f"{SHARED}\n{_ROW}", server_functions=[script_in_turn(take_figure)]
    )


def value(analysis: Analysis, figures: list[FigureRef]) -> str:
    """The component's value: everything of the figures as JSON; for no figure the row is not seen."""
    return json.dumps(
        [
            {
                **{"name": shown.label, "kind": shown.figure.name, "arguments": asdict(shown.figure)},
                **{"key": analysis.key, "caption": shown.figure.caption(analysis)},
            }
            for shown in figures
        ]
    )


@answering
def take_figure(key: str, kind: str, arguments: dict[str, Any], form: str) -> dict[str, str]:
    """Make one file of a figure for the page's script.

    key: of the analysis; kind and arguments: of the figure; form: one of WRITERS. Returns file (its address), its name,
    and told, a sentence.
    """
    one_of("Form", form, WRITERS)
    analysis = get_analysis(key)
    asked = figure(kind, arguments)
    made = asked.drawn(analysis)
    data = WRITERS[form](made, recipe_of(analysis, asked, made))
    name = f"{kind.replace(' ', '-')}.{form}"
    return {"file": files.address(files.write(data, name)), "name": name, "told": f"{name} is ready."}
