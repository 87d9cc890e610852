"""Many pictures, some at once: a lane is a thread with its share of the cores, in which models run as they do alone.

Two pictures on one core each take less time than one picture on both, as threads that share a picture wait for each
other at the end of every layer; and while one lane decodes or draws, another one's model runs.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any, TypeVar

import torch

MOST_LANES = 4  # more of them wait for Python
# Pictures that a lane looks at together: on the CPU one; on a GPU at most so many, and each pixel of an input is given
# so many bytes, a guess: the predictor halves what does not fit.
ON_CPU, MOST_PICTURES, BYTES = 1, 32, 1000
Item = TypeVar("Item")
Read = TypeVar("Read")
Seen = TypeVar("Seen")
Done = TypeVar("Done")
_thread = threading.local()


def lane() -> int | None:
    """The number of the lane that this thread is, from 0; None for any other thread."""
    return getattr(_thread, "lane", None)


def room(device: torch.device, size: int) -> dict[str, int]:
    """What `in_lanes` takes for pictures of `size` pixels as input: lanes and the batch of each.

    On the CPU a lane has a core. A GPU has two, one decodes while the other runs; half of its free memory is for both.
    """
    if device.type != "cuda":
        return {"lanes": min(MOST_LANES, torch.get_num_threads()) if device.type == "cpu" else 1, "batch": ON_CPU}
    free, _ = torch.cuda.mem_get_info(device)
    return {"lanes": 2, "batch": max(1, min(MOST_PICTURES, free // 4 // (BYTES * size**2)))}


def in_lanes(
    items: Iterable[Item],
    read: Callable[[Item], Read],
    look: Callable[[list[Read]], list[Seen]],
    finish: Callable[[Item, Seen], Done],
    *,
    batch: int,
    lanes: int,
) -> Iterator[tuple[Item, Done | Exception]]:
    """(item, what became of it) for every item, in their order; an item that fails gives its error and costs no other.

    read: an item -> what is looked at.
    look: what up to `batch` items gave -> as many results. Where it fails, each has another try by itself.
    finish: what is made of a result, still in the lane.
    batch, lanes: 1 or more; about batch * (2 * lanes + 1) items are in memory at once.

    Ending the iterator ends the lanes, which finish what they have begun.
    """

    def run(chunk: list[Item]) -> list[tuple[Item, Done | Exception]]:
        given = [_try(read, item) for item in chunk]
        good = [one for one in given if not isinstance(one, Exception)]
        seen = _try(look, good) if good else []
        if isinstance(seen, Exception):
            alone = [_try(look, [one]) for one in good] if len(good) > 1 else [seen]
            seen = [one if isinstance(one, Exception) else one[0] for one in alone]
        left = iter(seen)
        found = [one if isinstance(one, Exception) else next(left) for one in given]
        return [
            (item, one if isinstance(one, Exception) else _try(finish, item, one)) for item, one in zip(chunk, found)
        ]

    queue, pool = iter(items), _pool(lanes)
    waiting: deque[Future[list[tuple[Item, Done | Exception]]]] = deque()
    try:
        while chunk := list(islice(queue, batch)):
            waiting.append(pool.submit(run, chunk))
            if len(waiting) > 2 * lanes:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _try(function: Callable[..., Any], *arguments: Any) -> Any:
    """The result, or the error in its place."""
    try:
        return function(*arguments)
    except Exception as error:  # whoever takes the results says what it was
        return error


def _pool(lanes: int) -> ThreadPoolExecutor:
    """Threads that are lanes; together they have as many of torch's threads as the caller."""
    threads, ready = torch.get_num_threads(), threading.Barrier(lanes + 1)
    numbers = iter(range(lanes))

    def begin() -> None:
        _thread.lane = next(numbers)
        torch.get_num_threads()  # else torch would take the number of all threads at its first operation here
        torch.set_num_threads(max(1, threads // lanes))  # of this thread, and of threads that begin later
        ready.wait()

    pool = ThreadPoolExecutor(lanes, thread_name_prefix="dlka-lane", initializer=begin)
    for _ in range(lanes):
        pool.submit(int)  # a thread begins where none is idle, and none is until all are ready
    ready.wait()
    torch.set_num_threads(threads)  # so later threads are as they would have been
    return pool
