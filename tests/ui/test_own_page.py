"""A visitor adds models of his own: they look at once, in his window alone, and what is no model is one sentence."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from page_tabs import COLD, open_tab, shown_key, wait_for_another
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
    before = shown_key(page)
    send(page, mine)
    expect(page.get_by_label("D-LKA model")).to_have_value(
        re.compile(r"^dragons-[0-9a-f]{8} \(2 classes"), timeout=COLD
    )
    expect(page.get_by_label("Baseline", exact=True)).to_have_value(re.compile(r"^dragons-[0-9a-f]{8}-rigid"))
    before = wait_for_another(page, before)
    expect(page.locator(".models details")).to_have_count(2)

    page.get_by_label("D-LKA model").click()
    page.get_by_role("option", name=re.compile("^neck ")).click()
    before = wait_for_another(page, before)
    send(page, shared / "weights" / "yolov8n.pt")
    wait_for_another(page, before)
    expect(page.get_by_label("D-LKA model")).to_have_value(re.compile("^neck "))
    expect(page.get_by_label("Baseline", exact=True)).to_have_value(re.compile(r"^yolov8n-[0-9a-f]{8} "))
    page.get_by_label("D-LKA model").click()
    expect(page.get_by_role("option", name=re.compile("^dragons-"))).to_have_count(2)

    with new_window() as other:
        other.goto(server)
        other.get_by_label("D-LKA model").click()
        other.get_by_role("option", name=re.compile("^neck ")).wait_for()
        expect(other.get_by_role("option", name=re.compile("^dragons-"))).to_have_count(0)


def test_a_stock_model_of_classes_that_no_other_knows_is_looked_at_alone(page, tmp_path):
    put(tmp_path, "ships", "control", {0: "ship", 1: "raft"})
    before = shown_key(page)
    send(page, tmp_path / "ships.safetensors")
    wait_for_another(page, before)
    for side in (page.get_by_label("D-LKA model"), page.get_by_label("Baseline", exact=True)):
        expect(side).to_have_value(re.compile(r"^ships-[0-9a-f]{8} "))
    expect(page.locator(".see-fact")).to_have_text(re.compile("looked at alone|^Neither"))
    page.locator(".see-none").wait_for()
    open_tab(page, "Numbers")
    expect(page.locator(".headline")).to_contain_text("looked at alone")
    assert page.locator(".toast-body").get_by_text("Error").count() == 0
    catalog.GUESTS.clear()


def test_own_models_are_compared_on_many_pictures_in_this_window_alone(new_window, server, mine):
    with new_window() as page, new_window() as other:
        for one in (page, other):
            one.goto(f"{server.rstrip('/')}/many")
            one.locator("#many-go").wait_for()
        send(page, mine)
        expect(page.get_by_label("D-LKA model")).to_have_value(
            re.compile(r"^dragons-[0-9a-f]{8} \(2 classes"), timeout=COLD
        )
        expect(page.get_by_label("Baseline", exact=True)).to_have_value(re.compile(r"^dragons-[0-9a-f]{8}-rigid"))
        page.locator("#many-try").click()
        expect(page.locator("#many-summary")).to_contain_text("pictures compared", timeout=COLD)
        other.get_by_label("D-LKA model").click()
        other.get_by_role("option", name=re.compile("^neck ")).wait_for()
        expect(other.get_by_role("option", name=re.compile("^dragons-"))).to_have_count(0)


def test_what_is_no_model_is_one_sentence(page, tmp_path):
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    send(page, tmp_path / "broken.safetensors")
    expect(page.locator(".toast-body")).to_contain_text("broken.safetensors")
    expect(page.get_by_label("D-LKA model")).to_have_value(re.compile("^scenes "))
