"""The page "Many pictures"."""

from __future__ import annotations

from dlka.ui.toolkit import gr

NAME, PATH = "Many pictures", "many"


def build() -> None:
    """The page's components and what they do."""
    gr.Markdown("# Many pictures\nA folder or several pictures at once, with or without ground truth.")
