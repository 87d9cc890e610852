"""Who is let in, who is sent away with which sentence, and who runs when. The clock is moved by hand."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import wraps

import pytest

from dlka.ui.admission import LONG, PER_ADDRESS, PRESSED, SHORT, UNHEARD, Admission, Busy, Dropped, Visitor, network


class Page(Admission):
    """An admission whose clock is moved by hand, and on which a job of a kind takes so many seconds."""

    def __init__(self, **seconds: float) -> None:
        super().__init__(lambda: self.now)
        self.now = 100.0
        for kind, taken in seconds.items():
            self._estimates.add(kind, "somebody", taken)

    def ask(self, who: str, kind: str = "look", **how):
        """A question of "address" or "address/session"."""
        address, _, session = who.partition("/")
        return self.join(Visitor(address, session), kind, **how)


def on_a_loop(test):
    """The test as a coroutine that pytest calls."""

    @wraps(test)
    def run():
        with ThreadPoolExecutor(1) as pool:  # in this thread the browser of other tests has a loop of its own
            pool.submit(asyncio.run, test()).result()

    return run


async def running(page):
    """Jobs that run, after everything that could begin has begun."""
    await asyncio.sleep(0)
    return [job for job in page.jobs if job.begun is not None]


@on_a_loop
async def test_two_of_a_visitor_and_not_three():
    page = Page(look=0.5)
    jobs = [page.ask("a/1"), page.ask("a/1", "other")]
    with pytest.raises(Busy, match=r"^2 of your own questions are being answered: try again in about 2 s\.$"):
        page.ask("a/1", lane=LONG)  # whatever the line
    assert page.ask("a/2"), "somebody else at the same address"
    page.finish(jobs[0])
    page.ask("a/1")


@on_a_loop
async def test_whoever_changes_names_stays_at_an_address():
    page = Page(look=0.01)
    for i in range(PER_ADDRESS):
        page.ask(f"a/{i}")
    with pytest.raises(Busy, match="8 questions from your address are being answered"):
        page.ask("a/another")
    assert page.ask("b/1")


@on_a_loop
async def test_as_many_run_at_a_time_as_there_is_width_for():
    page = Page(look=0.8)
    page.width = 2
    jobs = [page.ask(address) for address in "abc"]
    turns = [asyncio.ensure_future(page.turn(job)) for job in jobs]
    assert await running(page) == jobs[:2]
    assert page.ahead(jobs) == pytest.approx(1.2)  # of 2.4 s, two at a time
    page.finish(jobs[0])
    assert await running(page) == jobs[1:]
    page.finish(jobs[1])
    page.finish(jobs[2])
    await asyncio.gather(*turns)


@on_a_loop
async def test_the_line_is_as_long_as_what_is_answered_in_time():
    page = Page(look=0.8)
    for address in "abcde":  # 5 x 0.8 s
        page.ask(address)
    with pytest.raises(Busy, match=r"^5 others are being answered: try again in about 4 s\.$") as refused:
        page.ask("g")
    assert refused.value.seconds == 4
    page.ask("g", lane=LONG)


@on_a_loop
async def test_what_has_run_for_a_while_takes_less():
    page = Page(look=3)
    first = page.ask("a")
    with pytest.raises(Busy):
        page.ask("b")
    await page.turn(first)
    page.now += 2
    page.ask("b")


@on_a_loop
async def test_who_is_alone_may_take_long():
    page = Page(look=60)
    page.ask("a")
    page.ask("a")


@on_a_loop
async def test_who_was_sent_away_finds_room_when_coming_back():
    """However slow and eager another one is."""
    page = Page(slow=4.5, look=0.5)
    first, second = page.ask("slow", "slow"), page.ask("slow", "slow")
    with pytest.raises(Busy, match="2 others are being answered: try again in about 9 s"):
        page.ask("good")
    await page.turn(first)
    page.now += 4.5
    page.finish(first)
    with pytest.raises(Busy, match="Others wait, and you are being answered"):
        page.ask("slow", "slow")
    await page.turn(second)
    page.now += 1
    page.ask("good")


@on_a_loop
async def test_an_address_leaves_half_of_the_line_when_another_one_asks():
    page = Page(look=0.9)
    for i in range(4):
        page.ask(f"class/{i}")
    with pytest.raises(Busy):
        page.ask("stranger")
    page.finish(page.jobs[0])
    with pytest.raises(Busy):
        page.ask("class/6")
    page.ask("stranger")


@on_a_loop
async def test_one_at_a_time_in_the_order_in_which_they_came():
    page = Page(look=0.1)
    jobs = [page.ask(address) for address in "abc"]
    turns = [asyncio.ensure_future(page.turn(job)) for job in reversed(jobs)]
    for job in jobs:
        assert await running(page) == [job]
        page.finish(job)
    await asyncio.gather(*turns)
    assert page.jobs == []


@on_a_loop
async def test_long_runs_have_a_line_of_their_own():
    page = Page()
    short, long = page.ask("a"), page.ask("b", lane=LONG)
    await asyncio.wait_for(asyncio.gather(page.turn(short), page.turn(long)), 1)
    assert await running(page) == [short, long]


@on_a_loop
async def test_what_nobody_listens_to_does_not_run_and_is_dropped():
    page = Page(look=0.1)
    unheard, heard = page.ask("a", streams={"a"}), page.ask("b", streams={"b"})
    waits = asyncio.ensure_future(page.turn(unheard))
    page.listen("b")
    await asyncio.wait_for(page.turn(heard), 1)
    assert await running(page) == [heard]
    page.finish(heard)
    assert await running(page) == []
    page.now += UNHEARD - 0.1
    assert not page.sweep()
    page.now += 0.1
    assert page.sweep()
    with pytest.raises(Dropped):
        await waits
    assert page.jobs == []
    page.finish(unheard)


@on_a_loop
async def test_a_stream_that_is_open_already_counts():
    page = Page()
    page.listen("a")
    job = page.ask("a", streams={"a"})
    await asyncio.wait_for(page.turn(job), 1)
    page.finish(job)
    page.unlisten("a")
    assert page.ask("a", streams={"a"}).unheard == page.now


@on_a_loop
async def test_who_leaves_is_not_waited_for():
    page = Page(look=0.1)
    first, left = page.ask("a"), page.ask("b", streams={"b"})
    page.listen("b")
    page.listen("b")  # in two windows
    page.unlisten("b")
    assert left.unheard is None
    page.unlisten("b")
    await page.turn(first)
    page.finish(first)
    assert await running(page) == []
    page.now += UNHEARD
    assert page.sweep()


@on_a_loop
async def test_abandoned_questions_give_way():
    page = Page(look=0.8)
    for i in range(300):
        with suppress(Busy):
            page.ask(f"flood/{i}", streams={f"{i}"})
    with pytest.raises(Busy, match="try again in about 1 s"):
        page.ask("good")
    page.now += PRESSED
    job = page.ask("good")
    await asyncio.wait_for(page.turn(job), 1)


@on_a_loop
async def test_a_job_that_is_cancelled_leaves_its_place():
    page = Page()
    first, second, third = (page.ask("a"), page.ask("b"), page.ask("c"))
    await page.turn(first)
    turn = asyncio.ensure_future(page.turn(second))
    await asyncio.sleep(0)
    turn.cancel()
    page.finish(second)
    page.finish(first)
    await asyncio.wait_for(page.turn(third), 1)


@on_a_loop
async def test_estimates_come_from_what_was_done():
    page = Page()
    job = page.ask("a", "new")
    assert job.seconds == SHORT.usual
    await page.turn(job)
    page.now += 2.0
    page.finish(job)
    gone = page.ask("a", "new")
    await page.turn(gone)
    page.now += 60
    page.finish(gone, learn=False)
    assert page.ask("b", "new").seconds == 2.0


@pytest.mark.parametrize(
    ("host", "of"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:10.1.2.3", "10.1.2.3"),
        ("testclient", "testclient"),
        ("", ""),
    ],
)
def test_addresses_of_one_visitor_are_one(host, of):
    assert network(host) == of


@on_a_loop
async def test_whoever_waits_is_told_when_the_line_moves():
    page, moves = Page(look=0.1), []
    page.changed = lambda: moves.append(len(page.jobs))
    job = page.ask("a")
    await page.turn(job)
    page.finish(job)
    assert moves == [1, 0]
