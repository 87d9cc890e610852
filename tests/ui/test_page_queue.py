"""A small page with the page's queue, asked over HTTP as browsers and programs ask: who is let in, and what runs."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import gradio as gr
import httpx
import pytest

from dlka.ui import guard, page_queue
from dlka.ui.page_queue import LONG_RUN, WORDS, PageQueue, admit

pytestmark = pytest.mark.slow

HOME = {"X-Forwarded-For": "10.0.0.1"}  # a visitor behind a proxy on the page's machine


class Page:
    """The small page, and what ran on it. seconds: what a job takes; test: sessions begin with it, to be new."""

    def __init__(self) -> None:
        self.test = ""
        self.seconds = 0.3
        self.ran: list[str] = []
        self.at_once: list[int] = []
        self._running, self._lock = 0, threading.Lock()
        with guard.Page() as self.app:
            text, out = gr.Textbox(), gr.Textbox()
            self.ids = {}
            for name, how in (("work", {}), ("words", WORDS), ("long", LONG_RUN)):
                function = getattr(self, name)
                text.submit(function, text, out, api_name=name, **how)
                self.ids[name] = next(i for i, fn in self.app.fns.items() if fn.api_name == name)
            script = gr.HTML("", server_functions=[page_queue.script_in_turn(self.work)])
            gr.api(page_queue.tool_in_turn(self.tool), api_name="tool", queue=False)
        self.script = script._id
        self.app.launch(
            server_port=None,
            app_kwargs={"middleware": [admit(self.app)]},
            prevent_thread_lock=True,
            quiet=True,
            ssr_mode=False,
        )
        self.queue: PageQueue = self.app._queue
        self.queue.admission.unheard = 5.0  # what a test leaves unheard is gone before the next one
        self.api = f"{self.app.local_url}gradio_api"

    def work(self, text: str) -> str:
        with self._lock:
            self._running += 1
            self.at_once.append(self._running)
        time.sleep(self.seconds)
        self.ran.append(text)
        with self._lock:
            self._running -= 1
        return f"did {text}"

    def words(self, text: str) -> str:
        return f"said {text}"

    def long(self, text: str):
        for i in range(3):
            time.sleep(self.seconds)
            yield f"{text} {i}"
        self.ran.append(text)

    def tool(self, text: str) -> str:
        return self.work(text)

    def join(self, session: str, text: str = "", name: str = "work", address: str = "") -> httpx.Response:
        body = {"data": [text or session], "fn_index": self.ids[name], "session_hash": self.test + session}
        headers = {"X-Forwarded-For": address} if address else HOME
        return httpx.post(f"{self.api}/queue/join", json=body, headers=headers)

    def messages(self, session: str):
        with httpx.stream(
            "GET", f"{self.api}/queue/data", params={"session_hash": self.test + session}, timeout=30
        ) as events:
            for line in events.iter_lines():
                if line.startswith("data:"):
                    yield json.loads(line[5:])

    def answer(self, session: str):
        """The output of the first job that is over."""
        return next(m["output"] for m in self.messages(session) if m["msg"] == "process_completed")

    def call(self, session: str, text: str) -> httpx.Response:
        """What a script of the page asks."""
        body = {"data": text, "component_id": self.script, "session_hash": self.test + session, "fn_name": "work"}
        return httpx.post(f"{self.api}/component_server/", json=body, headers=HOME, timeout=30)

    def until(self, what, seconds: float = 10) -> None:
        end = time.monotonic() + seconds
        while not what():
            assert time.monotonic() < end, "it did not happen"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def opened():
    page = Page()
    yield page
    page.app.close()


@pytest.fixture
def page(opened, request):
    opened.test = f"{request.node.name} "
    yield opened
    opened.until(lambda: not opened.queue.admission.jobs)
    opened.queue.admission.sent_away.clear()
    opened.ran.clear()
    opened.at_once.clear()


def test_an_answer(page):
    assert page.join("one").status_code == 200
    assert page.answer("one")["data"] == ["did one"]


def test_the_third_question_is_refused_in_a_sentence(page):
    assert [page.join("one", str(i)).status_code for i in range(2)] == [200, 200]
    refused = page.join("one", "2")
    assert refused.status_code == 429
    assert refused.json()["detail"].startswith("2 of your own questions are being answered: try again in about ")
    assert refused.headers["Retry-After"] == refused.json()["detail"].split()[-2]
    messages = page.messages("one")
    done = [m["output"]["data"] for m in messages if m["msg"] == "process_completed"]
    assert done == [["did 0"], ["did 1"]]
    assert page.at_once == [1, 1]


def test_words_are_said_meanwhile(page):
    for i in range(2):
        page.join("one", str(i))
    assert page.join("one", "now", "words").status_code == 200
    assert page.answer("one")["data"] == ["said now"]
    assert page.ran == []


def test_what_nobody_listens_to_is_not_made_and_holds_nobody_up(page, monkeypatch):
    monkeypatch.setattr(page.queue.admission, "unheard", 0.5)
    for i in range(40):
        page.join(f"flood {i}")
    time.sleep(0.6)
    assert page.join("good").status_code == 200
    assert page.answer("good")["data"] == ["did good"]
    page.until(lambda: not page.queue.admission.jobs)
    assert page.ran == ["good"]


def test_who_listens_late_is_told_so(page, monkeypatch):
    monkeypatch.setattr(page.queue.admission, "unheard", 0.2)
    page.join("late")
    page.until(lambda: not page.queue.admission.jobs, 2)  # nobody has to ask for it to be dropped
    time.sleep(0.1)
    assert page.answer("late")["error"] == page_queue.LEFT


def test_dropped_questions_leave_nothing_behind(page, monkeypatch):
    monkeypatch.setattr(page.queue.admission, "unheard", 0.1)
    monkeypatch.setattr("dlka.ui.page_queue.KEPT", 0.1)
    for i in range(3):
        page.join(f"gone {i}")
    queue = page.queue
    page.until(lambda: not any(s.startswith(page.test) for s in queue.pending_event_ids_session), 5)
    assert not queue.admitted
    assert not queue.waiting
    page.until(lambda: not any(queue.active_jobs), 2)
    assert {q.current_concurrency for q in queue.event_queue_per_concurrency_id.values()} == {0}


def test_who_leaves_while_waiting_is_not_answered(page, monkeypatch):
    monkeypatch.setattr(page, "seconds", 1.5)
    with ThreadPoolExecutor(1) as pool:
        page.join("first", address="10.0.0.2")
        first = pool.submit(page.answer, "first")
        page.until(lambda: page.at_once)
        page.join("left")
        monkeypatch.setattr(page.queue.admission, "unheard", 0.2)
        with httpx.stream("GET", f"{page.api}/queue/data", params={"session_hash": f"{page.test}left"}):
            page.until(lambda: all(job.unheard is None for job in page.queue.admission.jobs))
        assert first.result()["data"] == ["did first"]
    page.until(lambda: not page.queue.admission.jobs)  # nobody has to ask for it to be dropped
    assert page.ran == ["first"]


def test_programs_call_without_a_session(page):
    for _ in range(2):
        event = httpx.post(f"{page.api}/call/work", json={"data": ["x"]}).json()["event_id"]
        got = httpx.get(f"{page.api}/call/work/{event}", timeout=30).text
        assert got.strip().endswith('data: ["did x"]')


def test_nothing_goes_past_the_queue(page):
    for route in ("run", "api"):
        answer = httpx.post(f"{page.api}/{route}/work", json={"data": ["x"]})
        assert answer.status_code == 404
    assert page.ran == []


def test_scripts_take_their_turn(page):
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(page.call, f"s{i}", str(i)) for i in range(3)]
        page.join("one")
        assert page.answer("one")["data"] == ["did one"]
        assert sorted(a.result().json() for a in answers) == ["did 0", "did 1", "did 2"]
    assert page.at_once == [1] * 4


def test_what_a_script_no_longer_waits_for_is_not_made(page, monkeypatch):
    monkeypatch.setattr(page, "seconds", 1.0)
    with ThreadPoolExecutor(1) as pool:
        page.join("first", address="10.0.0.2")
        first = pool.submit(page.answer, "first")
        page.until(lambda: page.at_once)
        body = {"data": "left", "component_id": page.script, "session_hash": f"{page.test}left", "fn_name": "work"}
        tool = {"data": ["left"], "session_hash": f"{page.test}tool"}
        for path, sent in (("component_server/", body), ("run/tool", tool)):
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{page.api}/{path}", json=sent, headers=HOME, timeout=0.2)
        first.result()
    page.until(lambda: not page.queue.admission.jobs)
    assert page.ran == ["first"]


def test_a_refused_script_gets_a_sentence(page):
    for i in range(2):
        page.join("one", str(i))
    answer = page.call("one", "x")
    assert answer.status_code == 200
    assert answer.json()["error"].startswith("2 of your own questions are being answered: try again in about ")
    assert page.ran == []


def test_a_tool_takes_its_turn(page):
    body = {"data": ["x"], "session_hash": f"{page.test}one"}
    assert httpx.post(f"{page.api}/run/tool", json=body, headers=HOME, timeout=30).json()["data"] == ["did x"]
    for i in range(2):
        page.join("one", str(i))
    refused = httpx.post(f"{page.api}/run/tool", json=body, headers=HOME, timeout=30)
    assert refused.json()["error"].startswith("2 of your own questions are being answered: try again in about ")


def test_a_long_run_holds_up_no_short_job(page):
    page.join("long", "many", "long")
    with ThreadPoolExecutor(1) as pool:
        many = pool.submit(lambda: [m["msg"] for m in page.messages("long")])
        page.join("one", address="10.0.0.2")
        assert page.answer("one")["data"] == ["did one"]
        assert page.ran == ["one"]
        assert many.result().count("process_generating") == 3
    assert page.ran == ["one", "many"]


def test_who_cancels_leaves_the_line(page, monkeypatch):
    monkeypatch.setattr(page, "seconds", 1.5)
    with ThreadPoolExecutor(2) as pool:
        page.join("first", address="10.0.0.2")
        first = pool.submit(page.answer, "first")
        page.until(lambda: page.at_once)
        event = page.join("one").json()["event_id"]
        one = pool.submit(page.answer, "one")
        page.until(lambda: all(job.unheard is None for job in page.queue.admission.jobs))
        body = {"session_hash": f"{page.test}one", "fn_index": page.ids["work"], "event_id": event}
        httpx.post(f"{page.api}/cancel", json=body)
        assert one.result() == {} or "error" in one.result()
        first.result()
    page.until(lambda: not page.queue.admission.jobs)
    assert page.ran == ["first"]
    page.until(lambda: not any(page.queue.active_jobs), 2)
    assert {q.current_concurrency for q in page.queue.event_queue_per_concurrency_id.values()} == {0}


def test_whoever_waits_is_told_how_long(page):
    for i in range(2):
        page.join("one", str(i))
    told = [m for m in page.messages("one") if m["msg"] == "estimation"]
    waiting = [m for m in told if m["queue_size"] == 2 and m["rank"] == 1]
    assert waiting
    assert max(m["rank_eta"] for m in waiting) > page.seconds


def test_a_cancelled_job_has_its_place_until_it_is_through(page, monkeypatch):
    monkeypatch.setattr(page, "seconds", 1.0)
    with ThreadPoolExecutor(2) as pool:
        event = page.join("one").json()["event_id"]
        one = pool.submit(page.answer, "one")
        page.until(lambda: page.at_once)
        body = {"session_hash": f"{page.test}one", "fn_index": page.ids["work"], "event_id": event}
        httpx.post(f"{page.api}/cancel", json=body)
        one.result()
        page.join("next", address="10.0.0.2")
        assert page.answer("next")["data"] == ["did next"]
    assert page.at_once == [1, 1]


def test_an_event_cancelled_before_gradio_takes_it_leaves_the_line(page, monkeypatch):
    queue = page.queue
    free = queue.active_jobs
    monkeypatch.setattr(queue, "active_jobs", [[]] * len(free))  # all of gradio's workers are busy
    event = page.join("gone").json()["event_id"]
    body = {"session_hash": f"{page.test}gone", "fn_index": page.ids["work"], "event_id": event}
    with httpx.stream("GET", f"{page.api}/queue/data", params={"session_hash": f"{page.test}gone"}):
        page.until(lambda: all(job.begun is not None for job in queue.admission.jobs))
        httpx.post(f"{page.api}/cancel", json=body)
        page.until(lambda: not queue.admission.jobs, 2)
    assert not queue.admitted
    monkeypatch.setattr(queue, "active_jobs", free)
    page.join("next")
    assert page.answer("next")["data"] == ["did next"]


def test_a_wrong_question_is_refused_and_leaves_nothing(page):
    body = {"data": [], "fn_index": 9999, "session_hash": f"{page.test}one"}
    answer = httpx.post(f"{page.api}/queue/join", json=body)
    assert (answer.status_code, answer.json()["detail"]) == (400, "This page has no such function: load it again.")
    body = {"data": ["x"], "fn_index": page.ids["work"], "session_hash": ""}
    assert httpx.post(f"{page.api}/queue/join", json=body).status_code == 400
    assert not page.queue.admission.jobs


def test_what_a_stranger_does_to_old_messages_does_not_stop_the_line(page, monkeypatch):
    monkeypatch.setattr(page, "seconds", 1.0)
    with ThreadPoolExecutor(1) as pool:
        page.join("first", address="10.0.0.2")
        first = pool.submit(page.answer, "first")
        page.until(lambda: page.at_once)
        page.join("one")
        page.queue.pending_messages_per_session.pop(f"{page.test}one")  # as 2000 newer sessions do
        assert page.join("two", address="10.0.0.3").status_code == 200
        assert page.answer("two")["data"] == ["did two"]
        first.result()
