"""A page in a process of its own, and one browser's conversation with it, without the browser."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import cv2
import numpy as np
import psutil

from dlka.analysis.examples import examples
from dlka.errors import DlkaError, last_line
from dlka.images import read_image

START = (sys.executable, "-m", "dlka", "serve")
PATIENCE = 300  # seconds for a start; the first one on a machine compiles kernels and the fonts' list
TOO_MANY = (429, 503)  # what a page answers that takes no more questions at the moment


class Busy(DlkaError):
    """The page told a visitor to come back later. seconds: when, where it said so."""

    def __init__(self, sentence: str, seconds: float | None) -> None:
        super().__init__(sentence)
        self.seconds = seconds


class Visitor:
    """A visitor of a running page. values: label (or element id) of a component -> what it holds now.

    like: another visitor, whose configuration is taken instead of asking the page for it; address: where the visitor
    says to come from, as a proxy on the page's machine would.
    """

    def __init__(self, url: str, like: Visitor | None = None, address: str | None = None) -> None:
        self.api = f"{url}/gradio_api"
        self.session = secrets.token_hex(8)
        self._headers = {"X-Forwarded-For": address} if address else {}
        self._config: dict[str, Any] = like._config if like else json.loads(self._get(f"{url}/config"))
        self._names: dict[int, str] = {}
        self.values: dict[str, Any] = {}
        for component in self._config["components"]:
            props = component["props"]
            button = props.get("value") if component["type"] == "button" else None
            name = props.get("elem_id") or props.get("label") or button or str(component["id"])
            if name in self.values:  # two tabs have an "Opacity": keep both apart
                name = f"{name} {component['id']}"
            self._names[component["id"]] = name
            self.values[name] = props.get("value")

    def show_picture(self, data: bytes) -> None:
        """Upload the bytes of a picture file and hold it as the page's picture."""
        boundary = secrets.token_hex(16)
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="files"; filename="picture.jpg"\r\n\r\n'
        body = head.encode() + data + f"\r\n--{boundary}--\r\n".encode()
        answer = self._get(f"{self.api}/upload", body, f"multipart/form-data; boundary={boundary}")
        self.values["picture"] = {"path": json.loads(answer)[0], "meta": {"_type": "gradio.FileData"}}

    def change(self, name: str, event: str) -> float:
        """Milliseconds from a control's event to the finished answer.

        Raises Busy where the page takes no more, DlkaError where it refuses, both in its words, and ConnectionError
        where the answer breaks off.
        """
        begin = time.perf_counter()
        self.ask(name, event)
        request = urllib.request.Request(f"{self.api}/queue/data?session_hash={self.session}", headers=self._headers)
        with urllib.request.urlopen(request) as events:
            for line in events:
                message = json.loads(line[5:]) if line.startswith(b"data:") else {}
                if message.get("msg") == "process_completed":
                    if not message["success"]:
                        raise DlkaError(f"The page refused {name}: {message['output'].get('error')}")
                    return 1000 * (time.perf_counter() - begin)
        raise ConnectionError(f"The page's answer to {name} broke off.")

    def ask(self, name: str, event: str) -> None:
        """Put the question of a control's event, and listen to no answer. Raises Busy where the page takes no more."""
        target = next(i for i, known in self._names.items() if known == name)
        asked = next(d for d in self._config["dependencies"] if [target, event] in map(list, d["targets"]))
        data = [self.values[self._names[i]] for i in asked["inputs"]]
        question = {"data": data, "fn_index": asked["id"], "session_hash": self.session, "trigger_id": target}
        try:
            self._get(f"{self.api}/queue/join", json.dumps(question).encode(), "application/json")
        except urllib.error.HTTPError as error:
            if error.code not in TOO_MANY:
                raise
            said, later = json.loads(error.read()).get("detail", ""), error.headers.get("Retry-After")
            raise Busy(str(said), float(later) if later else None) from None

    def _get(self, url: str, body: bytes | None = None, kind: str = "") -> bytes:
        headers = self._headers | ({"Content-Type": kind} if kind else {})
        with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
            return answer.read()


def spread(times: Sequence[float]) -> dict[str, float]:
    """Count, least, median, p95 and most of times; of none at all the count alone."""
    if not times:
        return {"count": 0}
    values = map(float, np.percentile(times, [0, 50, 95, 100]))
    return {"count": len(times), **dict(zip(("least", "median", "p95", "most"), values))}


def pictures(count: int) -> Iterator[bytes]:
    """JPEG files of so many different pictures: the first example of 810 x 1080 pixels, moved sideways."""
    image = read_image(next(iter(examples().values())))
    for i in range(count):
        yield cv2.imencode(".jpg", np.roll(image, 16 * i, axis=1)[..., ::-1])[1].tobytes()


@contextmanager
def running_page(temporary: str | None = None, replicas: int = 0) -> Iterator[tuple[str, psutil.Process]]:
    """The address and the process of a page on a free port, started as app.py starts it; stopped afterwards.

    temporary: the folder for its temporary files, where it is not the usual one; replicas: as of `dlka serve`.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    end = time.monotonic() + PATIENCE
    with tempfile.TemporaryFile() as said:
        command = [*START, "--port", str(port)]
        command += ["--replicas", str(replicas)] if replicas else []
        environment = os.environ | ({"TMPDIR": temporary} if temporary else {})
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=said, env=environment)
        try:
            while True:
                with suppress(OSError):
                    urllib.request.urlopen(url).read()
                    break
                if process.poll() is not None:
                    said.seek(0)
                    raise DlkaError(f"The page did not start: {last_line(said.read().decode(errors='replace'))}")
                if time.monotonic() > end:
                    raise DlkaError(f"The page did not answer within {PATIENCE} seconds of its start.")
                time.sleep(0.01)
            yield url, psutil.Process(process.pid)
        finally:
            process.kill()
            process.wait()


def megabytes(process: psutil.Process) -> float:
    """MB of memory that the process holds."""
    return process.memory_info().rss / 1e6
