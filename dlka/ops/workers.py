"""A small pool of threads for kernels that release the GIL.

Instead of numba's ``parallel=True``: that one resets torch's thread count at its first call (numba#9387), aborts in
forked data-loader workers, and one of its two default layers must not be called from two threads of a server at once.
Instead of torch's own threads, which wait for each other at the end of every operation and stand still when another
program takes a core: here whoever is free takes the next job.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_forget_pool)


def _threads() -> ThreadPoolExecutor:
    global _pool
    _pool = _pool or ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="dlka-kernel")
    return _pool


def run(kernel: Callable[..., Any], jobs: list[tuple[Any, ...]], threads: int) -> None:
    """Run kernel(*job) for every job on so many threads, the caller's included.

    When it returns or raises, no kernel runs any more: the arrays they write to are the caller's again. Once the
    caller's own job raises, KeyboardInterrupt included, no other job begins; the error of another thread is raised when
    all jobs are done. Only an interrupt of the last wait does not wait; a job keeps its arrays alive while it runs.
    """
    queue = iter(jobs)  # handing out the next job is atomic

    def work() -> None:
        for job in queue:
            kernel(*job)

    futures: list[Future[None]] = []
    errors: list[BaseException | None] = []
    try:
        for _ in range(min(threads, len(jobs)) - 1):
            futures.append(_threads().submit(work))
        work()
    finally:
        for _ in queue:  # after an error; otherwise no job is left
            pass
        # Those that have not begun are not waited for.
        errors += [future.exception() for future in futures if not future.cancel()]
    for error in errors:
        if error:
            raise error


def ranges(rows: int, parts: int) -> list[tuple[int, int]]:
    """Rows in consecutive (first, last) ranges of nearly equal length, at most so many; none is empty."""
    parts = min(parts, rows)
    return [(rows * i // parts, rows * (i + 1) // parts) for i in range(parts)]
