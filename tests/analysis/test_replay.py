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

from dlka.analysis import analysis as analysis_module
from dlka.analysis import recipes
from dlka.analysis.analysis import Settings, analyse_pixels, source_of
from dlka.analysis.cache import Kept
from dlka.analysis.examples import examples
from dlka.analysis.figures import figure
from dlka.analysis.recipes import read_recipe
from dlka.cli import main
from dlka.errors import DlkaError
from dlka.images import read_image
from dlka.models import catalog
from dlka.versions import versions as versions_of

SAMPLES = {"x": 80.0, "y": 90.0}


@pytest.fixture(autouse=True)
def threads():
    """A replay sums as its recipe did; what comes after it must not."""
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def recipe(tmp_path, file=None, kind="samples", arguments=SAMPLES, **changed):
    file = file or examples()["Bus stop"]
    analysis = analyse_pixels(read_image(file), Settings(size=320, strength=1.5), source_of(file))
    made = figure(kind, arguments).drawn(analysis)
    written = recipes.recipe_of(analysis, figure(kind, arguments), made) | changed
    path = tmp_path / "figure.recipe.json"
    path.write_text(json.dumps(written))
    return path, written


@pytest.mark.slow
def test_another_process_makes_the_same_arrays(tmp_path):
    """Also where torch would share sums among another number of threads."""
    path, written = recipe(tmp_path)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "dlka", "replay", str(path), "--out", str(tmp_path / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(": same\n") == len(written["arrays"])
    arrays = np.load(tmp_path / "out" / "figure.npz")
    assert recipes.sums(dict(arrays)) == written["arrays"]
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
    monkeypatch.setattr(recipes, "LARGEST", 100)
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


@pytest.mark.slow
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
    monkeypatch.setattr(analysis_module, "STORE", Kept(2**30))
    assert main(["replay", str(path)]) == 1
    out = capsys.readouterr().out
    assert "P3 5x5/samples [25 x 2]: differs, because the weights of head (dlka) are others" in out
    assert "P3 5x5/regular [25 x 2]: same" in out


@pytest.mark.slow
def test_other_versions_and_changed_sums_are_told(tmp_path, capsys):
    versions = versions_of(recipes.PACKAGES) | {"torch": "0.1"}
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
        # Half of a character: nothing could print it.
        ({"versions": {"torch": "\ud800"}}, "its part 'versions' is missing or damaged at 'torch': got '\\ud800'."),
        ({"arrays": {"\ud800": {"shape": [], "dtype": "", "sha256": ""}}}, "[key]': got '\\ud800'."),
        ({"weights": {"dlka": {"id": "\ud800"}}}, "its part 'weights' is missing or damaged at 'dlka.id'"),
        ({"device": "\ud800"}, "its part 'device' is missing or damaged: got '\\ud800'."),
    ],
)
def test_what_is_no_recipe_is_refused(tmp_path, capsys, changed, says):
    path, _ = recipe(tmp_path, **changed)
    assert main(["replay", str(path)]) == 2
    assert says in capsys.readouterr().err


def at(recipe, place, value):
    """A copy of a recipe with another value at a place, "part.inner"; None: without it."""
    changed = json.loads(json.dumps(recipe))
    *outer, last = place.split(".")
    part = changed
    for name in outer:
        part = part[name]
    part[last] = value
    if value is None:
        del part[last]
    return changed


DEEP = "[" * 900 + "]" * 900


@pytest.mark.slow
@pytest.mark.parametrize(
    ("place", "value", "says"),
    [
        ("figure.kind", 3, "its part 'figure' is missing or damaged at 'kind': got 3."),
        ("figure.kind", ["difference"], "its part 'figure' is missing or damaged at 'kind'"),
        ("figure.arguments", [], "its part 'figure' is missing or damaged at 'arguments': got []."),
        ("figure.arguments", {"x": 10**400, "y": 1}, "Figure samples, x: expected a number; got 1000"),
        ("figure.arguments", {"x": float("nan"), "y": 1}, "Figure samples, x: expected a number; got nan."),
        ("figure.arguments", {"x": json.loads(DEEP), "y": 1}, "Figure samples, x: expected a number; got [[[["),
        ("picture", "bus.jpg", "its part 'picture' is missing or damaged: got 'bus.jpg'."),
        ("picture.example", [], "its part 'picture' is missing or damaged at 'example': got []."),
        ("picture.example", {}, "its part 'picture' is missing or damaged at 'example': got {}."),
        ("picture.file", 7, "its part 'picture' is missing or damaged at 'file': got 7."),
        ("picture", {"file": "/etc/passwd", "path": "/etc/passwd"}, "give the picture with --image FILE"),
        ("picture", {"png": "\u00e4"}, "the picture inside it is damaged"),
        ("picture", {"png": ["a"]}, "its part 'picture' is missing or damaged at 'png'"),
        ("picture", {"png": ""}, "The file is empty"),
        ("weights.dlka", "head", "its part 'weights' is missing or damaged at 'dlka': got 'head'."),
        ("weights.dlka.id", json.loads(DEEP), "its part 'weights' is missing or damaged at 'dlka.id': got [[[["),
        ("weights.third", {"id": "head"}, "its part 'weights' is missing or damaged at 'third"),
        ("settings.strength", 10**400, "its setting 'strength' is missing or damaged: got 1000"),
        ("settings.strength", 10**59, "Deformation strength: expected 0 to 2"),
        ("settings.strength", True, "its setting 'strength' is missing or damaged: got True."),
        ("settings.strength", None, "its setting 'strength' is missing or damaged: nothing is there."),
        ("settings.confidence", "0.25", "its setting 'confidence' is missing or damaged: got '0.25'."),
        ("settings.size", 64.5, "its setting 'size' is missing or damaged: got 64.5."),
        ("settings.size", 10**30, "size: expected a multiple of 32"),
        ("settings.classes", ["person", 3], "its setting 'classes' is missing or damaged: got 3."),
        ("settings.classes", "person", "its setting 'classes' is missing or damaged: got 'person'."),
        ("settings.dlka", "../../etc/passwd", "D-LKA model: expected one of"),
        ("arrays", [], "its part 'arrays' is missing or damaged: got []."),
        ("arrays.x", 1, "its part 'arrays' is missing or damaged at 'x': got 1."),
        ("versions.torch", json.loads(DEEP), "its part 'versions' is missing or damaged at 'torch'"),
        ("device", 0, "its part 'device' is missing or damaged: got 0."),
        ("arithmetic.threads", 1024, "threads: expected a whole number from 1 to 512, got 1024"),
        ("arithmetic.threads", 0, "threads: expected a whole number"),
        ("arithmetic.threads", "2", "its part 'arithmetic' is missing or damaged at 'threads': got '2'."),
        ("arithmetic.threads", None, "its part 'arithmetic' is missing or damaged at 'threads': nothing is there."),
        ("arithmetic.instructions", json.loads(DEEP), "its part 'arithmetic' is missing or damaged"),
    ],
)
def test_a_part_of_another_type_is_one_sentence(tmp_path, capsys, place, value, says):
    path, written = recipe(tmp_path)
    path.write_text(json.dumps(at(written, place, value)))
    before = torch.get_num_threads()
    assert main(["replay", str(path)]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1
    assert len(said) < 400
    assert torch.get_num_threads() == before or not place.startswith("arithmetic")


def test_threads_are_at_most_the_cores(tmp_path, capsys):
    path, written = recipe(tmp_path)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    path.write_text(json.dumps(at(written, "arithmetic.threads", cores + 62)))
    assert main(["replay", str(path)]) in (0, 1)
    assert torch.get_num_threads() == cores
    assert f"sums were shared among {cores + 62} threads and are among {cores}" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "expected a recipe of a figure"),
        (b"\xff\xfe", "expected a recipe of a figure"),
        (b"[" * 100_000, "expected a recipe of a figure"),
        (b'{"format": "dlka-recipe-1", "x": ' + b"9" * 5000 + b"}", "expected a recipe of a figure"),
        (b"[]", "expected a recipe of a figure"),
        (b'{"format": ["dlka-recipe-1"]}', "expected a recipe of a figure"),
        (b'{"format": "dlka-recipe-1"}', "its part 'figure' is missing or damaged: nothing is there."),
    ],
)
def test_what_is_no_json_of_a_recipe(tmp_path, capsys, text, says):
    (tmp_path / "a.json").write_bytes(text)
    assert main(["replay", str(tmp_path / "a.json")]) == 2
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_only_files_are_opened(tmp_path, kind):
    path = tmp_path / "a.json"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/zero")
    with pytest.raises(DlkaError, match=r"a.json: expected a recipe's file, got a folder or device\."):
        read_recipe(path)


def test_no_json_and_no_file(tmp_path, capsys):
    (tmp_path / "a.json").write_text("{")
    assert main(["replay", str(tmp_path / "a.json")]) == 2
    assert main(["replay", str(tmp_path / "b.json")]) == 2
    assert "expected a recipe of a figure" in capsys.readouterr().err
