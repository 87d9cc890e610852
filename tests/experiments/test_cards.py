"""Model cards: made from stored runs whose figures are known."""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import asdict, replace

import numpy as np
import pytest
from stored_builders import some_runs, stored

from dlka.cli import build_parser, main
from dlka.experiments.cards import DATA_SETS, cards_text, train_command, write_cards
from dlka.experiments.defaults import TRAINER, DefaultTraining
from dlka.experiments.deltas import collect
from dlka.experiments.plan import NOTES, PLAN, SCRATCH, SHIPPED, START, STOCK, steps
from dlka.experiments.report import RUNS
from dlka.experiments.sentences import failures
from dlka.experiments.ship import metrics_of
from dlka.experiments.stored import load_all
from dlka.models.catalog import cards
from dlka.models.weights import SMALL, Card
from dlka.train.recipe import Recipe

OWN = {
    "control": "hit-uav/control-s0",
    "hit-uav-residual": "hit-uav/residual-s0",
    "neck": "coco-mini/neck-s0",
    "head": "coco-mini/head-s0",
}
NAMES = {"dlka": "0.1.0", "torch": "2"}


def carded(run):
    """The run with a card as training writes it: the recipe of the plan, files and folders by their names."""
    step = next((s for s in steps(PLAN) if s.id == run.run), None)
    file = f"{run.run.replace('/', '-')}.safetensors"
    if step is None or step.recipe is None:
        text = "converted from yolov8n.pt, sha256 abc"
        return replace(run, card={"file": file, "recipe": text, "classes": 80, "scale": "n"})
    recipe = asdict(step.recipe)
    if isinstance(step.recipe, DefaultTraining):
        recipe |= {"trainer": TRAINER, "start": SCRATCH}
    for key in ("start", "teacher"):
        if recipe.get(key, SCRATCH) != SCRATCH and recipe[key]:
            recipe[key] = "yolov8n.pt" if recipe[key] == STOCK else f"{recipe[key].replace('/', '-')}.safetensors"
    card = {"file": file, "recipe": json.dumps(recipe), "classes": 1, "scale": "n", "versions": NAMES}
    return replace(run, card={**card, "licence": "AGPL-3.0", "data": f"labels of {run.data}"})


@pytest.fixture(scope="module")
def runs():
    return [carded(run) for run in [*some_runs(), stored("hit-uav", START, 0)]]


@pytest.fixture(scope="module")
def text(runs):
    return cards_text(collect(runs, PLAN), PLAN, OWN, {})


def card_of(text, id_):
    """The text of one card."""
    return re.search(rf"^## {id_}\n(.*?)(?=^## |\Z)", text, re.M | re.S)[1]


def parsed(command):
    args = vars(build_parser().parse_args(shlex.split(command.replace("\\\n", ""))[3:]))
    return {k: v for k, v in args.items() if k not in ("handler", "run", "resume", "device", "tune")}


@pytest.mark.parametrize(
    "step", [s for s in steps(PLAN) if isinstance(s.recipe, Recipe) and s.seed in (0, 1)], ids=lambda s: s.id
)
def test_a_command_trains_by_the_recipe(step):
    found = parsed(train_command(asdict(step.recipe), "a name.safetensors"))
    assert found.pop("out") == "a name.safetensors"
    folders = {k: f"DATA/{v}" for k in ("data", "unlabelled") if (v := getattr(step.recipe, k))}
    assert Recipe(**found) == replace(step.recipe, **folders)


def test_a_command_has_what_differs_from_the_defaults_alone():
    command = train_command(
        {"placement": "neck", "data": "d", "epochs": 2, "lr": 0.5, "bfloat16": True}, "o.safetensors"
    )
    assert command == "python -m dlka train --placement neck --data DATA/d --lr 0.5 --bfloat16 --out o.safetensors"
    long = train_command({**asdict(Recipe("neck", "d" * 60, "s" * 60)), "size": 96}, "o.safetensors")
    assert max(map(len, long.splitlines())) <= 100
    assert parsed(long)["start"] == "s" * 60


def test_a_card_says_how_weights_and_their_start_were_made(text):
    card = card_of(text, "hit-uav-residual")
    block = re.search(r"```bash\n(.*?)\n```", card, re.S)[1]
    start, own = map(parsed, re.split(r"(?<!\\)\n", block))
    assert (start["placement"], start["start"], start["out"]) == ("control", "yolov8n.pt", own["start"])
    assert (own["placement"], own["data"], own["out"]) == ("residual", "DATA/hit-uav", "hit-uav-residual.safetensors")
    assert "sha256 abc" in card
    assert "YOLOv8n with a residual D-LKA block" in card
    assert "[hit-uav](#data-sets), CC BY 4.0" in card
    assert "Licence of the weights**: AGPL-3.0." in card
    assert "Trained with dlka 0.1.0, torch 2." in card
    assert "on a processor, AVX2" in card
    neck = card_of(text, "neck")
    assert NOTES["coco-mini/neck-s0"] in neck
    assert NOTES["coco-mini/neck-s0"] not in card
    assert "natural-pool](#data-sets), research terms" in neck


def test_a_card_of_a_training_by_default_says_so(runs):
    run = carded(stored("neu-det", "neck-separable", 0))
    card = card_of(cards_text(collect([*runs, run], PLAN), PLAN, {"steel": run.run}, {}), "steel")
    assert "python -m dlka evidence --rerun --data DATA --only 'neu-det/neck-separable-s0'" in card
    assert "All its weights were new. It was trained by Ultralytics' trainer with its own defaults." in card
    assert "[neu-det](#data-sets), for research" in card


def test_a_card_of_a_second_experiment_tells_all_that_came_before(runs):
    run = carded(stored("hit-uav-wide", "residual", 0))
    text = cards_text(collect([*runs, run], PLAN), PLAN, {"wide": run.run}, {})
    card = card_of(text, "wide")
    first, second, own = map(parsed, re.split(r"(?<!\\)\n", re.search(r"```bash\n(.*?)\n```", card, re.S)[1]))
    assert (first["start"], first["out"]) == ("yolov8n.pt", "hit-uav-start-s0.safetensors")
    assert (second["start"], second["out"]) == (first["out"], "hit-uav-control-s0.safetensors")
    assert (own["start"], own["out"], own["data"]) == (second["out"], "wide.safetensors", "DATA/hit-uav")
    assert "as all models of hit-uav-wide do. The first 2 commands make it, from yolov8n.pt." in card
    assert "pictures of hit-uav val" in card
    assert metrics_of(run, collect([run], PLAN).models["hit-uav-wide"]["residual"], None)["data"] == "hit-uav val"


def test_a_card_gives_this_seed_and_the_mean_over_seeds(text, runs):
    rows = [[c.strip() for c in line.split("|")[1:-1]] for line in card_of(text, "hit-uav-residual").splitlines()]
    table = {row[0]: row[1:] for row in rows if len(row) == 7}
    assert table["these weights"] == ["50.4", "70.4", "40.0", "30.4", "60.4", "-"]
    run = next(run for run in runs if run.run == "hit-uav/residual-s0")
    low, high = np.percentile(100.0 * run.replicates[:, 0], [2.5, 97.5])
    assert table["95 % interval"][0] == f"{low:.1f} to {high:.1f}"
    assert table["minus control"][0].startswith("**+0.6 [")
    assert table["minus control, mean over 3 seeds"][0].startswith("**+1.0 [")
    assert table["minus control"][2] == "-"
    assert "by seed +0.6 to +1.4 AP" in text
    assert "the best of 2 D-LKA models on these very pictures" in text
    assert "minus the stock weights" in card_of(text, "neck")
    assert "minus control |" not in card_of(text, "control")


def test_offsets_and_causes_are_this_seed_s(text):
    card = card_of(text, "hit-uav-residual")
    assert "| residual | P3 5x5 | 0.50 | 50 | 0.20 | 25 | yes |" in card
    assert "| residual | 50.4 | **-3.0 [" in card
    assert "P3 5x5" not in card_of(text, "control")


def test_what_has_no_run_has_no_card(text, runs):
    assert "Not stored, so without a card: head (coco-mini/head-s0)." in text
    assert "## head" not in text
    assert "All of them are of seed 0" in text
    other = cards_text(collect(runs, PLAN), PLAN, {"x": "hit-uav/residual-s1"}, {})
    assert "All of them are of seed 0" not in other


def changed(ap, fall, low, high):
    values = {m: {m: ap, f"{m}_minus_own": fall, f"{m}_minus_own_95": [low, high]} for m in ("AP", "AP_S")}
    return values["AP"] | values["AP_S"]


USES = {
    **{"verdict": SMALL, "why": "AP changes by so much.", "data": "coco-mini val", "pictures": 1119, "size": 640},
    "offsets": {
        "own": {"AP": 0.5, "AP_S": 0.3},
        "off": changed(0.49, -0.01, -0.02, -0.001),
        "shuffled": changed(0.501, 0.001, -0.01, 0.02),
        "another picture's": changed(0.52, 0.02, 0.01, 0.03),
        "mean field": changed(0.4, -0.1, -0.2, -0.05),
    },
    "stages": [
        {"label": "P3 5x5", "size_rho": 0.71, "size_rho_95": [0.6, 0.8], "spread_small": 0.62, "spread_large": 0.93},
        {"label": "P3 7x7", "size_rho": None, "size_rho_95": None, "spread_small": None, "spread_large": None},
    ],
}


def test_a_card_says_whether_its_weights_use_their_offsets(runs):
    def text(**changes):
        run = next(run for run in runs if run.run == OWN["hit-uav-residual"])
        card = Card("residual", "n", "dense", {0: "a"}, 640, "", "", "", 0, {}, run.metrics | changes, USES)
        return cards_text(collect(runs, PLAN), PLAN, OWN, {"hit-uav-residual": card})

    card = card_of(text(), "hit-uav-residual")
    part = re.search(r"### hit-uav-residual: whether it uses its offsets\n\n(.*?)\n\n###", card, re.S)[1]
    says, offsets, stages = part.split("\n\n")
    assert says == (
        "It needs its offsets a little (small): AP changes by so much. On 1,119 pictures of coco-mini val, at 640 px."
    )
    assert offsets.splitlines()[2:] == [
        "| own | 50.0 |  | 30.0 |  |",
        "| off | 49.0 | **-1.0 [-2.0, -0.1]** | 49.0 | **-1.0 [-2.0, -0.1]** |",
        "| shuffled | 50.1 | +0.1 [-1.0, +2.0] | 50.1 | +0.1 [-1.0, +2.0] |",
        "| another picture's | 52.0 | **+2.0 [+1.0, +3.0]** | 52.0 | **+2.0 [+1.0, +3.0]** |",
    ]
    assert stages.splitlines()[2:] == ["| P3 5x5 | +0.71 [+0.60, +0.80] | 0.62 | 0.93 |", "| P3 7x7 | - | - | - |"]
    assert "whether it uses" not in card_of(text(), "neck")
    assert "whether it uses" not in text(AP=0.4), "the file there is of another run"


def test_every_file_that_ships_has_its_verdict_in_the_cards():
    text = (RUNS.parent / "cards.md").read_text(encoding="utf-8")
    for id_ in SHIPPED:
        uses = cards()[id_].uses
        assert (f"### {id_}: whether it uses its offsets\n" in text) == (uses is not None), id_
        if uses:
            assert f"({uses['verdict']}): {uses['why']}" in card_of(text, id_)


def told(run, *others):
    return list(failures(run, collect([run, *others], PLAN).models[run.data]))


def test_classes_with_few_objects_are_unreliable():
    rows = {"car": (0.6, 300), "truck": (0.5, 50), "bus": (0.1, 49), "tram": (0.9, 1)}
    classes = {name: {"AP": ap, "objects": objects} for name, (ap, objects) in rows.items()}
    run = replace(stored("hit-uav", "control", 0), classes=classes, card={"classes": 6})
    sentences = told(run)
    assert "Of classes with 50 objects or more, AP is lowest for truck (50.0, 50 objects)." in sentences
    assert (
        "Unreliable, as it rests on fewer than 50 objects, is the AP of 2 of 4 classes: bus (10.0, 49 objects) and "
        "tram (90.0, 1 object)."
    ) in sentences
    assert "2 of its classes have no object in these pictures: not measured." in sentences
    many = {f"c{n}": {"AP": 0.5, "objects": n} for n in range(1, 13)}
    lowest = "lowest among them c1 (50.0, 1 object), c2 (50.0, 2 objects) and c3 (50.0, 3 objects)."
    assert any(f"12 of 12 classes: all; {lowest}" in line for line in told(replace(run, classes=many)))
    two = many | {"person": {"AP": 0.4, "objects": 90}, "car": {"AP": 0.6, "objects": 70}}
    assert any(
        f"12 of 14 classes: all but person and car; {lowest}" in line for line in told(replace(run, classes=two))
    )


def test_sizes_with_low_ap_say_how_many_objects_they_rest_on():
    side = np.r_[np.linspace(10, 31.9, 300), np.linspace(32, 95, 290), np.full(10, 96.0)].astype(np.float32)
    found = np.r_[np.arange(300) > 80, np.ones(300)].astype(bool)
    metrics = {"AP": 0.5, "AP50": 0.7, "AP75": 0.4, "AP_S": 0.3, "AP_M": 0.2, "AP_L": 0.15}
    run = replace(stored("hit-uav", "control", 0), object_side=side, found=found, metrics=metrics)
    sentences = told(run)
    assert "By size, AP is lowest for M: 20.0, which rests on 290 objects." in sentences
    assert "AP_L, 15.0, rests on 10 objects and is unreliable." in sentences
    assert any(line.startswith("Of the 75 objects around 13 px wide") and "finds 0 %" in line for line in sentences)


def test_what_is_below_control_and_stock_is_told():
    control, stock = stored("coco-mini", "control", 0), stored("coco-mini", "stock", 0, 0.02, 0.002)
    neck = stored("coco-mini", "neck", 0, -0.07, 0.002)
    below = [line for line in told(neck, control, stock) if line.startswith("It is below")]
    assert len(below) == 2
    assert re.match(r"It is below control in AP \(-7\.0 \[.*\]\), AP_S .* and AP_M", below[0])
    assert below[1].startswith("It is below the stock weights in AP (-9.0 [")
    assert told(control, stock)[0].startswith("It is below the stock weights in AP (-2.0 [")
    assert not any("below" in line for line in told(stored("coco-mini", "neck", 0, -0.001, 0.01), control))


def test_dead_stages_and_those_that_follow_the_place_are_told():
    run = stored("hit-uav", "residual", 0, causes=True)
    rows = [{**row, "content": share} for row, share in zip(run.stage_offsets, (0.29, 0.3))]
    rows = [rows[0], {**rows[1], "mean_cells": 0.049}]
    sentences = told(replace(run, stage_offsets=rows))
    assert "Stages that hardly move their taps (mean under 0.05 cell): P3 7x7 d3 (0.049)." in sentences
    assert any("(under 30 % of their variance is from content): P3 5x5 (29 %)." in line for line in sentences)
    assert not any("not shown to help" in line for line in sentences), "its AP falls without them"
    free = replace(
        run, interventions={"offsets x0": run.metrics}, intervention_replicates={"offsets x0": run.replicates}
    )
    assert any("not shown to help: with all of them set to zero AP moves by +0.0" in line for line in told(free))
    unknown = [{**row, "content": None} for row in run.stage_offsets]
    assert not any("place on the map" in line for line in told(replace(run, stage_offsets=unknown)))


def test_the_words_are_there_for_everything_that_ships():
    recipes = {step.id: step.recipe for step in steps(PLAN)}
    for run in SHIPPED.values():
        assert recipes[run].data in DATA_SETS
        assert recipes[run].unlabelled is None or recipes[run].unlabelled in DATA_SETS
    assert set(NOTES) <= set(recipes)


@pytest.mark.slow
def test_the_command_writes_cards_beside_the_report(runs, tmp_path, capsys):
    for run in runs:
        run.save(tmp_path / "runs")
    assert main(["evidence", "--runs", str(tmp_path / "runs"), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.rstrip().endswith(f"{tmp_path / 'out' / 'cards.md'}.")
    written = (tmp_path / "out" / "cards.md").read_text(encoding="utf-8")
    assert written == cards_text(collect(load_all(tmp_path / "runs"), PLAN), PLAN, SHIPPED, cards())
    assert write_cards(tmp_path / "runs", tmp_path / "again", PLAN, SHIPPED).read_text(encoding="utf-8") == written
    assert "## hit-uav-control" in written
