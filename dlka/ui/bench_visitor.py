"""One browser's conversation with the page, without the browser: its configuration, uploads, and the queue."""

from __future__ import annotations

import json
import secrets
import time
import urllib.request
from typing import Any


class Visitor:
    """A visitor of a running page. values: label (or element id) of a component -> what it holds now."""

    def __init__(self, url: str) -> None:
        self.api = f"{url}/gradio_api"
        self.session = secrets.token_hex(8)
        self._config = json.loads(_get(f"{url}/config"))
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
        answer = _get(f"{self.api}/upload", body, f"multipart/form-data; boundary={boundary}")
        self.values["picture"] = {"path": json.loads(answer)[0], "meta": {"_type": "gradio.FileData"}}

    def change(self, name: str, event: str) -> float:
        """Milliseconds from a control's event to the finished answer.

        Raises ValueError where the page refuses, in its words, and ConnectionError where the answer breaks off.
        """
        target = next(i for i, known in self._names.items() if known == name)
        asked = next(d for d in self._config["dependencies"] if [target, event] in map(list, d["targets"]))
        data = [self.values[self._names[i]] for i in asked["inputs"]]
        question = {"data": data, "fn_index": asked["id"], "session_hash": self.session, "trigger_id": target}
        begin = time.perf_counter()
        _get(f"{self.api}/queue/join", json.dumps(question).encode(), "application/json")
        with urllib.request.urlopen(f"{self.api}/queue/data?session_hash={self.session}") as events:
            for line in events:
                message = json.loads(line[5:]) if line.startswith(b"data:") else {}
                if message.get("msg") == "process_completed":
                    if not message["success"]:
                        raise ValueError(f"The page refused {name}: {message['output'].get('error')}")
                    return 1000 * (time.perf_counter() - begin)
        raise ConnectionError(f"The page's answer to {name} broke off.")


def _get(url: str, body: bytes | None = None, kind: str = "") -> bytes:
    request = urllib.request.Request(url, body, {"Content-Type": kind} if kind else {})
    with urllib.request.urlopen(request) as answer:
        return answer.read()
