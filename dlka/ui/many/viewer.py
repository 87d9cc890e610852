"""What the browser needs to step through the disagreements of a run: addresses and numbers as JSON."""

from __future__ import annotations

import json

from dlka import temporary
from dlka.analysis.many.analyses import ManyAnalyses
from dlka.ui import files
from dlka.ui.many import tables

EMPTY = json.dumps({"told": "", "columns": [], "pictures": {}, "items": []})


def viewer_value(many: ManyAnalyses) -> str:
    """JSON for the viewer. pictures: number -> address, width and height (pixels of the original); items: smallest
    first, each with its close-up, the number of its picture, its box in pixels of that, and its numbers as text."""
    items = []
    for number, found in enumerate(many.disagreements):
        tile = many.folder / f"tile-{number}.jpg"
        temporary.write_to(tile, found.tile)
        items.append(
            {
                "tile": files.address(str(tile)),
                "picture": found.picture,
                "box": [round(v, 1) for v in found.box],
                "colour": found.colour,
                "kind": found.row["kind"],
                "told": tables.caption(found),
                "row": tables.disagreement(many, found),
            }
        )
    used = {found.picture: many.rows[found.picture].size for found in many.disagreements}
    pictures = {
        number: {"source": files.address(str(many.folder / f"{number}.jpg")), "width": size[1], "height": size[0]}
        for number, size in used.items()
        if size is not None
    }
    return json.dumps(
        {
            "told": tables.left_out(many, len(items)),
            "columns": tables.columns(many),
            "pictures": pictures,
            "items": items,
        }
    )
