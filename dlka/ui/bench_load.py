"""What the page does when too many ask at once, and when questions are left behind that nobody listens to.

All visitors are threads of this process that ask a page of its own process over HTTP, each from an address of its own.
Times are seconds.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from dlka.errors import DlkaError
from dlka.ui.bench import pictures, running_page
from dlka.ui.bench_visitor import Busy, Visitor

CLIENTS, ABANDONED = 64, 300
PATIENCE = 60.0  # seconds after which nobody asks once more
LATER = 5.0  # seconds until one asks again who was not told when
# Addresses: of each client, of those who listen to nothing, of one other visitor.
CROWD, FLOOD, GOOD = "10.0.0.{}", "10.1.0.1", "10.2.0.1"


def bench_load(clients: int = CLIENTS, abandoned: int = ABANDONED) -> dict[str, Any]:
    """Start the page, let clients compare a picture of their own all at once, then ask behind abandoned questions.

    Each client asks until it has its answer, and comes back when it is told to. Returns what a JSON needs: "crowd" as
    in `crowd`, and "behind": "another address" and "the same address" -> the seconds until a visitor there had an
    answer, counted from its first question, behind so many questions of one address that nobody listens to; None where
    none came that was asked for within PATIENCE.

    Raises DlkaError for fewer than one client and where the page does not start.
    """
    if clients < 1 or abandoned < 0:
        raise DlkaError(f"Expected at least 1 client and 0 abandoned questions, got {clients} and {abandoned}")
    with running_page() as (url, _):
        first = Visitor(url, address=GOOD)
        files = list(pictures(clients + 2))
        for data in files[:2]:  # the first comparison of a page prepares what later ones have
            first.show_picture(data)
            first.change("Compare", "click")
        result: dict[str, Any] = {"clients": clients, "abandoned": abandoned, "crowd": crowd(url, first, files[2:])}
        result["behind"] = {
            where: _behind(url, first, address, abandoned, files[i])
            for i, (where, address) in enumerate({"another address": GOOD, "the same address": FLOOD}.items())
        }
    return result


def crowd(url: str, first: Visitor, files: Sequence[bytes]) -> dict[str, Any]:
    """A visitor for each picture file, all at once. first: a visitor who has the page's configuration.

    Returns "answers" and "refusals", each with count, median, p95 and most in seconds of a single question; "failures",
    what went wrong otherwise -> how often; "told", one sentence of a refusal; "took", seconds until the last answer;
    "left", clients without an answer after PATIENCE.
    """
    visitors = [Visitor(url, first, CROWD.format(i + 1)) for i in range(len(files))]
    for visitor, data in zip(visitors, files):
        visitor.show_picture(data)
    answers: list[float] = []
    refusals: list[float] = []
    told: list[str] = []
    failures: Counter[str] = Counter()
    begin = time.perf_counter()

    def ask(visitor: Visitor) -> bool:
        while time.perf_counter() - begin < PATIENCE:
            asked = time.perf_counter()
            try:
                answers.append(visitor.change("Compare", "click") / 1000)
                return True
            except Busy as busy:
                refusals.append(time.perf_counter() - asked)
                told.append(str(busy))
                time.sleep(LATER if busy.seconds is None else busy.seconds)
            except (DlkaError, OSError) as error:
                failures[str(error)] += 1
                return False
        return False

    with ThreadPoolExecutor(len(visitors)) as pool:
        answered = sum(pool.map(ask, visitors))
    return {
        "answers": _spread(answers),
        "refusals": _spread(refusals),
        "failures": dict(failures),
        "told": told[len(told) // 2] if told else "",
        "took": time.perf_counter() - begin,
        "left": len(visitors) - answered,
    }


def _behind(url: str, first: Visitor, address: str, abandoned: int, data: bytes) -> float | None:
    """Seconds until a visitor at the address is answered; abandoned: questions of FLOOD before, of new visitors all."""
    good = Visitor(url, first, address)
    good.show_picture(data)
    for i in range(abandoned):
        flood = Visitor(url, first, FLOOD)
        flood.values["picture"], flood.values["IoU"] = good.values["picture"], 0.1 + 0.8 * i / abandoned
        try:
            flood.ask("Compare", "click")
        except Busy:
            continue
    begin = time.perf_counter()
    while time.perf_counter() - begin < PATIENCE:
        try:
            good.change("Compare", "click")
            return time.perf_counter() - begin
        except Busy as busy:
            time.sleep(LATER if busy.seconds is None else busy.seconds)
    return None


def _spread(seconds: Sequence[float]) -> dict[str, float]:
    if not seconds:
        return {"count": 0}
    median, p95, most = (float(v) for v in np.percentile(seconds, [50, 95, 100]))
    return {"count": len(seconds), "median": median, "p95": p95, "most": most}
