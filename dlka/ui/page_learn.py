"""The page "Learn"."""

from __future__ import annotations

from dlka.ui.toolkit import gr

NAME, PATH = "Learn", "learn"


def build() -> None:
    """The page's components and what they do."""
    gr.Markdown("# Learn\nHow deformable sampling adapts, in six steps, and a playground.")
