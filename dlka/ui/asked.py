"""Requests that go past gradio's queue, and those that listen to its answers: the page's admission meets them here."""

from __future__ import annotations

import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

from anyio.to_thread import run_sync

from dlka.errors import message
from dlka.ui.admission import SHORT, Admission, Dropped, Visitor, network
from dlka.ui.toolkit import gr

KEY = "dlka.admission"  # of the scope of every request
EVENT = re.compile(r"/call/(?:v2/)?[^/]+/(?P<event>[^/]+)$")


class Listening:
    """ASGI middleware: every request finds the page's admission, which learns what answers are listened to."""

    def __init__(self, app: Any, admission: Admission) -> None:
        self._app, self._admission = app, admission

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Pass a request on."""
        stream = stream_of(scope)
        if stream is None:
            await self._app({**scope, KEY: self._admission}, receive, send)
            return
        self._admission.listen(stream)
        try:
            await self._app(scope, receive, send)
        finally:
            self._admission.unlisten(stream)


def stream_of(scope: dict[str, Any]) -> str | None:
    """The session or the event whose answers a request listens to; None for any other request."""
    if scope["type"] != "http" or scope["method"] != "GET":
        return None
    if scope["path"].endswith("/queue/data"):
        return parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [None])[0]
    found = EVENT.search(scope["path"])
    return found["event"] if found else None


def script_in_turn(function: Callable[[Any], Any]) -> Callable[..., Awaitable[Any]]:
    """The same function for a script of gr.HTML, which takes its turn; a refusal is {"error": sentence}."""

    async def answer(asked: Any, request: gr.Request) -> Any:
        try:
            async with _turn(request, function.__name__):
                return await run_sync(function, asked)
        except Dropped:  # nobody is there to be told
            return None
        except Exception as error:  # what the function itself raises was told already
            return {"error": message(error)}

    # Not functools.wraps: gradio would take the arguments of what it wraps for those of a call.
    answer.__name__, answer.__doc__ = function.__name__, function.__doc__
    return answer


def tool_in_turn(function: Callable[..., Any]) -> Callable[..., Awaitable[Any]]:
    """The same endpoint past the queue, which takes its turn; gradio gives it the request as its last argument."""

    async def answer(*arguments: Any) -> Any:
        async with _turn(arguments[-1], function.__name__):
            return await run_sync(function, *arguments[:-1])

    known = inspect.signature(function)
    request = inspect.Parameter("request", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=gr.Request, default=None)
    answer.__name__, answer.__doc__ = function.__name__, function.__doc__
    answer.__signature__ = known.replace(parameters=[*known.parameters.values(), request])  # type: ignore[attr-defined]  # inspect reads it
    answer.__annotations__ = {**function.__annotations__, "request": gr.Request}
    return answer


@asynccontextmanager
async def _turn(given: Any, kind: str) -> AsyncIterator[None]:
    """Inside the context it is a request's turn. Raises Busy, or Dropped where nobody waits for it any more."""
    request = getattr(given, "request", given)  # gradio wraps some requests, others not
    session = ""
    if request.headers.get("content-type", "").startswith("application/json"):
        body = await request.json()  # gradio has read it; the request keeps it
        session = str(body.get("session_hash") or "") if isinstance(body, dict) else ""
    admission: Admission = request.scope[KEY]
    job = admission.join(Visitor(network(request.client.host if request.client else ""), session), kind, SHORT)
    try:
        await admission.turn(job)
        if await request.is_disconnected():
            raise Dropped
        yield
    finally:
        admission.finish(job)
