"""Models of several data sets on one page: what it says about each, and which two stand beside each other."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
from page_tabs import open_tab, shown_key, wait_for_another
from playwright.sync_api import expect

from dlka.analysis import model_words
from dlka.analysis.analysis import Settings, analyse_pixels
from dlka.analysis.models import baseline_for, baseline_models, dlka_for, dlka_models
from dlka.errors import DlkaError
from dlka.models import catalog
from dlka.models.build import build_model
from dlka.models.weights import VERDICTS, Card, load_card, save_weights, with_card
from dlka.palette import USE_COLOURS
from dlka.ui import api, tab_numbers
from dlka.ui.app import serve

THERMAL = dict(enumerate(("person", "car", "bicycle", "other vehicle")))
SHIPPED = catalog.WEIGHTS


def put(folder, model, placement, names, metrics, offsets="separable", recipe='{"data": "hit-uav"}', data="frames"):
    """A weights file of an untrained model."""
    card = Card(placement, "n", offsets, names, 640, data, recipe, "AGPL-3.0", 1, {}, metrics)
    save_weights(folder / f"{model}.safetensors", build_model(placement, "n", len(names), offsets).state_dict(), card)


@pytest.fixture(scope="module", autouse=True)
def folder(tmp_path_factory):
    """The catalog of these tests: two shipped models, three that know thermal frames, one without a control, and one
    that has a rigid twin beside its control."""
    folder = tmp_path_factory.mktemp("weights")
    for model in ("control", "head"):
        (folder / f"{model}.safetensors").symlink_to(SHIPPED / f"{model}.safetensors")
    alike = {"data": "hit-uav val", "pictures": 420, "size": 512}
    put(folder, "th-control", "control", THERMAL, {**alike, "AP": 0.2911, "AP_S": 0.25})
    put(folder, "th-head", "head", THERMAL, {**alike, "AP": 0.3, "AP_S": None, "AP_of_seeds": [0.3, 0.28, 0.312]})
    put(folder, "th-residual", "residual", THERMAL, {**alike, "pictures": 100, "AP": 0.3})
    put(folder, "th-residual-rigid", "residual", THERMAL, {}, offsets="none")
    put(folder, "dragons", "head", {0: "dragon"}, {"AP": "much"}, recipe="none", data="<b>caves</b>")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "WEIGHTS", folder)
        yield folder


def test_sides_and_labels():
    assert dlka_models() == ["head", "dragons", "th-head", "th-residual", "th-residual-rigid"]
    assert baseline_models() == ["control", "th-control", "th-residual-rigid"]
    labels = [model_words.label(model, card) for model, card in catalog.cards().items()]
    assert labels[:2] == ["control (COCO, stock)", "head (COCO, dense)"]
    assert labels[2:4] == ["dragons (1 class, separable)", "th-control (thermal, stock)"]


def test_partners():
    assert baseline_for("head", "control") == "control"
    assert baseline_for("th-head", "control") == "th-control"
    assert baseline_for("th-residual", "control") == "th-residual-rigid", "its twin, where one is there"
    assert baseline_for("th-residual", "th-control") == "th-control", "what stands there, where it can"
    assert baseline_for("dragons", "control") == "control", "there is no other"
    assert dlka_for("th-control", "head") == "th-head", "as the D-LKA model that stood there"
    assert dlka_for("th-residual-rigid", "head") == "th-residual", "the model whose twin it is"
    assert dlka_for("control", "th-head") == "head"
    assert catalog.control_of("th-residual") == "th-control", "cards are compared with stock"


def test_lines_say_what_the_cards_say():
    assert model_words.line("th-control") == (
        "stock YOLOv8n · 4 classes from thermal drone frames · "
        "AP 29.1 (small 25.0) on 420 pictures of hit-uav val at 512 px, one seed"
    )
    assert model_words.line("th-head") == (
        "YOLOv8n, D-LKA in the head, separable offsets · 4 classes from thermal drone frames · "
        "AP 30.0, th-control (stock YOLOv8n) 29.1 (25.0), on 420 pictures of hit-uav val at 512 px, "
        "3 seeds: 28.0 to 31.2"
    )
    assert "AP 30.0 on 100 pictures" in model_words.line("th-residual"), "its control saw other pictures"
    assert "px" not in model_words.line("head")
    assert model_words.line("dragons").endswith("1 class from <b>caves</b> · its card gives no AP")


USES = {"verdict": "in use", "why": "AP changes by -5.0 <and> more.", "data": "frames val", "pictures": 30, "size": 416}


def test_the_word_on_offsets_is_the_cards_own():
    card = catalog.cards()["th-head"]
    assert card.uses is None
    assert model_words.offsets_in_use("th-head", card) == (
        "not measured",
        "Its card does not say whether it uses its offsets. On labelled pictures this does: "
        "python -m dlka uses th-head --data DIR --write",
    )
    assert model_words.offsets_in_use("th-head", replace(card, uses=USES)) == (
        "in use",
        "AP changes by -5.0 <and> more. Measured on 30 pictures of frames val at 416 px.",
    )
    assert set(USE_COLOURS) == {*VERDICTS, model_words.NOT_MEASURED}


def test_a_measured_models_line_says_it_in_words(folder):
    file = folder / "th-head.safetensors"
    before = catalog.cards()["th-head"]
    try:
        with_card(file, file, replace(before, uses=USES))
        assert model_words.line("th-head").endswith(" 3 seeds: 28.0 to 31.2 · needs its offsets")
    finally:
        with_card(file, file, before)


@pytest.mark.parametrize("recipe", ["", "[]", "7", '{"data": ""}', '{"data": 7}', "[" * 9000])
def test_any_recipe_of_a_card_is_survived(recipe):
    card = replace(catalog.cards()["dragons"], recipe=recipe, data="")
    assert model_words.label("mine", card) == "mine (1 class, separable)"
    assert model_words.pictures(card) == "unnamed data"


def test_lines_are_html_and_tell_which_pictures_suit():
    assert "everyday" not in model_words.lines("head", "control")
    shown = model_words.lines("dragons", "gone")
    assert "&lt;b&gt;caves&lt;/b&gt;" in shown
    assert "know only dragon" in shown
    assert "cannot be read" in shown


def test_models_of_different_classes_are_refused_in_a_sentence():
    image = np.zeros((40, 40, 3), np.uint8)
    with pytest.raises(DlkaError, match=r"th-head knows person, car, bicycle, other vehicle and control knows 80 COCO"):
        analyse_pixels(image, Settings(dlka="th-head", size=64))
    with pytest.raises(DlkaError, match="choose the baseline control"):
        analyse_pixels(image, Settings(baseline="th-control", size=64))
    with pytest.raises(DlkaError, match="train one on the same data"):
        analyse_pixels(image, Settings(dlka="dragons", size=64))


def test_endpoints_take_the_fitting_baseline():
    picture = {"path": str(SHIPPED.parent / "assets" / "dots-and-curves.png")}
    report, *_ = api.compare(picture, model="th-head", baseline="", size=64)
    assert report["settings"]["baseline"] == "th-control"
    assert report["models"]["dlka"]["classes"] == 4
    assert api.compare(picture, model="head", size=64)[0]["settings"]["baseline"] == "control"
    assert json.dumps(report)


@pytest.fixture
def here(browser, folder):
    """A page of this catalog in a fresh window."""
    app = serve(block=False)
    context = browser.new_context(viewport={"width": 1440, "height": 1000})
    page = context.new_page()
    page.set_default_timeout(60_000)
    page.goto(app.local_url)
    page.wait_for_function("() => document.querySelector('.see-picture')?.drawn")
    yield page
    context.close()
    app.close()


def choose(page, label, option):
    page.get_by_label(label).click()
    page.get_by_role("option", name=re.compile(f"^{option} ")).click()


def test_a_model_of_other_data_brings_its_baseline_and_classes(here, monkeypatch):
    drawn = []
    values = tab_numbers.values
    monkeypatch.setattr(tab_numbers, "values", lambda analysis: (drawn.append(analysis.settings), values(analysis))[1])
    lines = here.locator(".models")
    expect(lines).to_contain_text("80 COCO classes")
    expect(here.locator(".models details")).to_have_count(2)
    here.get_by_text("Detection settings").click()
    choose(here, "Classes", "dining")
    here.get_by_text("Nothing labelled is here.").wait_for()
    before = shown_key(here)

    choose(here, "D-LKA model", "th-head")
    before = wait_for_another(here, before)
    expect(here.get_by_label("Baseline")).to_have_value("th-control (thermal, stock)")
    expect(lines).to_contain_text("expect thermal drone frames and know only person, car, bicycle, other vehicle")

    choose(here, "Baseline", "control")
    wait_for_another(here, before)
    expect(here.get_by_label("D-LKA model")).to_have_value("head (COCO, dense)")
    expect(here.locator(".models details")).to_have_count(2)
    open_tab(here, "What if")
    # An answer to a later question: the page is through with the one before.
    expect(here.locator("#what-if-headline")).to_contain_text("Offsets at zero")
    assert here.locator(".toast-body").all_inner_texts() == []
    asked = [(settings.dlka, settings.baseline, settings.classes) for settings in drawn]
    assert asked == [
        ("head", "control", ("dining table",)),
        ("th-head", "th-control", ()),
        ("head", "control", ()),
    ], "what the page changes by itself draws nothing again"


def test_models_of_steel_say_that_some_examples_show_it():
    said = model_words.hint(load_card(SHIPPED / "neu-det-neck.safetensors"))
    assert said.startswith("These two expect rolled steel and know only 6 classes")
    assert "Some of the examples show it" in said
    assert "drop a picture of your own" not in said
