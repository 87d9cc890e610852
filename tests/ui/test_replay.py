"""Recipes: the same arrays byte for byte in another process, and what is told where they are not."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import cv2
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from dlka.cli import main
from dlka.images import read_image
from dlka.inference.predictor import load_predictor
from dlka.models import catalog
from dlka.ui import figure_recipe, session
from dlka.ui.examples import examples
from dlka.ui.figures import figure
from dlka.ui.session import Settings
from dlka.ui.source import source_of

SAMPLES = {"x": 80.0, "y": 90.0}


@pytest.fixture(autouse=True)
def threads():
    """A replay sums as its recipe did; what comes after it must not."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def recipe(tmp_path, file=None, kind="samples", arguments=SAMPLES, **changed):
    file = file or examples()["Bus stop"]
    look = session.look(read_image(file), Settings(size=320, strength=1.5), source_of(file))
    made = figure(look, kind, arguments)
    written = figure_recipe.recipe_of(look, kind, arguments, made) | changed
    path = tmp_path / "figure.recipe.json"
    path.write_text(json.dumps(written))
    return path, written


def test_another_process_makes_the_same_arrays(tmp_path):
    """Also where torch would share sums among another number of threads."""
    path, written = recipe(tmp_path)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dlka", "replay", str(path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": same\n") == len(written["arrays"])
    arrays = np.load(tmp_path / "out" / "figure.npz")
    assert figure_recipe.sums(dict(arrays)) == written["arrays"]
    again = json.loads((tmp_path / "out" / "figure.recipe.json").read_text())
    assert again["arrays"] == written["arrays"]
    assert again["caption"] == written["caption"]
    endings = {"svg", "pdf", "png", "npz", "txt", "json"}
    assert {file.suffix[1:] for file in (tmp_path / "out").iterdir()} == endings


def test_an_own_picture_is_inside_its_recipe(tmp_path, capsys):
    small = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "mine.png"), small)
    path, written = recipe(tmp_path, tmp_path / "mine.png", "difference", {})
    (tmp_path / "mine.png").unlink()
    assert written["picture"]["file"] == "mine.png"
    assert main(["replay", str(path)]) == 0
    assert "Note" not in capsys.readouterr().out


def test_a_large_own_picture_is_asked_for(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(figure_recipe, "LARGEST", 100)
    cv2.imwrite(str(tmp_path / "mine.png"), np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8))
    path, written = recipe(tmp_path, tmp_path / "mine.png", "difference", {})
    assert "png" not in written["picture"]
    assert main(["replay", str(path)]) == 2
    assert "give the picture with --image FILE" in capsys.readouterr().err
    assert main(["replay", str(path), "--image", str(tmp_path / "mine.png")]) == 0


def test_another_picture_is_told(tmp_path, capsys):
    path, _ = recipe(tmp_path)
    assert main(["replay", str(path), "--image", str(examples()["Two people"])]) == 1
    out = capsys.readouterr().out
    assert "Note: the picture has other pixels." in out
    assert "differs, because the picture has other pixels" in out


def test_other_weights_are_told(tmp_path, monkeypatch, capsys):
    """One number of one tensor is another one."""
    path, _ = recipe(tmp_path)
    folder = tmp_path / "weights"
    folder.mkdir()
    for name in ("head", "control"):
        file = catalog.find(name)
        with safe_open(file, framework="pt") as opened:
            names, told = opened.keys(), opened.metadata()
            tensors = {name: opened.get_tensor(name) for name in names}
        if name == "head":
            key = next(k for k in tensors if "offset_net" in k and k.endswith("bias"))
            tensors[key] = tensors[key] + 0.5
        save_file(tensors, folder / file.name, told)
    monkeypatch.setattr(catalog, "WEIGHTS", folder)
    monkeypatch.setattr(session, "_kept", type(session._kept)())
    load_predictor.cache_clear()
    try:
        assert main(["replay", str(path)]) == 1
    finally:
        load_predictor.cache_clear()
    out = capsys.readouterr().out
    assert "P3 5x5/samples [25 x 2]: differs, because the weights of head (dlka) are others" in out
    assert "P3 5x5/regular [25 x 2]: same" in out


def test_other_versions_and_changed_sums_are_told(tmp_path, capsys):
    versions = figure_recipe.versions() | {"torch": "0.1"}
    path, written = recipe(tmp_path, versions=versions)
    assert main(["replay", str(path)]) == 0, "the arrays are the same all the same"
    assert "versions are others (torch 0.1 then and" in capsys.readouterr().out
    sums = written["arrays"] | {"P3 5x5/zero": {"shape": [25], "dtype": "bool", "sha256": "0"}}
    path, _ = recipe(tmp_path, arrays=sums)
    assert main(["replay", str(path)]) == 1
    assert "P3 5x5/zero [25]: differs, because other code" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"format": "other"}, "expected a recipe of a figure"),
        ({"figure": []}, "its part 'figure' is missing or damaged"),
        ({"figure": {"kind": 1}}, "its part 'figure' is missing or damaged"),
        ({"figure": {"kind": "magic", "arguments": {}}}, "Figure: expected one of"),
        ({"settings": {"dlka": 1}}, "its setting 'dlka' is missing or damaged"),
        ({"arithmetic": {"threads": 10**9}}, "threads: expected a whole number"),
        ({"picture": {"png": "@@"}}, "the picture inside it is damaged"),
        ({"picture": {}}, "give the picture with --image"),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, capsys, changed, says):
    path, _ = recipe(tmp_path, **changed)
    assert main(["replay", str(path)]) == 2
    assert says in capsys.readouterr().err


def test_no_json_and_no_file(tmp_path, capsys):
    (tmp_path / "a.json").write_text("{")
    assert main(["replay", str(tmp_path / "a.json")]) == 2
    assert main(["replay", str(tmp_path / "b.json")]) == 2
    assert "expected a recipe of a figure" in capsys.readouterr().err
