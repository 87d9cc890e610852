"""A small pool of threads for kernels that release the GIL.

Instead of numba's ``parallel=True``: that one resets torch's thread count at its first call (numba#9387), aborts in
forked data-loader workers, and one of its two default layers must not be called from two threads of a server at once.
Instead of torch's own threads, which wait for each other at the end of every operation and stand still when another
program takes a core: here whoever is free takes the next job.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

_pool: ThreadPoolExecutor | None = None


def _forget_pool() -> None:
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):  # a forked child has none of its parent's threads
    os.register_at_fork(after_in_child=_forget_pool)


def run(kernel: Callable[..., Any], jobs: list[tuple[Any, ...]], threads: int) -> None:
    """Run kernel(*job) for every job on so many threads, the caller's included."""
    global _pool
    queue = iter(jobs)  # handing out the next job is atomic

    def work() -> None:
        for job in queue:
            kernel(*job)

    others = min(threads, len(jobs)) - 1
    if others > 0 and _pool is None:
        _pool = ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="dlka-kernel")
    futures = [_pool.submit(work) for _ in range(others)] if _pool else []
    work()
    for future in futures:
        if not future.cancel():  # one that has not begun is not waited for: no job is left
            future.result()


def ranges(rows: int, parts: int) -> list[tuple[int, int]]:
    """Rows in consecutive (first, last) ranges of nearly equal length, at most so many; none is empty."""
    parts = min(parts, rows)
    return [(rows * i // parts, rows * (i + 1) // parts) for i in range(parts)]
