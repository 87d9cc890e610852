"""No error leaves the page without a sentence: whatever answers a browser or a program is called from here.

Two ways lead from a client to a function: events and endpoints, through the Blocks, and server functions of gr.HTML,
which gradio calls directly. Both end in dlka.errors.message. What visitors send counts as it comes, nothing is larger
than can be used, and a full disk is a sentence, too; what is known of a visitor stays for longer than gradio keeps it.
"""

from __future__ import annotations

import inspect
import math
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from typing import Any

from anyio.to_thread import run_sync
from fastapi import HTTPException
from starlette.responses import PlainTextResponse

from dlka import temporary
from dlka.analysis.cache import Kept
from dlka.analysis.checked import checked
from dlka.errors import DISK_FULL, DlkaError, message, short
from dlka.images import MAX_BYTES
from dlka.ui.toolkit import gr

SECONDS = 12  # that a message stays on the page
EXPECTED = {
    "slider": "a number in its range",
    "image": "an uploaded picture",
    "file": "uploaded files",
    "api": "an uploaded file",
}
MOST = 2 * MAX_BYTES  # bytes of a request that is no upload: room for a picture as a data: URL
TOO_MUCH = "This is more than fits at once: at most {:,} bytes. Send less, or in several parts."
FORM = "Files are sent to /upload, and to nowhere else."
BOUNDS = ("choices", "minimum", "maximum")  # of a control, by which gradio checks what comes from it
LIMIT = 32 * 2**20  # bytes of States of sessions that gradio has forgotten: some ten thousand


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


class Uploads:
    """ASGI middleware around all that is sent. gradio's own answer to a full disk would be an empty error."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Hand a request on, and make room for what it really sends: what it says that it will may be a lie."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        upload, headers = scope["path"].endswith("/upload"), dict(scope["headers"])
        most = int(temporary.ROOM * temporary.LIMIT) if upload else MOST
        length, came = headers.get(b"content-length", b""), 0
        if not upload and headers.get(b"content-type", b"").startswith(b"multipart/"):
            await PlainTextResponse(FORM, status_code=415)(scope, receive, send)  # gradio would write them anywhere
            return
        if length.isdigit() and int(length) > most:
            await PlainTextResponse(TOO_MUCH.format(most), status_code=413)(scope, receive, send)
            return

        async def received() -> Any:
            nonlocal came
            part = await receive()
            size = len(part.get("body", b""))
            came += size
            if came > most:
                raise HTTPException(413, TOO_MUCH.format(most))
            if upload and size:
                await run_sync(temporary.make_room, size)
            return part

        try:
            await self.app(scope, received, send)
        except OSError as error:
            if error.errno not in DISK_FULL:
                raise
            await PlainTextResponse(message(error), status_code=507)(scope, receive, send)


class Sessions(OrderedDict[str, Any]):
    """gradio's sessions by their hashes: of those that make room the States are kept, and what controls can choose.

    gradio forgets the oldest sessions as soon as there are more than state_session_capacity, and those of closed
    browsers after an hour, though one that sleeps is closed too. It would then answer from the first values of all
    States, about the picture that the page opens with, beside the picture that the visitor sees, and tell nobody.

    controls: of a new session, by their ids.
    """

    def __init__(self, controls: Mapping[int, Any]) -> None:
        super().__init__()
        self._controls = controls
        self.left = Kept(LIMIT)

    def popitem(self, last: bool = True) -> tuple[str, Any]:
        """A session makes room."""
        name, session = super().popitem(last)
        changed = {i: one for i, one in session.blocks_config.blocks.items() if one is not self._controls.get(i)}
        bounds = {i: {n: v for n, v in vars(one).items() if n in BOUNDS} for i, one in changed.items()}
        bounds = {i: known for i, known in bounds.items() if known and i in self._controls}
        if session.state_data or bounds:
            self.left.put(name, (session.state_data, bounds))
        return name, session

    def __setitem__(self, name: str, session: Any) -> None:
        """A session begins, or comes back."""
        session.STATE_TTL_WHEN_CLOSED = math.inf
        if name in self.left:
            nothing: tuple[dict[int, Any], dict[int, Any]] = ({}, {})
            values, bounds = self.left.get(name, lambda: nothing)
            session.state_data.update(values)
            for i, known in bounds.items():
                one = session.blocks_config.blocks[i] = copy(self._controls[i])
                vars(one).update(known)
                one._constructor_args = [{**one.constructor_args, **known}]  # of which gradio makes the next change
        super().__setitem__(name, session)


def keep_sessions(app: gr.Blocks) -> None:
    """Let a launched page remember its visitors."""
    app.app.state_holder.session_data = Sessions(app.default_config.blocks)
