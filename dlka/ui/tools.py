"""Three tools for assistants that speak MCP, where gradio's extra for it is installed: pip install "gradio[mcp]".

gradio makes a tool of every endpoint; here only those of this file are tools. What a tool returns is JSON as text, and
a picture where there is one to see. The docstrings are what an assistant reads; gradio takes "Args:" out of them.
"""

# No "from __future__ import annotations": gradio reads how many outputs there are from the real annotation.

import json
from dataclasses import asdict
from importlib.util import find_spec
from typing import Any

import numpy as np

from dlka.analysis import report
from dlka.analysis.analysis import Analysis, Settings, analyse
from dlka.analysis.examples import examples
from dlka.analysis.figures.base import Drawn, one_of
from dlka.analysis.figures.views import Difference, Reads
from dlka.analysis.suited import opening, settings_for
from dlka.models.catalog import baseline_of
from dlka.ui import files
from dlka.ui.api import DEFAULT, Picture, endpoint
from dlka.ui.page_queue import tool_in_turn
from dlka.ui.toolkit import gr


def available() -> bool:
    """Whether the package mcp is there."""
    return find_spec("mcp") is not None


def add() -> None:
    """Register the tools as endpoints on the Blocks that is being built.

    Past the queue, as gradio makes one text of all that a tool returns through it; they take their turns all the same.
    """
    for function in TOOLS:
        gr.api(tool_in_turn(endpoint(function)), api_name=function.__name__, queue=False)


def keep(app: gr.Blocks) -> None:
    """Let a launched page offer these tools and no other endpoint as one."""
    names = {f"/{function.__name__}" for function in TOOLS}
    if app.mcp_server_obj is not None:
        known = app.mcp_server_obj.tool_to_endpoint
        app.mcp_server_obj.tool_to_endpoint = {tool: name for tool, name in known.items() if name in names}


def compare_image(
    image: Picture = None,  # type: ignore[assignment]  # example may stand for it
    example: str = "",
    model: str = "",
    baseline: str = "",
    strength: float = DEFAULT.strength,
    confidence: float = DEFAULT.confidence,
) -> tuple[str, gr.FileData]:
    """Compare YOLOv8 with deformable large kernel attention (D-LKA) and stock YOLOv8 on one picture: objects that both
    found, or only one of them, with boxes in pixels, scores and sizes, as JSON; and a picture of the difference.

    Args:
        image: the picture; leave it out to take an example
        example: label of an example picture, for example "Bus stop"; used where there is no image
        model: id of the D-LKA model, such as head, neck, residual or scenes; empty for the one that suits the picture
        baseline: id of the model beside it; empty for its rigid twin, else the control that fits it
        strength: factor on every learned offset, 0 to 2; 1 as learned, 0 turns deformation off
        confidence: least score of a box, 0.01 to 0.95
    """
    seen = _look(image, example, model, strength, baseline=baseline, confidence=confidence)
    made = Difference().drawn(seen)
    return _json(report.report(seen) | {"caption": made.caption}), _picture(made)


def list_stages(
    image: Picture = None,  # type: ignore[assignment]  # example may stand for it
    example: str = "",
    model: str = "",
    strength: float = DEFAULT.strength,
) -> str:
    """List the deformable stages of a D-LKA model with the size of their maps and how far they move their taps on a
    picture, in cells and in pixels, as JSON. A stage's label is what probe_cell takes.

    Args:
        image: the picture; leave it out to take an example
        example: label of an example picture, for example "Bus stop"; used where there is no image
        model: id of the D-LKA model, such as head, neck, residual or scenes; empty for the one that suits the picture
        strength: factor on every learned offset, 0 to 2; 1 as learned, 0 turns deformation off
    """
    seen = _look(image, example, model, strength)
    stages = zip(seen.stage_labels, seen.dlka.captures, seen.stats)
    views = [view for view in seen.views if view not in seen.stage_labels]
    told = [
        {"stage": label, "kernel": c.stage.kernel, "dilation": c.stage.dilation, **asdict(stats)}
        for label, c, stats in stages
    ]
    return _json({"stages": told, "composed_views": views})


def probe_cell(
    stage: str,
    row: int,
    column: int,
    image: Picture = None,  # type: ignore[assignment]  # example may stand for it
    example: str = "",
    model: str = "",
    strength: float = DEFAULT.strength,
) -> tuple[str, gr.FileData]:
    """Say where one cell of a deformable stage reads in a picture: regular grid and samples as (x, y) in pixels of the
    picture, offsets as dy, dx in cells, which reads fall outside the map, as JSON; and a picture of it.

    Args:
        stage: label as list_stages gives it, for example "P3 7x7 d3", or a composed view such as "P3 composed"
        row: row of the cell on the stage's map, from 0
        column: column of the cell on the stage's map, from 0
        image: the picture; leave it out to take an example
        example: label of an example picture, for example "Bus stop"; used where there is no image
        model: id of the D-LKA model, such as head, neck, residual or scenes; empty for the one that suits the picture
        strength: factor on every learned offset, 0 to 2; 1 as learned, 0 turns deformation off
    """
    made = Reads(stage, row, column).drawn(_look(image, example, model, strength))
    return _json({"caption": made.caption} | made.arrays), _picture(made)


TOOLS = (compare_image, list_stages, probe_cell)


def _look(
    image: Any, example: str, model: str, strength: float, baseline: str = "", confidence: float = DEFAULT.confidence
) -> Analysis:
    label = example or opening()
    if image is None:
        one_of("Example", label, examples())
    file = examples()[label] if image is None else image["path"]
    suiting = settings_for(label if image is None else None)
    dlka = model or suiting.dlka
    fitting = baseline or baseline_of(dlka) or suiting.baseline
    return analyse(file, Settings(dlka=dlka, baseline=fitting, strength=strength, confidence=confidence))


def _picture(made: Drawn) -> gr.FileData:
    return gr.FileData(path=files.png(made.paper))


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, default=lambda v: v.tolist() if isinstance(v, np.ndarray | np.generic) else str(v))
