"""Whoever comes back finds the page as it was left, however many others came meanwhile."""

from __future__ import annotations

from pathlib import Path

import gradio as gr
import httpx
import pytest

from dlka.ui import states


@pytest.fixture(scope="module")
def count():
    """Asks a small page that counts a session's questions, of which gradio remembers two sessions."""
    with gr.Blocks() as app:
        seen, out = gr.State(0), gr.Number()
        choice = gr.Dropdown(["x"])
        gr.Button().click(lambda: gr.update(choices=["y"]), None, choice, api_name="offer", queue=False)
        gr.Button().click(lambda: gr.update(label="Z"), None, choice, api_name="name", queue=False)
        gr.Button().click(lambda v: v, choice, out, api_name="choose", queue=False, postprocess=False)
        gr.Button().click(lambda n: (n + 1, n + 1), seen, [seen, out], api_name="count", queue=False)
    app.launch(prevent_thread_lock=True, quiet=True, ssr_mode=False, state_session_capacity=2)
    states.keep(app)

    def call(session: str, name: str, *values: object) -> dict:
        body = {"data": values, "session_hash": session}
        return httpx.post(f"{app.local_url}gradio_api/run/{name}", json=body).json()

    def ask(session: str) -> int:
        return call(session, "count", None)["data"][1]

    ask.call = call

    ask.app = app
    yield ask
    app.close()


@pytest.mark.slow
def test_more_sessions_than_gradio_remembers(count):
    assert [count("a"), count("a")] == [1, 2]
    assert [count(f"other {i}") for i in range(5)] == [1] * 5
    assert len(count.app.app.state_holder.session_data) == 2
    assert count("a") == 3
    assert count("other 0") == 2


@pytest.mark.slow
def test_what_a_control_can_choose(count):
    count.call("chose", "offer")
    for name in ("other", "name", "other"):
        assert count.call("chose", "choose", "y")["data"] == ["y"]
        count.call("chose", name) if name == "name" else [count(f"{name} {i}") for i in range(4)]
    assert count.call("chose", "choose", "y")["data"] == ["y"]
    assert "error" in count.call("chose", "choose", "x")
    assert "error" in count.call("new", "choose", "y")


@pytest.mark.slow
def test_a_browser_that_slept(count):
    count("slept")
    holder = count.app.app.state_holder
    session = holder["slept"]
    session.is_closed = True
    session._state_ttl = {state: (ttl, made.replace(year=2000)) for state, (ttl, made) in session._state_ttl.items()}
    holder.delete_all_expired_state()
    assert count("slept") == 2


@pytest.mark.slow
def test_the_memory_has_a_bound(count, monkeypatch):
    sessions = count.app.app.state_holder.session_data
    monkeypatch.setattr(sessions.left, "limit", 3000)
    for i in range(40):
        count(f"many {i}")
    assert sessions.left.used <= 3000
    assert count("many 0") == 1


def test_no_state_of_the_page_expires():
    for file in Path(states.__file__).parent.rglob("*.py"):
        assert "time_to_live" not in file.read_text(encoding="utf-8"), file
