"""No error leaves the page without a sentence: whatever answers a browser or a program is called from here.

Two ways lead from a client to a function: events and endpoints, through the Blocks, and server functions of gr.HTML,
which gradio calls directly. Both end in dlka.errors.message.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

from dlka.analysis.checked import checked
from dlka.errors import DISK_FULL, DlkaError, message, short
from dlka.ui.toolkit import gr

SECONDS = 12  # that a message stays on the page
EXPECTED = {
    "slider": "a number in its range",
    "image": "an uploaded picture",
    "file": "uploaded files",
    "api": "an uploaded file",
}


class Page(gr.Blocks):
    """A Blocks whose events and endpoints answer with a message instead of gradio's empty error."""

    async def process_api(self, *arguments: Any, **named: Any) -> dict[str, Any]:
        """Read what came, call the function, write what it gives: gradio's one way for all, the tools' of MCP too."""
        try:
            return await super().process_api(*arguments, **named)
        except gr.Error:  # gradio's own, a sentence already
            raise
        except Exception as error:
            raise gr.Error(message(error), duration=SECONDS, print_exception=False) from None

    async def preprocess_data(self, block_fn: Any, inputs: Sequence[Any], *arguments: Any, **named: Any) -> list[Any]:
        """Read what came, one input after the other, so that a refusal can name the one that gradio cannot read."""
        # What a client calls the inputs: an endpoint's parameters, or the labels of controls.
        wanted = [block.label or block.get_block_name() for block in block_fn.inputs]
        if all(block.get_block_name() == "api" for block in block_fn.inputs):
            wanted = list(inspect.signature(block_fn.fn).parameters)[: len(wanted)]
        if len(inputs) < len(wanted):
            raise DlkaError(f"Expected {len(wanted)} values ({', '.join(wanted)}); got {len(inputs)}.")
        read: list[Any] = []
        for name, block, value in zip(wanted, block_fn.inputs, inputs):
            if block.get_block_name() == "slider" and isinstance(value, bool):  # which Python counts as a number
                raise DlkaError(f"{name}: expected {EXPECTED['slider']}; got {value}.")
            one = copy(block_fn)
            one.inputs = [block]
            try:
                read += await super().preprocess_data(one, [value], *arguments, **named)
            except gr.Error as error:  # a number beyond its slider: nothing for the log
                error.print_exception = False
                raise
            except MemoryError:
                raise
            except Exception as error:  # gradio, pydantic and the file system, on what a stranger sent
                if isinstance(error, OSError) and error.errno in DISK_FULL:
                    raise
                expected = EXPECTED.get(block.get_block_name(), "a value that this control can have")
                raise DlkaError(f"{name}: expected {expected}; got {short(value)}.") from error
        return read


def answering(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """A server function of gr.HTML, which a script calls with one object of names and values: the arguments.

    They are checked first, and where anything fails, the answer is {"error": sentence}.
    """

    def answer(asked: Any) -> Any:
        try:
            if not isinstance(asked, dict):
                raise DlkaError(f"Expected an object with names and values; got {short(asked)}.")
            return function(**checked(function, asked))
        except Exception as error:
            return {"error": message(error)}

    # Not functools.wraps: gradio would take the arguments of what it wraps for those of a call.
    answer.__name__, answer.__doc__ = function.__name__, function.__doc__
    return answer
