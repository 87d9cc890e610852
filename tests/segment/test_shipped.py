"""The networks that ship: how large their files are, that README says what their cards do, and that they segment."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dlka.cli import main
from dlka.segment.judge import dice
from dlka.segment.net_file import load_net, read_card
from dlka.segment.samples import samples
from dlka.segment.scans import read_labels, read_scan
from dlka.segment.segmenter import Segmenter, shipped
from dlka.ui import page_segment

NETS = {"cells": "dense", "cells-rigid": "none", "hippocampus": "dense", "hippocampus-rigid": "none"}


def test_files_are_small_and_cards_say_how_they_were_made():
    files = shipped()
    assert list(files) == sorted(NETS)
    sizes = [path.stat().st_size for path in files.values()]
    assert max(sizes) < 8e6
    assert sum(sizes) < 16e6
    for name, path in files.items():
        _, card = load_net(path)
        assert (card.offsets, card.seed, card.recipe["steps"]) == (NETS[name], 0, 4000)
        assert card.scores["cases"] == (45 if name.startswith("hippo") else 60)


def test_readme_says_what_the_cards_say():
    readme = Path("README.md").read_text(encoding="utf-8")
    for name, path in shipped().items():
        _, card = load_net(path)
        for row in card.scores["rows"]:
            told = "".join(f" {v[0]:.3f} [{v[1]:.3f}, {v[2]:.3f}] |" for v in (row[p]["dice"] for p in card.names[1:]))
            assert told in readme, name


@pytest.mark.slow
@pytest.mark.parametrize("sample", samples().values(), ids=lambda sample: sample.label)
def test_samples_are_segmented_well(sample):
    for name in (sample.model, f"{sample.model}-rigid"):
        seen, true = Segmenter.of(name).look(read_scan(sample.file)), read_labels(sample.labels, 3)
        assert min(dice(seen.labels == part, true == part) for part in (1, 2)) > 0.7


@pytest.mark.slow
def test_segment_chooses_the_network_by_the_kind_of_file(tmp_path):
    one = {sample.kind: sample for sample in samples().values()}
    files = [str(one[kind].file) for kind in ("volume", "picture")]
    assert main(["segment", *files, "--out", str(tmp_path / "out"), "--json", str(tmp_path / "all.json")]) == 0
    volume, picture = json.loads((tmp_path / "all.json").read_text())
    assert list(volume["parts"]) == ["anterior", "posterior"]
    assert list(picture["parts"]) == ["cytoplasm", "nucleus"]
    assert np.load(next((tmp_path / "out").glob("cell*.npz"))).files


def test_a_command_for_detectors_names_the_one_that_segments(capsys):
    assert main(["stages", "--model", "cells"]) == 2
    assert "got a network that segments, which python -m dlka segment uses" in capsys.readouterr().err


def test_the_page_says_what_the_cards_say(monkeypatch):
    said = page_segment.card_words("hippocampus")
    assert "Made for" in said
    assert "on anything else its labels mean nothing" in said
    card = read_card(shipped()["hippocampus"])
    for scores, told in (
        ({"rows": [{"model": "a"}, {"model": "b", "anterior": {"dice": [0.9, 0.8, 1.0]}}]}, "Dice: anterior 0.900."),
        ({"cases": 3, "rows": [{"anterior": {"hd95": [1, 1, 1]}}, {"posterior": {"dice": [None] * 3}}]}, ""),
        ({"cases": 3, "rows": "many"}, ""),
    ):
        monkeypatch.setattr(page_segment, "read_card", lambda _, scores=scores: replace(card, scores=scores))
        assert page_segment.card_words("hippocampus").count("Dice") == bool(told)
        assert told in page_segment.card_words("hippocampus")
    assert "Dice on 45 cases, offsets at zero: anterior 0.832, posterior 0.797." in said
