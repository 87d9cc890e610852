"""The page of an operator who names the models that it opens with."""

from __future__ import annotations

import shutil

import gradio as gr
import pytest

from dlka.cli import main
from dlka.models import catalog
from dlka.ui import app, guard


@pytest.fixture
def opened(monkeypatch):
    """Analyses that pages would have opened with."""
    found = []
    monkeypatch.setattr(app, "build_app", found.append)
    monkeypatch.setattr(app, "launch", lambda *_: None)
    monkeypatch.setattr(app, "stay", lambda _: None)
    yield found
    catalog.ADDED.clear()


@pytest.mark.slow
def test_own_models_are_what_the_page_opens_with(opened, shared, tmp_path):
    shutil.copy(catalog.WEIGHTS / "residual.safetensors", tmp_path / "mine.safetensors")
    shutil.copy(shared / "weights" / "yolov8n.pt", tmp_path / "theirs.pt")
    own = ["--model", f"{tmp_path}/mine.safetensors", "--baseline", f"{tmp_path}/theirs.pt"]
    assert main(["serve", *own, "--port", "7999"]) == 0
    (first,) = opened
    assert (first.settings.dlka, first.settings.baseline) == ("mine", "theirs")
    assert first.source.example == "Bus stop", "a model of everyday pictures begins with one"
    assert len(first.dlka.detections) > 0


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--baseline", "control"], "--baseline goes with --model"),
        (["--model", "nowhere.safetensors"], "nowhere.safetensors: expected a .safetensors file or a .pt checkpoint"),
        (["--model", "scenes", "--baseline", "control"], "only models of the same classes can be compared"),
        (["--models", "nowhere"], "nowhere: expected a .safetensors file or a .pt checkpoint, or a folder"),
    ],
)
def test_what_cannot_be_opened_is_one_sentence(opened, flags, says, capsys):
    assert main(["serve", *flags, "--port", "7999"]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert opened == []


@pytest.mark.slow
def test_a_page_whose_first_answer_is_late_starts_all_the_same(monkeypatch):
    monkeypatch.setattr("gradio.networking.url_ok", lambda url: False)  # what gradio finds where that takes over 3 s
    with guard.Page() as page:
        gr.Markdown("Here.")
    app.launch(page, block=False)
    assert page.is_running
    page.close()
