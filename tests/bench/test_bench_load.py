"""The bench of the page under load: it asks as visitors do, and counts what they get. Nothing here depends on speed."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import psutil
import pytest

from dlka.bench import load
from dlka.bench.visitor import Busy, Visitor, pictures
from dlka.errors import DlkaError
from dlka.images import read_image


def test_a_crowd_and_abandoned_questions_on_the_page(server, monkeypatch):
    running = contextlib.nullcontext((server.rstrip("/"), psutil.Process()))
    monkeypatch.setattr(load, "running_page", lambda: running)
    result = load.bench_load(clients=4, abandoned=12)
    assert json.loads(json.dumps(result)) == result
    crowd = result["crowd"]
    assert crowd["answers"]["count"] + crowd["left"] == 4
    assert 0 < crowd["answers"]["median"] <= crowd["answers"]["p95"] <= crowd["answers"]["most"] <= crowd["took"]
    assert crowd["failures"] == {}
    assert set(result["behind"]) == {"another address", "the same address"}
    assert all(seconds > 0 for seconds in result["behind"].values())


def test_who_is_sent_away_comes_back_when_told(server, monkeypatch):
    url = server.rstrip("/")
    first, refusals, slept = Visitor(url), [Busy("Too many: try again in about 7 s.", 7.0)], []

    def change(visitor, name, event):
        if refusals:
            raise refusals.pop()
        return 250.0

    monkeypatch.setattr(Visitor, "change", change)
    monkeypatch.setattr(load.time, "sleep", slept.append)
    found = load.crowd(url, first, list(pictures(1)))
    assert (found["answers"]["median"], found["refusals"]["count"], slept) == (0.25, 1, [7.0])
    assert (found["told"], found["left"], found["failures"]) == ("Too many: try again in about 7 s.", 0, {})


def test_what_goes_wrong_is_counted(server, monkeypatch):
    url = server.rstrip("/")
    first = Visitor(url)

    def change(visitor, name, event):
        raise ConnectionError("broke off")

    monkeypatch.setattr(Visitor, "change", change)
    found = load.crowd(url, first, list(pictures(2)))
    assert (found["failures"], found["left"], found["answers"]) == ({"broke off": 2}, 2, {"count": 0})


def test_a_visitor_is_told_when_to_come_back(server):
    visitor = Visitor(server.rstrip("/"), address="10.9.9.9")
    for _ in range(2):
        visitor.ask("what-if-strength", "input")
    with pytest.raises(Busy, match="2 of your own questions are being answered: try again in about") as refused:
        visitor.ask("what-if-strength", "input")
    assert refused.value.seconds >= 1


@pytest.mark.parametrize(("clients", "abandoned"), [(0, 1), (1, -1)])
def test_counts_that_cannot_be_are_refused(clients, abandoned):
    with pytest.raises(DlkaError, match=f"at least 1 client and 0 abandoned questions, got {clients} and {abandoned}"):
        load.bench_load(clients, abandoned)


@pytest.mark.slow
def test_memory_and_disk_under_large_pictures(monkeypatch):
    """Each picture by a visitor of its own; what the page keeps of them is counted, and a refusal is kept."""
    asked = []

    class Person:
        def __init__(self, url):
            asked.append([])

        def show_picture(self, data):
            asked[-1].append(read_image(data).shape[:2])
            (folders[0] / str(len(asked))).write_bytes(bytes(10**6))

        def change(self, name, event):
            asked[-1].append(name)
            if name == "what-if-strength":
                raise DlkaError("Too many: come back.")
            return 250.0

    folders = []

    def running_page(folder):
        folders.append(Path(folder))
        return contextlib.nullcontext(("", psutil.Process()))

    monkeypatch.setattr(load, "running_page", running_page)
    monkeypatch.setattr(load, "Visitor", Person)
    monkeypatch.setattr(load, "HEIGHT", 300)
    monkeypatch.setattr(load, "USUAL", 1)
    result = load.bench_memory(uploads=2)
    assert json.loads(json.dumps(result)) == result
    large = [(300, load.WIDTH), "Compare"]
    assert asked == [[(1080, 810), "Compare"], large, large, ["what-if-strength"]]
    assert [(row["when"], row["disk"], row["milliseconds"]) for row in result["rows"]] == [
        ("started", 0, None),
        ("usual", 1.0, 250.0),
        ("50 megapixels", 2.0, 250.0),
        ("50 megapixels", 3.0, 250.0),
    ]
    assert all(row["resident"] > 100 for row in result["rows"])
    assert load.memory_text(result).endswith("asked for a What if by a new visitor: Too many: come back..")
    with pytest.raises(DlkaError, match="uploads: expected at least 1, got 0"):
        load.bench_memory(0)
