"""What the page does when too many ask at once, and when questions are left behind that nobody listens to; and how
much memory and disk it takes from strangers' pictures: flat ones of 50 megapixels, in files under 1 MB.

All visitors are threads of this process that ask a page of its own process over HTTP, each from an address of its own.
Times are seconds.
"""

from __future__ import annotations

import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dlka.bench.visitor import Busy, Visitor, megabytes, pictures, running_page, spread
from dlka.errors import DlkaError
from dlka.printing import table

PATIENCE = 60.0  # seconds after which nobody asks once more
LATER = 5.0  # seconds until one asks again who was not told when
HEIGHT, WIDTH = 7000, 7100  # of a large picture: just under the most pixels that are taken
USUAL = 3  # pictures of the usual size that come first
# Addresses: of each client, of those who listen to nothing, of one other visitor.
CROWD, FLOOD, GOOD = "10.0.0.{}", "10.1.0.1", "10.2.0.1"


def bench_load(clients: int = 64, abandoned: int = 300, replicas: Sequence[int] = ()) -> dict[str, Any]:
    """Start the page, let clients compare a picture of their own all at once, then ask behind abandoned questions.

    Each client asks until it has its answer, and comes back when it is told to. Returns what a JSON needs: "crowd" as
    in `crowd`, and "behind": "another address" and "the same address" -> the seconds until a visitor there had an
    answer, counted from its first question, behind so many questions of one address that nobody listens to; None where
    none came that was asked for within PATIENCE. "replicas": the crowd again, at pages with so many replicas of the
    models (`dlka serve --replicas`), one after the other.

    Raises DlkaError for fewer than one client or replica and where the page does not start.
    """
    if clients < 1 or abandoned < 0:
        raise DlkaError(f"Expected at least 1 client and 0 abandoned questions, got {clients} and {abandoned}")
    if min(replicas, default=1) < 1:
        raise DlkaError(f"replicas: expected at least 1, got {min(replicas)}")
    files = list(pictures(clients + 2))
    with running_page() as (url, _):
        first = _prepared(url, files[:2])
        result: dict[str, Any] = {"clients": clients, "abandoned": abandoned, "crowd": crowd(url, first, files[2:])}
        result["behind"] = {
            where: _behind(url, first, address, abandoned, files[i])
            for i, (where, address) in enumerate({"another address": GOOD, "the same address": FLOOD}.items())
        }
    result["replicas"] = {}
    for number in replicas:
        with running_page(replicas=number) as (url, _):
            result["replicas"][str(number)] = crowd(url, _prepared(url, files[:2]), files[2:])
    return result


def _prepared(url: str, files: Sequence[bytes]) -> Visitor:
    """A visitor of a page that has compared some pictures: the first comparison prepares what later ones have."""
    first = Visitor(url, address=GOOD)
    for data in files:
        first.show_picture(data)
        first.change("Compare", "click")
    return first


def crowd(url: str, first: Visitor, files: Sequence[bytes]) -> dict[str, Any]:
    """A visitor for each picture file, all at once. first: a visitor who has the page's configuration.

    Returns "answers" and "refusals", each the spread of the seconds of a single question; "failures", what went wrong
    otherwise -> how often; "told", one sentence of a refusal; "took", seconds until the last answer; "left", clients
    without an answer after PATIENCE.
    """
    visitors = [Visitor(url, first, CROWD.format(i + 1)) for i in range(len(files))]
    for visitor, data in zip(visitors, files):
        visitor.show_picture(data)
    refusals: list[tuple[float, str]] = []
    failures: Counter[str] = Counter()
    begin = time.perf_counter()

    def ask(visitor: Visitor) -> float | None:
        try:
            return insist(visitor, refusals)
        except (DlkaError, OSError) as error:
            failures[str(error)] += 1
            return None

    with ThreadPoolExecutor(len(visitors)) as pool:
        answers = [seconds for seconds in pool.map(ask, visitors) if seconds is not None]
    return {
        "answers": spread(answers),
        "refusals": spread([seconds for seconds, _ in refusals]),
        "failures": dict(failures),
        "told": refusals[len(refusals) // 2][1] if refusals else "",
        "took": time.perf_counter() - begin,
        "left": len(visitors) - len(answers),
    }


def insist(visitor: Visitor, refusals: list[tuple[float, str]]) -> float | None:
    """Let the visitor ask until it has its answer, each time when it is told to; gets the seconds of every refusal, and
    what it said. Returns the seconds of the question that was answered, None where none was that was asked within
    PATIENCE."""
    begin = time.perf_counter()
    while (asked := time.perf_counter()) - begin < PATIENCE:
        try:
            return visitor.change("Compare", "click") / 1000
        except Busy as busy:
            refusals.append((time.perf_counter() - asked, str(busy)))
            time.sleep(LATER if busy.seconds is None else busy.seconds)
    return None


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
    return None if insist(good, []) is None else time.perf_counter() - begin


def load_text(result: dict[str, Any]) -> str:
    """The result for people."""
    crowd = result["crowd"]
    columns = ("count", "median", "p95", "most")
    lines = [
        table([{"seconds": k} | {c: crowd[k].get(c) for c in columns} for k in ("answers", "refusals")]),
        f"\n{result['clients']} clients at once; {crowd['left']} without an answer after {crowd['took']:.0f} s.",
        f"A refusal said: {crowd['told'] or '(none)'}",
        f"Failures: {'; '.join(f'{count} x {text}' for text, count in crowd['failures'].items()) or 'none'}.",
    ]
    for who, seconds in result["behind"].items():
        when = "not at all" if seconds is None else f"after {seconds:.1f} s"
        lines.append(f"Answered at {who}, behind {result['abandoned']} abandoned questions: {when}.")
    if result["replicas"]:
        crowds = {"none": crowd} | result["replicas"]
        rows = [
            {"replicas": k, **{c: v["answers"].get(c) for c in columns}, "took": v["took"]} for k, v in crowds.items()
        ]
        lines.append(f"\nThe same crowd, models in replicas; seconds\n{table(rows)}")
    return "\n".join(lines)


def bench_memory(uploads: int = 14) -> dict[str, Any]:
    """Start the page, compare USUAL pictures with it, then so many large ones, each by a visitor of its own.

    Returns what a JSON needs, a row a moment: "when": what was compared, "resident": MB of the page's process then,
    "disk": MB of its temporary files, "milliseconds" of the comparison. "first": milliseconds until a new visitor has
    the first What if of the picture that the page opens with, or the sentence that refuses it. "uploads".

    Raises DlkaError for fewer than one upload and where the page does not start, and what `Visitor.change` raises.
    """
    if uploads < 1:
        raise DlkaError(f"uploads: expected at least 1, got {uploads}")
    with tempfile.TemporaryDirectory() as folder, running_page(folder) as (url, process):
        rows: list[dict[str, Any]] = []

        def row(when: str, milliseconds: float | None = None) -> None:
            disk = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
            now = {"resident": megabytes(process), "disk": disk / 1e6}
            rows.append({"when": when, **now, "milliseconds": milliseconds})

        row("started")
        grey = (np.full((HEIGHT, WIDTH, 3), 40 + 10 * i % 200, np.uint8) for i in range(uploads))
        large = (("50 megapixels", cv2.imencode(".jpg", pixels)[1].tobytes()) for pixels in grey)
        for kind, data in chain((("usual", data) for data in pictures(USUAL)), large):
            visitor = Visitor(url)
            visitor.show_picture(data)
            row(kind, visitor.change("Compare", "click"))
        begin = time.perf_counter()
        first: float | str
        try:
            Visitor(url).change("what-if-strength", "input")
            first = 1000 * (time.perf_counter() - begin)
        except DlkaError as error:
            first = str(error)
    return {"rows": rows, "first": first, "uploads": uploads}


def memory_text(result: dict[str, Any]) -> str:
    """The result for people."""
    first = result["first"] if isinstance(result["first"], str) else f"answered in {result['first']:.0f} ms"
    rows = [{"compared": row["when"], "MB": row["resident"], "MB on disk": row["disk"]} for row in result["rows"]]
    said = "MB: resident. The picture that the page opens with, asked for a What if by a new visitor"
    return f"{table(rows)}\n\n{said}: {first}."
