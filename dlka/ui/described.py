"""A drawing as HTML that says in words what it shows."""

from __future__ import annotations

import html

from dlka.render import Paper
from dlka.ui import files


def described(paper: Paper, name: str) -> str:
    """The drawing as a picture whose alt text is its whole legend, linked to its full size."""
    pixels = paper.to_array()
    address = html.escape(files.address(files.picture(pixels, name)))
    height, width = pixels.shape[:2]  # told to the browser, so that nothing jumps while it is fetched
    text = html.escape(paper.legend_text)
    return (
        f'<a class="described" href="{address}" target="_blank">'
        f'<img src="{address}" alt="{text}" width="{width}" height="{height}"></a>'
    )
