"""gradio's queue, in which a job's turn comes as the page's admission says; requests that go past the queue, and those
that listen to its answers.

gradio has one bound for the jobs of all visitors together, runs jobs whose answers nobody listens to, and refuses in
words of its own. This is the one place of the page that builds on gradio's queue; what it takes for granted of it is
held by tests/ui/test_page_queue.py.
"""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import parse_qs

from anyio.to_thread import run_sync
from fastapi import HTTPException, Request
from gradio.queueing import Event, Queue
from gradio.server_messages import EstimationMessage, ProcessCompletedMessage
from starlette.middleware import Middleware

from dlka.errors import message
from dlka.ui.admission import LONG, SHORT, UNHEARD, Admission, Busy, Dropped, Job, Visitor, network
from dlka.ui.toolkit import gr

# What an event is, told by its concurrency_id. One without it costs, so that a new one cannot go past the line.
WORDS: dict[str, Any] = {"concurrency_id": "words"}  # takes no time: a name, a choice, a control that is moved
LONG_RUN: dict[str, Any] = {"concurrency_id": "long runs"}
KEPT = 60.0  # seconds for which one who listens late is told so:
KEY = "dlka.admission"  # of the scope of every request
EVENT = re.compile(r"/call/(?:v2/)?[^/]+/(?P<event>[^/]+)$")
LEFT = f"Nobody listened for this answer within {UNHEARD:g} s, so it was not made."


def admit(app: gr.Blocks, at_once: int = 1) -> Middleware:
    """Give a page that is built a queue with an admission of its own. Returns its part of the server.

    at_once: jobs of a line that run at a time.
    """
    app.queue(api_open=False)  # else a program could go past the queue
    app._queue = queue = PageQueue(app)  # gradio has no other way
    queue.admission.width = at_once
    return Middleware(Listening, admission=queue.admission)


class PageQueue(Queue):
    """See above. gradio itself may run any number of jobs at a time; those that cost wait for their turn here."""

    def __init__(self, blocks: gr.Blocks) -> None:
        super().__init__(
            live_updates=True,
            concurrency_count=blocks.max_threads,
            update_intervals=1,
            max_size=None,
            blocks=blocks,
            default_concurrency_limit=None,
        )
        self.admission = Admission()
        self.admission.changed = self._tell
        self.admitted: dict[str, Job] = {}  # by event id
        self.waiting: dict[Job, Event] = {}

    async def push(self, body: Any, request: Request, username: str | None) -> Any:
        """A question comes in; where there is no room for it, the answer has status 429 and a sentence."""
        fn = self.blocks.fns.get(body.fn_index)
        kind = None if fn is None else fn.concurrency_id
        if fn is None:
            return False, "This page has no such function: load it again.", "error"
        if body.session_hash == "":  # gradio stumbles over it
            return False, "Expected a session hash that is not empty.", "error"
        if kind == WORDS["concurrency_id"]:
            return await super().push(body, request, username)
        visitor = Visitor(network(request.client.host if request.client else ""), body.session_hash or "")
        streams = {body.session_hash} if body.session_hash else set()  # and the event's own, known only below
        lane = LONG if kind == LONG_RUN["concurrency_id"] else SHORT
        try:
            job = self.admission.join(visitor, getattr(fn.fn, "__qualname__", str(fn)), lane, streams)
        except Busy as busy:
            raise HTTPException(429, str(busy), {"Retry-After": str(busy.seconds)}) from None
        pushed: tuple[Any, ...] = (False,)
        try:
            pushed = await super().push(body, request, username)
        finally:
            if not pushed[0]:
                self.admission.finish(job)
        if not pushed[0]:
            return pushed
        job.streams.add(str(pushed[1]))
        self.admitted[str(pushed[1])] = job
        return pushed

    async def process_events(self, events: list[Event], batch: bool, begin_time: float, fn: Any) -> None:
        """Run a job when its turn has come. One that was dropped is only tidied up: it is no longer alive."""
        event, job = events[0], self.admitted.pop(events[0]._id, None)
        try:
            if job is not None:
                self.waiting[job] = event
                await self.admission.turn(job)
        except Dropped:
            self.send_message(event, ProcessCompletedMessage(output={"error": LEFT}, success=False))
            event.alive = False  # for gradio, whose id of it stays a while for one who listens late
            asyncio.get_running_loop().call_later(KEPT, self._forget, event)
        except asyncio.CancelledError:
            event.alive = False
            raise
        finally:
            if job is not None:
                self.waiting.pop(job, None)
            await self._hold(job, event, super().process_events(events, batch, begin_time, fn))

    async def _hold(self, job: Job | None, event: Event, work: Coroutine[Any, Any, None]) -> None:
        """Do a job's work. One that is cancelled has its place until its thread, which nothing stops, is through."""
        running = asyncio.ensure_future(work)
        self._asyncio_tasks.add(running)  # gradio's, which are cancelled when the page is closed

        def over(_: Any) -> None:
            self._asyncio_tasks.discard(running)
            if job is not None:
                self.admission.finish(job, learn=event.alive)

        running.add_done_callback(over)
        try:
            await asyncio.shield(running)
        except asyncio.CancelledError:
            event.alive = False
            raise

    async def remove_from_queue(self, event_id: str) -> None:
        """An event is cancelled that gradio has not begun with."""
        await super().remove_from_queue(event_id)
        self._leave_removed()

    async def clean_events(self, *, session_hash: str | None = None, event_id: str | None = None) -> None:
        """One who listened is gone."""
        await super().clean_events(session_hash=session_hash, event_id=event_id)
        self._leave_removed()

    def _leave_removed(self) -> None:
        """Events that gradio has taken out of its queue never come to be processed: their jobs leave the line here."""
        for event_id in [one for one in self.admitted if one not in self.event_ids_to_events]:
            self.admission.finish(self.admitted.pop(event_id), learn=False)

    def send_message(self, event: Event, event_message: Any) -> None:
        """gradio keeps the messages of some 2000 sessions: there is nobody to tell anything to in the others."""
        if event.session_hash in self.pending_messages_per_session:
            super().send_message(event, event_message)

    def _forget(self, event: Event) -> None:
        ids = self.pending_event_ids_session.get(event.session_hash, set())
        ids.discard(event._id)
        if not ids:
            self.pending_event_ids_session.pop(event.session_hash, None)

    def _tell(self) -> None:
        """Tell all who wait where in the line they are, and how long it will take."""
        for rank, (job, event) in enumerate(list(self.waiting.items())):
            line = [other for other in self.admission.jobs if other.lane is job.lane]
            until = line[: line.index(job) + 1] if job in line else []
            seconds = self.admission.ahead(until)
            self.send_message(event, EstimationMessage(rank=rank, rank_eta=seconds, queue_size=len(self.waiting)))


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
