"""How long the page takes to start and to answer, and how much memory it holds.

Start, comparisons and memory are those of a page of its own process, asked over HTTP as a browser asks. Where the time
goes is measured in another fresh process (bench_parts). Times are milliseconds, memory is MB resident.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np
import psutil

from dlka.analysis.examples import examples
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.ui.bench_frames import probe_frames
from dlka.ui.bench_visitor import Visitor

START = "from dlka.ui.app import serve; serve(port={port})"
# What is measured -> a control of a tab, and the values that it is moved to.
CONTROLS: dict[str, tuple[str, list[Any]]] = {
    "overlay": ("Overlay", ["Flow colours", "Magnitude"]),
    "what if": ("what-if-strength", [0.5, -1, 2, 1.5]),
    "adapt": ("adapt-shrink", [0.9, 0.7, 0.5]),
}
PATIENCE = 300  # seconds for a start; the first one on a machine compiles kernels and the fonts' list


def bench_page(compares: int = 20) -> dict[str, Any]:
    """Start the page, compare so many different pictures with it, change overlays, start it once more in parts.

    Returns what a JSON needs: "start" (milliseconds to the first answer), "phases" of a start and "parts" of a
    comparison as in bench_parts, "compare" and each of CONTROLS (least, median, and worst of a control's change, from
    the request to the finished answer), "memory" (MB after the start and after the comparisons), "frames" (see
    `probe_frames`), "compares".

    Raises DlkaError for fewer than one comparison and where the page does not start, and what `Visitor.change` raises.
    """
    if compares < 1:
        raise DlkaError(f"compares: expected at least 1 comparison, got {compares}")
    begin = time.perf_counter()
    with running_page() as (url, process):
        start = 1000 * (time.perf_counter() - begin)
        memory = {"started": _megabytes(process)}
        visitor = Visitor(url)
        times: dict[str, list[float]] = {name: [] for name in ("compare", *CONTROLS)}
        for i, data in enumerate(pictures(compares)):
            visitor.show_picture(data)
            times["compare"].append(visitor.change("Compare", "click"))
            for name, (control, values) in CONTROLS.items():
                visitor.values[control] = values[i % len(values)]
                times[name].append(visitor.change(control, "input"))
        memory["after the comparisons"] = _megabytes(process)
        frames = probe_frames(url)
    parts = subprocess.run(
        [sys.executable, "-m", "dlka.ui.bench_parts", str(time.time())], capture_output=True, text=True, check=False
    )
    if parts.returncode:
        raise DlkaError(f"The page could not be started in parts: {_last_line(parts.stderr)}")
    return {
        "start": start,
        **json.loads(parts.stdout.splitlines()[-1]),
        **{name: _spread(taken) for name, taken in times.items()},
        "memory": memory,
        "frames": frames,
        "compares": compares,
    }


def pictures(count: int) -> Iterator[bytes]:
    """JPEG files of so many different pictures: the first example of 810 x 1080 pixels, moved sideways."""
    image = read_image(next(iter(examples().values())))
    for i in range(count):
        yield cv2.imencode(".jpg", np.roll(image, 16 * i, axis=1)[..., ::-1])[1].tobytes()


@contextmanager
def running_page(temporary: str | None = None) -> Iterator[tuple[str, psutil.Process]]:
    """The address and the process of a page on a free port, started as app.py starts it; stopped afterwards.

    temporary: the folder for its temporary files, where it is not the usual one.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + PATIENCE
    with tempfile.TemporaryFile() as said:
        command = [sys.executable, "-c", START.format(port=port)]
        environment = os.environ | ({"TMPDIR": temporary} if temporary else {})
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
        try:
            while not _answers(url):
                if process.poll() is not None:
                    said.seek(0)
                    raise DlkaError(f"The page did not start: {_last_line(said.read().decode(errors='replace'))}")
                if time.monotonic() > end:
                    raise DlkaError(f"The page did not answer within {PATIENCE} seconds of its start.")
                time.sleep(0.01)
            yield url, psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()


def _last_line(said: str) -> str:
    """The line of a traceback that says what happened."""
    return next((line.strip() for line in reversed(said.split("\n")) if line.strip()), "no reason given")


def _answers(url: str) -> bool:
    try:
        urllib.request.urlopen(url).read()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def _megabytes(process: psutil.Process) -> float:
    return process.memory_info().rss / 1e6


def _spread(times: list[float]) -> dict[str, float]:
    return {"least": min(times), "median": float(np.median(times)), "most": max(times)}
