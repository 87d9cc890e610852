"""A visitor adds models of his own: they look at once, in his window alone, and what is no model is one sentence."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from page_tabs import COLD
from playwright.sync_api import expect

from dlka.models import catalog

sys.path.append(str(Path(__file__).resolve().parent.parent / "models"))
from test_catalog import put


@pytest.fixture
def mine(tmp_path):
    put(tmp_path, "dragons", "head", {0: "dragon", 1: "unicorn"}, "separable")
    yield tmp_path / "dragons.safetensors"
    catalog.GUESTS.clear()


def send(page, file):
    page.locator("input[type=file][accept*=safetensors]").set_input_files(str(file))


def test_own_models_look_in_this_window_alone(new_window, server, page, mine, shared):
    send(page, mine)
    expect(page.get_by_label("D-LKA model")).to_have_value(
        re.compile(r"^dragons-[0-9a-f]{8} \(2 classes"), timeout=COLD
    )
    expect(page.get_by_label("Baseline", exact=True)).to_have_value(re.compile(r"^dragons-[0-9a-f]{8}-rigid"))
    page.get_by_text(re.compile(r"dragons-[0-9a-f]{8}-rigid \d+ ms .* dragons-[0-9a-f]{8} \d+ ms")).wait_for()
    expect(page.locator(".models details")).to_have_count(2)

    page.get_by_label("D-LKA model").click()
    page.get_by_role("option", name=re.compile("^neck ")).click()
    page.get_by_text(re.compile(r"control \d+ ms .* neck \d+ ms")).wait_for()
    send(page, shared / "weights" / "yolov8n.pt")
    page.get_by_text(re.compile(r"yolov8n-[0-9a-f]{8} \d+ ms .* neck \d+ ms")).wait_for(timeout=COLD)
    page.get_by_label("D-LKA model").click()
    expect(page.get_by_role("option", name=re.compile("^dragons-"))).to_have_count(2)

    with new_window() as other:
        other.goto(server)
        other.get_by_label("D-LKA model").click()
        other.get_by_role("option", name=re.compile("^neck ")).wait_for()
        expect(other.get_by_role("option", name=re.compile("^dragons-"))).to_have_count(0)


def test_what_is_no_model_is_one_sentence(page, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    send(page, tmp_path / "broken.safetensors")
    expect(page.locator(".toast-body")).to_contain_text("broken.safetensors")
    expect(page.get_by_label("D-LKA model")).to_have_value(re.compile("^scenes "))
