"""A stored recipe as the command that trains by it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields
from shlex import quote
from typing import Any

from dlka.experiments.one_run import recipe_of
from dlka.experiments.stored import StoredRun
from dlka.train.recipe import Recipe

FOLDERS = ("data", "unlabelled")  # the fields that name folders of pictures
PLACE = "DATA"  # stands for the folder that they lie in
WIDTH = 100  # characters of a line


def train_command(recipe: Mapping[str, Any], out: str) -> str:
    """`python -m dlka train ...` with a flag for each value that Recipe does not have by itself, on several lines.

    recipe: fields of Recipe, files and folders by their names alone; one that was stored before a field came up trained
    with what is its default.
    """
    words = ["python -m dlka train"]
    for field in fields(Recipe):
        value = recipe.get(field.name, field.default)
        if value == field.default or value is MISSING:
            continue
        flag = f"--{field.name.replace('_', '-')}"
        text = f"{PLACE}/{value}" if field.name in FOLDERS else str(value)
        words.append(flag if value is True else f"{flag} {quote(text)}")
    lines = [""]
    for word in (*words, f"--out {quote(out)}"):
        if len(f"{lines[-1]} {word} \\") > WIDTH:
            lines.append("   ")
        lines[-1] = f"{lines[-1]} {word}" if lines[-1] else word
    return " \\\n".join(lines)


def starts_of(run: StoredRun, runs: Sequence[StoredRun]) -> list[StoredRun]:
    """The stored runs whose weights a run started from, the first trained first; none for stock weights."""
    start = (recipe_of(run) or {}).get("start")
    before = next((other for other in runs if start and other.card.get("file") == start), None)
    return [*starts_of(before, runs), before] if before else []
