"""ZeroGPU of Hugging Face's Spaces: a GPU for as long as a model runs, in a forked process; this one never has any.

Arguments and results travel as pickles. So everything stays here that is kept in memory (analyses, pictures, the line
of visitors), with the models on the CPU, and only what a Predictor does with its model goes there. Their weights are
too few for it to matter that they are read there anew, and not moved at the start, as Spaces advise for large ones.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from gradio.context import LocalContext

from dlka.inference.predictor import Predictor, answer
from dlka.ui.toolkit import gr

SECONDS = 30  # at most, of one call; the first one compiles kernels. A visitor needs as many left to be let in


def use() -> None:
    """From now on models run on ZeroGPU, where the package `spaces` is installed and offers one; else nothing changes.

    To be called before anything asks torch for CUDA: from then on spaces answers in its place.
    """
    if find_spec("spaces") is None:
        return
    sent = import_module("spaces").GPU(duration=SECONDS)(answer)
    if sent is answer:  # not on ZeroGPU
        return

    def elsewhere(here: Callable[[], Any], arguments: tuple[Any, ...]) -> Any:
        if LocalContext.request.get(None) is None:  # the page itself: time on a GPU is a visitor's
            return here()
        try:
            return sent(*arguments)
        except gr.Error as error:  # no time left, no GPU free, or an error, which spaces has logged and we meet again
            logging.getLogger("dlka").warning("ZeroGPU: %s; the CPU takes its place", error)
            return here()

    Predictor.elsewhere, Predictor.place = elsewhere, "ZeroGPU"
