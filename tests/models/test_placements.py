"""A new placement is a yaml and one entry: everything else takes its words from there."""

from __future__ import annotations

from dataclasses import replace
from shutil import copytree

from dlka.analysis import model_words
from dlka.models import build, placements
from dlka.models.build import build_model, model_config, placement_of
from dlka.models.catalog import cards
from dlka.models.placements import OFFSETS, PLACEMENTS, PLAIN, Placement
from dlka.models.weights import load_card, load_model, save_weights
from dlka.train.recipe import Recipe, check_recipe


def test_a_new_placement_is_a_yaml_and_an_entry(monkeypatch, tmp_path):
    entry = Placement("yolov8{}-mine.yaml", "D-LKA of mine", "YOLOv8{} of mine")
    text = (build.CONFIGS / PLACEMENTS["residual"].file.format("")).read_text(encoding="utf-8")
    copytree(build.CONFIGS, tmp_path, dirs_exist_ok=True)
    (tmp_path / entry.file.format("")).write_text(text, encoding="utf-8")
    monkeypatch.setattr(build, "CONFIGS", tmp_path)
    monkeypatch.setitem(PLACEMENTS, "mine", entry)
    assert placement_of("yolov8s-mine.yaml") == "mine"
    assert model_config("mine", "s")["scale"] == "s"
    check_recipe(Recipe("mine", "data", offsets="separable"))
    model = build_model("mine", classes=1)
    card = replace(cards()["residual"], placement="mine", names={0: "thing"}, offsets="dense", uses=None)
    save_weights(tmp_path / "mine.safetensors", model.state_dict(), card)
    assert load_model(tmp_path / "mine.safetensors")[1] == load_card(tmp_path / "mine.safetensors") == card
    assert "D-LKA of mine, dense offsets" in model_words.what(card)


def test_words():
    assert PLAIN == ("control", "one-level-plain")
    assert placements.RIGID == ("none", "features")
    assert all("{}" in entry.file and "{}" in entry.sentence for entry in PLACEMENTS.values())
    for word, entry in PLACEMENTS.items():
        rows = model_config(word)["head"]
        assert entry.replaces == any(row[2] == "C2f_DLKA" for row in rows), word
    assert len({net.word for net in OFFSETS.values()}) == len(OFFSETS)
