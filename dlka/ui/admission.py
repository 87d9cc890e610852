"""Who may ask the page for work, and when: one line for what is answered at once, another one for long runs.

Nobody may make everybody else wait: a visitor has PER_VISITOR jobs at most, a network address PER_ADDRESS, and the line
is as long as what can be done within a few seconds; whoever comes then is told at once when to come again. A job whose
answer nobody listens to is not begun, and is dropped. Nothing here knows of gradio. All of it is called on the event
loop of the server, so nothing is locked.
"""

from __future__ import annotations

import asyncio
import ipaddress
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np

from dlka.errors import DlkaError

PER_VISITOR = 2  # jobs that wait or run
PER_ADDRESS = 8  # the same of everybody behind one address: a class of pupils may share one
UNHEARD = 30.0  # seconds after which a job is dropped that nobody listens to: a busy browser may listen late
PRESSED = 1.0  # the same where somebody else needs its place
COME_BACK = 10.0  # seconds for which the page remembers that somebody was sent away
KEPT = 16  # addresses whose last times are known, for each kind of answer


class Lane(NamedTuple):
    """A line of its own, in which one job runs at a time, or as many as Admission.width says.

    within: seconds in which a job must be done, by what is known of those before it; places: jobs at most; usual:
    seconds of a job of which nothing is known.
    """

    within: float
    places: int
    usual: float


# Answered within 5 s: one is left for the way there and back, and for what takes longer than those before it.
SHORT = Lane(within=4.0, places=20, usual=1.0)
LONG = Lane(within=300.0, places=6, usual=60.0)


class Visitor(NamedTuple):
    """Who asks: a network address, and what the visitor's page calls itself, which anybody may choose."""

    address: str
    session: str


class Busy(DlkaError):
    """There is no room for a job now; one sentence for the visitor. seconds: when to come again."""

    def __init__(self, sentence: str, seconds: float) -> None:
        self.seconds = max(1, math.ceil(seconds))
        super().__init__(f"{sentence}: try again in about {self.seconds} s.")


class Dropped(Exception):
    """Nobody listened for the answer of a job that was waiting."""


@dataclass(eq=False)
class Job:
    """Something that costs. kind: what it does; seconds: how long that may take; streams: on which its answer can be
    listened to; unheard: since when nobody does, None while somebody does; begun: when it began to run.
    """

    visitor: Visitor
    lane: Lane
    kind: str
    seconds: float
    streams: set[str]
    unheard: float | None = None
    begun: float | None = None
    turn: asyncio.Future[None] = field(default_factory=lambda: asyncio.get_running_loop().create_future())


class Estimates:
    """Running times by kind of answer and by the address that asked.

    One address has one time, so that nobody who asks for much that is slow, or quick, decides for all others.
    """

    def __init__(self) -> None:
        self._seen: dict[str, OrderedDict[str, float]] = {}

    def add(self, kind: str, address: str, seconds: float) -> None:
        """An answer took so many seconds: the newest counts as much as all before it."""
        times = self._seen.setdefault(kind, OrderedDict())
        times[address] = (times.pop(address, seconds) + seconds) / 2
        while len(times) > KEPT:
            times.popitem(last=False)

    def seconds(self, kind: str, address: str, usual: float) -> float:
        """What the address may expect: what its own took, else somewhat more than others' took, else what is usual."""
        times: dict[str, float] = dict(self._seen.get(kind, {}))
        if address in times:
            return times[address]
        known = list(times.values())
        return float(np.mean(known) + np.std(known)) if known else usual


class Admission:
    """The lines of one page. changed: called whenever one of them moves; unheard: see UNHEARD; width: jobs of a line
    that run at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic, unheard: float = UNHEARD) -> None:
        self.unheard, self.width = unheard, 1
        self.jobs: list[Job] = []  # in the order in which they came
        self.changed: Callable[[], None] = lambda: None
        self._clock = clock
        self._listening: Counter[str] = Counter()
        self._estimates = Estimates()
        self.sent_away: dict[str, tuple[Visitor, float]] = {}  # by address, the last one of each

    def join(self, visitor: Visitor, kind: str, lane: Lane = SHORT, streams: set[str] | None = None) -> Job:
        """A job in its line; `finish` it in any case. streams: None where the request itself waits for the answer.

        Raises Busy.
        """
        own = self._estimates.seconds(kind, visitor.address, lane.usual)
        self.sweep()
        try:
            self._check(visitor, lane, own)
        except Busy:
            if not self.sweep(PRESSED):
                raise
            self._check(visitor, lane, own)
        if self.sent_away.get(visitor.address, (None,))[0] == visitor:
            del self.sent_away[visitor.address]
        job = Job(visitor, lane, kind, own, streams or set())
        self.jobs.append(job)
        if streams is not None:
            self._check_heard(job)
        return job

    def _check(self, visitor: Visitor, lane: Lane, own: float) -> None:
        """Raise Busy where there is no room for a job of so many seconds."""
        his = [job for job in self.jobs if job.visitor == visitor]
        near = [job for job in self.jobs if job.visitor.address == visitor.address]
        if len(his) >= PER_VISITOR:
            raise Busy(f"{PER_VISITOR} of your own questions are being answered", self._wait(his))
        if len(near) >= PER_ADDRESS:
            raise Busy(f"{len(near)} questions from your address are being answered", self._wait(near))
        line, now = [job for job in self.jobs if job.lane is lane], self._clock()
        self.sent_away = {a: (who, when) for a, (who, when) in self.sent_away.items() if when > now - COME_BACK}
        others = {job.visitor for job in line}.union(who for who, _ in self.sent_away.values()) - {visitor}
        if not line or not others:
            return  # nobody else has to wait for this
        fits = len(line) < lane.places and self.ahead(line) + own <= lane.within
        share = self.ahead([job for job in line if job.visitor.address == visitor.address])
        if share and any(who.address != visitor.address for who in others):
            fits = fits and share + own <= lane.within / 2
        if not fits:
            self.sent_away[visitor.address] = visitor, now
            count = sum(job.visitor != visitor for job in line)
            who = "1 other is" if count == 1 else f"{count} others are" if count else "Others wait, and you are"
            raise Busy(f"{who} being answered", self._wait(line))

    def _wait(self, jobs: list[Job]) -> float:
        """Seconds until none of these jobs holds a place; where nobody listens, all at once, as they give way."""
        unheard = [PRESSED - (self._clock() - job.unheard) for job in jobs if job.unheard is not None]
        return max(self.ahead([job for job in jobs if job.unheard is None]), *unheard, 0.0)

    def ahead(self, jobs: list[Job]) -> float:
        """Seconds that these jobs still take, one after the other, or so many at a time."""
        return sum(map(self.left, jobs)) / self.width

    def left(self, job: Job) -> float:
        """Seconds that a job still takes, by what is known."""
        return job.seconds if job.begun is None else max(job.seconds - (self._clock() - job.begun), 0.0)

    def listen(self, stream: str) -> None:
        """Somebody listens to a stream from now on."""
        self._listening[stream] += 1
        for job in self.jobs:
            if stream in job.streams:
                job.unheard = None
        self._advance()

    def unlisten(self, stream: str) -> None:
        """One who listened to a stream is gone."""
        self._listening[stream] -= 1
        self._listening += Counter()  # keeps those above zero
        for job in self.jobs:
            if stream in job.streams:
                self._check_heard(job)

    def _check_heard(self, job: Job) -> None:
        if not any(self._listening[stream] for stream in job.streams):
            job.unheard = self._clock()
            asyncio.get_running_loop().call_later(self.unheard + 0.1, self.sweep)

    def sweep(self, after: float | None = None) -> bool:
        """Drop the waiting jobs that nobody has listened to for so many seconds. Returns whether there were any."""
        end = self._clock() - (self.unheard if after is None else after)
        found = [job for job in self.jobs if job.begun is None and job.unheard is not None and job.unheard <= end]
        for job in found:
            self.jobs.remove(job)
            if not job.turn.done():
                job.turn.set_exception(Dropped())
                job.turn.exception()  # also where nobody awaits the turn yet, it is not to be reported as forgotten
        return bool(found)

    async def turn(self, job: Job) -> None:
        """Wait until a job may run. Raises Dropped."""
        self._advance()
        await job.turn

    def finish(self, job: Job, learn: bool = True) -> None:
        """A job is over, whether it ran or not. learn: its time says something on the next of its kind."""
        if job not in self.jobs:
            return  # dropped before
        self.jobs.remove(job)
        if job.begun is not None and learn:
            self._estimates.add(job.kind, job.visitor.address, self._clock() - job.begun)
        self._advance()

    def _advance(self) -> None:
        """Let the first jobs of each line run that has room, of those that somebody listens to."""
        for lane in {job.lane for job in self.jobs}:
            line = [job for job in self.jobs if job.lane is lane]
            free = self.width - sum(job.begun is not None for job in line)
            ready = (job for job in line if job.unheard is None and not job.turn.done())
            for job in islice(ready, max(free, 0)):
                job.begun = self._clock()
                job.turn.set_result(None)
        self.changed()


def network(host: str) -> str:
    """What of an address tells one visitor from another: all of it; of IPv6 64 bits, as the others can be chosen."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host
    if isinstance(address, ipaddress.IPv6Address):
        return str(address.ipv4_mapped or ipaddress.ip_network((address, 64), strict=False))
    return str(address)
