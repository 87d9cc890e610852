"""What keeps the browser's address up to date, and the button that copies it."""

from __future__ import annotations

import json
from pathlib import Path

from dlka.analysis.analysis import Analysis
from dlka.ui import address
from dlka.ui.toolkit import gr

FOLDER = Path(__file__).with_name("link")


def build(first: Analysis) -> gr.HTML:
    """The component, for a first analysis. What the server sends as its value goes into the browser's address.

    That is a part of a query string; a key without a value leaves the address. Where the page is opened with an address
    of its own, the component's value is that query string and it submits.
    """
    return gr.HTML(
        address.encode(first),
        html_template=(FOLDER / "link.html").read_text(encoding="utf-8"),
        js_on_load=(FOLDER / "link.js").read_text(encoding="utf-8"),
        keys=json.dumps(address.KEYS),
        elem_id="link",
    )
