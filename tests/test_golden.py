"""The golden files are complete, and their comparison sees what a user would see; nothing is made again here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest

from dlka.cli import main
from tests.golden import digest
from tests.golden.alike import differences

ROOT = Path(__file__).resolve().parent.parent
STORED = ROOT / "tests" / "golden" / "stored"


def stored(section):
    return json.loads((STORED / f"{section}.json").read_text(encoding="utf-8"))


def commands(capsys, *before):
    """The commands that `python -m dlka ... --help` lists, as a user reads them."""
    with pytest.raises(SystemExit):
        main([*before, "--help"])
    text = capsys.readouterr().out
    return [" ".join([*before, name]) for name in re.findall(r"^    ([a-z][a-z-]*)(?:  |$)", text, re.MULTILINE)]


def test_every_command_has_an_entry(capsys):
    known = [*commands(capsys), *commands(capsys, "bench")]
    assert len(known) > 15
    assert {f"python -m dlka {name}" for name in known} | {"python -m dlka"} == set(stored("help"))
    tried = " | ".join([*stored("results"), *(name.removeprefix("python -m dlka ") for name in stored("refusals"))])
    for name in set(known) - {"bench", "replay"}:  # replay has a section of its own
        assert re.search(rf"(^| \| ){name}\b", tried), f"no result and no refusal of {name}"


def test_every_kind_of_figure_is_stored_and_replayed():
    said = stored("endpoints")["refused: kind of figure"]["refused"]
    kinds = set(re.search(r"expected one of (.*); got", said)[1].split(", "))
    figures, recipes = stored("figures"), stored("recipes")
    assert {f["figure"]["kind"] for f in figures.values()} == kinds
    assert {r["figure"]["kind"] for r in recipes.values()} == kinds
    assert set(stored("replays")) == set(recipes) <= set(figures)
    assert all(one["exit"] == 0 for one in stored("replays").values())
    for figure in figures.values():
        assert {"caption", "png", "svg", "pdf", "npz"} <= set(figure)


def test_the_set_is_small_and_holds_no_path_of_a_machine():
    files = sorted(STORED.glob("*.json"))
    assert sum(file.stat().st_size for file in files) < 700_000
    for file in files:
        assert not re.search(r"/(tmp|home|root|work)/", file.read_text(encoding="utf-8")), file.name


def found(before, now):
    """What differs: whether each is within the tolerances."""
    return [one.near for one in differences(before, now)]


@pytest.mark.parametrize(
    ("before", "now", "near"),
    [
        ("mean 0.42 cells, 12 boxes", "mean 0.43 cells, 12 boxes", [True]),  # its last digit
        ("mean 0.42 cells, 12 boxes", "mean 0.45 cells, 12 boxes", [False]),
        ("mean 0.42 cells, 12 boxes", "mean 0.421 cells, 12 boxes", [False]),  # another rounding
        ("mean 0.42 cells, 12 boxes", "mean 0.42 cells, 13 boxes", [False]),  # a count
        ("mean 0.42 cells", "median 0.42 cells", [False]),
        ("fill #ff8800", "fill #ff8801", [False]),
        ({"a": 1.0, "b": 2}, {"a": 1.0001, "b": 2}, [True]),
        ({"a": 1.0, "b": 2}, {"a": 1.1, "c": 2}, [False, False, False]),
        ([1, 2], [1, 2, 3], [False]),
        (["a", "b"], ["a", "c", "b"], [False]),
        (3, "3", [False]),
        ({"a": None}, {"a": None}, []),
        ({"binary": "1e67"}, {"binary": "3202"}, [True]),  # of a PDF
    ],
)
def test_numbers_are_compared_as_they_are_printed(before, now, near):
    assert found(before, now) == near


def png(image):
    return digest.pixels(cv2.imencode(".png", image)[1].tobytes())


def test_pictures_are_compared_by_what_is_seen():
    image = np.full((96, 160, 3), 200, np.uint8)
    noisy, other = image.copy(), image.copy()
    noisy[5, 7] += 1
    other[20:30, 30:50] = (0, 128, 255)
    assert found(png(image), png(image.copy())) == []
    assert found(png(image), png(noisy)) == [True]
    assert found(png(image), png(other)) == [False]
    assert found(png(image), png(image[:-1])) == [False]


def test_arrays_and_long_texts_are_compared_by_values_and_words():
    values = np.linspace(-1, 5, 1000, dtype=np.float32)
    assert found(digest.array(values), digest.array(values + np.float32(2e-4))) == [True]
    assert found(digest.array(values), digest.array(values * 1.1)) == [False]
    assert found(digest.array(values), digest.array(values.astype(np.float64))) == [False]
    assert found(digest.array(values), digest.array(values[None])) == [False]
    long = "A stage moves its taps by 125.2 px.\n" * 40
    assert found(digest.text(long), digest.text(long.replace("taps", "samples", 1))) == [False]
    assert found(digest.text(long), digest.text(long.replace("125.2", "125.3", 1))) == [True]
    assert found(digest.text(long), digest.text(long.replace("125.2", "127.2"))) == [False]


def test_what_a_run_changes_is_taken_out():
    text = "dlka 0.1.0, 12.5 ms, 3 MB, /x/y/a.png at 2026-01-02 03:04:05"
    assert digest.normalised(text, Path("/x/y")) == "dlka VERSION, N ms, N MB, DIR/a.png at DATE"
