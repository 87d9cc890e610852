"""The pictures of a changed model. Plain functions."""

from __future__ import annotations

from dlka import palette, render
from dlka.render import Canvas
from dlka.ui.session import Look
from dlka.ui.what_if import WhatIf
from dlka.ui.what_if_words import title

DIFFERENCE, LEFT, RIGHT = PICTURES = ("difference", "learned", "changed")


def drawing(look: Look, seen: WhatIf, picture: str) -> Canvas:
    """One of PICTURES: what the change does to the boxes, or those of one of the two models."""
    what = title(seen.change, look)
    if picture == LEFT:
        return render.draw_boxes(look.image, seen.learned, look.names, palette.DLKA, f"Learned: {look.settings.dlka}")
    if picture == RIGHT:
        return render.draw_boxes(look.image, seen.changed, look.names, palette.WHAT_IF, f"Changed. {what}")
    given = (look.image, seen.learned, seen.changed, seen.pairs, look.names, f"{look.settings.dlka}. {what}")
    return render.draw_change(*given, lost=seen.lost)
