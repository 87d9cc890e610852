"""From the project's refusals to a sentence on the page."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from dlka.images import ImageRefused
from dlka.inference.predictor import PredictionFailed
from dlka.models.weights import WeightsRefused
from dlka.ui.session import Refused

SENTENCES = (Refused, ImageRefused, WeightsRefused, PredictionFailed)


def told(function: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
    """Call the function; what the user can mend becomes a message on the page instead of an empty error."""
    try:
        return function(*arguments, **named)
    except SENTENCES as error:
        raise gr.Error(str(error), duration=12, title="That did not work", print_exception=False) from None
