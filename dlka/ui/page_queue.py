"""gradio's queue, in which a job's turn comes as the page's admission says.

gradio has one bound for the jobs of all visitors together, runs jobs whose answers nobody listens to, and refuses in
words of its own. This is the one place of the page that builds on gradio's queue; what it takes for granted of it is
held by tests/ui/test_page_queue.py.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from fastapi import HTTPException, Request
from gradio.queueing import Event, Queue
from gradio.server_messages import EstimationMessage, ProcessCompletedMessage
from starlette.middleware import Middleware

from dlka.ui.admission import LONG, SHORT, UNHEARD, Admission, Busy, Dropped, Job, Visitor, network
from dlka.ui.asked import Listening
from dlka.ui.toolkit import gr

# What an event is, told by its concurrency_id. One without it costs, so that a new one cannot go past the line.
WORDS: dict[str, Any] = {"concurrency_id": "words"}  # takes no time: a name, a choice, a control that is moved
LONG_RUN: dict[str, Any] = {"concurrency_id": "long runs"}
KEPT = 60.0  # seconds for which one who listens late is told so:
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
