"""What comes in: a picture as the file that the user gave."""

from __future__ import annotations

from typing import Any

from dlka.ui.toolkit import gr


def picture_input(*args: Any, **kwargs: Any) -> gr.Image:
    """A gr.Image that hands on the file as it came, unopened, as a path or None.

    The component's own decoding would fail on broken files without a word, turn EXIF a second time, and skip colour
    conversion for some names. It is replaced on the instance: gradio writes a file beside the source of every subclass.
    """
    component = gr.Image(*args, type="filepath", image_mode=None, **kwargs)
    component.preprocess = lambda payload: payload.path if payload else None  # type: ignore[method-assign]  # see above
    return component
