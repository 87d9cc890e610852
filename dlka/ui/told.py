"""From the project's refusals to a sentence on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from dlka.inference.predictor import PredictionFailed
from dlka.ui.toolkit import gr


def told(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call the function; what the user can mend becomes a message on the page instead of an empty error.

    Refusals are ValueErrors everywhere in the project, each one sentence.
    """
    try:
        return function(*arguments, **named)
    except (ValueError, PredictionFailed) as error:
        raise gr.Error(str(error), duration=12, print_exception=False) from None
