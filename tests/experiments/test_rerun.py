"""Repeating the experiment: what is done, in which order, what is skipped, and what happens when something fails."""

from __future__ import annotations

import pytest
from drawn_squares import draw
from stored_builders import stored

from dlka.cli import main
from dlka.errors import DlkaError
from dlka.experiments import rerun as module
from dlka.experiments.defaults import DefaultTraining
from dlka.experiments.plan import STOCK, Experiment
from dlka.experiments.rerun import Places, rerun
from dlka.experiments.stored import load_all
from dlka.models.catalog import find
from dlka.models.weights import load_card

PLAN = (
    Experiment(
        "one",
        ("control", "residual"),
        (0,),
        {"epochs": 1, "size": 64, "batch": 4},
        start={"epochs": 2},
        causes=("residual",),
    ),
    Experiment("two", ("neck",), (3,), {"teacher": STOCK}, stock=True),
)
ALL = ["one/start-s0", "one/control-s0", "one/residual-s0", "two/stock-s0", "two/neck-s3"]


@pytest.fixture
def places(tmp_path):
    for name in ("one", "two"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "data.yaml").write_text("names: [square, person]\n")
    return Places(tmp_path / "data", str(find("control")), tmp_path / "work", tmp_path / "runs")


@pytest.fixture
def calls(monkeypatch):
    """What was trained and measured, by a stand-in for both that takes no time."""
    made = []

    def fit(recipe, out, run):
        made.append(("fit", recipe))
        out.write_bytes(b"weights")

    def measure(weights, data, run, size, interventions):
        assert weights.is_file()
        assert size == 160 if "scratch" in run else size == 640
        made.append(("measure", run))
        if interventions:
            made.append(("causes", run))
        name, _, rest = run.partition("/")
        word, _, seed = rest.rpartition("-s")
        return stored(name, word, int(seed))

    monkeypatch.setattr(module, "fit", fit)
    monkeypatch.setattr(module, "measure", measure)
    return made


def measured(calls):
    return [what for kind, what in calls if kind == "measure"]


def trained(calls):
    return [(what.placement, what.epochs) for kind, what in calls if kind == "fit"]


def test_from_scratch_nothing_is_trained_before_and_pictures_keep_their_size(places, calls):
    settings = {"epochs": 3, "size": 160, "batch": 4}
    plan = (Experiment("one", ("control", "residual"), (0,), settings, start="none", title="scratch"),)
    assert rerun(places, plan, report=lambda _: None) == []
    assert [what.start for kind, what in calls if kind == "fit"] == ["none", "none"]
    assert measured(calls) == ["scratch/control-s0", "scratch/residual-s0"]


def test_a_training_by_default_reads_its_own_folder(places, calls, monkeypatch):
    def fit_by_default(recipe, out, run):
        calls.append(("fit", recipe))
        out.write_bytes(b"weights")
        assert run == places.work / "training" / "scratch-neck-separable-s0"

    monkeypatch.setattr(module, "fit_by_default", fit_by_default)
    settings = {"epochs": 3, "size": 160, "batch": 4}
    plan = (Experiment("one", ("neck-separable",), (0,), settings, by_default=True, title="scratch"),)
    assert rerun(places, plan, report=lambda _: None) == []
    (_, recipe), _ = calls
    assert recipe == DefaultTraining("neck", str(places.data / "one"), "separable", seed=0, **settings)
    assert measured(calls) == ["scratch/neck-separable-s0"]


def test_everything_is_made_once(places, calls):
    lines = []
    assert rerun(places, PLAN, report=lines.append) == []
    assert measured(calls) == ALL
    assert [what for kind, what in calls if kind == "causes"] == ["one/residual-s0"]
    assert trained(calls) == [("control", 2), ("control", 1), ("residual", 1), ("neck", 2)]
    _, residual = [what for kind, what in calls if kind == "fit"][1:3]
    assert residual.start == str(places.work / "weights" / "one-start-s0.safetensors")
    assert residual.data == str(places.data / "one")
    neck = [what for kind, what in calls if kind == "fit"][3]
    assert neck.start == neck.teacher == places.stock
    assert (places.work / "weights" / "two-stock-s0.safetensors").read_bytes() == find("control").read_bytes()
    assert lines[0] == "5 to do; 0 are stored already."
    assert "[3/5] one/residual-s0: training, 1 epochs at 64 px" in lines
    calls.clear()
    assert rerun(places, PLAN, report=lines.append) == []
    assert calls == []


def test_a_killed_rerun_goes_on_where_it_stopped(places, calls, monkeypatch):
    stand_in = module.measure

    def killed(weights, data, run, **how):
        if run == "one/residual-s0":
            raise KeyboardInterrupt
        return stand_in(weights, data, run, **how)

    monkeypatch.setattr(module, "measure", killed)
    with pytest.raises(KeyboardInterrupt):
        rerun(places, PLAN, report=lambda _: None)
    (places.runs / "one-control-s0.json").write_text('{"run": "one/con')  # killed while it was written
    monkeypatch.setattr(module, "measure", stand_in)
    calls.clear()
    assert rerun(places, PLAN, report=lambda _: None) == []
    assert measured(calls) == ["one/control-s0", *ALL[2:]]
    assert trained(calls) == [("neck", 2)], "what has weights is not trained again"


def test_a_pattern_chooses_and_brings_its_start(places, calls):
    assert rerun(places, PLAN, "one/res*", report=lambda _: None) == []
    assert trained(calls) == [("control", 2), ("residual", 1)]
    assert measured(calls) == ["one/residual-s0"]
    with pytest.raises(ValueError, match=r"--only three/\*: expected a pattern that fits some of one/start-s0"):
        rerun(places, PLAN, "three/*", report=lambda _: None)


def test_a_start_brings_its_own_start(places, calls):
    more = Experiment("one", ("neck",), (0,), {"epochs": 9}, start="one/control-s0", title="one-long")
    assert rerun(places, [*PLAN, more], "one-long/*", report=lambda _: None) == []
    assert trained(calls) == [("control", 2), ("control", 1), ("neck", 9)]
    assert measured(calls) == ["one-long/neck-s0"]
    last = [what for kind, what in calls if kind == "fit"][-1]
    assert last.start == str(places.work / "weights" / "one-control-s0.safetensors")
    assert last.data == str(places.data / "one")


def test_one_that_fails_is_told_and_the_others_go_on(places, calls, monkeypatch):
    stand_in = module.fit

    def fit(recipe, out, run):
        if recipe.epochs == 2 and recipe.placement == "control":
            raise RuntimeError("no memory\nleft")
        stand_in(recipe, out, run)

    monkeypatch.setattr(module, "fit", fit)
    lines = []
    assert rerun(places, PLAN, report=lines.append) == ALL[:3]
    assert measured(calls) == ALL[3:]
    told = places.work / "training" / "one-start-s0" / "failure.txt"
    assert f"[1/5] one/start-s0: failed: RuntimeError: no memory left (see {told})" in lines
    assert "Traceback" in told.read_text()
    assert "[2/5, 1 failed] one/control-s0: left out, as one/start-s0, which it starts from, failed" in lines


def test_a_training_that_was_killed_is_resumed_unless_the_plan_has_changed(places, calls, monkeypatch):
    resumed = []

    class Folder:
        def __init__(self, run):
            self.run = run

        def told(self):
            step = next(step for step in module.steps(PLAN) if step.stem == self.run.name)
            every = {step.id: step for step in module.steps(PLAN)}
            recipe = module.resolved(step.recipe, every, places)
            changed = module.replace(recipe, lr=7.0) if step.model == "residual" else recipe
            return changed, places.weights(step).resolve(), True

    def resume(run, measure):
        resumed.append(run.name)
        (places.work / "weights" / f"{run.name}.safetensors").write_bytes(b"weights")

    monkeypatch.setattr(module, "unfinished", lambda run: run.name != "one-start-s0")
    monkeypatch.setattr(module, "RunFolder", Folder)
    monkeypatch.setattr(module, "resume", resume)
    assert rerun(places, PLAN, "one/*", report=lambda _: None) == []
    assert resumed == ["one-control-s0"]
    assert trained(calls) == [("control", 2), ("residual", 1)]


def test_what_is_not_there_is_told_before_the_first_training(places, calls):
    (places.data / "two" / "data.yaml").unlink()
    with pytest.raises(DlkaError, match=r"two.*expected"):
        rerun(places, PLAN, report=lambda _: None)
    with pytest.raises(ValueError, match=r"--stock no.pt: there is no such file"):
        rerun(module.replace(places, stock="no.pt"), PLAN, "one/*", report=lambda _: None)
    assert calls == []
    with pytest.raises(ValueError, match="model: expected one of"):
        rerun(module.replace(places, stock="nothing"), PLAN, "one/*", report=lambda _: None)
    (places.work / "weights").mkdir(parents=True)
    for name in ("start", "control"):
        (places.work / "weights" / f"one-{name}-s0.safetensors").write_bytes(b"weights")
    rerun(module.replace(places, stock="no.pt"), PLAN, "one/control*", report=lambda _: None)
    assert measured(calls) == ["one/control-s0"], "nothing needs the stock weights once the start is there"


@pytest.mark.slow
def test_from_pictures_to_the_report(places, tmp_path, monkeypatch, capsys):
    """Trained, measured and reported for real, by the command."""
    (places.data / "one" / "data.yaml").unlink()
    for part in ("train", "val"):
        draw(places.data / "one", part, 4)
    (places.data / "one" / "data.yaml").write_text("names: [square, person]\n")
    settings = {"epochs": 1, "size": 64, "batch": 4}
    plan = (Experiment("one", ("control", "residual"), (0,), settings, start=settings, causes=("residual",)),)
    monkeypatch.setattr("dlka.experiments.plan.PLAN", plan)
    work = tmp_path / "work"
    argv = ["evidence", "--rerun", "--data", str(places.data), "--work", str(work), "--stock", "control"]
    assert main(argv) == 0
    runs = load_all(work / "runs")
    assert [run.run for run in runs] == ["one/control-s0", "one/residual-s0", "one/start-s0"]
    residual = runs[1]
    assert (residual.pictures, residual.objects, residual.replicates.shape) == (4, 4, (1000, 5))
    assert len(residual.stage_offsets) == 6
    assert "offsets x0" in residual.interventions
    assert "one-start-s0" in load_card(work / "weights" / "one-residual-s0.safetensors").recipe
    text = (work / "report.md").read_text()
    assert "All 3 planned runs are stored." in text
    assert "| residual |" in text
    assert (work / "forest.png").read_bytes().startswith(b"\x89PNG")
    out, err = capsys.readouterr()
    assert "[3/3] one/residual-s0: measuring" in err
    assert f"Written: {work / 'report.md'}" in out


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["--only", "x"], "--only: expected with --rerun only"),
        (["--rerun"], "--rerun: expected --data DIR with it"),
        (["--runs", "nowhere"], "nowhere: expected stored runs"),
        (["--rerun", "--data", "nowhere", "--only", "bccd/*"], "nowhere/bccd"),
        (
            ["--rerun", "--data", "nowhere", "--only", "zzz"],
            "--only zzz: expected a pattern that fits some of scenes/",
        ),
    ],
)
def test_refusals_are_one_sentence(argv, says, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert main(["evidence", *argv]) == 2
    err = capsys.readouterr().err
    assert says in err
    assert err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_failure_is_the_exit_status(monkeypatch, tmp_path, capsys):
    for word in ("control", "residual"):
        stored("hit-uav", word, 0).save(tmp_path / "work" / "runs")
    monkeypatch.setattr(module, "rerun", lambda *_, **__: ["hit-uav/neck-s0"])
    argv = ["--data", "d", "--work", str(tmp_path / "work"), "--stock", "s.pt"]
    assert main(["evidence", "--rerun", *argv]) == 1
    assert "Failed: hit-uav/neck-s0." in capsys.readouterr().err
