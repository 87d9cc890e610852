"""A figure made again from its recipe, and in one line each whether it is the same."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlka.analysis.analysis import analyse_pixels
from dlka.analysis.figures import figure
from dlka.analysis.figures.figure import Drawn
from dlka.analysis.recipes import (
    files,
    picture_of,
    pixels_sha256,
    read_recipe,
    recipe_of,
    settings_of,
    sums,
    versions,
    weights,
)
from dlka.models.catalog import available
from dlka.provenance import arithmetic, use_threads


@dataclass(frozen=True)
class Replayed:
    """A figure made again, and its own recipe; told: lines on what is the same; same: every array is, bit by bit."""

    figure: Drawn
    recipe: dict[str, Any]
    told: list[str]
    same: bool


def replay(path: str | Path, image: str | Path | None = None) -> Replayed:
    """Run a recipe again. image: the picture's file, where the recipe does not bring it and it is no example.

    Raises DlkaError or OSError, one sentence each, for a recipe, a picture or weights that cannot be used.
    """
    recipe = read_recipe(path)
    (pixels, source), settings = picture_of(recipe, image), settings_of(recipe)
    asked = figure(recipe["figure"]["kind"], recipe["figure"]["arguments"])
    use_threads(recipe["arithmetic"]["threads"])
    analysis = analyse_pixels(pixels, settings, source)
    made = asked.drawn(analysis)
    others = list(_others(recipe, pixels_sha256(pixels), analysis.dlka.device))
    told, same = [f"Note: {other}." for other in others], True
    reason = " and ".join(others) or "other code of the same version made it, or the recipe was changed"
    now, before = sums(made.arrays), recipe["arrays"]
    for name in {**before, **now}:
        alike = before.get(name) == now.get(name)
        same &= alike
        shape = " x ".join(map(str, now[name]["shape"])) if name in now else "missing"
        told.append(f"{name:.60} [{shape}]: " + ("same" if alike else f"differs, because {reason}"))
    return Replayed(made, recipe_of(analysis, asked, made), told, same)


def write(replayed: Replayed, folder: str | Path) -> list[Path]:
    """The figure's files in a folder, which is made where it is not there; returns their paths."""
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for ending, data in files(replayed.figure, replayed.recipe).items():
        written.append(out / f"figure.{ending}")
        written[-1].write_bytes(data)
    return written


def _others(recipe: dict[str, Any], pixels: str, device: str) -> Iterator[str]:
    """What is not as it was when the recipe was written."""
    if recipe["picture"]["pixels_sha256"] != pixels:
        yield "the picture has other pixels"
    for side, said in recipe["weights"].items():
        if said["id"] not in available() or weights(said["id"]) != said:
            yield f"the weights of {said['id']:.60} ({side}) are others"
    changed = [f"{name} {was!s:.20} then and {now} now" for name, was, now in _changed(recipe["versions"])]
    if changed:
        yield f"versions are others ({', '.join(changed)})"
    if recipe["device"] != device:
        yield f"it was made on {recipe['device']!s:.40} and now on {device}"
    was, now = recipe["arithmetic"], arithmetic()
    if was["threads"] != now["threads"]:
        yield f"sums were shared among {was['threads']} threads and are among {now['threads']}, as many as cores"
    if was["instructions"] != now["instructions"]:
        yield f"the processor's instructions were {was['instructions']!s:.40} and are {now['instructions']}"


def _changed(before: dict[str, Any]) -> list[tuple[str, Any, str]]:
    return [(name, before.get(name), now) for name, now in versions().items() if before.get(name) != now]
