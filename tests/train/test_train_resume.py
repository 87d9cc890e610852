"""A run that is killed goes on to where it would have ended."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch.utils.benchmark import set_torch_threads

from dlka.cli import main
from dlka.errors import DlkaError
from dlka.train.folder import RunFolder
from dlka.train.recipe import Recipe
from dlka.train.training import fit, resume, unfinished

ROOT = Path(__file__).resolve().parent.parent.parent
# Two killed runs: in the middle of the second of three epochs, and before the first epoch's end.
KILLED = """
import os, signal, sys
import torch
from pathlib import Path
from dlka.train.recipe import Recipe
from dlka.train.recipe_trainer import RecipeTrainer
from dlka.train.training import fit

torch.set_num_threads(1)
batch, run_callbacks = int(sys.argv[1]), RecipeTrainer.run_callbacks

def killed(self, event):
    run_callbacks(self, event)
    if event == "on_train_batch_end" and self.batches_done == batch:
        os.kill(os.getpid(), signal.SIGKILL)

RecipeTrainer.run_callbacks = killed
fit(eval(sys.argv[2]), Path(sys.argv[3]), Path(sys.argv[4]), "cpu")
"""


@pytest.fixture(scope="module")
def recipe(squares, teacher_file):
    """Everything that a resumed run could get wrong: mosaics, warm-ups, features that fade, the best epoch."""
    settings = {"epochs": 3, "size": 64, "batch": 4, "mosaic": 0.5, "offset_warmup": 2.5, "patience": 3, "seed": 5}
    return Recipe("residual", str(squares), teacher=str(teacher_file), **settings)


@pytest.fixture(scope="module")
def whole(recipe, tmp_path_factory):
    work = tmp_path_factory.mktemp("whole")
    with set_torch_threads(1):
        fit(recipe, work / "o.safetensors", work / "run", "cpu")
        yield work


def kill(recipe, work, batch):
    argv = [sys.executable, "-c", KILLED, str(batch), repr(recipe), str(work / "o.safetensors"), str(work / "run")]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "YOLO_VERBOSE": "0"})
    assert done.returncode == -9, done.stderr
    assert not (work / "o.safetensors").exists()


def table(file):
    with open(file, newline="") as lines:
        return list(csv.reader(lines))


@pytest.mark.slow
def test_a_killed_run_ends_in_the_same_file(whole, recipe, tmp_path, capsys, same_weights):
    kill(recipe, tmp_path, 3)  # of two batches an epoch
    assert unfinished(tmp_path / "run")
    given = ["--placement", recipe.placement, "--data", recipe.data, "--out", "x.safetensors"]
    assert main(["train", *given, "--run", str(tmp_path / "run")]) == 2, "it is not begun anew by mistake"
    assert "holds a run that was killed: go on with --resume" in capsys.readouterr().err
    resume(tmp_path / "run", "cpu", measure=False)
    assert same_weights(tmp_path / "o.safetensors", whole / "o.safetensors")
    for name in ("curves.csv", "offsets.csv", "ledger.txt"):
        assert (tmp_path / "run" / name).read_bytes() == (whole / "run" / name).read_bytes()
    assert len(table(tmp_path / "run/curves.csv")) == 4
    told = capsys.readouterr().out
    assert "epoch 2/3" in told
    assert "epoch 1/3" not in told
    # What was left out is made up for, by the command.
    assert main(["train", "--resume", str(tmp_path / "run"), "--device", "cpu"]) == 0
    assert "AP_S" in capsys.readouterr().out
    assert main(["train", "--resume", str(tmp_path / "run")]) == 2
    assert "is finished: " in capsys.readouterr().err


@pytest.fixture(scope="module")
def fitted(squares, teacher_file, tmp_path_factory):
    """A recipe whose blocks are fitted before its first epoch, and the folder of its whole run."""
    settings = {"epochs": 2, "fit_epochs": 1, "size": 64, "batch": 4, "mosaic": 0.5, "seed": 5}
    recipe = Recipe("neck", str(squares), teacher=str(teacher_file), **settings)
    work = tmp_path_factory.mktemp("fitted")
    with set_torch_threads(1):
        fit(recipe, work / "o.safetensors", work / "run", "cpu")
    return recipe, work


@pytest.mark.slow
@pytest.mark.parametrize(("batch", "again"), [(1, True), (3, False)])
def test_blocks_are_fitted_once_or_all_over(fitted, tmp_path, capsys, same_weights, batch, again):
    """Killed in the first epoch the run begins anew, with the same fit; later it goes on from fitted weights."""
    recipe, work = fitted
    kill(recipe, tmp_path, batch)
    assert unfinished(tmp_path / "run") != again
    capsys.readouterr()
    with set_torch_threads(1):
        resume(tmp_path / "run", "cpu", measure=False)
    assert ("fit 1/1" in capsys.readouterr().out) == again
    assert same_weights(tmp_path / "o.safetensors", work / "o.safetensors")


@pytest.mark.slow
def test_after_the_last_epoch_only_the_file_is_written(whole, recipe, tmp_path, monkeypatch, same_weights):
    from dlka.train import training

    def stopped(*args, **settings):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(training, "save_weights", stopped)
        with pytest.raises(KeyboardInterrupt):
            fit(recipe, tmp_path / "o.safetensors", tmp_path / "run", "cpu")
    monkeypatch.setattr(training, "RecipeTrainer", stopped)
    resume(tmp_path / "run", "cpu", measure=False)
    assert same_weights(tmp_path / "o.safetensors", whole / "o.safetensors")


def test_folders_that_hold_no_run(tmp_path):
    with pytest.raises(DlkaError, match=r"expected the folder of a run, with recipe\.json in it"):
        resume(tmp_path)
    (tmp_path / "recipe.json").write_text("{}")
    with pytest.raises(DlkaError, match="expected a recipe that this version wrote; start the run anew"):
        resume(tmp_path)


def test_a_state_holds_no_code(tmp_path):
    """Only tensors and plain values are read back: somebody else's run folder does nothing."""
    folder = RunFolder(tmp_path)
    torch.save({"epoch": Path("a")}, folder.file("state.pt"))
    with pytest.raises(DlkaError, match=r"state\.pt is damaged .*: remove it and start anew"):
        folder.load_state()
    folder.file("state.pt").write_bytes(b"PK")
    with pytest.raises(DlkaError, match="is damaged"):
        unfinished(tmp_path)


def test_a_recipe_is_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = Recipe("neck", "data", start="control", teacher="some/teacher.pt", unlabelled="pool")
    RunFolder(Path("run")).begin(recipe, Path("o.safetensors"), {0: "a"}, [tmp_path / "a.png"], [])
    monkeypatch.chdir("/")
    again, out, measured = RunFolder(tmp_path / "run").told()
    assert (again.data, again.unlabelled) == (str(tmp_path / "data"), str(tmp_path / "pool"))
    assert (again.start, again.teacher) == ("control", str(tmp_path / "some/teacher.pt"))
    assert (out, measured) == (tmp_path / "o.safetensors", False)
    assert RunFolder(tmp_path / "run").names() == {0: "a"}
