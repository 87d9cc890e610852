"""What a card says about a model's offsets, in plain words."""

from __future__ import annotations

import pytest

from dlka.analysis.model_words import in_words
from dlka.models.weights import NEEDS, VERDICTS

GIVEN = {"verdict": "in use", "offsets": {"own": {"AP": 0.599}, "off": {"AP": 0.0951}}}
FOLLOWS = {"size_rho": 0.79, "size_rho_95": [0.77, 0.81], "spread_small": 0.62, "spread_large": 1.05}
AROUND = {"in_box": 0.279, "in_box_grid": 0.372, "in_box_minus_grid_95": [-0.11, -0.07]}


def test_every_verdict_has_words():
    assert set(NEEDS) == set(VERDICTS)


def test_what_a_model_loses_without_its_offsets():
    assert in_words(GIVEN) == "needs its offsets: AP 59.9 with them, 9.5 without"
    assert in_words(GIVEN | {"verdict": "unused"}).startswith("does not need its offsets: AP 59.9")


@pytest.mark.parametrize(
    ("stage", "says"),
    [
        (
            FOLLOWS,
            "its first kernel is wider on large objects: 1.05 times the grid on their larger half, 0.62 on the smaller",
        ),
        (FOLLOWS | {"spread_small": 0.98}, "its first kernel is a little wider on large objects: 1.05 times"),
        (AROUND, "its first kernel reads around objects: 28% of its samples in a box, 37% of the grid's"),
        (FOLLOWS | {"size_rho_95": [-0.1, 0.9]}, ""),
        (AROUND | {"in_box_minus_grid_95": [-0.1, 0.01]}, ""),
        (AROUND | FOLLOWS | {"size_rho": -0.5, "size_rho_95": [-0.6, -0.4]}, "its first kernel reads around"),
    ],
    ids=["wider", "little", "around", "size by chance", "box by chance", "smaller on large ones"],
)
def test_how_its_kernel_follows_objects(stage, says):
    first, _, follows = in_words({"verdict": "small", "stages": [stage, {}]}).partition("; ")
    assert first == "needs its offsets a little"
    assert follows.startswith(says)
    assert bool(follows) == bool(says)


@pytest.mark.parametrize(
    "damage",
    [{"offsets": 3}, {"offsets": {"own": {"AP": None}}}, {"stages": []}, {"stages": [7]}, {"stages": {"a": 1}}]
    + [{"stages": [FOLLOWS | {name: value}]} for name in FOLLOWS for value in (None, "much", [], True)],
)
def test_a_card_without_the_figures_says_less(damage):
    assert in_words({"verdict": "unused"} | damage) == "does not need its offsets"
